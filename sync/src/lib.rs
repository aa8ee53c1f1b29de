//! Bytes: a cabinet becomes verified files on every node. Depends on `schema` alone.

pub mod blobs;
pub mod build;
pub mod cabinet;
pub mod catalog;
pub mod clock;
pub mod disk;
pub mod drop_folder;
pub mod import;
pub mod manifest;
mod pace;
pub mod package;
pub mod plan;
pub mod read_through;
pub mod replica;
pub mod replicate;
