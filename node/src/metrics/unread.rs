//! Requests that were no update requests, or none that could be read: why, and whether they were kept. A new kind of
//! phone shows here first.

use super::{closed_enum, counters};
use crate::wire::capture::Kept;
use crate::wire::request::RequestError;
use crate::wire::xml::XmlError;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

closed_enum! {
    /// Why a request was not read.
    pub enum UnreadCause {
        /// The body did not arrive whole.
        Incomplete = "incomplete",
        /// The body is larger than an update request may be.
        TooLarge = "too_large",
        /// Neither UTF-8 nor UTF-16.
        Encoding = "encoding",
        /// Not well-formed XML.
        IllFormed = "ill_formed",
        /// A document type definition.
        Dtd = "dtd",
        /// Elements nested too deep, or with too many attributes.
        TooComplex = "too_complex",
        /// XML of another kind: no name in it is known.
        NoKnownField = "no_known_field",
        /// A value that is too long, or too many modules.
        Limits = "limits",
        /// A module without a name or a version that can be read.
        Module = "module",
        /// The body came below the least rate.
        TooSlow = "too_slow",
    }
}

impl From<&RequestError> for UnreadCause {
    fn from(error: &RequestError) -> Self {
        match error {
            RequestError::Xml(XmlError::TooLarge) => Self::TooLarge,
            RequestError::Xml(XmlError::Encoding) => Self::Encoding,
            RequestError::Xml(XmlError::IllFormed(_)) => Self::IllFormed,
            RequestError::Xml(XmlError::Dtd) => Self::Dtd,
            RequestError::Xml(XmlError::TooDeep | XmlError::TooManyAttributes) => Self::TooComplex,
            RequestError::NoKnownField => Self::NoKnownField,
            RequestError::ValueTooLong(_) | RequestError::TooManyModules => Self::Limits,
            RequestError::ModuleWithoutName
            | RequestError::ModuleWithoutVersion(_)
            | RequestError::UnreadableVersion { .. } => Self::Module,
        }
    }
}

/// Requests that were not read.
#[derive(Debug)]
pub struct UnreadMetrics {
    requests: [Counter; UnreadCause::COUNT],
    captures: [Counter; 3],
}

impl UnreadMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Requests that could not be read as update requests, by cause";
        let causes = UnreadCause::all().map(UnreadCause::as_str);
        let requests = counters(registry, ("unreadable_requests", help), "cause", causes);
        let help = "What became of unreadable requests while capture is on: kept, skipped (another one was being written, \
                    or it is over the limits), or failed";
        let captures = counters(registry, ("captures", help), "outcome", ["kept", "skipped", "failed"]);
        Self { requests, captures }
    }

    /// Counts a request that was not read.
    pub fn unread(&self, cause: UnreadCause) {
        self.requests[cause as usize].inc();
    }

    /// Counts what became of one while capture is on.
    pub fn captured(&self, kept: Kept) {
        let place = match kept {
            Kept::Yes => 0,
            Kept::Skipped => 1,
            Kept::Failed => 2,
        };
        self.captures[place].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_causes_is_in_order() {
        for (place, cause) in UnreadCause::all().into_iter().enumerate() {
            assert_eq!(cause as usize, place, "{cause:?}");
        }
    }
}
