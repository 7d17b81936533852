//! How the work is spread: rows over threads, loops over the widest registers the machine has. Neither changes
//! a byte of what is computed.

use image::RgbImage;
use rayon::prelude::*;

/// Runs `f` compiled for the machine's widest registers; what it calls must be `#[inline(always)]`.
#[inline(always)]
pub(crate) fn wide<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// A new image of `image`'s size, each row made by `f(y, source row, target row)` on any thread.
pub(crate) fn rows(image: &RgbImage, f: impl Fn(u32, &[u8], &mut [u8]) + Sync) -> RgbImage {
    let mut out = RgbImage::new(image.width(), image.height());
    let stride = 3 * image.width() as usize;
    out.par_chunks_mut(stride)
        .zip(image.par_chunks(stride))
        .enumerate()
        .for_each(|(y, (to, from))| wide(|| f(y as u32, from, to)));
    out
}

/// A new image whose every byte is `table[channel][byte]`.
pub(crate) fn lookup(image: &RgbImage, table: &[[u8; 256]; 3]) -> RgbImage {
    rows(image, |_, from, to| {
        for (t, f) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0) {
            *t = [table[0][f[0] as usize], table[1][f[1] as usize], table[2][f[2] as usize]];
        }
    })
}

/// A grey value as the published code stores it: clipped, then cut off (not rounded).
#[inline(always)]
pub(crate) fn byte(x: f32) -> u8 {
    // A saturating cast would do, but costs a comparison with NaN in every lane.
    x.clamp(0., 255.) as i32 as u8
}
