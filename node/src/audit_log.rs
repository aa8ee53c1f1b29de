//! The request audit log of this node (PROTOCOL.md 9): a handle that never waits, and the task that writes.

/// Takes the audit records of the phone plane.
#[derive(Debug, Clone)]
pub struct AuditLog {}
