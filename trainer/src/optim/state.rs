//! The optimiser's state as a safetensors file: `exp_avg/NAME`, `exp_avg_sq/NAME` and, where there is
//! one, `master/NAME`, all f32 to the bit.

use super::{AdamW, Moments, Slot, in_place};
use crate::{Error, Result};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

const STEPS: &str = "steps";

/// Fills in, for the variable at an index, the parts of a moment that other ranks hold; on ranks that write
/// nothing it gives theirs away.
pub(crate) type Complete<'a> = &'a dyn Fn(usize, &mut [f32]) -> Result<()>;

impl AdamW {
    /// Writes the state to `path`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Run`].
    pub fn save(&self, path: &Path) -> Result<()> {
        self.save_whole(path, &|_, _| Ok(()))
    }

    /// [`AdamW::save`] of what all ranks hold.
    pub(crate) fn save_whole(&self, path: &Path, complete: Complete<'_>) -> Result<()> {
        let mut tensors: Vec<(String, Vec<u8>)> = Vec::new();
        self.each(complete, |name, values| tensors.push((name, bytes(values))))?;
        let views = tensors
            .iter()
            .map(|(name, data)| Ok((name, TensorView::new(Dtype::F32, vec![data.len() / 4], data)?)))
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
        // One key only: the order of more would change from run to run.
        let info = HashMap::from([(STEPS.to_string(), self.steps.to_string())]);
        let file = views.and_then(|views| serialize(views, Some(info))).map_err(|e| Error::run(path, e))?;
        std::fs::write(path, file).map_err(Error::io(path))
    }

    /// Gives what this rank holds to the one that writes.
    pub(crate) fn give(&self, complete: Complete<'_>) -> Result<()> {
        self.each(complete, |_, _| ())
    }

    /// Calls `take` with every tensor of the state and its name.
    fn each(&self, complete: Complete<'_>, mut take: impl FnMut(String, &[f32])) -> Result<()> {
        for (index, slot) in self.slots.iter().enumerate() {
            let mut put = |kind: &str, of: &dyn Fn(&Moments) -> &[f32]| -> Result<()> {
                let mut values = vec![0.0; slot.var.elem_count()];
                for moments in self.moments.iter().filter(|moments| moments.slot == index) {
                    values[moments.part.clone()].copy_from_slice(of(moments));
                }
                complete(index, &mut values)?;
                take(format!("{kind}/{}", slot.name), &values);
                Ok(())
            };
            put("exp_avg", &|moments| &moments.mean)?;
            put("exp_avg_sq", &|moments| &moments.square)?;
            if !in_place(&slot.var) {
                put("master", &|moments| moments.master.as_deref().unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// Reads the state that [`AdamW::save`] wrote for the same slots.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Run`] naming the tensor that is missing or of another size.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let file = std::fs::read(path).map_err(Error::io(path))?;
        let (_, header) = SafeTensors::read_metadata(&file).map_err(|e| Error::run(path, e))?;
        let steps = header.metadata().as_ref().and_then(|m| m.get(STEPS)).and_then(|s| s.parse().ok());
        let tensors = SafeTensors::deserialize(&file).map_err(|e| Error::run(path, e))?;
        let expected = self.slots.iter().map(|slot| 2 + usize::from(!in_place(&slot.var))).sum::<usize>();
        if tensors.len() != expected {
            let message = format!("should hold {expected} tensors, but holds {}", tensors.len());
            return Err(Error::run(path, message));
        }
        for Moments { slot, part, mean, square, master } in &mut self.moments {
            let Slot { name, var, .. } = &self.slots[*slot];
            let fill = |kind: &str, to: &mut [f32]| {
                fill(&tensors, path, &format!("{kind}/{name}"), (var.elem_count(), part), to)
            };
            fill("exp_avg", mean)?;
            fill("exp_avg_sq", square)?;
            master.as_mut().map_or(Ok(()), |master| fill("master", master))?;
        }
        self.steps = steps.ok_or_else(|| Error::run(path, "the header should say `steps`, but does not"))?;
        Ok(())
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Reads a part of a tensor of `len` values.
fn fill(
    tensors: &SafeTensors<'_>,
    path: &Path,
    name: &str,
    (len, part): (usize, &Range<usize>),
    to: &mut [f32],
) -> Result<()> {
    let view = tensors.tensor(name).map_err(|e| Error::run(path, e))?;
    if view.dtype() != Dtype::F32 || view.data().len() != 4 * len {
        let found = format!("{:?} of {} bytes", view.dtype(), view.data().len());
        let message = format!("`{name}` should be F32 of {} bytes, but is {found}", 4 * len);
        return Err(Error::run(path, message));
    }
    for (value, b) in to.iter_mut().zip(view.data()[4 * part.start..4 * part.end].chunks_exact(4)) {
        *value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    }
    Ok(())
}
