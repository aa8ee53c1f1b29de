//! The command line: thin callers of the API, and the commands that run without a server.

pub mod package;
