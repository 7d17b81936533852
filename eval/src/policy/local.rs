//! A model directory, run in this process: greedy or sampled, a batch at a time.
//!
//! An answer depends on the question alone, not on its batch, so batches are whatever is ready. The weights
//! are read when the first question comes: an evaluation that is done already costs no model.

use super::{Asked, Demand, Failed, Policy, Reply, Shown, fingerprint};
use crate::{Error, Result};
use foveate_vision::config::GenerationConfig;
use foveate_vision::generate::{Generated, Request, Sampling, Stop, generate};
use foveate_vision::images::Patches;
use foveate_vision::models::VisionLanguageModel;
use foveate_vision::processor::{Processor, Prompt};
use image::RgbImage;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Tokens of prompts and answers in one batch: memory against speed.
const TOKEN_BUDGET: usize = 16384;

/// What a question takes besides its pictures and its answer; text is short beside pictures.
const TEXT_TOKENS: usize = 96;

/// A model of this process.
#[derive(Clone, Debug)]
pub struct Local {
    dir: PathBuf,
    adapter: Option<PathBuf>,
    name: String,
    processor: Processor,
    sampling: Sampling,
    model: Arc<Mutex<Option<Arc<VisionLanguageModel>>>>,
    /// Threads of its own: whoever waits for answers may be one of the global pool's.
    threads: Arc<rayon::ThreadPool>,
}

impl Local {
    /// Reads everything of a Hugging Face model directory but the weights. At temperature 0 answers are greedy.
    ///
    /// # Errors
    /// A directory that is not whole, or that names no id to end an answer with.
    pub fn open(dir: &Path, max_tokens: usize, temperature: f32) -> Result<Self> {
        let processor = Processor::from_dir(dir)?;
        let stop_ids = GenerationConfig::from_dir(dir)?.eos_token_ids;
        if stop_ids.is_empty() {
            let place = dir.join("generation_config.json");
            return Err(Error::differs(place.display(), "eos_token_id", "there", "missing"));
        }
        let name = name_of(dir)?;
        let tokenizer_size = processor.tokenizer.size();
        let sampling = Sampling { max_tokens, temperature, stop_ids, tokenizer_size, ..Sampling::default() };
        let threads = rayon::ThreadPoolBuilder::new().thread_name(|n| format!("answer-{n}")).build();
        let threads = Arc::new(threads.map_err(|e| Error::Work(e.to_string()))?);
        let (dir, adapter) = (dir.into(), None);
        Ok(Self { dir, adapter, name, processor, sampling, model: Arc::default(), threads })
    }

    /// The same model with the adapter in `dir` on it: another model to every record. `title` is what the adapter is
    /// called, if not as its directory.
    ///
    /// # Errors
    /// A directory that holds no adapter.
    pub fn with_adapter(self, dir: &Path, title: Option<&str>) -> Result<Self> {
        let config = dir.join("adapter_config.json");
        std::fs::metadata(&config).map_err(Error::io(&config))?;
        let name = format!("{}+{}", self.name, retitled(name_of(dir)?, title));
        Ok(Self { adapter: Some(dir.into()), name, model: Arc::default(), ..self })
    }

    /// The same model under another name than its directory's; what tells its files apart stays.
    pub fn called(self, name: &str) -> Self {
        Self { name: retitled(self.name, Some(name)), ..self }
    }

    /// The same model under another largest area of pictures; the weights are shared.
    ///
    /// # Errors
    /// An area under the model's least.
    pub fn with_max_pixels(&self, max_pixels: u64) -> Result<Self> {
        let mut other = self.clone();
        let least = other.processor.images.min_pixels;
        if max_pixels < least {
            let expected = format!("at least {least}, the model's least area");
            return Err(Error::differs("command line", "--max-pixels", expected, max_pixels));
        }
        other.processor.images.max_pixels = max_pixels;
        Ok(other)
    }

    /// What stands before the model.
    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    pub(crate) fn model(&self) -> Result<Arc<VisionLanguageModel>> {
        let mut held = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = &*held {
            return Ok(model.clone());
        }
        // On threads of its own: the caller may hold the only one of the common pool while it waits for answers.
        let load = || {
            let mut model = VisionLanguageModel::load(&self.dir)?;
            self.adapter.iter().try_for_each(|adapter| model.load_adapter(adapter))?;
            Ok::<_, Error>(model)
        };
        let model = self.threads.install(load)?;
        model.set_trainable(&[]);
        Ok(held.insert(Arc::new(model)).clone())
    }

    /// Runs `work` where whoever waits for it is not needed for it.
    pub(crate) fn on_own_threads<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.threads.install(work)
    }

    fn reply(&self, answer: &Generated) -> Result<Reply> {
        let finish = match answer.stop {
            Stop::Stop => "stop",
            Stop::Length => "length",
        };
        Ok(Reply {
            text: self.processor.tokenizer.decode(&answer.ids, true)?,
            finish: Some(finish.into()),
            tokens: u32::try_from(answer.ids.len()).ok(),
            turns: vec![],
        })
    }
}

impl Policy for Local {
    type Picture = Arc<Patches>;

    fn name(&self) -> &str {
        &self.name
    }

    fn sampling(&self) -> String {
        super::sampling(self.sampling.max_tokens, self.sampling.temperature)
    }

    fn pixels(&self) -> Option<[u64; 2]> {
        Some([self.processor.images.min_pixels, self.processor.images.max_pixels])
    }

    fn resize(&self, picture: &RgbImage) -> Result<RgbImage> {
        Ok(self.processor.images.resize(picture)?)
    }

    fn prepare(&self, picture: &RgbImage) -> Result<Shown<Arc<Patches>>> {
        let patches = Arc::new(self.processor.images.patches(picture)?);
        let [_, high, wide] = patches.grid_thw.map(|n| (n * self.processor.images.patch_size) as u32);
        Ok(Shown::new(patches, [wide, high]))
    }

    fn demand(&self) -> Demand {
        let side = self.processor.images.patch_size * self.processor.images.merge_size;
        let question = TEXT_TOKENS + self.sampling.max_tokens;
        Demand { workers: 1, budget: TOKEN_BUDGET, question, pixels: side * side }
    }

    fn answer(&self, asked: &[Asked<Arc<Patches>>]) -> Result<Vec<Result<Reply, Failed>>> {
        let model = self.model()?;
        let build = |asked: &Asked<Arc<Patches>>| -> Result<Arc<Prompt>> {
            Ok(Arc::new(self.processor.prompt(&asked.messages, &asked.pictures)?))
        };
        let built: Vec<Result<Arc<Prompt>>> = asked.iter().map(build).collect();
        let good = built.iter().zip(asked).filter_map(|(prompt, asked)| {
            let prompt = prompt.as_ref().ok()?.clone();
            Some(Request { prompt, n: 1, seed: draw_of(&asked.question.key) })
        });
        let requests: Vec<Request> = good.collect();
        // The pool's own thread hands out the work without being woken for it.
        let answers = self.on_own_threads(|| generate(&model, &requests, &self.sampling))?;
        let mut answers = answers.into_iter().flatten();
        let reply = |prompt: Result<Arc<Prompt>>| match prompt {
            Err(error) => Ok(Err(Failed(error.to_string()))),
            Ok(_) => {
                let answer = answers.next().ok_or_else(|| Error::Work("an answer is missing".into()))?;
                Ok(Ok(self.reply(&answer)?))
            }
        };
        built.into_iter().map(reply).collect()
    }
}

/// The last part of a directory's path, and a digest of what it holds.
fn name_of(dir: &Path) -> Result<String> {
    let full = dir.canonicalize().map_err(Error::io(dir))?;
    let last = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(format!("{last}@{}", fingerprint(dir)?))
}

/// `name` with `title` in place of its directory's; what tells its files apart stays.
fn retitled(name: String, title: Option<&str>) -> String {
    match (title, name.rsplit_once('@')) {
        (Some(title), Some((_, digits))) => format!("{title}@{digits}"),
        _ => name,
    }
}

/// The seed of a question's draws: the beginning of its key.
pub(super) fn draw_of(key: &str) -> u64 {
    u64::from_str_radix(key.get(..16).unwrap_or_default(), 16).unwrap_or(0)
}
