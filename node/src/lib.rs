//! Requests: phones and people. Depends on `schema` and `sync`; holds the one binary, `ucupdates`.

pub mod api;
pub mod app;
pub mod audit_log;
pub mod cli;
pub mod config;
pub mod decide;
mod descriptors;
pub mod durable;
pub mod explain;
pub mod files;
pub mod listen;
pub mod log_cleanup;
pub mod metrics;
pub mod phone_auth;
pub mod plane;
pub mod postgres;
pub mod profile;
pub mod router;
pub mod serve;
pub mod simulation;
pub mod snapshot;
pub mod standard;
pub mod telemetry;
pub mod tls;
pub mod update;
pub mod wire;
