//! The model that is trained answers itself: nothing to send, nothing to check.

use super::{Call, Engine};
use crate::Result;
use crate::data::Question;
use crate::log::Metrics;
use crate::policy::LocalPolicy;
use foveate_vision::generate::{Generated, Request, generate};
use std::sync::atomic::AtomicBool;

/// The model of this process.
#[derive(Debug, Clone, Copy)]
pub struct Local;

impl Engine for Local {
    fn follow(&self, _: &LocalPolicy, _: u64, _: &AtomicBool) -> Result<()> {
        Ok(())
    }

    fn generate(
        &self,
        policy: &LocalPolicy,
        questions: &[Question],
        call: Call<'_>,
    ) -> Result<Vec<Vec<Generated>>> {
        let asked = questions.iter().zip(call.seeds);
        let request = |(question, &seed): (&Question, &u64)| {
            let prompt = question.prompt.clone();
            Request { prompt, n: call.n, seed }
        };
        let requests: Vec<_> = asked.map(request).collect();
        Ok(generate(&policy.model, &requests, call.sampling)?)
    }

    fn report(&self) -> Metrics {
        Metrics::default()
    }
}
