//! cabinet: to be written.
