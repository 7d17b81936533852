//! Writing safetensors files that transformers, PEFT and vLLM load.
//!
//! Decides how tensors are laid over shards. Writes into a directory that holds no weights yet: whoever
//! calls renames the directory when it is whole.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{convert, shards};
use crate::{Error, Result};

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Four bytes, without loss.
    F32,
    /// Two bytes; above 65,504 is refused.
    F16,
    /// Two bytes.
    Bf16,
}

impl Precision {
    /// The format's name for it.
    fn dtype(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// How weights are written.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// How numbers are stored.
    pub precision: Precision,
    /// A shard takes further tensors up to this size; one tensor may exceed it.
    pub max_shard_bytes: usize,
}

impl Default for Layout {
    /// f32 in shards of 5 GB.
    fn default() -> Self {
        Self { precision: Precision::F32, max_shard_bytes: 5_000_000_000 }
    }
}

/// A tensor to be written: published name, shape, values row by row.
type Named<'a> = (String, Vec<usize>, Cow<'a, [f32]>);

struct Stored<'a> {
    shape: Vec<usize>,
    values: Cow<'a, [f32]>,
    precision: Precision,
}

impl Stored<'_> {
    fn bytes(&self) -> usize {
        self.values.len() * self.precision.bytes()
    }
}

/// Writes `model.safetensors`, or shards and their index, into `dir`; holds at most one shard in memory.
/// Gives the files written, synchronised to disk.
///
/// # Errors
/// Names the tensor whose values do not fill its shape, are not finite as stored, or that comes twice; the
/// directory if it holds weights already; the file that could not be written.
pub fn save<'a>(
    dir: &Path,
    tensors: impl IntoIterator<Item = Named<'a>>,
    layout: &Layout,
) -> Result<Vec<PathBuf>> {
    refuse_old(dir)?;
    let mut out = Writer { dir, shard: vec![], shard_bytes: 0, files: vec![], map: Map::new(), total: 0 };
    for (name, shape, values) in tensors {
        check(&name, &shape, &values, layout.precision)?;
        if out.map.contains_key(&name) {
            return Err(Error::input(dir.display(), name, "there once", "there twice"));
        }
        let stored = Stored { shape, values, precision: layout.precision };
        let bytes = stored.bytes();
        if !out.shard.is_empty() && out.shard_bytes + bytes > layout.max_shard_bytes {
            out.flush()?;
        }
        out.map.insert(name.clone(), json!(out.files.len()));
        out.shard.push((name, stored));
        out.shard_bytes += bytes;
        out.total += bytes;
    }
    out.flush()?;
    out.finish()
}

/// Writes one file, synchronised to disk.
///
/// # Errors
/// As [`save`].
pub(crate) fn save_file<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = Named<'a>>,
    precision: Precision,
) -> Result<()> {
    let mut all = vec![];
    for (name, shape, values) in tensors {
        check(&name, &shape, &values, precision)?;
        all.push((name, Stored { shape, values, precision }));
    }
    write_shard(path, &all).map_err(Error::io(path))
}

fn refuse_old(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let name = entry.map_err(Error::io(dir))?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("model") && (name.contains(".safetensors")) {
            return Err(Error::input(dir.display(), name, "absent before weights are written", "there"));
        }
    }
    Ok(())
}

fn check(name: &str, shape: &[usize], values: &[f32], precision: Precision) -> Result<()> {
    let place = "weights to be saved";
    if shape.iter().product::<usize>() != values.len() {
        let expected = format!("{shape:?}, so {} numbers", shape.iter().product::<usize>());
        return Err(Error::input(place, name, expected, values.len()));
    }
    convert::finite(place, name, values)?;
    match values.iter().position(|value| !convert::fits(*value, precision)) {
        Some(at) => {
            let found = format!("{} at index {at}", values[at]);
            Err(Error::input(place, name, format!("within the range of {precision:?}"), found))
        }
        None => Ok(()),
    }
}

/// Header length, header, values; the header is padded so that values lie at multiples of eight bytes.
fn write_shard(path: &Path, tensors: &[(String, Stored)]) -> std::io::Result<()> {
    let mut header = Map::from_iter([("__metadata__".to_owned(), json!({"format": "pt"}))]);
    let mut at = 0;
    for (name, tensor) in tensors {
        let offsets = [at, at + tensor.bytes()];
        let dtype = tensor.precision.dtype();
        let claim = json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": offsets});
        header.insert(name.clone(), claim);
        at = offsets[1];
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for (_, tensor) in tensors {
        out.write_all(&convert::to_bytes(&tensor.values, tensor.precision))?;
    }
    out.into_inner()?.sync_all()
}

struct Writer<'a, 'd> {
    dir: &'d Path,
    shard: Vec<(String, Stored<'a>)>,
    shard_bytes: usize,
    files: Vec<PathBuf>,
    /// Tensor name to shard, a number until all shards are known.
    map: Map<String, Value>,
    total: usize,
}

impl Writer<'_, '_> {
    /// Writes the shard under a name for the time being: how many there will be is not known yet.
    fn flush(&mut self) -> Result<()> {
        let path = self.dir.join(format!("model-{:05}.safetensors.part", self.files.len() + 1));
        write_shard(&path, &std::mem::take(&mut self.shard)).map_err(Error::io(&path))?;
        self.shard_bytes = 0;
        self.files.push(path);
        Ok(())
    }

    /// Gives the shards their names and writes the index where there are several.
    fn finish(self) -> Result<Vec<PathBuf>> {
        let count = self.files.len();
        let name = |at: usize| match count {
            1 => shards::SINGLE.to_owned(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", at + 1),
        };
        let mut files = vec![];
        for (at, part) in self.files.iter().enumerate() {
            let path = self.dir.join(name(at));
            fs::rename(part, &path).map_err(Error::io(&path))?;
            files.push(path);
        }
        if count > 1 {
            let mut names: Vec<_> = self.map.iter().collect();
            names.sort_by_key(|(name, _)| name.as_str());
            let place = |at: &Value| json!(name(at.as_u64().unwrap_or(0) as usize));
            let map: Map<_, _> = names.iter().map(|(name, at)| ((*name).clone(), place(at))).collect();
            let index = json!({"metadata": {"total_size": self.total}, "weight_map": map});
            let path = self.dir.join(shards::INDEX);
            fs::write(&path, format!("{index:#}\n")).map_err(Error::io(&path))?;
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(&path))?;
            files.push(path);
        }
        Ok(files)
    }
}
