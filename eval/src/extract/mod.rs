//! How other programs read a response, to the letter, their mistakes included.
//!
//! A task's own grade is the score; these say what the same responses would have scored elsewhere, and a report shows
//! where they disagree. Each rule is written anew from what the original does; `tests/golden/extract` holds what the
//! originals say to some 450 responses. To add one: a file, its `mod` line and a line in [`EXTRACTORS`].
//!
//! Where an original asks a language model, the reading is [`Reading::Judge`]: no judge is asked here.

use foveate_datasets::grade::choice::letter;
use foveate_datasets::{Grade, Outcome, Sample};

mod can_infer;
mod first_letter;
mod mathvista;
mod python;
mod vstar;

/// What a rule makes of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// This answer: an option's letter, or MathVista's text or number.
    Said(String),
    /// No answer; the originals count it as wrong.
    Nothing,
    /// A language model would be asked.
    Judge,
}

/// One program's way to read responses.
#[derive(Clone, Copy, Debug)]
pub struct Extractor {
    /// Whose it is: `lmms-eval`, `vlmevalkit`, `official`.
    pub name: &'static str,
    /// The tasks that it reads so.
    pub tasks: &'static [&'static str],
    /// What it makes of a response.
    pub read: fn(&Sample, &str) -> Reading,
    /// Whether what it read is right.
    pub right: fn(&Sample, &str) -> bool,
}

const VSTAR: &[&str] = &["vstar"];
const MME: &[&str] = &["mme-realworld", "mme-realworld-cn", "mme-realworld-lite"];
const HR_BENCH: &[&str] = &["hr-bench-4k", "hr-bench-8k"];
const MATHVISTA: &[&str] = &["mathvista"];

/// Every extractor.
pub const EXTRACTORS: &[Extractor] = &[
    Extractor { name: "lmms-eval", tasks: VSTAR, read: vstar::lmms_eval, right: is_letter },
    Extractor { name: "vlmevalkit", tasks: VSTAR, read: can_infer::vlmevalkit, right: is_letter },
    Extractor { name: "official", tasks: MME, read: first_letter::official, right: is_letter },
    Extractor { name: "lmms-eval", tasks: MME, read: first_letter::lmms_eval, right: is_letter },
    Extractor { name: "vlmevalkit", tasks: MME, read: first_letter::vlmevalkit, right: is_letter },
    Extractor { name: "lmms-eval", tasks: HR_BENCH, read: can_infer::lmms_eval, right: is_letter },
    Extractor { name: "vlmevalkit", tasks: HR_BENCH, read: can_infer::vlmevalkit, right: is_letter },
    Extractor { name: "official", tasks: MATHVISTA, read: mathvista::official, right: mathvista::is_answer },
    Extractor {
        name: "official-quick",
        tasks: MATHVISTA,
        read: mathvista::official_quick,
        right: mathvista::is_answer,
    },
    Extractor {
        name: "lmms-eval",
        tasks: MATHVISTA,
        read: mathvista::lmms_eval,
        right: mathvista::is_stripped,
    },
    Extractor {
        name: "vlmevalkit",
        tasks: MATHVISTA,
        read: mathvista::vlmevalkit,
        right: mathvista::is_found,
    },
];

/// The extractors of `task`, in the order of the table; none for a task that nobody else has.
pub fn of_task(task: &str) -> impl Iterator<Item = &'static Extractor> {
    EXTRACTORS.iter().filter(move |extractor| extractor.tasks.contains(&task))
}

impl Extractor {
    /// What `response` is worth to this program. `Unparsed` is what a judge would have to decide; what it cannot read
    /// is wrong, as it is there.
    pub fn grade(&self, sample: &Sample, response: &str) -> Grade {
        match (self.read)(sample, response) {
            Reading::Said(text) => Grade::of((self.right)(sample, &text), text),
            Reading::Nothing => Grade { score: 0., outcome: Outcome::Wrong, parsed: None },
            Reading::Judge => Grade::unparsed(),
        }
    }
}

fn is_letter(sample: &Sample, said: &str) -> bool {
    sample.answer == said
}

/// The letters of a sample's options with their texts.
fn lettered(sample: &Sample) -> impl Iterator<Item = (String, &str)> {
    sample.choices.iter().enumerate().map(|(i, text)| (letter(i).to_string(), text.as_str()))
}
