//! An update of which every rank makes its part (ZeRO): the norm is that of all ranks' parts, and the
//! weights that the others updated come from them.

use super::Reducer;
use crate::Result;
use crate::log::Metrics;
use crate::optim::{self, AdamW, CHUNK, Gradients, Update, chunk_squares};

impl Reducer {
    /// [`crate::update::apply`] of the sums over ranks.
    ///
    /// # Errors
    /// Those of the optimiser; a lost rank.
    pub fn apply(&self, finite: bool, optim: &mut AdamW, lr: f64, metrics: &mut Metrics) -> Result<Update> {
        let update = match finite {
            true => optim.step_of_norm(lr, self, self.grad_norm()?)?,
            false => Update { grad_norm: f64::NAN, applied: false },
        };
        if update.applied && self.zero > 0 {
            self.share_weights()?;
        }
        metrics.put("grad_norm", update.grad_norm);
        metrics.put("lr", lr);
        metrics.put("ranks/overlap", self.overlapped());
        Ok(update)
    }

    /// The global norm: the sum of squares of every chunk is known to one rank and told to all, and all add
    /// them up in the order in which one rank would.
    fn grad_norm(&self) -> Result<f64> {
        let chunks = self.layout.sizes.iter().map(|size| size.div_ceil(CHUNK));
        let mut squares: Vec<Vec<f64>> = chunks.map(|chunks| vec![0.0; chunks]).collect();
        for (slot, part) in self.parts() {
            let var = self.slots[slot].var.as_tensor();
            self.read_part(var, &part, &mut |grad| {
                let found = chunk_squares(grad);
                squares[slot][part.start / CHUNK..][..found.len()].copy_from_slice(&found);
            });
        }
        if self.zero > 0 {
            let mut flat = squares.concat();
            self.ranks.all_reduce_f64(&mut flat)?;
            let mut rest = &flat[..];
            for squares in &mut squares {
                let (found, after) = rest.split_at(squares.len());
                squares.copy_from_slice(found);
                rest = after;
            }
        }
        Ok(squares.iter().map(|squares| squares.iter().sum::<f64>()).sum::<f64>().sqrt())
    }

    /// Gives every rank the weights that the others updated.
    fn share_weights(&self) -> Result<()> {
        let rank = self.ranks.rank();
        for bucket in &self.layout.buckets {
            let mut values = vec![0.0; bucket.len];
            for piece in bucket.within(&bucket.parts[rank]) {
                let own = optim::host(&self.slots[piece.slot].var, &piece.values)?;
                values[piece.at..piece.at + own.len()].copy_from_slice(&own);
            }
            self.ranks.all_gather(&mut values, &bucket.parts)?;
            for (_, part) in bucket.parts.iter().enumerate().filter(|(owner, _)| *owner != rank) {
                for piece in bucket.within(part) {
                    let theirs = &values[piece.at..piece.at + piece.values.len()];
                    optim::write_part(&self.slots[piece.slot].var, piece.values.start, theirs)?;
                }
            }
        }
        Ok(())
    }

    /// For [`AdamW::save_whole`]: the parts of a moment that other ranks hold come to rank 0.
    pub(crate) fn complete(&self, slot: usize, values: &mut [f32]) -> Result<()> {
        if self.zero == 0 {
            return Ok(());
        }
        for bucket in &self.layout.buckets {
            for piece in bucket.pieces.iter().filter(|piece| piece.slot == slot) {
                let within = |part: &std::ops::Range<usize>| {
                    let own = bucket.within(part).find(|own| own.slot == slot);
                    own.map_or(0..0, |own| {
                        own.values.start - piece.values.start..own.values.end - piece.values.start
                    })
                };
                let parts: Vec<_> = bucket.parts.iter().map(within).collect();
                self.ranks.gather(&mut values[piece.values.clone()], &parts, 0)?;
            }
        }
        Ok(())
    }
}
