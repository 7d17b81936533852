//! A server of OpenAI's chat completions that fails on demand, and the small task it is asked about.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // helpers of tests are tests; not every test needs all

use foveate_augment::Scale;
use foveate_datasets::{OpenOptions, Split, Task, open};
use foveate_eval::Record;
use foveate_eval::policy::{EndpointOptions, Pictures};
use foveate_eval::record::digest;
use foveate_eval::server::Retry;
use foveate_eval::sweep::{Cell, Plan, images};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, seen) = (stream.unwrap(), shared.clone());
                std::thread::spawn(move || serve(stream, &seen, per_cent, extra));
            }
        });
        Self { url, seen }
    }

    pub fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }
}

/// Serves calls on one connection until it is closed.
fn serve(stream: TcpStream, seen: &Seen, per_cent: usize, extra: Extra) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(body) = request(&mut reader) {
        let number = seen.calls.fetch_add(1, Ordering::SeqCst);
        let draw = usize::from_str_radix(&digest(&number.to_le_bytes(), 4), 16).unwrap();
        let injected = (draw % 100 < per_cent).then(|| INJECTED[draw / 100 % INJECTED.len()]);
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let mut reply = json!({
            "choices": [{"message": {"role": "assistant", "content": answer(&asked)}, "finish_reason": "stop"}],
            "usage": {"completion_tokens": 3},
        });
        reply.as_object_mut().unwrap().extend(extra(&asked).as_object().unwrap().clone());
        let reply = reply.to_string();
        let (status, length, text) = match injected {
            None => {
                seen.answered.lock().unwrap().push(asked);
                ("200 OK", reply.len(), reply)
            }
            Some(Injected::Hangup) => return,
            Some(Injected::Silence) => {
                std::thread::sleep(2 * TIMEOUT);
                return;
            }
            Some(Injected::CutBody) => ("200 OK", reply.len(), reply[..reply.len() / 2].to_owned()),
            Some(Injected::Garbage) => ("200 OK", 9, "<html>?{\n".to_owned()),
            Some(Injected::NoChoices) => ("200 OK", 2, "{}".to_owned()),
            Some(Injected::Status(429)) => ("429 Too Many Requests\r\nretry-after: 0", 4, "busy".to_owned()),
            Some(Injected::Status(code)) => {
                (if code == 500 { "500 Oops" } else { "503 Busy" }, 4, "oops".to_owned())
            }
        };
        let cut = text.len() < length;
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes())).is_err() || cut
        {
            return;
        }
    }
}

/// The body of the next request.
fn request(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

/// What the server says to a question: a word that the question and its picture decide, so that a mix-up shows.
fn answer(asked: &Value) -> String {
    let content = asked["messages"][0]["content"].as_array().unwrap();
    let text = content.iter().find_map(|piece| piece["text"].as_str()).unwrap_or_default();
    let url = content.iter().find_map(|piece| piece["image_url"]["url"].as_str()).unwrap_or_default();
    assert!(url.starts_with("data:image/png;base64,"));
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
    }
}

/// Every record answers its own question.
pub fn own(record: &Record) -> bool {
    record.response.as_ref().is_none_or(|response| response.ends_with(&said_to(&record.prompt)))
}
