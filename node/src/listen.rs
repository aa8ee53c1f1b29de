//! listen: to be written.
