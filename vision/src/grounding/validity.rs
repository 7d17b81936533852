//! Whether a box can be cut out: the rules, each with a name under which it is counted.

use serde::Serialize;

/// Why a reply did not lead to a closer look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// No block fenced as JSON.
    NoBlock,
    /// The block is not JSON.
    NotJson,
    /// It is not a list of objects, or an empty one.
    NotList,
    /// No object has four whole numbers as `bbox_2d` and a text as `label`.
    NoBox,
    /// The second corner is not right of and below the first.
    Reversed,
    /// A corner is left of or above the image.
    Negative,
    /// A corner is right of or below the image.
    Outside,
    /// A side is not longer than [`Rules::min_side`].
    Small,
    /// One side is so many times the other.
    Narrow,
    /// Nothing is left of it in the original, which was enlarged very much.
    Vanished,
}

impl Refusal {
    /// Every reason, in the order in which they are looked for.
    pub const ALL: [Self; 10] = [
        Self::NoBlock,
        Self::NotJson,
        Self::NotList,
        Self::NoBox,
        Self::Reversed,
        Self::Negative,
        Self::Outside,
        Self::Small,
        Self::Narrow,
        Self::Vanished,
    ];

    /// The name in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoBlock => "no-block",
            Self::NotJson => "not-json",
            Self::NotList => "not-list",
            Self::NoBox => "no-box",
            Self::Reversed => "reversed",
            Self::Negative => "negative",
            Self::Outside => "outside",
            Self::Small => "small",
            Self::Narrow => "narrow",
            Self::Vanished => "vanished",
        }
    }
}

/// What a box must be, in pixels of the image as the model reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Both sides are longer than this: a token's side, which is 28 for the model of the paper.
    pub min_side: f64,
    /// The longer side is less than so many times the shorter.
    pub max_aspect: f64,
}

impl Rules {
    /// The paper's, for a model whose tokens are squares of `token_side` pixels.
    pub fn of(token_side: f64) -> Self {
        Self { min_side: token_side, max_aspect: 100.0 }
    }

    /// Checks `[x1, y1, x2, y2]` in an image of (width, height).
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self, [x1, y1, x2, y2]: [f64; 4], (width, height): (u32, u32)) -> Result<(), Refusal> {
        let sides = (x2 - x1, y2 - y1);
        let (long, short) = (sides.0.max(sides.1), sides.0.min(sides.1));
        let broken = [
            (x1 >= x2 || y1 >= y2, Refusal::Reversed),
            (x1 < 0.0 || y1 < 0.0, Refusal::Negative),
            (x2 > f64::from(width) || y2 > f64::from(height), Refusal::Outside),
            (short <= self.min_side, Refusal::Small),
            (long / short >= self.max_aspect, Refusal::Narrow),
        ];
        broken.into_iter().find(|(broken, _)| *broken).map_or(Ok(()), |(_, refusal)| Err(refusal))
    }
}
