//! The harness of the whole-system tests; this file only lists its modules.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

pub mod balancer;
pub mod binary;
pub mod cab;
pub mod clock;
pub mod cluster;
pub mod database;
pub mod dns;
pub mod gcab;
pub mod hostile;
pub mod lzx;
pub mod node;
pub mod phone;
pub mod pool;
pub mod program;
pub mod repair;
pub mod s3;
pub mod seaweed;
pub mod simulated;
