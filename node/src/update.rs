//! update: to be written.
