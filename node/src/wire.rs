//! The protocol on the wire: reading update requests, writing answers (PROTOCOL.md 3 and 4). Element names are data,
//! the dialect. All but `capture` is pure: no runtime, no web framework, no SQL, no clock.

pub mod capture;
pub mod dialect;
pub mod request;
pub mod response;
pub mod xml;
