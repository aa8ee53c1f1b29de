//! audit_log: to be written.
