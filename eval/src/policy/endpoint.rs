//! A server with OpenAI's chat completions: vLLM, SGLang, `transformers serve`, any.
//!
//! Decides what is sent and what of a reply is believed. With a model directory at hand, pictures are sent at
//! the very size the model sees, and token ids of the prompt that the server returns must be ours; without
//! one, pictures are shrunk only over a largest area. A picture goes as PNG: nothing is lost on the way.

use super::local::draw_of;
use super::retry::{Fault, Retry, Streak};
use super::{Asked, Demand, Failed, Policy, Reply, Shown, sampling};
use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foveate_vision::images::{ImageProcessor, Patches};
use foveate_vision::processor::Processor;
use foveate_vision::text::{Content, Message};
use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use ureq::http::StatusCode;

/// A longer reply is none.
const LONGEST_REPLY: u64 = 64 << 20;

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
    url: String,
    agent: ureq::Agent,
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
        let given = options.url.trim_end_matches('/');
        if !given.starts_with("http://") && !given.starts_with("https://") {
            let expected = "http://HOST:PORT/v1 or https://…";
            return Err(Error::differs("command line", "--endpoint", expected, &options.url));
        }
        let url = match given {
            whole if whole.ends_with("/chat/completions") => whole.to_owned(),
            base if base.ends_with("/v1") => format!("{base}/chat/completions"),
            host => format!("{host}/v1/chat/completions"),
        };
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(options.timeout))
            .http_status_as_error(false)
            .max_idle_connections(options.concurrency)
            .max_idle_connections_per_host(options.concurrency);
        Ok(Self { agent: config.build().into(), url, options, streak: Streak::default(), stop })
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
        let mut pictures = asked.pictures.iter();
        let mut piece = |content: &Content| match content {
            Content::Text(text) => json!({"type": "text", "text": text}),
            Content::Image(_) => {
                let url = pictures.next().map_or("", |picture| &picture.url);
                json!({"type": "image_url", "image_url": {"url": url}})
            }
        };
        let mut turn = |turn: &Message| {
            let content: Vec<Value> = turn.content.iter().map(&mut piece).collect();
            json!({"role": turn.role, "content": content})
        };
        let messages: Vec<Value> = asked.messages.iter().map(&mut turn).collect();
        let mut body = json!({
            "model": self.options.served_model,
            "messages": messages,
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

    /// One call.
    fn call(&self, body: &[u8]) -> Result<Value, Fault> {
        let passing = |why: String| Fault::Passing { why, after: None };
        let mut request = self.agent.post(&self.url).content_type("application/json");
        if let Some(key) = &self.options.api_key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.send(body).map_err(|e| match e {
            ureq::Error::BadUri(_) | ureq::Error::HostNotFound => Fault::Fatal(format!("{}: {e}", self.url)),
            other => passing(other.to_string()),
        })?;
        let status = response.status();
        let after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
        let text = response.body_mut().with_config().limit(LONGEST_REPLY).read_to_vec();
        let text = text.map_err(|e| passing(format!("the reply broke off: {e}")))?;
        if status != StatusCode::OK {
            let why = format!("status {}: {}", status.as_u16(), excerpt(&text));
            return Err(match status.as_u16() {
                401 | 403 | 404 | 405 => Fault::Fatal(format!("{}: {why}", self.url)),
                408 | 409 | 425 | 429 | 500.. => {
                    Fault::Passing { why, after: after.map(Duration::from_secs) }
                }
                _ => Fault::Final(why),
            });
        }
        serde_json::from_slice(&text)
            .map_err(|e| passing(format!("the reply is no JSON ({e}): {}", excerpt(&text))))
    }

    fn ask(&self, asked: &Asked<Sent>) -> Result<Result<Reply, Failed>> {
        let body = self.body(asked).to_string();
        let replied = self.options.retry.run(draw_of(&asked.question.key), &self.streak, self.stop, || {
            let reply = self.call(body.as_bytes())?;
            let read = read(&reply).ok_or_else(|| Fault::Passing {
                why: format!(
                    "the reply has no choices[0].message: {}",
                    excerpt(reply.to_string().as_bytes())
                ),
                after: None,
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
        let returned = reply.get("prompt_token_ids").filter(|ids| !ids.is_null());
        let Some(Value::Array(theirs)) = returned else { return Ok(()) };
        let patches: Vec<_> = asked.pictures.iter().filter_map(|sent| sent.patches.clone()).collect();
        let ours = processor.prompt(&asked.messages, &patches)?.input_ids;
        let at = ours.iter().zip(theirs).position(|(a, b)| b.as_u64() != Some(u64::from(*a)));
        if at.is_none() && ours.len() == theirs.len() {
            return Ok(());
        }
        let at = at.unwrap_or(ours.len().min(theirs.len()));
        let place = format!("{}: sample {}", self.url, asked.question.sample);
        let say = |n: usize, id: Option<String>| {
            format!("{n} ids with {} at {at}", id.unwrap_or_else(|| "none".into()))
        };
        let expected = say(ours.len(), ours.get(at).map(ToString::to_string));
        let found = say(theirs.len(), theirs.get(at).map(ToString::to_string));
        Err(Error::differs(place, "prompt_token_ids", expected, found))
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

/// The beginning of what a server said.
fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
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
        let mut png = Vec::new();
        // Most of the time is the filter's and the compressor's; pictures go to a server nearby.
        let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub);
        resized.write_with_encoder(encoder).map_err(|e| Error::Work(format!("encoding a picture: {e}")))?;
        let url = format!("data:image/png;base64,{}", STANDARD.encode(&png)).into();
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
