//! Masks: parts of the picture taken away.

use crate::fast::rows;
use crate::random::Key;
use crate::{Corruption, Dose};
use image::RgbImage;

/// PAPO's mask: the picture in blocks of 14 pixels, each black with a probability of its own draw.
///
/// The share is `0.2 level`, so PAPO's 0.6 is level 3. It is a probability: a small picture may come out whole or
/// black.
#[derive(Debug)]
pub(crate) struct Blocks;

impl Corruption for Blocks {
    fn name(&self) -> &str {
        "block_mask"
    }

    fn summary(&self) -> &str {
        "blocks of 14x14 pixels blackened, each with probability 0.2 a level (PAPO: level 3)"
    }

    fn random(&self) -> bool {
        true
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        let key = Key::new(dose.seed, self.name());
        let side = (14. * dose.pixel).round().max(1.) as u32;
        rows(image, |y, from, to| {
            let row = key.row(y / side);
            let blocks = to.chunks_mut(3 * side as usize).zip(from.chunks(3 * side as usize));
            for (x, (t, f)) in blocks.enumerate() {
                if row.uniform(x as u32) >= dose.severity.share() {
                    t.copy_from_slice(f);
                }
            }
        })
    }
}
