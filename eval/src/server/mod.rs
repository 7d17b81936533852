//! How a server is spoken to: addresses, the key, what a status means, calls that are made again.
//!
//! Knows nothing of questions or answers; [`chat`] knows how a conversation is put.

pub mod chat;
mod retry;

pub use retry::{Retry, Streak};

use serde_json::Value;
use std::time::Duration;
use ureq::http::StatusCode;

/// A longer reply is none.
const LONGEST_REPLY: u64 = 64 << 20;

/// Where chat completions are, behind the server's root.
const CHAT: &str = "/v1/chat/completions";

/// How a call failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// It may pass: the same call is worth making again, after so long if the server said so.
    Passing {
        /// What happened.
        why: String,
        /// What the server said of when.
        after: Option<Duration>,
        /// Whether the server may have ended: what it answers next may be another process.
        gone: bool,
    },
    /// The server understood and refused this question.
    Final(String),
    /// The server will refuse every question.
    Fatal(String),
}

/// A server with OpenAI's routes, and whatever others it has.
#[derive(Clone, Debug)]
pub struct Client {
    root: String,
    chat: String,
    key: Option<String>,
    agent: ureq::Agent,
}

impl Client {
    /// The server at `url`: `http://host:port`, with `/v1` or the whole of `/v1/chat/completions` behind it.
    /// Nothing is sent yet. A call that takes longer than `timeout` has failed; `connections` are kept open.
    /// `None` for a URL that is none.
    pub fn new(url: &str, key: Option<String>, timeout: Duration, connections: usize) -> Option<Self> {
        let given = url.trim_end_matches('/');
        if !given.starts_with("http://") && !given.starts_with("https://") {
            return None;
        }
        let (root, chat) = match given.strip_suffix("/chat/completions") {
            Some(base) => (base.strip_suffix("/v1").unwrap_or(base), given.to_owned()),
            None => {
                let root = given.strip_suffix("/v1").unwrap_or(given);
                (root, format!("{root}{CHAT}"))
            }
        };
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections);
        Some(Self { root: root.into(), chat, key, agent: config.build().into() })
    }

    /// The server without a route.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Where chat completions are.
    pub fn chat_url(&self) -> &str {
        &self.chat
    }

    /// Asks for a chat completion.
    ///
    /// # Errors
    /// How the call failed.
    pub fn chat(&self, body: &[u8]) -> Result<Value, Fault> {
        let text = self.send(&self.chat, Some(body))?;
        serde_json::from_slice(&text)
            .map_err(|e| Fault::passing(format!("the reply is no JSON ({e}): {}", excerpt(&text)), false))
    }

    /// Reads a route, `/v1/models` say.
    ///
    /// # Errors
    /// How the call failed.
    pub fn get(&self, route: &str) -> Result<Value, Fault> {
        Ok(lenient(&self.send(&format!("{}{route}", self.root), None)?))
    }

    /// Posts to a route; the reply is `Null` where it is no JSON.
    ///
    /// # Errors
    /// How the call failed.
    pub fn post(&self, route: &str, body: &Value) -> Result<Value, Fault> {
        let body = body.to_string();
        Ok(lenient(&self.send(&format!("{}{route}", self.root), Some(body.as_bytes()))?))
    }

    /// Whether there is a route, asked in a way that does nothing: a route for posts refuses to be read.
    ///
    /// # Errors
    /// How the call failed.
    pub fn has(&self, route: &str) -> Result<bool, Fault> {
        let url = format!("{}{route}", self.root);
        let (status, ..) = self.exchange(&url, None)?;
        Ok(status != StatusCode::NOT_FOUND)
    }

    /// One call, whose reply is good.
    fn send(&self, url: &str, body: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
        let (status, after, text) = self.exchange(url, body)?;
        if status.is_success() {
            return Ok(text);
        }
        let code = status.as_u16();
        let why = format!("status {code}: {}", excerpt(&text));
        Err(match code {
            401 | 403 | 404 | 405 => Fault::Fatal(format!("{url}: {why}")),
            408 | 409 | 425 | 429 => Fault::Passing { why, after, gone: false },
            500.. => Fault::Passing { why, after, gone: true },
            _ => Fault::Final(why),
        })
    }

    /// One call, whatever the status.
    fn exchange(
        &self,
        url: &str,
        body: Option<&[u8]>,
    ) -> Result<(StatusCode, Option<Duration>, Vec<u8>), Fault> {
        let authorization = self.key.as_ref().map(|key| ("authorization", format!("Bearer {key}")));
        let sent = match body {
            Some(body) => {
                let request = self.agent.post(url).content_type("application/json");
                authorization.into_iter().fold(request, |r, (name, value)| r.header(name, value)).send(body)
            }
            None => {
                let request = self.agent.get(url);
                authorization.into_iter().fold(request, |r, (name, value)| r.header(name, value)).call()
            }
        };
        let mut response = sent.map_err(|e| match e {
            ureq::Error::BadUri(_) | ureq::Error::HostNotFound => Fault::Fatal(format!("{url}: {e}")),
            other => Fault::passing(other.to_string(), true),
        })?;
        let after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
        let text = response.body_mut().with_config().limit(LONGEST_REPLY).read_to_vec();
        let text = text.map_err(|e| Fault::passing(format!("the reply broke off: {e}"), true))?;
        Ok((response.status(), after.map(Duration::from_secs), text))
    }
}

impl Fault {
    /// One that may pass, of which the server said nothing.
    pub fn passing(why: String, gone: bool) -> Self {
        Self::Passing { why, after: None, gone }
    }

    /// What happened.
    pub fn why(&self) -> &str {
        match self {
            Self::Passing { why, .. } | Self::Final(why) | Self::Fatal(why) => why,
        }
    }
}

fn lenient(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_default()
}

/// The beginning of what a server said.
pub fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed() {
        let client = |url: &str| Client::new(url, None, Duration::from_secs(1), 1);
        for (given, root, chat) in [
            ("http://h:1", "http://h:1", "http://h:1/v1/chat/completions"),
            ("http://h:1/v1/", "http://h:1", "http://h:1/v1/chat/completions"),
            ("https://h/x/v1/chat/completions", "https://h/x", "https://h/x/v1/chat/completions"),
            ("https://h/chat/completions", "https://h", "https://h/chat/completions"),
        ] {
            let client = client(given).unwrap();
            assert_eq!((client.root(), client.chat_url()), (root, chat));
        }
        assert!(client("localhost:8000").is_none() && client("ftp://h").is_none());
    }
}
