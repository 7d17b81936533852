//! Who is asked: exactly one of a model directory, a server, recorded responses, a baseline.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use foveate_eval::policy::{BaselineKind, EndpointOptions, Pictures};
use foveate_eval::server::Retry;
use foveate_vision::config::Config;
use foveate_vision::grounding::{Frame, Protocol};
use foveate_vision::images::ImageProcessor;
use foveate_vision::processor::Processor;
use serde::Deserialize;

use crate::failure::{Failure, Outcome};
use crate::hub::{self, Need};

/// Where a run directory says what it trained on.
const RECIPE: &str = "recipe.resolved.toml";

/// The options about the policy.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("who").required(true).args(["model", "endpoint", "responses", "baseline"])))]
pub struct Args {
    /// A model, run in this process: a Hugging Face directory, or a name on the hub, ORG/NAME[@REVISION]
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// An adapter on the model (LoRA), of a run that trained one or made by PEFT: a directory, or a name on the hub
    #[arg(long, value_name = "ADAPTER", requires = "model")]
    pub adapter: Option<PathBuf>,
    /// A server with OpenAI's chat completions: http://HOST:PORT/v1. A key is read from OPENAI_API_KEY
    #[arg(long, value_name = "URL", requires = "served_model")]
    endpoint: Option<String>,
    /// Responses that were recorded: lines {"id", "response"} or {"id", "response": null, "error"}
    #[arg(long, value_name = "FILE")]
    responses: Option<PathBuf>,
    /// Nobody who looks: chance or always-a
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// The model's name at the server
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    served_model: Option<String>,
    /// The directory or name of the served model: pictures are then sent at its own size, and token ids compared
    #[arg(long, value_name = "MODEL", requires = "endpoint")]
    processor: Option<PathBuf>,
    /// Do not ask the server for the prompt's token ids, for servers that refuse the field
    #[arg(long, requires = "processor")]
    no_token_ids: bool,
    /// Show grey pictures: what the text alone gives away
    #[arg(long, conflicts_with_all = ["responses", "baseline"])]
    pub text_only: bool,
    /// Choose the likeliest option instead of generating, as V*'s authors do with --wording official
    #[arg(long, requires = "model", conflicts_with_all = ["turns", "temperature", "max_tokens"])]
    pub likelihood: bool,
    /// Let the model say where to look, show it that part, then let it answer (MGPO), in the words of this
    /// script: mgpo or brief. A server needs --processor with it
    #[arg(long, value_name = "SCRIPT", conflicts_with_all = ["responses", "baseline"])]
    turns: Option<String>,
    /// Turns of the model with --turns, the answer included
    #[arg(long, value_name = "N", default_value_t = 2, requires = "turns", value_parser = positive)]
    max_turns: usize,
    /// With --turns, take a reply without a box as the answer
    #[arg(long, requires = "turns")]
    may_answer: bool,
    /// What boxes count with --turns: pixels or thousandths; else what the model's family does
    #[arg(long, value_name = "NAME", requires = "turns")]
    frame: Option<String>,
    /// With --turns, refuse a box unless both of its sides are longer, in pixels as the model reads them; else a
    /// token's side
    #[arg(long, value_name = "PIXELS", requires = "turns")]
    min_side: Option<f64>,
    /// Longest answer in tokens; with --turns, of each turn
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = positive)]
    pub max_tokens: usize,
    /// 0 takes the likeliest token each time
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f32,
    /// Largest areas of pictures in pixels, one measurement each: the budget of visual tokens
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    max_pixels: Vec<u64>,
    /// Calls at once to a server
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = positive)]
    concurrency: usize,
    /// Seconds after which a call has failed
    #[arg(long, value_name = "S", default_value_t = 120.0)]
    timeout: f64,
    /// Calls that are made again after one failed in a way that may pass
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
    /// Seconds for a question, waits between calls included
    #[arg(long, value_name = "S", default_value_t = 600.0)]
    deadline: f64,
    /// Seconds before the first call that is made again; doubled each time
    #[arg(long, value_name = "S", default_value_t = 0.5)]
    backoff: f64,
}

/// Who it is.
pub enum Kind<'a> {
    /// A model directory.
    Local(&'a Path),
    /// A server, and the model's name there.
    Endpoint(&'a str, &'a str),
    /// Recorded responses.
    Responses(&'a Path),
    /// Nobody.
    Baseline(BaselineKind),
}

impl Args {
    /// Who it is.
    pub fn kind(&self) -> Outcome<Kind<'_>> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(wrong("--temperature", "a number from 0 up", self.temperature));
        }
        if let Some(dir) = &self.model {
            return Ok(Kind::Local(dir));
        }
        if let (Some(url), Some(name)) = (&self.endpoint, &self.served_model) {
            return Ok(Kind::Endpoint(url, name));
        }
        if let Some(file) = &self.responses {
            return Ok(Kind::Responses(file));
        }
        let name = self.baseline.clone().unwrap_or_default();
        let found = BaselineKind::ALL.into_iter().find(|kind| kind.name() == name);
        let known = BaselineKind::ALL.map(BaselineKind::name).join(" or ");
        found.map(Kind::Baseline).ok_or_else(|| wrong("--baseline", &known, name))
    }

    /// The largest areas to measure at: the model's own without a list.
    pub fn budgets(&self) -> Vec<Option<u64>> {
        if self.max_pixels.is_empty() {
            vec![None]
        } else {
            self.max_pixels.iter().copied().map(Some).collect()
        }
    }

    /// How a server is spoken to.
    pub fn endpoint(
        &self,
        url: &str,
        name: &str,
        pixels: Option<u64>,
        stop: &AtomicBool,
    ) -> Outcome<EndpointOptions> {
        let pictures = match &self.processor {
            None => Pictures::AsTheyAre(pixels),
            Some(dir) => {
                let dir = hub::model(dir, Need::Processor, Some(stop))?.path;
                let mut processor = Processor::from_dir(&dir)?;
                processor.images.max_pixels = pixels.unwrap_or(processor.images.max_pixels);
                Pictures::Model(Box::new(processor))
            }
        };
        let seconds = |field: &str, value: f64| {
            Duration::try_from_secs_f64(value).map_err(|_| wrong(field, "seconds from 0 up", value))
        };
        let retry = Retry {
            retries: self.retries,
            first: seconds("--backoff", self.backoff)?,
            deadline: seconds("--deadline", self.deadline)?,
            ..Retry::default()
        };
        Ok(EndpointOptions {
            url: url.into(),
            served_model: name.into(),
            api_key: std::env::var("OPENAI_API_KEY").ok().filter(|key| !key.is_empty()),
            concurrency: self.concurrency,
            timeout: seconds("--timeout", self.timeout)?,
            retry,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            pictures,
            compare_ids: !self.no_token_ids,
        })
    }

    /// The rules of a conversation with the model whose pictures are resized by `images`.
    pub fn protocol(&self, images: Option<&ImageProcessor>, stop: &AtomicBool) -> Outcome<Option<Protocol>> {
        let Some(script) = &self.turns else { return Ok(None) };
        let dir = self.model.as_ref().or(self.processor.as_ref());
        let (Some(dir), Some(images)) = (dir, images) else {
            return Err(wrong("--processor", "the served model's directory with --turns", "missing"));
        };
        let dir = hub::model(dir, Need::Processor, Some(stop))?.path;
        let mut protocol = Protocol::new(script, Config::from_dir(&dir)?.family, images)?;
        (protocol.turns, protocol.forced) = (self.max_turns, !self.may_answer);
        protocol.rules.min_side = self.min_side.unwrap_or(protocol.rules.min_side);
        if let Some(name) = &self.frame {
            let known = Frame::ALL.map(Frame::name).join(" or ");
            let found = Frame::ALL.into_iter().find(|frame| frame.name() == name);
            protocol.frame = found.ok_or_else(|| wrong("--frame", &known, name))?;
        }
        Ok(Some(protocol))
    }

    /// The corruptions that the model or adapter of a run directory (`RUN/checkpoints/step-…`) was trained on.
    pub fn trained_on(&self) -> Outcome<Option<Vec<String>>> {
        let run = self.adapter.as_ref().or(self.model.as_ref()).and_then(|dir| dir.canonicalize().ok());
        let Some(recipe) = run.and_then(|dir| Some(dir.parent()?.parent()?.join(RECIPE))) else {
            return Ok(None);
        };
        if !recipe.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&recipe).map_err(Failure::io(&recipe))?;
        let views: Views =
            toml::from_str(&text).map_err(|error| Failure::input(error).at(recipe.display()))?;
        Ok(Some(views.view.into_iter().flat_map(|view| view.corruptions).collect()))
    }
}

/// Of a recipe, what was trained on beside clean pictures. A run of another version may have keys that this one does
/// not know, and its model is measured all the same.
#[derive(Deserialize)]
struct Views {
    #[serde(default)]
    view: Vec<View>,
}

#[derive(Deserialize)]
struct View {
    #[serde(default)]
    corruptions: Vec<String>,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "not a whole number above 0".into())
}

fn wrong(field: &str, expected: &str, found: impl std::fmt::Display) -> Failure {
    Failure::differs("command line", field, expected, found)
}
