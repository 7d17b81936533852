//! How much: the five published levels and everything between them and nothing at all.

use crate::Error;

/// How strong a corruption is: 0 is the untouched image, 5 the strongest published level.
///
/// Between levels the constants are interpolated, and below level 1 they run from the identity's to level 1's.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Severity(f32);

impl Severity {
    /// The identity.
    pub const ZERO: Self = Self(0.);

    /// The five published levels.
    pub const LEVELS: [Self; 5] = [Self(1.), Self(2.), Self(3.), Self(4.), Self(5.)];

    /// A published level, 1 to 5, or 0 for the identity.
    ///
    /// # Errors
    /// A level above 5.
    pub fn level(level: u8) -> Result<Self, Error> {
        match level {
            0..=5 => Ok(Self(f32::from(level))),
            _ => Err(Error::Severity { given: f32::from(level), range: "the levels 0..=5" }),
        }
    }

    /// A share of the strongest level: 0 is the identity, 0.2 is level 1, 1 is level 5.
    ///
    /// # Errors
    /// Anything outside 0..=1, NaN too.
    pub fn fraction(share: f32) -> Result<Self, Error> {
        if (0. ..=1.).contains(&share) {
            // Fifths must be the levels exactly, so that both ways of asking give the same bytes.
            let level = share * 5.;
            let near = level.round();
            return Ok(Self(if (level - near).abs() < 1e-5 { near } else { level }));
        }
        Err(Error::Severity { given: share, range: "the fractions 0..=1" })
    }

    /// In levels, 0 to 5.
    #[must_use]
    pub fn levels(self) -> f32 {
        self.0
    }

    /// As a share of the strongest level, 0 to 1.
    #[must_use]
    pub fn share(self) -> f32 {
        self.0 / 5.
    }

    /// A constant at this severity, where `nothing` is the constant that leaves an image as it is.
    #[must_use]
    pub fn constant(self, nothing: f32, levels: [f32; 5]) -> f32 {
        let below = self.0.floor() as usize;
        let at = |level: usize| if level == 0 { nothing } else { levels[level.min(5) - 1] };
        let part = self.0 - below as f32;
        if part == 0. { at(below) } else { at(below) + (at(below + 1) - at(below)) * part }
    }

    /// The published level that decides where a constant cannot be interpolated: the next one up, 1 to 5.
    #[must_use]
    pub fn next_level(self) -> usize {
        (self.0.ceil() as usize).clamp(1, 5)
    }
}

/// All that a corruption needs besides the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dose {
    /// How strong.
    pub severity: Severity,
    /// Which random numbers.
    pub seed: u64,
    /// How many pixels of this image one pixel of the constants is: 1 as published; `shorter side / N` where the
    /// constants are to mean what they do on an image whose shorter side is N. Radii, shifts, block sizes and the
    /// grain of noise are multiplied by it.
    pub pixel: f32,
}

impl Dose {
    /// The published constants as they stand.
    #[must_use]
    pub fn new(severity: Severity, seed: u64) -> Self {
        Self { severity, seed, pixel: 1. }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_pass_through_the_levels() {
        let at = |share| Severity::fraction(share).unwrap().constant(0., [1., 2., 4., 8., 16.]);
        assert_eq!([0., 0.1, 0.2, 0.4, 0.5, 0.6, 1.].map(at), [0., 0.5, 1., 2., 3., 4., 16.]);
        assert_eq!(Severity::level(3), Severity::fraction(0.6));
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        assert!(Severity::level(6).is_err());
        assert!(Severity::fraction(f32::NAN).is_err());
        assert!(Severity::fraction(-0.1).unwrap_err().to_string().contains("-0.1"));
    }
}
