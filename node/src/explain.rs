//! explain: to be written.
