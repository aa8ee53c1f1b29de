//! What a phone is told, and why (PROTOCOL.md 5). Pure.

/// Why a phone got its answer: a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// External without credentials: 401.
    AnonymousRefused,
    /// The credential check has no free slot.
    Overload,
}
