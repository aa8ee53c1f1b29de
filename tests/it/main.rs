//! The whole-system tests, one module an area; this file only lists them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod access_log;
mod balancer;
mod chaos;
mod check_config;
mod cli;
mod cluster;
mod crash;
mod drop_folder;
mod first_run;
mod full_disk;
mod import;
mod lifecycle;
mod listener;
mod nodes;
mod object_stores;
mod operating;
mod operations;
mod outage;
mod packages;
mod phone_plane;
mod renewal;
mod replication;
mod resumption;
mod seed;
mod simulation;
mod standard;
mod store_constraints;
mod store_events;
mod store_facts;
mod store_import;
mod store_migrations;
mod store_nodes;
mod store_outage;
mod store_postgres;
mod store_rules;
mod store_settings;
mod store_snapshot;
mod store_ticket_keys;
mod store_tls;
mod tidy;
mod two_sites;
mod two_versions;
