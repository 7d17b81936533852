//! Requests to the hub: who is asked, who is told the token, when it is asked again.
//!
//! Redirects are followed here and not by the client, as the headers on the way say what a file is, and as
//! the token goes to the hub's own address alone: files lie on other hosts, under addresses that are signed.

use std::thread::sleep;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body};

use crate::{Error, Name, Result, Settings};

/// Before a connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// Before an answer begins, and between two pieces of it.
const SILENCE: Duration = Duration::from_secs(60);
/// A listing may be long, but is no file.
const LONGEST_LISTING: u64 = 64 << 20;
const REDIRECTS: usize = 10;
/// Times that something is asked for without any progress.
pub(crate) const ATTEMPTS: u32 = 5;
/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The hub as a client sees it.
pub(crate) struct Http {
    agent: Agent,
    settings: Settings,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.settings.fmt(f)
    }
}

/// What the hub says of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Meta {
    /// Its mark; the SHA-256 of large files.
    pub etag: String,
    pub bytes: Option<u64>,
}

/// Where an answer came from, after redirects.
type Answer = Response<Body>;

impl Http {
    pub fn new(settings: &Settings) -> Self {
        let config = Agent::config_builder()
            .user_agent(concat!("foveate/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        Self { agent: config.build().into(), settings: settings.clone() }
    }

    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// The address of a file at a commit.
    pub fn address(&self, name: &Name, commit: &str, file: &str) -> String {
        let path: Vec<String> = file.split('/').map(encode).collect();
        let (endpoint, prefix) = (self.endpoint(), name.kind.prefix());
        format!("{endpoint}/{prefix}{}/resolve/{commit}/{}", name.id, path.join("/"))
    }

    /// Reads an answer of the interface.
    pub fn json<T: DeserializeOwned>(&self, url: &str, name: &Name, attempts: u32) -> Result<T> {
        self.again(attempts, || {
            let mut answer = accepted(self.request(url, false, None)?, url, name)?;
            let body = answer.body_mut().with_config().limit(LONGEST_LISTING).read_to_vec();
            let text = body.map_err(|fault| transport(url, fault))?;
            let wrong =
                |fault: serde_json::Error| Error::Answer { url: url.into(), message: fault.to_string() };
            serde_json::from_slice(&text).map_err(wrong)
        })
    }

    /// Asks what a file is. The answer is taken before it leads to another host, which knows only its own mark.
    pub fn meta(&self, url: &str, name: &Name) -> Result<Meta> {
        self.again(ATTEMPTS, || {
            let mut at = url.to_owned();
            for _ in 0..REDIRECTS {
                let answer = self.once(&at, true, None)?;
                match location(&answer, &at)? {
                    Some(next) if self.is_hub(&next) => at = next,
                    Some(_) => return meta(answer.headers(), false, url),
                    None => return meta(accepted(answer, url, name)?.headers(), true, url),
                }
            }
            Err(Error::Answer { url: url.into(), message: format!("more than {REDIRECTS} redirects") })
        })
    }

    /// Asks for a file's bytes from `start` on, once.
    pub fn bytes(&self, url: &str, name: &Name, start: u64) -> Result<Answer> {
        let answer = self.request(url, false, Some(start).filter(|start| *start > 0))?;
        match answer.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(answer),
            _ => accepted(answer, url, name),
        }
    }

    /// Follows redirects.
    fn request(&self, url: &str, head: bool, start: Option<u64>) -> Result<Answer> {
        let mut at = url.to_owned();
        for _ in 0..REDIRECTS {
            let answer = self.once(&at, head, start)?;
            match location(&answer, &at)? {
                Some(next) => at = next,
                None => return Ok(answer),
            }
        }
        Err(Error::Answer { url: url.into(), message: format!("more than {REDIRECTS} redirects") })
    }

    fn once(&self, url: &str, head: bool, start: Option<u64>) -> Result<Answer> {
        let mut request = if head { self.agent.head(url) } else { self.agent.get(url) };
        // Compressed, neither sizes nor ranges would be the file's own.
        request = request.header("accept-encoding", "identity");
        if let Some(token) = self.settings.token.as_ref().filter(|_| self.is_hub(url)) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(start) = start {
            request = request.header("range", format!("bytes={start}-"));
        }
        request.call().map_err(|fault| transport(url, fault))
    }

    /// Whether an address is below the endpoint's host.
    fn is_hub(&self, url: &str) -> bool {
        origin(url) == origin(self.endpoint())
    }

    /// Does something again where its fault may pass.
    fn again<T>(&self, attempts: u32, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            match work() {
                Err(fault) if passes(&fault) && tries + 1 < attempts => {
                    self.wait(tries);
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    /// Before the attempt after attempt number `tries`.
    pub fn wait(&self, tries: u32) {
        sleep(self.settings.backoff.saturating_mul(1 << tries.min(8)).min(LONGEST_WAIT));
    }
}

/// Whether the same request may succeed later.
pub(crate) fn passes(fault: &Error) -> bool {
    matches!(fault, Error::Transport { .. })
}

pub(crate) fn transport(url: &str, fault: impl ToString) -> Error {
    Error::Transport { url: url.into(), message: fault.to_string() }
}

/// Scheme, host and port.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

/// Where a redirect leads.
fn location(answer: &Answer, url: &str) -> Result<Option<String>> {
    if !answer.status().is_redirection() || answer.status() == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    let wrong = |message: &str| Error::Answer { url: url.into(), message: message.into() };
    let found = text(answer.headers(), "location").ok_or_else(|| wrong("a redirect to nowhere"))?;
    let scheme = url.split("//").next().unwrap_or_default();
    match found {
        whole if whole.starts_with("http://") || whole.starts_with("https://") => Ok(Some(whole.into())),
        host if host.starts_with("//") => Ok(Some(format!("{scheme}{host}"))),
        path if path.starts_with('/') => Ok(Some(format!("{}{path}", origin(url)))),
        other => Err(wrong(&format!("a redirect to `{other}`"))),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `whole`: the answer is the file's own, so its length is the file's.
fn meta(headers: &HeaderMap, whole: bool, url: &str) -> Result<Meta> {
    let wrong = |message: String| Error::Answer { url: url.into(), message };
    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
    let etag = etag.ok_or_else(|| wrong("the header `etag` is missing".into()))?;
    let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if etag.is_empty() || !etag.chars().all(plain) || etag.starts_with('.') {
        return Err(wrong(format!("the header `etag` should be a mark, but is `{etag}`")));
    }
    let length = text(headers, "content-length").filter(|_| whole);
    let bytes = text(headers, "x-linked-size").or(length).and_then(|bytes| bytes.parse().ok());
    Ok(Meta { etag, bytes })
}

/// A refusal in the hub's words, with what it means.
fn accepted(answer: Answer, url: &str, name: &Name) -> Result<Answer> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let headers = answer.headers();
    let said = text(headers, "x-error-message").map(|said| format!(" ({said})")).unwrap_or_default();
    let message = format!("{status}{said}");
    let later = status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    if later {
        if let Some(seconds) = text(headers, "retry-after").and_then(|wait| wait.parse().ok()) {
            sleep(Duration::from_secs(seconds).min(LONGEST_WAIT));
        }
        return Err(transport(url, message));
    }
    let (kind, id) = (name.kind.word(), &name.id);
    let why = match (text(headers, "x-error-code"), status.as_u16()) {
        (Some("GatedRepo"), _) => {
            format!("{kind} {id} is gated: accept its terms on its page, then set HF_TOKEN")
        }
        (Some("RevisionNotFound"), _) => format!("{kind} {id} has no revision `{}`", name.revision()),
        (Some("EntryNotFound"), _) => format!("{kind} {id} has no such file"),
        (_, 401 | 403 | 404) => format!("there is no {kind} {id}, or it is private and needs HF_TOKEN"),
        _ => "the request was refused".into(),
    };
    Err(Error::Refused { url: url.into(), message: format!("{why}: {message}") })
}

/// A piece of a path, percent-encoded, `/` included.
pub(crate) fn encode(piece: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    piece.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_for_one_scheme_host_and_port() {
        assert_eq!(origin("https://huggingface.co/api/models"), "https://huggingface.co");
        assert_eq!(origin("http://localhost:80?x"), "http://localhost:80");
        assert_ne!(origin("https://huggingface.co.evil.com/"), origin("https://huggingface.co/"));
        assert_ne!(origin("https://huggingface.co@evil.com/"), origin("https://huggingface.co/"));
    }

    #[test]
    fn pieces_of_paths_are_encoded() {
        assert_eq!(encode("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(encode("a b#1?.jpg"), "a%20b%231%3F.jpg");
        assert_eq!(encode("é"), "%C3%A9");
    }
}
