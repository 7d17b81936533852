//! One answer as it is remembered, and the key that says which question it answers.
//!
//! Decides what of an answer is kept: enough for every metric, every report and every later extractor to be
//! made of records alone. Knows nothing of how an answer came about.

use foveate_datasets::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// One answer to one question about one, perhaps corrupted, picture: a line of `records.jsonl`.
///
/// The fields up to `sampling` say what was asked of whom and make the key; `meta` and what follows `answer`
/// do not, so that an answer found again keeps its place whatever was learnt of it since.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// [`Record::digest`]: two records with one key answer the very same question.
    pub key: String,
    /// The task's name.
    pub task: String,
    /// Its version: records of different versions never mix.
    pub version: u32,
    /// The sample's id.
    pub sample: String,
    /// A digest of what the sample holds (question, answer, options, sizes of its images), so that an id
    /// that changed its meaning is another question.
    pub content: String,
    /// Who answered: a name and, where it is known, a digest of the weights (`step-000230@1f6a0c9be2d4`).
    pub model: String,
    /// The corruption's name, `None` for the clean picture.
    pub corruption: Option<String>,
    /// 0 for the clean picture, else 1 to 5.
    pub severity: u8,
    /// Which picture the corruption's constants are meant for: `native`, `reference(N)`, `after-resize`.
    pub scale: String,
    /// Of the drawn images, the corruption, the order of options, and sampling.
    pub seed: u64,
    /// The user's turn as it was sent, `<image>` marks included.
    pub prompt: String,
    /// The places in the data of the options in the order shown; empty without options.
    pub order: Vec<usize>,
    /// Least and largest area in pixels that a picture was resized to; `None` where the server decides.
    pub pixels: Option<[u64; 2]>,
    /// How the answer was drawn: `greedy, 256 tokens` and the like.
    pub sampling: String,

    /// The right answer: an option's letter as shown, a word, a number.
    pub answer: String,
    /// What the sample is filed under (`category`, `Subtask`, `family`, …) and other short facts of it.
    pub meta: Map<String, Value>,
    /// Questions with one `image` (and task) share a picture: the unit that statistics resample.
    pub image: String,
    /// Accuracy of a blind guess at this question, where it is known.
    pub chance: Option<f64>,
    /// Whether the model was trained on this corruption; `None` for clean pictures or where nobody said.
    pub seen: Option<bool>,

    /// What it was worth.
    pub outcome: Verdict,
    /// The grader's score, 0 to 1; 0 for [`Verdict::Unparsed`], and meaningless for [`Verdict::Failed`].
    pub score: f64,
    /// The answer as it was understood: a letter, a number (the rating of a quality task).
    pub parsed: Option<String>,
    /// What was said, `None` where the call failed.
    pub response: Option<String>,
    /// Why there is no response.
    pub error: Option<String>,
    /// Why the response ended: `stop`, `length`, or the server's word.
    pub finish: Option<String>,
    /// Tokens of the response, where they are known.
    pub tokens: Option<u32>,
    /// Width and height of each picture as the model got it.
    pub size: Vec<[u32; 2]>,
    /// Further turns of a conversation, as a mode that has them writes them down (see `docs/evaluation.md`).
    pub turns: Vec<Value>,
}

impl Record {
    /// The key that this question has: 128 bits of SHA-256 over the fields that decide what is asked of whom.
    pub fn digest(&self) -> String {
        let asked = json!([
            self.task,
            self.version,
            self.sample,
            self.content,
            self.model,
            self.corruption,
            self.severity,
            self.scale,
            self.seed,
            self.prompt,
            self.order,
            self.pixels,
            self.sampling,
        ]);
        digest(asked.to_string().as_bytes(), 16)
    }

    /// Whether the picture is as it came.
    pub fn is_clean(&self) -> bool {
        self.corruption.is_none()
    }

    /// The corruption and its severity, as tables name it: `clean`, `fog-3`.
    pub fn cell(&self) -> String {
        match &self.corruption {
            None => "clean".into(),
            Some(name) => format!("{name}-{}", self.severity),
        }
    }

    /// The category or other fact of the sample under `name`, as text.
    pub fn field(&self, name: &str) -> Option<String> {
        self.meta.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

/// What became of a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The right answer.
    Right,
    /// Another answer.
    Wrong,
    /// No answer could be read in the response.
    Unparsed,
    /// There was no response: never counted as wrong.
    #[default]
    Failed,
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Right => Self::Right,
            Outcome::Wrong => Self::Wrong,
            Outcome::Unparsed => Self::Unparsed,
        }
    }
}

/// The first `bytes` bytes of SHA-256, in hexadecimal.
pub fn digest(of: &[u8], bytes: usize) -> String {
    Sha256::digest(of).iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record { task: "shapes".into(), sample: "1".into(), outcome: Verdict::Unparsed, ..Record::default() }
    }

    #[test]
    fn a_record_is_a_line_and_back() {
        let line = serde_json::to_string(&record()).unwrap();
        assert!(line.contains("\"outcome\":\"unparsed\"") && !line.contains('\n'));
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record());
        assert!(serde_json::from_str::<Record>("{\"verdict\":\"right\"}").is_err());
    }

    #[test]
    fn the_key_is_what_was_asked_and_not_what_was_said() {
        let key = record().digest();
        assert_eq!(key.len(), 32);
        let asked: [fn(&mut Record); 13] = [
            |r| r.task = "x".into(),
            |r| r.version = 9,
            |r| r.sample = "x".into(),
            |r| r.content = "x".into(),
            |r| r.model = "x".into(),
            |r| r.corruption = Some("x".into()),
            |r| r.severity = 9,
            |r| r.scale = "x".into(),
            |r| r.seed = 9,
            |r| r.prompt = "x".into(),
            |r| r.order = vec![9],
            |r| r.pixels = Some([1, 9]),
            |r| r.sampling = "x".into(),
        ];
        let said: [fn(&mut Record); 4] = [
            |r| r.outcome = Verdict::Right,
            |r| r.response = Some("x".into()),
            |r| r.seen = Some(true),
            |r| r.meta = Map::from_iter([("x".into(), 1.into())]),
        ];
        let of = |change: &fn(&mut Record)| {
            let mut other = record();
            change(&mut other);
            other.digest()
        };
        assert!(asked.iter().all(|change| of(change) != key));
        assert!(said.iter().all(|change| of(change) == key));
    }

    #[test]
    fn a_digest_is_that_of_sha256() {
        // printf abc | sha256sum
        assert_eq!(digest(b"abc", 4), "ba7816bf");
    }
}
