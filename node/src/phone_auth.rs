//! phone_auth: to be written.
