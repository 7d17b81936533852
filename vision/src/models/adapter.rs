//! The adapter of a model: put on, taken off, merged into the weights and out of them again, saved, loaded.
//!
//! An adapter freezes the model that it changes. A model without its adapter shares the weights of the model
//! with it: nothing is held twice.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor, TensorId, Var};

use super::{Parameter, Part, VisionLanguageModel};
use crate::generate::unit;
use crate::lora::{self, LoraConfig, PREFIX};
use crate::nn::{Dropout, Linear, Lora, Weight};
use crate::tiny::{fnv1a, generator};
use crate::weights::{self, Precision, Weights, module_path};
use crate::{Error, Result};

/// What a model knows of its adapter besides the adapter's parameters.
#[derive(Debug)]
pub(crate) struct Adapter {
    config: LoraConfig,
    /// A regular expression of the modules it changes.
    pattern: String,
    /// Seed of what is dropped, and passes of training since it was set.
    passes: Mutex<Option<(u64, u64)>>,
    /// Where it is merged: the layers' own weights and adapters, in the order of the layers.
    merged: Option<Vec<(Weight, Vec<Lora>)>>,
}

/// A linear module of the published model.
struct Module {
    path: String,
    /// Its outputs among those of the layer it is part of.
    outputs: Range<usize>,
    inner: usize,
    part: Part,
}

/// Values of one of a module's two matrices, given its letter and shape.
type Values<'a> = &'a dyn Fn(&Module, char, [usize; 2]) -> Result<Vec<f32>>;

impl Adapter {
    /// The seed of a pass that begins; `None` where nothing is dropped.
    pub(super) fn next_pass(&self) -> Option<u64> {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let (seed, count) = passes.as_mut().filter(|_| self.config.dropout > 0.0)?;
        *count += 1;
        Some(seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

impl VisionLanguageModel {
    /// Puts a new adapter on the model, which is frozen. As in PEFT, the first matrix of each module is drawn
    /// uniformly from `±1/sqrt(inputs)` and the second is zero: nothing changes yet. `seed` decides the draws.
    ///
    /// # Errors
    /// A setting out of its range, a target that no module has, or an adapter that is there already.
    pub fn add_adapter(&mut self, config: &LoraConfig, seed: u64) -> Result<()> {
        let place = "lora";
        config.check(place)?;
        let matcher = config.target_modules.matcher(place)?;
        let paths = self.module_paths()?;
        if let Some(word) = matcher.idle(&paths) {
            let example = paths.last().map_or("", String::as_str);
            let expected = format!("of modules of this model, as {example}");
            return Err(Error::input(
                place,
                "target_modules",
                expected,
                format!("`{word}`, which fits none"),
            ));
        }
        let draw = |module: &Module, letter: char, shape: [usize; 2]| {
            let count = shape[0] * shape[1];
            if letter == 'B' {
                return Ok(vec![0.0; count]);
            }
            let mut rng = generator(seed, &tensor_name(&module.path, letter));
            let bound = 1.0 / (shape[1] as f64).sqrt();
            Ok((0..count).map(|_| ((2.0 * unit(&mut rng) - 1.0) * bound) as f32).collect())
        };
        self.attach(config, &|path| matcher.matches(path), &draw)
    }

    /// Puts the adapter in `dir` on the model, which is frozen: one written by
    /// [`VisionLanguageModel::save_adapter`] or by PEFT.
    ///
    /// # Errors
    /// Names the file and the field or tensor: what is missing, of another shape, not of this model, or asks
    /// for something that is not computed here; or an adapter that is there already.
    pub fn load_adapter(&mut self, dir: &Path) -> Result<()> {
        let config = lora::read_config(dir)?;
        let path = dir.join(lora::WEIGHTS);
        let place = path.display().to_string();
        let weights = Weights::open_file(&path)?;
        let mut names: HashMap<String, HashMap<char, String>> = HashMap::new();
        for name in weights.names() {
            let (module, letter) = parse(name).ok_or_else(|| {
                Error::input(&place, name, "a lora_A or lora_B of a module", "another tensor")
            })?;
            if let Some(first) = names.entry(module).or_default().insert(letter, name.to_owned()) {
                return Err(Error::input(&place, name, "there once", format!("also there as `{first}`")));
            }
        }
        let values = |module: &Module, letter: char, shape: [usize; 2]| {
            let name = names.get(&module.path).and_then(|both| both.get(&letter));
            let name = name.cloned().unwrap_or_else(|| tensor_name(&module.path, letter));
            weights.f32(&name, &shape)
        };
        let known = self.module_paths()?;
        if let Some(path) = names.keys().filter(|path| !known.contains(path)).min() {
            let name = names[path].values().min().cloned().unwrap_or_default();
            return Err(Error::input(&place, name, "of a linear layer of this model", format!("of {path}")));
        }
        if names.is_empty() {
            return Err(Error::input(&place, "the file", "at least one tensor", "without any"));
        }
        self.attach(&config, &|path| names.contains_key(path), &values)
    }

    /// Writes the adapter into the existing directory `dir`, as PEFT does. `base` is what the model itself is
    /// called: a directory, or a name on the hub.
    ///
    /// # Errors
    /// No adapter, numbers that are not finite, and those of the file system.
    pub fn save_adapter(&self, dir: &Path, base: &str) -> Result<()> {
        let Some(adapter) = &self.adapter else { return Err(absent()) };
        let mut tensors = Vec::new();
        for parameter in self.parameters.iter().filter(|parameter| parameter.adapter) {
            tensors.extend(parameter.published()?);
        }
        weights::save_file(&dir.join(lora::WEIGHTS), tensors, Precision::F32)?;
        lora::write_config(dir, &adapter.config, &adapter.pattern, base)
    }

    /// What the adapter was made by, if there is one.
    pub fn adapter(&self) -> Option<&LoraConfig> {
        self.adapter.as_ref().map(|adapter| &adapter.config)
    }

    /// From here on, passes with a sink drop what `seed` and their number say; without a seed they drop
    /// nothing.
    pub fn set_dropout(&self, seed: Option<u64>) {
        if let Some(adapter) = &self.adapter {
            *adapter.passes.lock().unwrap_or_else(PoisonError::into_inner) = seed.map(|seed| (seed, 0));
        }
    }

    /// The model without its adapter, sharing its weights.
    pub fn without_adapter(&self) -> Self {
        let merged = self.adapter.as_ref().and_then(|adapter| adapter.merged.clone());
        let mut base = self.sharing();
        base.restore(merged);
        base.linears().for_each(|linear| linear.lora.clear());
        base.parameters.retain(|parameter| !parameter.adapter);
        base
    }

    /// The model with its adapter on the language model alone, sharing its weights; `None` where tower and
    /// mergers have none, or it is merged.
    pub fn without_vision_adapter(&self) -> Option<Self> {
        let mut base = self.sharing();
        let mut there = base.tower.linears().filter(|linear| !linear.lora.is_empty()).peekable();
        there.peek()?;
        there.for_each(|linear| linear.lora.clear());
        base.parameters.retain(|parameter| !parameter.adapter || parameter.part == Part::Text);
        Some(base)
    }

    /// The same layers once more, which share their weights.
    fn sharing(&self) -> Self {
        Self {
            config: self.config.clone(),
            tower: self.tower.clone(),
            decoder: self.decoder.clone(),
            parameters: self.parameters.clone(),
            adapter: None,
            checkpoint: self.checkpoint,
            composed: self.composed,
        }
    }

    /// Adds the adapter to the weights: the same function up to rounding, at the cost of the model itself. Its
    /// own weights are kept for [`VisionLanguageModel::unmerge_adapter`].
    ///
    /// # Errors
    /// No adapter, one that is merged already, and those of the tensor library.
    pub fn merge_adapter(&mut self) -> Result<()> {
        let merged = self.adapter.as_ref().map(|adapter| adapter.merged.is_some());
        if merged != Some(false) {
            return Err(
                merged.map_or_else(absent, |_| Error::input("lora", "adapter", "apart", "merged already"))
            );
        }
        let mut kept = Vec::new();
        for linear in self.tower.linears().chain(self.decoder.linears()) {
            let own = linear.weight.clone();
            if !linear.lora.is_empty() {
                linear.weight = linear.merged()?;
                linear.weight.set_trainable(false);
                let same = |parameter: &&mut Parameter| id(&parameter.weight) == id(&own);
                let owner = self.parameters.iter_mut().find(same);
                owner.into_iter().for_each(|parameter| parameter.weight = linear.weight.clone());
            }
            kept.push((own, std::mem::take(&mut linear.lora)));
        }
        self.adapter.iter_mut().for_each(|adapter| adapter.merged = Some(std::mem::take(&mut kept)));
        Ok(())
    }

    /// Undoes [`VisionLanguageModel::merge_adapter`]: the weights are again what they were, to the bit.
    pub fn unmerge_adapter(&mut self) {
        let merged = self.adapter.as_mut().and_then(|adapter| adapter.merged.take());
        self.restore(merged);
    }

    fn restore(&mut self, merged: Option<Vec<(Weight, Vec<Lora>)>>) {
        let layers = self.tower.linears().chain(self.decoder.linears());
        for (linear, (own, lora)) in layers.zip(merged.into_iter().flatten()) {
            let same = |parameter: &&mut Parameter| id(&parameter.weight) == id(&linear.weight);
            let owner = self.parameters.iter_mut().find(same);
            owner.into_iter().for_each(|parameter| parameter.weight = own.clone());
            (linear.weight, linear.lora) = (own, lora);
        }
    }

    fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.tower.linears().chain(self.decoder.linears())
    }

    fn module_paths(&mut self) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        self.each_module(|module, _| {
            paths.push(module.path);
            Ok(())
        })?;
        Ok(paths)
    }

    /// Shows every module with the layer that it is part of.
    fn each_module(&mut self, mut visit: impl FnMut(Module, &mut Linear) -> Result<()>) -> Result<()> {
        let owners: HashMap<TensorId, &Parameter> =
            self.parameters.iter().map(|parameter| (id(&parameter.weight), parameter)).collect();
        for linear in self.tower.linears().chain(self.decoder.linears()) {
            let Some(owner) = owners.get(&id(&linear.weight)) else { continue };
            let (mut first, inner, part) = (0, linear.inner(), owner.part);
            for (name, shape) in &owner.pieces {
                let outputs = first..first + shape[0];
                first = outputs.end;
                let path = module_path(name.strip_suffix(".weight").unwrap_or(name));
                visit(Module { path, outputs, inner, part }, linear)?;
            }
        }
        Ok(())
    }

    fn attach(&mut self, config: &LoraConfig, chosen: &dyn Fn(&str) -> bool, values: Values) -> Result<()> {
        if self.adapter.is_some() {
            return Err(Error::input("lora", "adapter", "absent before another is put on", "there"));
        }
        let (mut parameters, mut modules, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        let attached = self.each_module(|module, linear| {
            paths.push(module.path.clone());
            if chosen(&module.path) {
                let (lora, pair) = adapt(&module, linear, config, values)?;
                linear.lora.push(lora);
                parameters.extend(pair);
                modules.push(module.path);
            }
            Ok(())
        });
        if let Err(error) = attached {
            self.linears().for_each(|linear| linear.lora.clear());
            return Err(error);
        }
        fn all(paths: &[String]) -> Vec<&str> {
            paths.iter().map(String::as_str).collect()
        }
        let pattern = lora::pattern(&all(&modules), &all(&paths));
        self.set_trainable(&[]);
        self.parameters.extend(parameters);
        self.adapter =
            Some(Adapter { config: config.clone(), pattern, passes: Mutex::default(), merged: None });
        Ok(())
    }
}

/// The adapter of one module, and its two parameters.
fn adapt(
    module: &Module,
    linear: &Linear,
    config: &LoraConfig,
    values: Values,
) -> Result<(Lora, [Parameter; 2])> {
    let (rank, like) = (config.rank_of(&module.path), linear.weight.var());
    let make = |letter: char, shape: [usize; 2]| -> Result<Parameter> {
        let tensor = Tensor::from_vec(values(module, letter, shape)?, &shape[..], &Device::Cpu)?;
        let tensor = tensor.to_dtype(like.dtype())?.to_device(like.device())?;
        let (name, part) = (tensor_name(&module.path, letter), module.part);
        let (weight, pieces) =
            (Weight::new(Var::from_tensor(&tensor)?), vec![(name.clone(), shape.to_vec())]);
        Ok(Parameter { name, weight, part, decay: true, pieces, adapter: true })
    };
    let (a, b) = (make('A', [rank, module.inner])?, make('B', [module.outputs.len(), rank])?);
    let dropout = Dropout { rate: config.dropout as f32, module: fnv1a(&module.path), pass: None };
    let (outputs, scale) = (module.outputs.clone(), config.scale_of(&module.path) as f32);
    Ok((Lora { a: a.weight.clone(), b: b.weight.clone(), outputs, scale, dropout }, [a, b]))
}

fn id(weight: &Weight) -> TensorId {
    weight.var().as_tensor().id()
}

fn absent() -> Error {
    Error::input("lora", "adapter", "there", "absent")
}

fn tensor_name(path: &str, letter: char) -> String {
    format!("{PREFIX}{path}.lora_{letter}.weight")
}

/// Module and letter of a tensor; older versions of transformers had other paths.
fn parse(name: &str) -> Option<(String, char)> {
    let path = name.strip_prefix(PREFIX)?;
    let of = |letter: char| path.strip_suffix(&format!(".lora_{letter}.weight")).map(|path| (path, letter));
    let (path, letter) = of('A').or_else(|| of('B'))?;
    Some((module_path(path), letter))
}
