//! A server with OpenAI's chat completions: vLLM, SGLang, `transformers serve`, any.
//!
//! Decides what is sent and what of a reply is believed. With a model directory at hand, pictures are sent at
//! the very size the model sees, and token ids of the prompt that the server returns must be ours; without
//! one, pictures are shrunk only over a largest area. A picture goes as PNG: nothing is lost on the way.

use super::local::draw_of;
use super::{Asked, Demand, Failed, Policy, Reply, Shown, sampling};
use crate::server::{Client, Fault, Retry, Streak, chat, excerpt};
use crate::{Error, Result};
use foveate_vision::images::{ImageProcessor, Patches};
use foveate_vision::processor::Processor;
use image::RgbImage;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Which size pictures are sent in.
#[derive(Clone, Debug)]
pub enum Pictures {
    /// That of the served model, whose directory is at hand.
    Model(Box<Processor>),
    /// As they are, up to this area in pixels; sides are then multiples of 28.
    AsTheyAre(Option<u64>),
}

/// How a server is spoken to.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// `http://host:port/v1`, or the whole of `…/chat/completions`.
    pub url: String,
    /// The model's name at the server.
    pub served_model: String,
    /// Sent as a bearer token.
    pub api_key: Option<String>,
    /// Calls at once.
    pub concurrency: usize,
    /// A call that takes longer has failed.
    pub timeout: Duration,
    /// When it is made again.
    pub retry: Retry,
    /// Longest answer.
    pub max_tokens: usize,
    /// 0 is greedy.
    pub temperature: f32,
    /// How pictures are sent.
    pub pictures: Pictures,
    /// Whether the prompt's ids are asked for and compared, where [`Pictures::Model`] says what they should be.
    pub compare_ids: bool,
}

/// A server.
#[derive(Debug)]
pub struct Endpoint<'a> {
    options: EndpointOptions,
    client: Client,
    streak: Streak,
    stop: &'a AtomicBool,
}

/// An encoded picture, and its patches where prompts are compared.
#[derive(Clone, Debug)]
pub struct Sent {
    url: Arc<str>,
    patches: Option<Arc<Patches>>,
}

impl<'a> Endpoint<'a> {
    /// A server; nothing is sent yet. No call is made again once `stop` is set.
    ///
    /// # Errors
    /// A URL that is none.
    pub fn new(options: EndpointOptions, stop: &'a AtomicBool) -> Result<Self> {
        let (key, timeout) = (options.api_key.clone(), options.timeout);
        let Some(client) = Client::new(&options.url, key, timeout, options.concurrency) else {
            let expected = "http://HOST:PORT/v1 or https://…";
            return Err(Error::differs("command line", "--endpoint", expected, &options.url));
        };
        Ok(Self { client, options, streak: Streak::default(), stop })
    }

    fn images(&self) -> Option<ImageProcessor> {
        match &self.options.pictures {
            Pictures::Model(processor) => Some(processor.images.clone()),
            Pictures::AsTheyAre(None) => None,
            Pictures::AsTheyAre(Some(max_pixels)) => Some(ImageProcessor {
                patch_size: 14,
                temporal_patch_size: 2,
                merge_size: 2,
                min_pixels: 1,
                max_pixels: *max_pixels,
                mean: [0.5; 3],
                std: [0.5; 3],
            }),
        }
    }

    fn body(&self, asked: &Asked<Sent>) -> Value {
        let pictures = asked.pictures.iter().map(|picture| &*picture.url);
        let mut body = json!({
            "model": self.options.served_model,
            "messages": chat::conversation(&asked.messages, pictures),
            "max_tokens": self.options.max_tokens,
            "temperature": self.options.temperature,
        });
        if self.options.temperature > 0.0 {
            // Servers read seeds as signed numbers of 64 bits, some of 32.
            body["seed"] = (draw_of(&asked.question.key) >> 33).into();
        }
        if self.compares().is_some() {
            body["return_token_ids"] = true.into();
        }
        body
    }

    fn ask(&self, asked: &Asked<Sent>) -> Result<Result<Reply, Failed>> {
        let body = self.body(asked).to_string();
        let replied = self.options.retry.run(draw_of(&asked.question.key), &self.streak, self.stop, || {
            let reply = self.client.chat(body.as_bytes())?;
            let said = || excerpt(reply.to_string().as_bytes());
            let read = read(&reply).ok_or_else(|| {
                Fault::passing(format!("the reply has no choices[0].message: {}", said()), false)
            })?;
            Ok((read, reply))
        });
        match replied {
            Ok((read, reply)) => {
                self.compare(asked, &reply)?;
                Ok(Ok(read))
            }
            Err(Fault::Fatal(why)) => Err(Error::Work(why)),
            Err(Fault::Final(why) | Fault::Passing { why, .. }) => Ok(Err(Failed(why))),
        }
    }

    /// What says which ids a prompt has, where they are compared.
    fn compares(&self) -> Option<&Processor> {
        match &self.options.pictures {
            Pictures::Model(processor) if self.options.compare_ids => Some(processor),
            _ => None,
        }
    }

    /// The prompt's ids, where the server returns them, are ours; else it sees another question than we ask.
    fn compare(&self, asked: &Asked<Sent>, reply: &Value) -> Result<()> {
        let Some(processor) = self.compares() else { return Ok(()) };
        let Some(theirs) = chat::prompt_ids(reply) else { return Ok(()) };
        let patches: Vec<_> = asked.pictures.iter().filter_map(|sent| sent.patches.clone()).collect();
        let ours = processor.prompt(&asked.messages, &patches)?.input_ids;
        chat::same_ids(format!("{}: sample {}", self.client.chat_url(), asked.question.sample), &ours, theirs)
    }
}

/// The answer of a reply; a message without content is an empty answer.
fn read(reply: &Value) -> Option<Reply> {
    let choice = reply.get("choices")?.get(0)?;
    let message = choice.get("message")?.as_object()?;
    let text = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(_) => return None,
    };
    let finish = choice.get("finish_reason").and_then(Value::as_str).map(str::to_owned);
    let tokens = reply.get("usage").and_then(|usage| usage.get("completion_tokens")?.as_u64());
    Some(Reply { text, finish, tokens: tokens.and_then(|n| u32::try_from(n).ok()), turns: vec![] })
}

impl Policy for Endpoint<'_> {
    type Picture = Sent;

    fn name(&self) -> &str {
        &self.options.served_model
    }

    fn sampling(&self) -> String {
        sampling(self.options.max_tokens, self.options.temperature)
    }

    fn pixels(&self) -> Option<[u64; 2]> {
        self.images().map(|images| [images.min_pixels, images.max_pixels])
    }

    fn resize(&self, picture: &RgbImage) -> Result<RgbImage> {
        let pixels = u64::from(picture.width()) * u64::from(picture.height());
        match self.images() {
            Some(images) if images.max_pixels < pixels || self.options.pictures.sized() => {
                Ok(images.resize(picture)?)
            }
            _ => Ok(picture.clone()),
        }
    }

    fn prepare(&self, picture: &RgbImage) -> Result<Shown<Sent>> {
        let resized = self.resize(picture)?;
        let patches = match self.compares() {
            Some(processor) => Some(Arc::new(processor.images.patches(&resized)?)),
            None => None,
        };
        let url = chat::data_url(&resized)?;
        Ok(Shown::new(Sent { url, patches }, resized.dimensions().into()))
    }

    fn demand(&self) -> Demand {
        Demand::single(self.options.concurrency)
    }

    fn answer(&self, asked: &[Asked<Sent>]) -> Result<Vec<Result<Reply, Failed>>> {
        asked.iter().map(|asked| self.ask(asked)).collect()
    }
}

impl Pictures {
    /// Whether every picture is brought to the model's size.
    fn sized(&self) -> bool {
        matches!(self, Self::Model(_))
    }
}
