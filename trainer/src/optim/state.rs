//! The optimiser's state as a safetensors file: `exp_avg/NAME`, `exp_avg_sq/NAME` and, where there is
//! one, `master/NAME`, all f32 to the bit.

use super::AdamW;
use crate::{Error, Result};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use std::collections::HashMap;
use std::path::Path;

const STEPS: &str = "steps";

impl AdamW {
    /// Writes the state to `path`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Run`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors: Vec<(String, Vec<u8>)> = Vec::new();
        for moments in &self.slots {
            let name = &moments.slot.name;
            tensors.push((format!("exp_avg/{name}"), bytes(&moments.mean)));
            tensors.push((format!("exp_avg_sq/{name}"), bytes(&moments.square)));
            if let Some(master) = &moments.master {
                tensors.push((format!("master/{name}"), bytes(master)));
            }
        }
        let views = tensors
            .iter()
            .map(|(name, data)| Ok((name, TensorView::new(Dtype::F32, vec![data.len() / 4], data)?)))
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
        // One key only: the order of more would change from run to run.
        let info = HashMap::from([(STEPS.to_string(), self.steps.to_string())]);
        let file = views.and_then(|views| serialize(views, Some(info))).map_err(|e| Error::run(path, e))?;
        std::fs::write(path, file).map_err(Error::io(path))
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
        let expected = self.slots.iter().map(|m| 2 + usize::from(m.master.is_some())).sum::<usize>();
        if tensors.len() != expected {
            let message = format!("should hold {expected} tensors, but holds {}", tensors.len());
            return Err(Error::run(path, message));
        }
        for moments in &mut self.slots {
            let name = moments.slot.name.clone();
            fill(&tensors, path, &format!("exp_avg/{name}"), &mut moments.mean)?;
            fill(&tensors, path, &format!("exp_avg_sq/{name}"), &mut moments.square)?;
            if let Some(master) = &mut moments.master {
                fill(&tensors, path, &format!("master/{name}"), master)?;
            }
        }
        self.steps = steps.ok_or_else(|| Error::run(path, "the header should say `steps`, but does not"))?;
        Ok(())
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn fill(tensors: &SafeTensors<'_>, path: &Path, name: &str, to: &mut [f32]) -> Result<()> {
    let view = tensors.tensor(name).map_err(|e| Error::run(path, e))?;
    if view.dtype() != Dtype::F32 || view.data().len() != 4 * to.len() {
        let found = format!("{:?} of {} bytes", view.dtype(), view.data().len());
        let message = format!("`{name}` should be F32 of {} bytes, but is {found}", 4 * to.len());
        return Err(Error::run(path, message));
    }
    for (value, b) in to.iter_mut().zip(view.data().chunks_exact(4)) {
        *value = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    }
    Ok(())
}
