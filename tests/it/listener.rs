//! Listeners, TLS, files and credentials, through real sockets. Each test runs its own listener with what it needs.

mod connections;
mod credentials;
mod downloads;
mod harness;
mod held;
mod idle;
mod limits;
mod malformed;
mod management;
mod proxy;
mod tls;
