//! Scalars as TensorBoard reads them: TFRecords of `Event` messages, written by hand, since the two
//! formats together are forty lines.
//!
//! A record is the length (u64), its masked CRC-32C, the bytes, their masked CRC-32C. An `Event` has
//! wall_time = 1 (double), step = 2 (varint), file_version = 3 (string), summary = 5; a `Summary` has
//! value = 1; a `Value` has tag = 1 (string), simple_value = 2 (float).

use super::Metrics;
use crate::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// An event file.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    /// None where another rank writes.
    file: Option<File>,
}

impl Events {
    /// A new file in `dir`, named after `time`, seconds since 1970: TensorBoard reads files of a
    /// directory in the order of their names, and takes steps that come twice from the later one.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn create(dir: &Path, time: f64) -> Result<Self> {
        let path = dir.join(format!("events.out.tfevents.{:010}.foveate", time as u64));
        let file = File::options().create(true).append(true).open(&path).map_err(Error::io(&path))?;
        let mut events = Self { path, file: Some(file) };
        let mut event = double(1, time);
        event.extend(bytes(3, b"brain.Event:2"));
        events.write(&event)?;
        Ok(events)
    }

    /// Events that another rank writes: here they go nowhere.
    pub fn elsewhere() -> Self {
        Self { path: PathBuf::new(), file: None }
    }

    /// Adds the finite ones of `metrics`.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn scalars(&mut self, time: f64, step: u64, metrics: &Metrics) -> Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in metrics.iter().filter(|(_, value)| value.is_finite()) {
            let mut one = bytes(1, tag.as_bytes());
            one.push(2 << 3 | 5);
            one.extend((value as f32).to_le_bytes());
            summary.extend(bytes(1, &one));
        }
        let mut event = double(1, time);
        // proto3 leaves a zero out.
        if step > 0 {
            event.push(2 << 3);
            event.extend(varint(step));
        }
        event.extend(bytes(5, &summary));
        self.write(&event)
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&record(event)).map_err(Error::io(&self.path))
    }
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

/// TensorFlow rotates the checksum and adds a constant, so that one of data with a checksum in it is good.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [&[field << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn bytes(field: u8, data: &[u8]) -> Vec<u8> {
    [&[field << 3 | 2][..], &varint(data.len() as u64), data].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/golden/events/make.py` writes this file with TensorBoard's own `EventFileWriter` classes.
    const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/events/scalars.tfevents");

    #[test]
    fn the_file_is_the_one_that_tensorboard_writes() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = Events::create(dir.path(), 1_700_000_000.0).unwrap();
        for step in [0, 1, 300] {
            let mut metrics = Metrics::default();
            metrics.put("reward/mean", 0.125 * step as f64);
            metrics.put("grad_norm", 1e-3);
            metrics.put("kl/reference", f64::NAN);
            events.scalars(1_700_000_000.5 + step as f64, step, &metrics).unwrap();
        }
        let path = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        assert!(path.to_string_lossy().contains("tfevents"));
        assert_eq!(std::fs::read(path).unwrap(), GOLDEN);
    }
}
