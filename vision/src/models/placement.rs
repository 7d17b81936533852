//! Where a model computes, and in which numbers.

use candle_core::{DType, Device};

use crate::{Error, Result};

/// A device and a type of numbers. In f32 on a CPU models have a fast path; everywhere else they run the compositions
/// of candle operations.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The device.
    pub device: Device,
    /// The numbers of weights and activations; log-probabilities are f32 everywhere.
    pub dtype: DType,
}

impl Default for Placement {
    /// f32 on the CPU.
    fn default() -> Self {
        Self { device: Device::Cpu, dtype: DType::F32 }
    }
}

impl Placement {
    /// `cpu`, `cuda` or `cuda:N`, and `f32` or `bf16`; `place` names them in errors.
    ///
    /// # Errors
    /// Other words, a device that this program was not built for, or one that cannot be opened.
    pub fn named(place: &str, device: &str, dtype: &str) -> Result<Self> {
        let dtype = match dtype {
            "f32" => DType::F32,
            "bf16" => DType::BF16,
            _ => return Err(Error::input(place, "dtype", "f32 or bf16", dtype)),
        };
        let wrong = || Error::input(place, "device", "cpu, cuda or cuda:N", device);
        let device = match device.strip_prefix("cuda") {
            None if device == "cpu" => Device::Cpu,
            Some("") => cuda(place, device, 0)?,
            Some(number) => {
                let number = number.strip_prefix(':').and_then(|number| number.parse().ok());
                cuda(place, device, number.ok_or_else(wrong)?)?
            }
            None => return Err(wrong()),
        };
        Ok(Self { device, dtype })
    }
}

fn cuda(place: &str, name: &str, ordinal: usize) -> Result<Device> {
    if !cfg!(feature = "cuda") {
        let expected = "cpu, as this program was built without the feature `cuda`";
        return Err(Error::input(place, "device", expected, name));
    }
    Device::new_cuda(ordinal).map_err(|error| {
        Error::input(place, "device", format!("a GPU that can be opened ({})", first_line(&error)), name)
    })
}

/// What an error says without its backtrace.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_numbers_have_names() {
        let cpu = Placement::named("recipe", "cpu", "bf16").unwrap();
        assert!(cpu.device.is_cpu() && cpu.dtype == DType::BF16);
        for (device, dtype, field) in [
            ("gpu", "f32", "device"),
            ("cuda:x", "f32", "device"),
            ("cuda0", "f32", "device"),
            ("cpu", "f16", "dtype"),
        ] {
            let error = Placement::named("recipe", device, dtype).unwrap_err();
            assert!(error.is_input() && error.to_string().contains(&format!("`{field}`")), "{error}");
        }
        if !cfg!(feature = "cuda") {
            let error = Placement::named("recipe", "cuda:1", "f32").unwrap_err();
            assert!(error.is_input() && error.to_string().contains("without the feature"), "{error}");
        }
    }
}
