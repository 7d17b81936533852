//! Host memory of contiguous `f32` tensors as slices.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Error, Layout, Result, Storage, StorageRef, Tensor, bail};

/// The elements of a contiguous `f32` CPU tensor, readable while the guard lives.
pub(crate) struct Host<'a> {
    storage: StorageRef<'a>,
    range: Range<usize>,
}

impl<'a> Host<'a> {
    pub(crate) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let range = contiguous(layout)?;
        match &*storage {
            Storage::Cpu(CpuStorage::F32(_)) => Ok(Self { storage, range }),
            _ => bail!("expected an f32 tensor on the CPU, got {:?}", tensor.dtype()),
        }
    }
}

impl Deref for Host<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => &data[self.range.clone()],
            _ => &[], // `Host::of` admits f32 CPU tensors only
        }
    }
}

/// The elements an operation was handed in its forward pass.
pub(crate) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    Ok(&storage.as_slice::<f32>()?[contiguous(layout)?])
}

fn contiguous(layout: &Layout) -> Result<Range<usize>> {
    let (start, end) =
        layout.contiguous_offsets().ok_or_else(|| Error::Msg(format!("not contiguous: {layout:?}")).bt())?;
    Ok(start..end)
}
