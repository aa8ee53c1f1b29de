//! Facts: what exists in a device-update pool, and how it may change.
//!
//! Everything here but [`store`] is pure: values in, values out, no clock, no socket, no SQL. `store` holds all SQL of
//! the project. Nothing here may depend on `sync` or `node`.

pub mod access;
pub mod audit;
pub mod device;
mod error;
pub mod import;
pub mod package;
pub mod replica;
pub mod rule;
pub mod rule_set;
pub mod settings;
pub mod store;
pub mod test_device;
pub mod topology;
pub mod version;

pub use error::ParseError;
