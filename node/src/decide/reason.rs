//! The closed list of reasons: one word for each answer that a phone can get. The same word is the metric's label, the
//! key of the panel's sentence, and what tests expect. What leads to a reason is not here.

/// Why a phone got its answer. The order is that in which a request of several modules is summed up: offers first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The approved version differs from the installed one.
    Offered,
    /// The pending version, to a test device.
    OfferedTest,
    /// The pending version, to a device type that is served without approval.
    OfferedUnapproved,
    /// A stepping stone on the way to the target.
    Interim,
    /// A file of the update is not held by this node.
    NotReady,
    /// A stepping stone is needed and no package brought it.
    InterimMissing,
    /// The rule has no version for this phone.
    NotApproved,
    /// No rule speaks of the phone.
    NoRule,
    /// The phone has what it shall have.
    UpToDate,
    /// The request names no module.
    NoModule,
    /// This node has no snapshot yet.
    NoData,
    /// From outside, without credentials: 401.
    AnonymousRefused,
    /// The credential check has no free slot.
    Overload,
    /// Not an update request: 400.
    Unreadable,
}

impl Reason {
    /// How many there are. A number: a type that asks `all` for its length sends the optimizing compiler in a circle.
    pub const COUNT: usize = 14;

    /// All reasons, in their order.
    pub const fn all() -> [Self; Self::COUNT] {
        [
            Self::Offered,
            Self::OfferedTest,
            Self::OfferedUnapproved,
            Self::Interim,
            Self::NotReady,
            Self::InterimMissing,
            Self::NotApproved,
            Self::NoRule,
            Self::UpToDate,
            Self::NoModule,
            Self::NoData,
            Self::AnonymousRefused,
            Self::Overload,
            Self::Unreadable,
        ]
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::OfferedTest => "offered_test",
            Self::OfferedUnapproved => "offered_unapproved",
            Self::Interim => "interim",
            Self::NotReady => "not_ready",
            Self::InterimMissing => "interim_missing",
            Self::NotApproved => "not_approved",
            Self::NoRule => "no_rule",
            Self::UpToDate => "up_to_date",
            Self::NoModule => "no_module",
            Self::NoData => "no_data",
            Self::AnonymousRefused => "anonymous_refused",
            Self::Overload => "overload",
            Self::Unreadable => "unreadable",
        }
    }

    /// A sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Offered => "The approved version differs from the installed one, so it was offered.",
            Self::OfferedTest => "The phone is a test device, so the pending version was offered.",
            Self::OfferedUnapproved => "This device type is served without approval: the pending version was offered.",
            Self::Interim => "The installed version is so old that an interim build was offered first.",
            Self::NotReady => "This node does not hold all files of the update yet, so nothing was offered.",
            Self::InterimMissing => "The phone needs an interim build first, and no imported package brought it.",
            Self::NotApproved => "The rule for this phone has no approved version.",
            Self::NoRule => "No rule speaks of this phone: no package for it was imported, or its rule was removed.",
            Self::UpToDate => "The phone has the version that it shall have.",
            Self::NoModule => "The request names no file that could be updated.",
            Self::NoData => "This node has not loaded any rules yet, so nothing was offered.",
            Self::AnonymousRefused => "The phone asked from outside without signing in, and was refused.",
            Self::Overload => "This node was too busy to check the phone's credentials, so nothing was offered.",
            Self::Unreadable => "What the phone sent could not be read.",
        }
    }

    /// Whether the phone is offered something.
    pub const fn is_offer(self) -> bool {
        matches!(self, Self::Offered | Self::OfferedTest | Self::OfferedUnapproved | Self::Interim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_list_is_in_order_and_its_words_differ() {
        let all = Reason::all();
        assert!(all.is_sorted());
        assert_eq!(all.map(Reason::as_str).iter().collect::<HashSet<_>>().len(), all.len());
        assert!(all.iter().all(|reason| reason.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
        assert_eq!(all.iter().filter(|reason| reason.is_offer()).count(), 4);
    }
}
