//! Keeps what could not be read, byte for byte, bounded in count and size.

/// A bounded folder of unreadable request bodies.
#[derive(Debug)]
pub struct Capture {}
