//! wire: to be written.
