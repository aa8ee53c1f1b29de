//! The whole-system tests, one module an area; this file only lists them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod cli;
mod import;
mod listener;
mod packages;
mod phone_plane;
mod seed;
mod store_migrations;
mod store_postgres;
mod tidy;
