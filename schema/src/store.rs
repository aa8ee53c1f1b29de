//! The Central Management store: all SQL of the project. One function is one statement or one transaction, takes and
//! returns domain types, and ends in a limited time whatever the server does. Decisions are not made here.

mod error;
mod settings;
mod signatures;

pub use error::StoreError;
pub use settings::DatabaseSettings;
pub use signatures::*;
