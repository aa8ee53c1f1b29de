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
