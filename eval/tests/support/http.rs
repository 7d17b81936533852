//! A small server for tests: one thread a connection, and replies that can go wrong in every way.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // helpers of tests are tests; not every test needs all

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A request.
pub struct Asked {
    pub method: String,
    /// With what stands behind a question mark.
    pub path: String,
    pub body: Vec<u8>,
}

/// What becomes of it.
pub enum Reply {
    /// The status line's rest (`200 OK`, with further headers behind a line end) and the text.
    Text(String, String),
    /// Half of the text that was announced.
    Cut(String),
    /// The connection is closed.
    Hangup,
    /// Nothing for so long, then the connection is closed.
    Silence(Duration),
}

impl Reply {
    pub fn ok(text: impl ToString) -> Self {
        Self::Text("200 OK".into(), text.to_string())
    }

    pub fn status(status: &str, text: &str) -> Self {
        Self::Text(status.into(), text.into())
    }
}

/// Serves on a free port until the process ends; the result is `http://HOST:PORT`.
pub fn listen(handle: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, handle) = (stream.unwrap(), handle.clone());
            std::thread::spawn(move || serve(stream, &*handle));
        }
    });
    url
}

/// Serves calls on one connection until it is closed.
fn serve(mut stream: TcpStream, handle: &impl Fn(Asked) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(asked) = request(&mut reader) {
        let (status, length, text) = match handle(asked) {
            Reply::Hangup => return,
            Reply::Silence(time) => return std::thread::sleep(time),
            Reply::Cut(text) => ("200 OK".into(), text.len(), text[..text.len() / 2].to_owned()),
            Reply::Text(status, text) => (status, text.len(), text),
        };
        let cut = text.len() < length;
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
        if sent.is_err() || cut {
            return;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<Asked> {
    let (mut length, mut first) = (0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if first.is_empty() {
            first.clone_from(&line);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, path, body })
}
