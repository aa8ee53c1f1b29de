//! router: to be written.
