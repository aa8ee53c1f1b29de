//! log_cleanup: to be written.
