//! Proof that a server has the trainer's weights: what it says of some fixed prompts is what the trainer says.
//!
//! The server continues them with fixed seeds, past the tokens that would end an answer, so that there are
//! always enough of them and not all are certain. Decides two things: whether both sides mean the same model
//! (a mean difference within the tolerance), and whether the server is closer to other weights than to those of
//! this push: to those of an earlier one, or to these without what some servers leave out of an adapter. That
//! finds a server that takes no weights, or not all, long before the tolerance does.

use super::evidence::{Other, Proof, Token, mean_difference};
use super::request::{self, Scale, Wish};
use super::{Pictures, Trouble};
use crate::data::{self, Question, Source};
use crate::log::Metrics;
use crate::policy::LocalPolicy;
use crate::{Error, Result};
use foveate_eval::server::Client;
use foveate_vision::generate::Sampling;
use foveate_vision::models::VisionLanguageModel;
use foveate_vision::pack::PackBuilder;

/// Prompts of the probe.
const PROMPTS: usize = 4;

/// Tokens of each.
const TOKENS: usize = 16;

/// The fixed prompts.
#[derive(Debug)]
pub(super) struct Probe {
    questions: Vec<Question>,
    temperature: f32,
    tolerance: f64,
}

/// What a probe came to.
#[derive(Debug)]
pub(super) struct Verdict {
    pub scale: Scale,
    pub proof: Option<Proof>,
    pub metrics: Metrics,
}

impl Probe {
    /// The first questions of the training data.
    ///
    /// # Errors
    /// Broken data.
    pub(super) fn new(
        policy: &LocalPolicy,
        source: &Source,
        temperature: f32,
        tolerance: f64,
    ) -> Result<Self> {
        let indices: Vec<usize> = (0..source.len().min(PROMPTS)).collect();
        let questions = data::questions(&policy.processor, source, &indices, |image, _| image.clone())?;
        Ok(Self { questions, temperature, tolerance })
    }

    /// Asks the server under the name `model`, and compares with `policy` and with an earlier proof.
    ///
    /// # Errors
    /// [`Error::Stale`] where the two differ; what the server says against it.
    pub(super) fn run(
        &self,
        client: &Client,
        policy: &LocalPolicy,
        (model, version): (&str, &str),
        (scale, before): (Option<Scale>, Option<&Proof>),
    ) -> Result<Verdict, Trouble> {
        let said = self.ask(client, policy, model)?;
        let (scale, tokens) = self.score(&policy.model, &said, scale)?;
        let gap = gap(&tokens);
        let old = before.map(|before| Other::old(before, &tokens));
        let partial = self.partial(policy, &said, (scale, &tokens))?;
        let suspect = [&old, &partial].into_iter().flatten().find(|other| other.is_closer());
        if suspect.is_some() || gap.is_nan() || gap > self.tolerance {
            return Err(self.differs(client, version, (gap, &tokens), suspect).into());
        }
        let mut metrics = Metrics::default();
        metrics.put("probe/gap", gap);
        metrics.put("probe/gap/max", tokens.iter().map(Token::distance).fold(0.0, f64::max));
        if let Some(old) = old.as_ref().filter(|old| old.count() > 0) {
            metrics.put("probe/moved", old.moved());
        }
        // A proof is kept until a later one is told from it: small steps add up.
        let told = old.is_none_or(|old| old.count() < TOKENS / 2 || old.is_told());
        let proof = told.then(|| Proof { version: version.into(), tokens });
        Ok(Verdict { scale, proof, metrics })
    }

    /// One prompt after another: what a server says of one may depend on its neighbours, in the last digits.
    fn ask(
        &self,
        client: &Client,
        policy: &LocalPolicy,
        model: &str,
    ) -> Result<Vec<Vec<(u32, f32)>>, Trouble> {
        let pictures = Pictures::of(&policy.processor.images, &self.questions)?;
        let sampling = Sampling { max_tokens: TOKENS, temperature: self.temperature, ..Sampling::default() };
        let forbidden = sampling.forbidden(policy.model.config());
        let no_bias = request::no_bias();
        let one = |(number, question): (usize, &Question)| -> Result<Vec<(u32, f32)>, Trouble> {
            let seed = (number as u64 + 1) << 33;
            let wish = Wish { model, n: 1, seed, sampling: &sampling, bias: &no_bias, endless: true };
            let body = request::body(question, pictures.urls(question), wish).to_string();
            let reply = client.chat(body.as_bytes())?;
            // Either scale: the numbers are taken as they come.
            let said = request::answers((client.root(), question), &reply, wish, Scale::Raw)?;
            let tokens = said.into_iter().flat_map(|said| said.ids.into_iter().zip(said.logp_raw));
            // Without a bias a placeholder may be drawn, which no pack can hold.
            Ok(tokens.take_while(|(id, _)| !forbidden.contains(id)).collect())
        };
        self.questions.iter().enumerate().map(one).collect()
    }

    /// What the trainer says of the same tokens, under the scale that fits them better where it is not known.
    fn score(
        &self,
        model: &VisionLanguageModel,
        said: &[Vec<(u32, f32)>],
        scale: Option<Scale>,
    ) -> Result<(Scale, Vec<Token>)> {
        let under = |scale: Scale| {
            let temperature = if scale == Scale::Raw { 1.0 } else { self.temperature };
            self.under(model, said, temperature).map(|tokens| (scale, tokens))
        };
        match scale {
            Some(scale) => under(scale),
            None if self.temperature == 1.0 => under(Scale::Tempered),
            None => {
                let (raw, tempered) = (under(Scale::Raw)?, under(Scale::Tempered)?);
                Ok(if gap(&raw.1) <= gap(&tempered.1) { raw } else { tempered })
            }
        }
    }

    /// These weights as a server has them that knows no adapters on the vision tower, where there are such.
    fn partial(
        &self,
        policy: &LocalPolicy,
        said: &[Vec<(u32, f32)>],
        (scale, tokens): (Scale, &[Token]),
    ) -> Result<Option<Other>> {
        let Some(model) = policy.model.without_vision_adapter() else { return Ok(None) };
        let (_, without) = self.score(&model, said, Some(scale))?;
        Ok(Some(Other::partial(tokens, &without)))
    }

    fn under(
        &self,
        model: &VisionLanguageModel,
        said: &[Vec<(u32, f32)>],
        temperature: f32,
    ) -> Result<Vec<Token>> {
        let mut builder = PackBuilder::new();
        for (question, tokens) in self.questions.iter().zip(said).filter(|(_, tokens)| !tokens.is_empty()) {
            let root = builder.root(&question.prompt)?;
            builder.completion(root, &tokens.iter().map(|(id, _)| *id).collect::<Vec<_>>())?;
        }
        if said.iter().all(Vec::is_empty) {
            return Ok(vec![]);
        }
        let scored = model.token_logprobs(&builder.build()?, temperature, None)?;
        let mut ours = scored.logp_n.to_vec1::<f32>()?.into_iter();
        let mut all = vec![];
        for (prompt, tokens) in said.iter().enumerate() {
            for ((place, &(id, theirs)), ours) in tokens.iter().enumerate().zip(&mut ours) {
                let (theirs, ours) = (f64::from(theirs), f64::from(ours));
                all.push(Token { prompt, place, id, theirs, ours });
            }
        }
        Ok(all)
    }

    fn differs(
        &self,
        client: &Client,
        version: &str,
        (gap, tokens): (f64, &[Token]),
        suspect: Option<&Other>,
    ) -> Error {
        let shown = match suspect {
            Some(other) => other.shown(),
            None => tokens.iter().max_by(|a, b| a.distance().total_cmp(&b.distance())).copied(),
        };
        let place = shown.map_or_else(|| "no token".into(), |token| token.to_string().into());
        let held = suspect.map(Other::to_string).unwrap_or_default().into();
        let (tokens, tolerance) = (tokens.len(), self.tolerance);
        let (url, version) = (client.root().into(), version.into());
        Error::Stale { url, version, place, gap, tokens, tolerance, held }
    }
}

/// Mean difference between both sides, in nats.
fn gap(tokens: &[Token]) -> f64 {
    mean_difference(tokens.iter().map(|token| (token.ours, token.theirs)))
}
