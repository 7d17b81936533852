//! The rows of pixels that the vision tower multiplies with its weight.
//!
//! n patches of a picture, p numbers in a patch, g patches on a side of the grid, m patches on a side of a
//! merge block, P pixels on a side of a patch.

use image::RgbImage;
use rayon::prelude::*;

use super::ImageProcessor;
use crate::{Error, Result};

/// A still picture's patches in merge-block order: the m x m patches of a block follow each other, blocks
/// go row by row.
///
/// The processors of transformers repeat a still picture `temporal_patch_size` times. The frames being
/// equal, one is stored; the model folds the temporal axis into its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// `[n, p]`, inside a patch (channel, row, column).
    pub values_np: Vec<f32>,
    /// Patches along time, height and width; time is 1.
    pub grid_thw: [usize; 3],
    /// p: channels x P x P.
    pub patch_dim: usize,
}

impl Patches {
    /// Folds `pixel_values` of transformers, `[n, channels * temporal * patch * patch]`, to one frame.
    ///
    /// # Errors
    /// [`Error::Input`] where the length does not fit the grid, the grid has more than one time step, or
    /// frames of a patch differ (a video).
    pub fn from_pixel_values(
        values: &[f32],
        grid_thw: [usize; 3],
        channels: usize,
        temporal: usize,
        patch: usize,
    ) -> Result<Self> {
        let wrong = |field, expected: String, found: String| Error::input("patches", field, expected, found);
        if grid_thw[0] != 1 {
            return Err(wrong("grid_thw", "a still picture, t = 1".into(), format!("t = {}", grid_thw[0])));
        }
        let frame = patch * patch;
        let expected = grid_thw.iter().product::<usize>() * channels * temporal * frame;
        if values.len() != expected || expected == 0 {
            let found = format!("{} values", values.len());
            return Err(wrong("pixel_values", format!("{expected} values, over 0"), found));
        }
        let mut values_np = Vec::with_capacity(expected / temporal);
        for (at, frames) in values.chunks_exact(temporal * frame).enumerate() {
            let (first, rest) = frames.split_at(frame);
            if rest.chunks_exact(frame).any(|other| other != first) {
                let place =
                    format!("frames that differ in patch {}, channel {}", at / channels, at % channels);
                return Err(wrong("pixel_values", "frames repeated".into(), place));
            }
            values_np.extend_from_slice(first);
        }
        Ok(Self { values_np, grid_thw, patch_dim: channels * frame })
    }

    /// How many tokens the picture takes in a prompt when `merge` x `merge` patches become one.
    pub fn image_tokens(&self, merge: usize) -> usize {
        self.grid_thw.iter().product::<usize>() / (merge * merge).max(1)
    }
}

/// Normalises and cuts a picture whose sides are whole merge blocks; one pass over the pixels.
pub(super) fn cut(processor: &ImageProcessor, picture: &RgbImage) -> Patches {
    let (side, merge) = (processor.patch_size, processor.merge_size);
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    let grid_thw = [1, height / side, width / side];
    let patch_dim = 3 * side * side;
    let mut values_np = vec![0.0; grid_thw.iter().product::<usize>() * patch_dim];
    let tables = normalised_bytes(processor);
    let band_out = merge * grid_thw[2] * patch_dim;
    let band_in = merge * side * width * 3;
    let bands = picture.as_raw().par_chunks_exact(band_in.max(1));
    values_np.par_chunks_exact_mut(band_out.max(1)).zip(bands).for_each(|(out, pixels)| {
        let places = (0..width / (side * merge)).flat_map(|block| {
            (0..merge)
                .flat_map(move |row| (0..merge).map(move |col| (row * side, (block * merge + col) * side)))
        });
        for (patch, (top, left)) in out.chunks_exact_mut(patch_dim).zip(places) {
            for (channel, (plane, table)) in patch.chunks_exact_mut(side * side).zip(&tables).enumerate() {
                for (row, line) in plane.chunks_exact_mut(side).enumerate() {
                    let start = ((top + row) * width + left) * 3;
                    let source = &pixels[start..start + side * 3];
                    for (value, pixel) in line.iter_mut().zip(source.as_chunks::<3>().0) {
                        *value = table[usize::from(pixel[channel])];
                    }
                }
            }
        }
    });
    Patches { values_np, grid_thw, patch_dim }
}

/// The picture that was cut: the way back of [`cut`], to the byte.
pub(super) fn join(processor: &ImageProcessor, patches: &Patches) -> RgbImage {
    let (side, merge) = (processor.patch_size, processor.merge_size);
    let [_, high, wide] = patches.grid_thw;
    let mut picture = RgbImage::new((wide * side) as u32, (high * side) as u32);
    let byte = |channel: usize, value: f32| {
        let (mean, std) = (processor.mean[channel] * 255.0, processor.std[channel] * 255.0);
        (value * std + mean).round().clamp(0.0, 255.0) as u8
    };
    for (n, patch) in patches.values_np.chunks_exact(patches.patch_dim.max(1)).enumerate() {
        let (block, inside) = (n / (merge * merge), n % (merge * merge));
        let (row, col) = (block / (wide / merge) * merge, block % (wide / merge) * merge);
        let (top, left) = ((row + inside / merge) * side, (col + inside % merge) * side);
        for (at, &value) in patch.iter().enumerate() {
            let (channel, y, x) = (at / (side * side), at / side % side, at % side);
            picture.get_pixel_mut((left + x) as u32, (top + y) as u32)[channel] = byte(channel, value);
        }
    }
    picture
}

/// What each byte becomes in each channel, with the arithmetic of transformers' default processor: mean and
/// deviation are scaled to bytes first, then subtracted and divided in f32.
fn normalised_bytes(processor: &ImageProcessor) -> [[f32; 256]; 3] {
    std::array::from_fn(|c| {
        let (mean, std) = (processor.mean[c] * 255.0, processor.std[c] * 255.0);
        std::array::from_fn(|byte| (byte as f32 - mean) / std)
    })
}
