//! Between stored numbers and `f32`.
//!
//! Decides the element types that weights may have. Reading is exact: every f16 and bf16 is an f32.
//! Writing rounds to nearest even, as torch does.

use half::{bf16, f16};
use rayon::prelude::*;

use super::header::Entry;
use super::save::Precision;
use crate::{Error, Result};

/// Numbers converted by one task: large enough that splitting costs nothing.
const CHUNK: usize = 1 << 16;

/// The values of a tensor, whose bytes are little-endian.
pub(super) fn to_f32(place: &str, entry: &Entry, bytes: &[u8]) -> Result<Vec<f32>> {
    match entry.dtype.as_str() {
        "F32" => Ok(read(bytes, f32::from_le_bytes)),
        "F16" => Ok(read(bytes, |b| f16::from_le_bytes(b).to_f32())),
        "BF16" => Ok(read(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        other => Err(Error::input(place, &entry.name, "F32, F16 or BF16", other)),
    }
}

fn read<const N: usize>(bytes: &[u8], one: impl Fn([u8; N]) -> f32 + Sync) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<N>();
    let mut out = vec![0.0; numbers.len()];
    out.par_chunks_mut(CHUNK).zip(numbers.par_chunks(CHUNK)).for_each(|(out, numbers)| {
        for (out, number) in out.iter_mut().zip(numbers) {
            *out = one(*number);
        }
    });
    out
}

/// The bytes of `values` as `precision` stores them.
pub(super) fn to_bytes(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => write(values, f32::to_le_bytes),
        Precision::F16 => write(values, |x| f16::from_f32(x).to_le_bytes()),
        Precision::Bf16 => write(values, |x| bf16::from_f32(x).to_le_bytes()),
    }
}

fn write<const N: usize>(values: &[f32], one: impl Fn(f32) -> [u8; N] + Sync) -> Vec<u8> {
    let mut out = vec![[0; N]; values.len()];
    out.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(out, values)| {
        for (out, value) in out.iter_mut().zip(values) {
            *out = one(*value);
        }
    });
    out.into_flattened()
}

/// Whether the value is finite when stored.
pub(super) fn fits(value: f32, precision: Precision) -> bool {
    match precision {
        Precision::F32 => value.is_finite(),
        Precision::F16 => f16::from_f32(value).is_finite(),
        Precision::Bf16 => bf16::from_f32(value).is_finite(),
    }
}

/// That no value is NaN or infinite.
pub(super) fn finite(place: &str, name: &str, values: &[f32]) -> Result<()> {
    match values.par_iter().position_first(|value| !value.is_finite()) {
        Some(at) => {
            let found = format!("{} at index {at}", values[at]);
            Err(Error::input(place, name, "finite throughout", found))
        }
        None => Ok(()),
    }
}
