//! Which models count now: the newest, and for a while those before it and after it, because a change reaches the model
//! and the nodes at different times. Pure: `now` is passed in, and reading a model again is the caller's.

use crate::simulation::answer::Told;
use crate::simulation::expectation::{Expected, Verdict, judge};
use crate::simulation::model::Model;
use crate::simulation::phone::Phone;
use std::sync::Arc;
use std::time::Duration;

/// Models that are kept at most; older ones are no longer right for any answer of interest.
const KEPT_LIMIT: usize = 64;

/// The models of a run. Times are since its start.
#[derive(Debug)]
pub struct Oracle {
    settle: Duration,
    models: Vec<(Duration, Arc<Model>)>,
}

/// An answer that no model knows so far.
#[derive(Debug)]
pub struct Doubt {
    /// Who asked, with what it had then.
    pub phone: Phone,
    /// What it was told.
    pub told: Told,
    /// When it asked.
    pub asked: Duration,
    /// When it was answered.
    pub answered: Duration,
}

impl Oracle {
    /// The first model. Around a change, old and new are right for `settle`.
    pub fn new(model: Model, settle: Duration) -> Self {
        Self { settle, models: vec![(Duration::ZERO, Arc::new(model))] }
    }

    /// From now on another model counts.
    pub fn changed(&mut self, model: Model, now: Duration) {
        self.models.push((now, Arc::new(model)));
        if self.models.len() > KEPT_LIMIT {
            self.models.remove(0);
        }
    }

    /// When the doubt has to be decided: a model that comes until then still counts for it.
    pub fn decided_at(&self, doubt: &Doubt) -> Duration {
        doubt.answered + self.settle
    }

    /// The models that count for a request of this time, the newest first.
    fn counting(&self, doubt: &Doubt) -> impl Iterator<Item = &Model> {
        let ends = self.models.iter().skip(1).map(|(began, _)| Some(*began)).chain([None]);
        let until = self.decided_at(doubt);
        let counts = move |(began, end): (Duration, Option<Duration>)| {
            began <= until && end.is_none_or(|end| end + self.settle >= doubt.asked)
        };
        let models: Vec<&Model> = self
            .models
            .iter()
            .zip(ends)
            .filter(|((began, _), end)| counts((*began, *end)))
            .map(|((_, model), _)| model.as_ref())
            .collect();
        models.into_iter().rev()
    }

    /// What the models that count say: right if one of them says so, else what the newest says.
    pub fn judge(&self, doubt: &Doubt) -> Verdict {
        let mut first = None;
        for model in self.counting(doubt) {
            match judge(model, &doubt.phone, &doubt.told) {
                right @ Verdict::Right(_) => return right,
                other => first = first.or(Some(other)),
            }
        }
        first.unwrap_or(Verdict::Right(Vec::<Expected>::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::snapshot::{RuleVersionsBody, SnapshotBody, TestIdentifierBody};
    use crate::simulation::fleet;

    const SECOND: Duration = Duration::from_secs(1);

    /// The new model has an approved version.
    fn model(new: bool) -> Model {
        let text = str::to_owned;
        let rule = RuleVersionsBody {
            device_type: text("UCPhone"),
            brand: text("B"),
            model: text("M"),
            revision: text("A"),
            locale: text("ENU"),
            update_type: text("CPE"),
            approved_version: new.then(|| text("1.0.522.200")),
            pending_version: None,
        };
        let device = TestIdentifierBody { identifier_type: text("MACAddress"), identifier: text("0021630F207B") };
        Model::new(&SnapshotBody { rules: vec![rule], test_devices: vec![device], ..SnapshotBody::default() }).unwrap()
    }

    fn counting(oracle: &Oracle, at_second: u32) -> Vec<&'static str> {
        let at = SECOND * at_second;
        let phone = fleet::of_model(&model(true), 1, 1).remove(0);
        let doubt = Doubt { phone, told: Told::Files(Vec::new()), asked: at, answered: at };
        let counting: Vec<&Model> = oracle.counting(&doubt).collect();
        counting
            .into_iter()
            .map(|model| if model.rules.values().any(|rule| rule.approved.is_some()) { "new" } else { "old" })
            .collect()
    }

    #[test]
    fn around_a_change_both_models_count() {
        let mut oracle = Oracle::new(model(false), SECOND * 5);
        oracle.changed(model(true), SECOND * 10);
        for (second, expected) in [
            (0, vec!["old"]),
            (4, vec!["old"]),
            (5, vec!["new", "old"]),
            (12, vec!["new", "old"]),
            (15, vec!["new", "old"]),
            (16, vec!["new"]),
        ] {
            assert_eq!(counting(&oracle, second), expected, "second {second}");
        }
    }

    #[test]
    fn a_fleet_is_drawn_by_its_seed_and_holds_the_test_devices() {
        let draw = |seed| fleet::of_model(&model(true), 50, seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let phones = draw(1);
        assert_eq!(
            (phones[0].identity.mac.as_str(), phones[0].modules[0].version.to_string().as_str()),
            ("0021630F207B", "1.0.522.199")
        );
        let macs: std::collections::HashSet<_> = phones.iter().map(|phone| &phone.identity.mac).collect();
        assert_eq!(macs.len(), 50);
        assert!(phones.iter().any(|phone| phone.identity.model == "M-unknown"));
    }
}
