//! What a probe holds against a server: tokens with the log-probabilities of both sides, under these and under
//! other weights.
//!
//! Decides when a server is closer to other weights than to ours. Knows neither prompts nor how a server is asked.

use std::fmt;

/// Differences under this are rounding of one precision, not other weights.
const ROUNDING: f64 = 1e-4;

/// What it means that a server is closer to the weights of an earlier push.
const NOT_TAKEN: &str = "the server did not take the new weights";

/// What it means that a server is closer to the model without its adapters on the vision tower.
const LEFT_OUT: &str =
    "the server leaves them out (vLLM takes them where it is started with --enable-tower-connector-lora)";

/// A token of a probe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub prompt: usize,
    pub place: usize,
    pub id: u32,
    /// Its log-probability at the server.
    pub theirs: f64,
    /// By the trainer.
    pub ours: f64,
}

/// What an earlier push was proved by: tokens of each prompt and what the trainer said of them then.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub version: String,
    pub tokens: Vec<Token>,
}

/// Other weights that a server may have instead.
#[derive(Debug)]
pub(super) struct Other {
    what: String,
    so: &'static str,
    /// Tokens of this probe, each with what the trainer says of it under these weights.
    tokens: Vec<(Token, f64)>,
}

impl Other {
    /// Those of an earlier push, by the tokens that both probes have.
    pub(super) fn old(before: &Proof, tokens: &[Token]) -> Self {
        Self { what: before.version.clone(), so: NOT_TAKEN, tokens: before.common(tokens) }
    }

    /// Those without adapters on the vision tower, under which the trainer says `without`.
    pub(super) fn partial(tokens: &[Token], without: &[Token]) -> Self {
        let tokens = tokens.iter().zip(without).map(|(token, without)| (*token, without.ours)).collect();
        Self { what: "without its adapters on the vision tower it".into(), so: LEFT_OUT, tokens }
    }

    /// Tokens that are compared.
    pub(super) fn count(&self) -> usize {
        self.tokens.len()
    }

    /// Mean differences of the server from ours and from these.
    fn gaps(&self) -> (f64, f64) {
        let ours = mean_difference(self.tokens.iter().map(|(token, _)| (token.ours, token.theirs)));
        (ours, mean_difference(self.tokens.iter().map(|(token, other)| (*other, token.theirs))))
    }

    /// Whether the server is closer to these than to ours.
    pub(super) fn is_closer(&self) -> bool {
        let (ours, these) = self.gaps();
        ours > ROUNDING && ours > 2.0 * these
    }

    /// Whether the server is closer to ours than to these.
    pub(super) fn is_told(&self) -> bool {
        let (ours, these) = self.gaps();
        these > 2.0 * ours
    }

    /// Mean difference between ours and these.
    pub(super) fn moved(&self) -> f64 {
        mean_difference(self.tokens.iter().map(|(token, other)| (token.ours, *other)))
    }

    /// The token that the server differs in most, and what the trainer says of it under these.
    fn worst(&self) -> Option<&(Token, f64)> {
        self.tokens.iter().max_by(|(a, _), (b, _)| a.distance().total_cmp(&b.distance()))
    }

    /// The token that shows it best.
    pub(super) fn shown(&self) -> Option<Token> {
        self.worst().map(|(token, _)| *token)
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((_, other)) = self.worst() else { return Ok(()) };
        write!(f, "; {} gave {other:.6}: {}", self.what, self.so)
    }
}

impl Token {
    pub(super) fn distance(&self) -> f64 {
        (self.ours - self.theirs).abs()
    }

    fn same(&self, other: &Self) -> bool {
        (self.prompt, self.place, self.id) == (other.prompt, other.place, other.id)
    }

    fn follows(&self, other: &Self) -> bool {
        (self.prompt, self.place) == (other.prompt, other.place + 1)
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
    /// The tokens of `tokens` that stand where this probe had the same, each with the same before it; and what the
    /// trainer said of them then.
    fn common(&self, tokens: &[Token]) -> Vec<(Token, f64)> {
        let mut common: Vec<(Token, f64)> = vec![];
        for &token in tokens {
            let goes_on = token.place == 0 || common.last().is_some_and(|(last, _)| token.follows(last));
            let before = self.tokens.iter().find(|other| goes_on && other.same(&token));
            common.extend(before.map(|before| (token, before.ours)));
        }
        common
    }
}

/// NaN where there is nothing to compare.
pub(super) fn mean_difference(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (sum, count) = pairs.fold((0.0, 0u32), |(sum, count), (a, b)| (sum + (a - b).abs(), count + 1));
    sum / f64::from(count)
}
