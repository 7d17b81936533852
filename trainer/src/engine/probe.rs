//! Proof that a server has the trainer's weights: what it says of some fixed prompts is what the trainer says.
//!
//! The server continues them with fixed seeds, past the tokens that would end an answer, so that there are
//! always enough of them and not all are certain. Decides two things: whether both sides mean the same model
//! (a mean difference within the tolerance), and whether the server is closer to other weights than to those of
//! this push: to those of an earlier one, or to these without what some servers leave out of an adapter. That
//! finds a server that takes no weights, or not all, long before the tolerance does.

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
use std::fmt;

/// Prompts of the probe.
const PROMPTS: usize = 4;

/// Tokens of each.
const TOKENS: usize = 16;

/// What it means that a server is closer to the model without its adapters on the vision tower.
const LEFT_OUT: &str =
    "the server leaves them out (vLLM takes them where it is started with --enable-tower-connector-lora)";

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
        let (scale, tokens) = self.score(&policy.model, &said, scale)?;
        let all: Vec<(f64, f64)> = tokens.iter().map(|token| (token.ours, token.theirs)).collect();
        let gap = mean_difference(&all);
        let old = before.map(|before| Other::old(before, &tokens));
        let partial = self.partial(policy, &said, (scale, &tokens))?;
        let suspect = [&old, &partial].into_iter().flatten().find(|other| other.is_closer());
        if suspect.is_some() || gap.is_nan() || gap > self.tolerance {
            return Err(self.differs(client, version, (gap, &tokens), suspect).into());
        }
        let common = old.map(|old| old.tokens).unwrap_or_default();
        let (now, then) = (Side::Ours.to_theirs(&common), Side::Other.to_theirs(&common));
        let mut metrics = Metrics::default();
        metrics.put("probe/gap", gap);
        let max = all.iter().map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max);
        metrics.put("probe/gap/max", max);
        if !common.is_empty() {
            let moved: Vec<_> = common.iter().map(|both| (both.token.ours, both.other)).collect();
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
        model: &VisionLanguageModel,
        said: &[Vec<(u32, f32)>],
        scale: Option<Scale>,
    ) -> Result<(Scale, Vec<Token>)> {
        let under = |scale: Scale| {
            let temperature = if scale == Scale::Raw { 1.0 } else { self.temperature };
            self.under(model, said, temperature).map(|tokens| (scale, tokens))
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

    /// These weights as a server has them that knows no adapters on the vision tower, where there are such.
    fn partial(
        &self,
        policy: &LocalPolicy,
        said: &[Vec<(u32, f32)>],
        (scale, tokens): (Scale, &[Token]),
    ) -> Result<Option<Other>> {
        let Some(model) = policy.model.without_vision_adapter() else { return Ok(None) };
        let (_, without) = self.score(&model, said, Some(scale))?;
        let both = |(&token, without): (&Token, &Token)| Both { token, other: without.ours };
        let tokens = tokens.iter().zip(&without).map(both).collect();
        let (what, so) = ("without its adapters on the vision tower it", LEFT_OUT);
        Ok(Some(Other { what: what.into(), so, tokens }))
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
            Some(other) => other.worst().map(|both| both.token),
            None => tokens.iter().max_by(|a, b| a.distance().total_cmp(&b.distance())).copied(),
        };
        let place = shown.map_or_else(|| "no token".into(), |token| token.to_string().into());
        let held = suspect.map(Other::to_string).unwrap_or_default().into();
        let (tokens, tolerance) = (tokens.len(), self.tolerance);
        let (url, version) = (client.root().into(), version.into());
        Error::Stale { url, version, place, gap, tokens, tolerance, held }
    }
}

/// A token of this probe, and what the trainer says of it under other weights.
#[derive(Debug, Clone, Copy)]
struct Both {
    token: Token,
    other: f64,
}

/// Other weights that a server may have instead.
#[derive(Debug)]
struct Other {
    what: String,
    /// What it means that the server has these.
    so: &'static str,
    tokens: Vec<Both>,
}

impl Other {
    /// Those of an earlier push, by the tokens that both probes have.
    fn old(before: &Proof, tokens: &[Token]) -> Self {
        let so = "the server did not take the new weights";
        Self { what: before.version.clone(), so, tokens: before.common(tokens) }
    }

    /// Whether the server is closer to these than to ours.
    fn is_closer(&self) -> bool {
        let (ours, other) = (Side::Ours.to_theirs(&self.tokens), Side::Other.to_theirs(&self.tokens));
        ours > ROUNDING && ours > 2.0 * other
    }

    /// The token that the server differs in most.
    fn worst(&self) -> Option<&Both> {
        self.tokens.iter().max_by(|a, b| a.token.distance().total_cmp(&b.token.distance()))
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(worst) = self.worst() else { return Ok(()) };
        write!(f, "; {} gave {:.6}: {}", self.what, worst.other, self.so)
    }
}

enum Side {
    Ours,
    Other,
}

impl Side {
    fn to_theirs(&self, tokens: &[Both]) -> f64 {
        let pair = |both: &Both| match self {
            Self::Ours => (both.token.ours, both.token.theirs),
            Self::Other => (both.other, both.token.theirs),
        };
        mean_difference(&tokens.iter().map(pair).collect::<Vec<_>>())
    }
}

impl Token {
    fn distance(&self) -> f64 {
        (self.ours - self.theirs).abs()
    }

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
            common
                .extend(before.filter(|_| first || follows).map(|before| Both { token, other: before.ours }));
        }
        common
    }
}

/// NaN where there is nothing to compare.
fn mean_difference(pairs: &[(f64, f64)]) -> f64 {
    pairs.iter().map(|(a, b)| (a - b).abs()).sum::<f64>() / pairs.len() as f64
}
