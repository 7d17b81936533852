//! Masks: parts of the picture taken away.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::rows;
use crate::random::Key;
use image::RgbImage;

/// PAPO's mask is on the raw image, so its blocks do not align with a vision tower's patches after a resize. The
/// share is a probability: a small picture may come out whole or black.
pub(crate) const BLOCKS: Entry = Entry {
    name: "block_mask",
    summary: "blocks of 14x14 pixels blackened, each with probability 0.2 a level (PAPO: level 3)",
    random: true,
    render: blocks,
    kernels: crate::device::noise::blocks,
};

/// The side of a block in pixels.
pub(crate) fn side(dose: &Dose) -> u32 {
    (14. * dose.pixel).round().max(1.) as u32
}

fn blocks(image: &RgbImage, dose: &Dose) -> RgbImage {
    let key = Key::new(dose.seed, BLOCKS.name);
    let side = side(dose);
    rows!(image, |y, from, to| {
        let row = key.row(y / side);
        let blocks = to.chunks_mut(3 * side as usize).zip(from.chunks(3 * side as usize));
        for (x, (t, f)) in blocks.enumerate() {
            if row.uniform(x as u32) >= dose.severity.share() {
                t.copy_from_slice(f);
            }
        }
    })
}
