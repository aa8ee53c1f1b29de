//! What this phone would get, and why, in a paragraph that a person understands: for `ucupdates explain` and the panel.
//! It tells a [`Decision`] and decides nothing.

use crate::decide::Decision;
use crate::wire::request::UpdateRequest;
use schema::rule_set::RuleSet;

/// The paragraph.
pub fn explain(_request: &UpdateRequest, decision: &Decision, _rules: &RuleSet) -> String {
    decision.reason().sentence().to_owned()
}
