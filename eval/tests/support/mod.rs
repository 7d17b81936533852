//! A server of OpenAI's chat completions that fails on demand, and the small task it is asked about.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // helpers of tests are tests; not every test needs all

pub mod http;

use foveate_augment::Scale;
use foveate_datasets::{OpenOptions, Split, Task, open};
use foveate_eval::Record;
use foveate_eval::policy::{EndpointOptions, Pictures};
use foveate_eval::record::digest;
use foveate_eval::server::Retry;
use foveate_eval::sweep::{Cell, Plan, images};
use http::{Reply, listen};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a call may take in tests.
pub const TIMEOUT: Duration = Duration::from_millis(400);

/// Ways in which a call goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Injected {
    Hangup,
    Status(u16),
    Silence,
    CutBody,
    Garbage,
    NoChoices,
}

pub const INJECTED: [Injected; 8] = [
    Injected::Hangup,
    Injected::Status(500),
    Injected::Status(429),
    Injected::Silence,
    Injected::CutBody,
    Injected::Garbage,
    Injected::NoChoices,
    Injected::Status(503),
];

/// What the server has seen.
#[derive(Default)]
pub struct Seen {
    pub calls: AtomicUsize,
    /// The bodies of the calls that were answered.
    pub answered: Mutex<Vec<Value>>,
}

/// A running server; it ends with the process.
pub struct Server {
    pub url: String,
    pub seen: Arc<Seen>,
}

/// What a call gets besides its answer.
pub type Extra = fn(&Value) -> Value;

impl Server {
    /// One that fails `per_cent` of all calls, chosen by their number alone.
    pub fn start(per_cent: usize) -> Self {
        Self::with(per_cent, |_| json!({}))
    }

    /// One whose replies hold what `extra` says too.
    pub fn with(per_cent: usize, extra: Extra) -> Self {
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        let url = listen(move |asked| reply(&asked.body, &shared, per_cent, extra)) + "/v1";
        Self { url, seen }
    }

    pub fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }
}

fn reply(body: &[u8], seen: &Seen, per_cent: usize, extra: Extra) -> Reply {
    let number = seen.calls.fetch_add(1, Ordering::SeqCst);
    let draw = usize::from_str_radix(&digest(&number.to_le_bytes(), 4), 16).unwrap();
    let injected = (draw % 100 < per_cent).then(|| INJECTED[draw / 100 % INJECTED.len()]);
    let asked: Value = serde_json::from_slice(body).unwrap();
    let mut good = json!({
        "choices": [{"message": {"role": "assistant", "content": answer(&asked)}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 3},
    });
    good.as_object_mut().unwrap().extend(extra(&asked).as_object().unwrap().clone());
    match injected {
        None => {
            seen.answered.lock().unwrap().push(asked);
            Reply::ok(good)
        }
        Some(Injected::Hangup) => Reply::Hangup,
        Some(Injected::Silence) => Reply::Silence(2 * TIMEOUT),
        Some(Injected::CutBody) => Reply::Cut(good.to_string()),
        Some(Injected::Garbage) => Reply::ok("<html>?{\n"),
        Some(Injected::NoChoices) => Reply::ok("{}"),
        Some(Injected::Status(429)) => Reply::status("429 Too Many Requests\r\nretry-after: 0", "busy"),
        Some(Injected::Status(500)) => Reply::status("500 Oops", "oops"),
        Some(Injected::Status(_)) => Reply::status("503 Busy", "oops"),
    }
}

/// A box that can be used, and something behind it that is dropped.
pub const BOX: &str = "There: ```json\n[{\"bbox_2d\": [4, 8, 40, 48], \"label\": \"it\"}]\n``` and so on";

/// What the server says to a question: a word that the question and its picture decide, so that a mix-up shows. Asked for
/// a box, it names one.
fn answer(asked: &Value) -> String {
    let last = asked["messages"].as_array().unwrap().last().unwrap();
    let content = last["content"].as_array().unwrap();
    let text = content.iter().find_map(|piece| piece["text"].as_str()).unwrap_or_default();
    let url = content.iter().find_map(|piece| piece["image_url"]["url"].as_str()).unwrap_or_default();
    assert!(url.starts_with("data:image/png;base64,"));
    if text.ends_with("Which box?") {
        return BOX.into();
    }
    format!("{} {}", ["yes", "no", "red", "two"][text.len() % 4], said_to(text))
}

/// The part of an answer that names its question.
pub fn said_to(prompt: &str) -> String {
    digest(prompt.replace("<image>", "").as_bytes(), 6)
}

pub fn shapes() -> Box<dyn Task> {
    open("shapes", &OpenOptions { size: Some(48), test: Some(160), seed: 3, ..OpenOptions::default() })
        .unwrap()
}

/// `limit` questions about clean pictures and two kinds of corrupted ones.
pub fn plan(task: &dyn Task, limit: usize) -> Plan<'_> {
    let cells =
        Cell::all(&["contrast".into(), "gaussian_noise".into()], &[3], Some(&["contrast".into()])).unwrap();
    let images = images(task, Split::Test, Some(limit), 3, (0, 1)).unwrap();
    Plan { task, split: Split::Test, seed: 3, scale: Scale::Native, cells, images }
}

pub fn options(server: &Server, retries: u32) -> EndpointOptions {
    EndpointOptions {
        url: server.url.clone(),
        served_model: "mock".into(),
        api_key: None,
        concurrency: 8,
        timeout: TIMEOUT,
        retry: Retry {
            retries,
            first: Duration::from_millis(2),
            longest: Duration::from_millis(20),
            deadline: Duration::from_secs(60),
        },
        max_tokens: 8,
        temperature: 0.0,
        pictures: Pictures::AsTheyAre(None),
        compare_ids: true,
    }
}

/// Every record answers its own question.
pub fn own(record: &Record) -> bool {
    record.response.as_ref().is_none_or(|response| response.ends_with(&said_to(&record.prompt)))
}
