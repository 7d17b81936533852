//! Tensors in safetensors files: read by published name, written as published.
//!
//! Decides which files of a directory hold the weights and under which spellings a tensor is found.
//! Knows neither models nor candle: it gives and takes plain `f32`.

mod convert;
mod header;
mod map;
mod name;
mod save;
mod shards;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::Mmap;

use crate::{Error, Result};
use header::Entry;
pub(crate) use name::module_path;
pub(crate) use save::save_file;
pub use save::{Layout, Precision, save};

/// The weights of one model directory, mapped, not read.
pub struct Weights {
    shards: Vec<Shard>,
    /// By [`name::bare`] name.
    tensors: HashMap<String, Tensor>,
}

struct Shard {
    place: String,
    bytes: Mmap,
}

struct Tensor {
    shard: usize,
    entry: Entry,
    asked: AtomicBool,
}

impl Weights {
    /// Maps `model.safetensors`, or the shards that `model.safetensors.index.json` names, and checks their
    /// headers.
    ///
    /// # Errors
    /// Names the file and the field: no weights, a missing shard, a shard outside the directory, a damaged
    /// header, a tensor that is there twice (also under two spellings) or not where the index says.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_all(&shards::plan(dir)?)
    }

    /// Maps one file, whatever it is called.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub(crate) fn open_file(path: &Path) -> Result<Self> {
        Self::open_all(&[(path.to_owned(), None)])
    }

    fn open_all(plan: &[shards::File]) -> Result<Self> {
        let mut weights = Self { shards: vec![], tensors: HashMap::new() };
        for (path, promised) in plan {
            let place = path.display().to_string();
            let bytes = map::map(path)?;
            let entries = header::read(&place, &bytes)?;
            if let Some(promised) = promised {
                shards::check(&place, promised, &entries)?;
            }
            weights.shards.push(Shard { place, bytes });
            for entry in entries {
                weights.insert(entry)?;
            }
        }
        Ok(weights)
    }

    /// Adds a tensor of the last shard.
    fn insert(&mut self, entry: Entry) -> Result<()> {
        let shard = self.shards.len() - 1;
        let bare = name::bare(&entry.name);
        let place = &self.shards[shard].place;
        if let Some(first) = self.tensors.get(&bare) {
            let found = format!("also there as `{}` in {}", first.entry.name, self.shards[first.shard].place);
            return Err(Error::input(place, &entry.name, "there once", found));
        }
        let asked = AtomicBool::new(false);
        self.tensors.insert(bare, Tensor { shard, entry, asked });
        Ok(())
    }

    /// Whether the files hold the tensor, under any spelling.
    pub fn has(&self, published_name: &str) -> bool {
        self.tensors.contains_key(&name::bare(published_name))
    }

    /// The values of a tensor, row by row, from f32, f16 or bf16 without loss.
    ///
    /// # Errors
    /// Names the tensor if it is not there, has another shape or element type, or holds a NaN or infinity
    /// (with its index).
    pub fn f32(&self, published_name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (tensor, place) = self.find(published_name)?;
        tensor.asked.store(true, Ordering::Relaxed);
        let entry = &tensor.entry;
        if entry.shape != shape {
            let expected = format!("of shape {shape:?}");
            return Err(Error::input(place, &entry.name, expected, format!("{:?}", entry.shape)));
        }
        let values = convert::to_f32(place, entry, self.bytes(tensor))?;
        convert::finite(place, &entry.name, &values)?;
        Ok(values)
    }

    /// The output projection `[vocab, hidden]`, or `None` where it is the embedding.
    ///
    /// # Errors
    /// As [`Weights::f32`]; and if `tied`, but the files hold a projection other than the embedding.
    pub fn lm_head(&self, tied: bool, embedding: &str, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        let name = "lm_head.weight";
        if !tied {
            return self.f32(name, shape).map(Some);
        }
        if self.has(name) && self.f32(name, shape)? != self.f32(embedding, shape)? {
            let (tensor, place) = self.find(name)?;
            let expected = "equal to the embedding, as tie_word_embeddings is true";
            return Err(Error::input(place, &tensor.entry.name, expected, "different"));
        }
        Ok(None)
    }

    /// The names of all tensors, as the files spell them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.values().map(|tensor| tensor.entry.name.as_str())
    }

    /// Tensors never asked for, as the files spell them, but for buffers that older versions saved.
    pub fn unused(&self) -> Vec<String> {
        let unused =
            |tensor: &&Tensor| !tensor.asked.load(Ordering::Relaxed) && !name::ignorable(&tensor.entry.name);
        let tensors = self.tensors.values().filter(unused);
        let mut names: Vec<_> = tensors.map(|tensor| tensor.entry.name.clone()).collect();
        names.sort();
        names
    }

    fn find(&self, published_name: &str) -> Result<(&Tensor, &str)> {
        let Some(tensor) = self.tensors.get(&name::bare(published_name)) else {
            let places: Vec<_> = self.shards.iter().map(|shard| shard.place.as_str()).collect();
            return Err(Error::input(places.join(", "), published_name, "a tensor", "missing"));
        };
        Ok((tensor, &self.shards[tensor.shard].place))
    }

    fn bytes(&self, tensor: &Tensor) -> &[u8] {
        &self.shards[tensor.shard].bytes[tensor.entry.bytes.clone()]
    }
}
