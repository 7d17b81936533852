//! Proof that a server has the trainer's weights: what it says of some fixed prompts is what the trainer says.
//!
//! The server continues them with fixed seeds, past the tokens that would end an answer, so that there are
//! always enough of them and not all are certain. Decides two things: whether both sides mean the same model
//! (a mean difference within the tolerance), and whether the server is closer to the weights of an earlier push
//! than to those of this one, which finds a server that takes no weights long before the tolerance does.

use super::request::{self, Scale, Wish};
use super::{Pictures, Trouble};
use crate::data::{self, Question, Source};
use crate::log::Metrics;
use crate::policy::LocalPolicy;
use crate::{Error, Result};
use foveate_eval::server::Client;
use foveate_vision::generate::Sampling;
use foveate_vision::pack::PackBuilder;
use std::fmt;

/// Prompts of the probe.
const PROMPTS: usize = 4;

/// Tokens of each.
const TOKENS: usize = 16;

/// Differences under this are rounding of one precision, not old weights.
const ROUNDING: f64 = 1e-4;

/// The fixed prompts.
#[derive(Debug)]
pub(super) struct Probe {
    questions: Vec<Question>,
    temperature: f32,
    tolerance: f64,
}

/// A token of the probe.
#[derive(Debug, Clone, Copy)]
struct Token {
    prompt: usize,
    place: usize,
    id: u32,
    theirs: f64,
    ours: f64,
}

/// What an earlier push was proved by: tokens of each prompt and what the trainer said of them then.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    version: String,
    tokens: Vec<Token>,
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
        let (scale, tokens) = self.score(policy, &said, scale)?;
        let all: Vec<(f64, f64)> = tokens.iter().map(|token| (token.ours, token.theirs)).collect();
        let gap = mean_difference(&all);
        let common = before.map(|before| before.common(&tokens)).unwrap_or_default();
        let (now, then) = (Side::Ours.to_theirs(&common), Side::Before.to_theirs(&common));
        let stale = !common.is_empty() && now > ROUNDING && now > 2.0 * then;
        if stale || gap.is_nan() || gap > self.tolerance {
            let held = before.filter(|_| stale).map(|before| before.version.clone());
            return Err(self.differs(client, version, &tokens, (gap, held, &common)).into());
        }
        let mut metrics = Metrics::default();
        metrics.put("probe/gap", gap);
        let max = all.iter().map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max);
        metrics.put("probe/gap/max", max);
        if !common.is_empty() {
            let moved: Vec<_> = common.iter().map(|both| (both.token.ours, both.before)).collect();
            metrics.put("probe/moved", mean_difference(&moved));
        }
        // A proof is kept until a later one is told from it: small steps add up.
        let told = common.len() < TOKENS / 2 || then > 2.0 * now;
        let proof = (told || before.is_none()).then(|| Proof { version: version.into(), tokens });
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
        policy: &LocalPolicy,
        said: &[Vec<(u32, f32)>],
        scale: Option<Scale>,
    ) -> Result<(Scale, Vec<Token>)> {
        let under = |scale: Scale| {
            let temperature = if scale == Scale::Raw { 1.0 } else { self.temperature };
            self.under(policy, said, temperature).map(|tokens| (scale, tokens))
        };
        let gap = |tokens: &[Token]| {
            mean_difference(&tokens.iter().map(|token| (token.ours, token.theirs)).collect::<Vec<_>>())
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

    fn under(&self, policy: &LocalPolicy, said: &[Vec<(u32, f32)>], temperature: f32) -> Result<Vec<Token>> {
        let mut builder = PackBuilder::new();
        for (question, tokens) in self.questions.iter().zip(said).filter(|(_, tokens)| !tokens.is_empty()) {
            let root = builder.root(&question.prompt)?;
            builder.completion(root, &tokens.iter().map(|(id, _)| *id).collect::<Vec<_>>())?;
        }
        if said.iter().all(Vec::is_empty) {
            return Ok(vec![]);
        }
        let scored = policy.model.token_logprobs(&builder.build()?, temperature, None)?;
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
        tokens: &[Token],
        (gap, held, common): (f64, Option<String>, &[Both]),
    ) -> Error {
        let distance = |token: &Token| (token.ours - token.theirs).abs();
        let of_common: Vec<Token> = common.iter().map(|both| both.token).collect();
        let shown = if held.is_some() { &of_common[..] } else { tokens };
        let worst = shown.iter().max_by(|a, b| distance(a).total_cmp(&distance(b)));
        let place = worst.map_or_else(|| "no token".into(), |token| token.to_string().into());
        let before = common.iter().find(|both| worst.is_some_and(|worst| both.token.same(worst)));
        let held = held.zip(before).map(|(version, both)| {
            format!("; {version} gave {:.6}: the server did not take the new weights", both.before)
        });
        let (tokens, tolerance, held) = (tokens.len(), self.tolerance, held.unwrap_or_default().into());
        let (url, version) = (client.root().into(), version.into());
        Error::Stale { url, version, place, gap, tokens, tolerance, held }
    }
}

/// A token of this probe that an earlier one had too, and what the trainer said of it then.
#[derive(Debug, Clone, Copy)]
struct Both {
    token: Token,
    before: f64,
}

enum Side {
    Ours,
    Before,
}

impl Side {
    fn to_theirs(&self, common: &[Both]) -> f64 {
        let pair = |both: &Both| match self {
            Self::Ours => (both.token.ours, both.token.theirs),
            Self::Before => (both.before, both.token.theirs),
        };
        mean_difference(&common.iter().map(pair).collect::<Vec<_>>())
    }
}

impl Token {
    fn same(&self, other: &Self) -> bool {
        (self.prompt, self.place) == (other.prompt, other.place)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prompt, place, id, theirs, ours } = self;
        write!(
            f,
            "token {id} at place {place} of probe {prompt} has the log-probability {ours:.6} here and {theirs:.6} \
             at the server"
        )
    }
}

impl Proof {
    /// The tokens of `tokens` that stand where this probe had the same, each with the same before it.
    fn common(&self, tokens: &[Token]) -> Vec<Both> {
        let mut common: Vec<Both> = vec![];
        for &token in tokens {
            let before = self.tokens.iter().find(|other| other.same(&token) && other.id == token.id);
            let first = token.place == 0;
            let follows = common
                .last()
                .is_some_and(|last| last.token.prompt == token.prompt && last.token.place + 1 == token.place);
            common.extend(
                before.filter(|_| first || follows).map(|before| Both { token, before: before.ours }),
            );
        }
        common
    }
}

/// NaN where there is nothing to compare.
fn mean_difference(pairs: &[(f64, f64)]) -> f64 {
    pairs.iter().map(|(a, b)| (a - b).abs()).sum::<f64>() / pairs.len() as f64
}
