//! The administrators' JSON API, `/api/v1`.

pub mod types;
