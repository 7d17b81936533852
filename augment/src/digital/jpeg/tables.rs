//! Annex K's quantisation tables, scaled by quality as libjpeg scales them.

#[rustfmt::skip]
const LUMA: [u32; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];

/// The upper left quarter; all else is 99.
#[rustfmt::skip]
const CHROMA: [u32; 16] = [
    17, 18, 24, 47,
    18, 21, 26, 66,
    24, 26, 56, 99,
    47, 66, 99, 99,
];

/// The steps of one plane, by row and column of a block.
pub(super) struct Quantiser {
    pub(super) step: [[i32; 8]; 8],
    /// 1 / (16 step).
    pub(super) inverse: [[f32; 8]; 8],
}

impl Quantiser {
    pub(super) fn luma(quality: u32) -> Self {
        Self::new(quality, |row, column| LUMA[8 * row + column])
    }

    pub(super) fn chroma(quality: u32) -> Self {
        Self::new(quality, |row, column| if row < 4 && column < 4 { CHROMA[4 * row + column] } else { 99 })
    }

    fn new(quality: u32, base: impl Fn(usize, usize) -> u32) -> Self {
        let quality = quality.clamp(1, 100);
        let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
        let scaled = |row, column| ((base(row, column) * percent + 50) / 100).clamp(1, 255) as i32;
        let step: [[i32; 8]; 8] = std::array::from_fn(|r| std::array::from_fn(|c| scaled(r, c)));
        Self { step, inverse: step.map(|row| row.map(|s| 1. / (16 * s) as f32)) }
    }
}
