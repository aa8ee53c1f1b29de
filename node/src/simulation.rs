//! Simulated phones: one, or many thousands in one process. They do what real ones do (PROTOCOL.md 1): boot, ask, download,
//! check, install, boot again, and ask every day. What a phone decides, what it must be told and how often what happened
//! are values ([`phone`], [`expectation`], [`statistics`]); sockets and time are in [`network`], [`exchange`] and [`run`].

pub mod answer;
pub mod exchange;
pub mod expectation;
pub mod failure;
pub mod fleet;
pub mod model;
pub mod network;
pub mod oracle;
pub mod phone;
pub mod run;
pub mod statistics;
