//! What the numbers of a box count.

use serde::{Deserialize, Serialize};

/// What the coordinates of a box count; a property of the model family ([`crate::config::FamilyRow`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frame {
    /// Pixels of the image as the model reads it: resized, in whole merge blocks.
    Pixels,
    /// Thousandths of the image's width and height.
    Thousandths,
}

/// The sizes of an image, (width, height) in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of the file.
    pub original: (u32, u32),
    /// As the model reads it.
    pub read: (u32, u32),
}

impl Frame {
    /// Every frame.
    pub const ALL: [Self; 2] = [Self::Pixels, Self::Thousandths];

    /// The name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixels => "pixels",
            Self::Thousandths => "thousandths",
        }
    }

    /// The coordinates of the image's far corner, (width, height).
    pub fn full(self, sizes: Sizes) -> (f64, f64) {
        match self {
            Self::Pixels => (f64::from(sizes.read.0), f64::from(sizes.read.1)),
            Self::Thousandths => (1000.0, 1000.0),
        }
    }

    /// A box `[x1, y1, x2, y2]` of the frame in pixels of the image as the model reads it, not rounded.
    pub fn to_read(self, bbox: [i64; 4], sizes: Sizes) -> [f64; 4] {
        self.scale(bbox, sizes, (f64::from(sizes.read.0), f64::from(sizes.read.1)))
    }

    /// A box of the frame in pixels of the original: divided, multiplied and cut to whole numbers, in this
    /// order, as the authors' code does.
    pub fn to_original(self, bbox: [i64; 4], sizes: Sizes) -> [i64; 4] {
        let original = (f64::from(sizes.original.0), f64::from(sizes.original.1));
        self.scale(bbox, sizes, original).map(|value| value as i64)
    }

    /// The smallest box of the frame around a box of the original: what a teacher says.
    pub fn around(self, original: [f64; 4], sizes: Sizes) -> [i64; 4] {
        let (full, (width, height)) = (self.full(sizes), sizes.original);
        let x = |x: f64| x / f64::from(width) * full.0;
        let y = |y: f64| y / f64::from(height) * full.1;
        let [x1, y1, x2, y2] = original;
        // What is a whole number but for rounding stays that number.
        let (floor, ceil) = (|v: f64| (v + 1e-6).floor() as i64, |v: f64| (v - 1e-6).ceil() as i64);
        [floor(x(x1)), floor(y(y1)), ceil(x(x2)), ceil(y(y2))]
    }

    fn scale(self, bbox: [i64; 4], sizes: Sizes, (width, height): (f64, f64)) -> [f64; 4] {
        let (full, [x1, y1, x2, y2]) = (self.full(sizes), bbox.map(|value| value as f64));
        [x1 / full.0 * width, y1 / full.1 * height, x2 / full.0 * width, y2 / full.1 * height]
    }
}
