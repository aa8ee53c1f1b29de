//! The text beside a package that came through the drop folder: what became of it, for people.

use super::Finished;
use crate::api::types::packages::ReportCard;
use crate::cli::report_card::report_card;
use crate::metrics::DropEnd;
use jiff::Timestamp;
use schema::package::Digest;
use schema::topology::NodeName;
use std::error::Error;
use sync::drop_folder::Verdict;

/// Characters that a line of a report has, about.
const WIDTH: u16 = 120;

/// What every report begins with.
pub(super) struct Report<'a> {
    pub(super) name: &'a str,
    pub(super) node: &'a NodeName,
    pub(super) at: Timestamp,
}

impl Report<'_> {
    /// Of a package that was read.
    pub(super) fn of_card(&self, verdict: Verdict, end: DropEnd, card: &ReportCard) -> Finished {
        let head = self.head(verdict);
        let report = format!("{head}SHA-256 {}\n\n{}\n", card.digest, report_card(card, Some(WIDTH)));
        Finished { verdict, end, digest: Digest::parse(&card.digest).ok(), report }
    }

    /// Of one that is none, or not a sound one.
    pub(super) fn refused(&self, reason: &str) -> Finished {
        let report = format!("{}\n{reason}\n", self.head(Verdict::Refused));
        Finished { verdict: Verdict::Refused, end: DropEnd::Refused, digest: None, report }
    }

    fn head(&self, verdict: Verdict) -> String {
        let Self { name, node, at } = self;
        format!("{name}: {} by {node} from the drop folder, {}\n", verdict.as_str(), at.strftime("%F %T UTC"))
    }
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
