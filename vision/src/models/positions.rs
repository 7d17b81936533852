//! Where tokens and patches stand: M-RoPE positions, a ViT's rows, columns and windows, and samples of a
//! learned position table.
//!
//! Decides every index and angle the models use; knows no weights. Source of the rules: transformers
//! 5.23, `modeling_qwen2_5_vl.py` and `modeling_qwen3_vl.py` (`get_rope_index`), `vision_utils.py`.

use std::sync::Arc;

use crate::config::{TextConfig, VisionConfig};
use crate::nn::{PositionTaps, Rotary, inverse_frequencies};

/// M-RoPE positions of a run of tokens, (t, h, w) each, and the first position after them.
///
/// Text advances all three together. An image stands at one time; its rows and columns count from there
/// on the merged grid, and the text after it continues at the largest of them plus one.
pub(crate) fn mrope_positions(
    ids: &[u32],
    image_token: u32,
    grids_thw: &[[usize; 3]],
    merge: usize,
    start: u32,
) -> (Vec<[u32; 3]>, u32) {
    let (mut positions, mut next, mut grids) = (Vec::with_capacity(ids.len()), start, grids_thw.iter());
    let mut at = 0;
    while at < ids.len() {
        let grid = if ids[at] == image_token { grids.next() } else { None };
        let Some(&[_, height, width]) = grid else {
            positions.push([next; 3]);
            next += 1;
            at += 1;
            continue;
        };
        let (rows, columns) = (height / merge, width / merge);
        for token in 0..rows * columns {
            let (row, column) = ((token / columns) as u32, (token % columns) as u32);
            positions.push([next, next + row, next + column]);
        }
        next += rows.max(columns) as u32;
        at += rows * columns;
    }
    (positions, next)
}

/// Angles of text tokens at their (t, h, w).
pub(crate) fn text_rotary(config: &TextConfig, positions: &[[u32; 3]]) -> Rotary {
    let pairs = config.head_dim / 2;
    let frequencies = inverse_frequencies(pairs, config.rope_theta);
    let axes: Vec<usize> = (0..pairs).map(|pair| mrope_axis(config, pair)).collect();
    let mut angles = Vec::with_capacity(positions.len() * pairs);
    for position in positions {
        angles.extend(frequencies.iter().zip(&axes).map(|(f, &axis)| position[axis] as f32 * f));
    }
    Rotary::new(&angles, pairs)
}

/// Which of (t, h, w) turns a pair of channels.
fn mrope_axis(config: &TextConfig, pair: usize) -> usize {
    let [t, h, w] = config.mrope_section;
    if config.mrope_interleaved {
        match pair % 3 {
            1 if pair < 3 * h => 1,
            2 if pair < 3 * w => 2,
            _ => 0,
        }
    } else if pair < t {
        0
    } else if pair < t + h {
        1
    } else {
        2
    }
}

/// Patches of a row of images in the order the tower runs them, and their windows.
#[derive(Clone, Debug, Default)]
pub(crate) struct PatchOrder {
    /// For every merged feature in tower order, its index in image order.
    pub features: Vec<u32>,
    /// Row and column of every patch, in tower order.
    pub places: Vec<(u32, u32)>,
    /// Height and width in patches of the image each patch is of.
    pub sizes: Vec<(u32, u32)>,
    /// Lengths of the attention windows, in patches.
    pub windows: Vec<usize>,
    /// Lengths of the images, in patches.
    pub images: Vec<usize>,
}

impl PatchOrder {
    /// Images arrive in merge-block order. With windows, merge blocks are reordered so that a window's
    /// stand together.
    pub(crate) fn new(config: &VisionConfig, grids_thw: &[[usize; 3]]) -> Self {
        let merge = config.merge_size;
        let side = config.window_size.map(|window| window / merge / config.patch_size);
        let mut order = Self::default();
        for &[_, height, width] in grids_thw {
            let (rows, columns) = (height / merge, width / merge);
            let first = order.features.len() as u32;
            let (window_rows, window_columns) = side.map_or((rows, columns), |side| (side, side));
            for top in (0..rows).step_by(window_rows.max(1)) {
                for left in (0..columns).step_by(window_columns.max(1)) {
                    let before = order.places.len();
                    for row in top..(top + window_rows).min(rows) {
                        for column in left..(left + window_columns).min(columns) {
                            order.features.push(first + (row * columns + column) as u32);
                            let patches = (0..merge * merge).map(|patch| {
                                let (inner_row, inner_column) = (patch / merge, patch % merge);
                                ((row * merge + inner_row) as u32, (column * merge + inner_column) as u32)
                            });
                            order.places.extend(patches);
                        }
                    }
                    order.windows.push(order.places.len() - before);
                }
            }
            order.sizes.resize(order.places.len(), (height as u32, width as u32));
            order.images.push(height * width);
        }
        order
    }

    /// Angles of the patches: the first half of the pairs turns by the row, the second by the column.
    pub(crate) fn rotary(&self, config: &VisionConfig) -> Rotary {
        let pairs = config.hidden_size / config.heads / 2;
        let frequencies = inverse_frequencies(pairs / 2, 10_000.0);
        let mut angles = Vec::with_capacity(self.places.len() * pairs);
        for &(row, column) in &self.places {
            angles.extend(frequencies.iter().map(|f| row as f32 * f));
            angles.extend(frequencies.iter().map(|f| column as f32 * f));
        }
        Rotary::new(&angles, pairs)
    }

    /// Bilinear samples (corners aligned) of a square table with `side` places a side.
    pub(crate) fn taps(&self, side: usize) -> PositionTaps {
        let axis = |index: u32, size: u32| {
            let at = index as f32 * (side as f32 - 1.0) / (size as f32 - 1.0).max(1.0);
            let low = at.floor();
            let high = (low as u32 + 1).min(side as u32 - 1);
            [(low as u32, 1.0 - (at - low)), (high, at - low)]
        };
        let taps = self.places.iter().zip(&self.sizes).map(|(&(row, column), &(height, width))| {
            let ([top, bottom], [left, right]) = (axis(row, height), axis(column, width));
            [(top, left), (top, right), (bottom, left), (bottom, right)]
                .map(|(y, x)| (y.0 * side as u32 + x.0, y.1 * x.1))
        });
        Arc::new(taps.collect())
    }
}
