//! package: to be written.
