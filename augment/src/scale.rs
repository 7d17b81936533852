//! What a pixel of the published constants is on pictures larger than the 224 pixels they were chosen on.

use crate::{Dose, Error, Severity};
use std::fmt;
use std::str::FromStr;

/// Which picture the constants are meant for. Belongs into every record of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// The picture as it is: on large ones that a model shrinks, blurs of a few pixels vanish.
    #[default]
    Native,
    /// One whose shorter side is so many pixels: radii, shifts and the grain of noise grow with the picture.
    Reference(u32),
    /// The picture as the model's processor has resized it. The constants stand as they are; it is for the caller to
    /// corrupt after resizing.
    AfterResize,
}

impl Scale {
    /// The dose for a picture of this width and height. A picture smaller than the reference keeps the constants.
    #[must_use]
    pub fn dose(self, severity: Severity, seed: u64, (width, height): (u32, u32)) -> Dose {
        let pixel = match self {
            Self::Native | Self::AfterResize => 1.,
            Self::Reference(side) => (width.min(height) as f32 / side.max(1) as f32).max(1.),
        };
        Dose { severity, seed, pixel }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Reference(side) => write!(f, "reference({side})"),
            Self::AfterResize => f.write_str("after-resize"),
        }
    }
}

impl FromStr for Scale {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self, Error> {
        let side = given.strip_prefix("reference(").and_then(|rest| rest.strip_suffix(')'));
        match (given, side.and_then(|side| side.parse().ok())) {
            ("native", _) => Ok(Self::Native),
            ("after-resize", _) => Ok(Self::AfterResize),
            (_, Some(side)) if side > 0 => Ok(Self::Reference(side)),
            _ => Err(Error::Scale { given: given.to_owned() }),
        }
    }
}
