//! A server on this machine that speaks the hub's routes, and fails in the ways that networks fail.
//!
//! Two hosts, as on the hub: one names files and sends those that are small, one has those that are large and
//! wants no token. `tests/golden/hub/make.py` fetches from it with Python's own client, so that what is
//! taken for the hub's behaviour here is what that client takes for it.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// From this size on a file is a large one.
const LARGE: usize = 4096;

#[derive(Clone)]
pub struct Repo {
    /// `models` or `datasets`.
    pub kind: &'static str,
    pub id: String,
    /// Branches and tags.
    pub refs: Vec<(String, String)>,
    pub files: Vec<(String, Vec<u8>)>,
    /// The token that may see its files, if they are gated.
    pub gated: Option<String>,
}

impl Repo {
    pub fn new(kind: &'static str, id: &str, files: Vec<(String, Vec<u8>)>) -> Self {
        let refs = vec![("main".into(), commit('a')), ("v1".into(), commit('b'))];
        Self { kind, id: id.into(), refs, files, gated: None }
    }

    fn commit_of(&self, revision: &str) -> Option<String> {
        let mut commits = self.refs.iter().map(|(_, commit)| commit);
        let named = self.refs.iter().find(|(name, _)| name == revision).map(|(_, commit)| commit);
        named.or_else(|| commits.find(|commit| *commit == revision)).cloned()
    }

    fn prefix(&self) -> String {
        if self.kind == "models" { self.id.clone() } else { format!("{}/{}", self.kind, self.id) }
    }
}

/// Forty of one digit.
pub fn commit(digit: char) -> String {
    std::iter::repeat_n(digit, 40).collect()
}

/// A repository of every kind of file there is: small and large, nested, with a name that wants encoding,
/// and two names for the same bytes.
pub fn sample() -> Repo {
    let large = |seed: u8, bytes: u32| (0..bytes).map(|i| (i.wrapping_mul(31) >> 3) as u8 ^ seed).collect();
    let files: Vec<(String, Vec<u8>)> = vec![
        ("README.md".into(), b"# a model\n".to_vec()),
        ("config.json".into(), b"{\"model_type\": \"none\"}".to_vec()),
        ("model-00001-of-00002.safetensors".into(), large(1, 300_000)),
        ("model-00002-of-00002.safetensors".into(), large(2, 70_000)),
        ("notes/one #1 100%.txt".into(), b"percent".to_vec()),
        ("notes/deep/er/copy.bin".into(), large(2, 70_000)),
        ("pytorch_model.bin".into(), large(3, 50_000)),
    ];
    Repo::new("models", "org/sample", files)
}

/// What goes wrong with one file, by its name.
#[derive(Clone, Default)]
pub struct Fault {
    /// After how many bytes the next connections are cut.
    pub cuts: Vec<usize>,
    /// Statuses of the next answers.
    pub statuses: Vec<u16>,
    /// Ranges are not heeded.
    pub whole: bool,
    /// One byte of the next answers is another.
    pub damage: usize,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// `hub` or `files`.
    pub host: &'static str,
    pub method: String,
    pub path: String,
    pub token: Option<String>,
    pub range: Option<String>,
}

#[derive(Default)]
struct State {
    repos: Vec<Repo>,
    /// Old names of repositories.
    moved: HashMap<String, String>,
    faults: HashMap<String, Fault>,
    asked: Vec<Asked>,
    files: Option<SocketAddr>,
}

#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    hub: SocketAddr,
}

impl Server {
    pub fn start(repos: Vec<Repo>) -> Self {
        let state = Arc::new(Mutex::new(State { repos, ..State::default() }));
        let files = listen(&state, "files");
        state.lock().unwrap().files = Some(files);
        let hub = listen(&state, "hub");
        Self { state, hub }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.hub)
    }

    pub fn fault(&self, file: &str, fault: Fault) {
        self.state.lock().unwrap().faults.insert(file.into(), fault);
    }

    pub fn moved(&self, old: &str, new: &str) {
        self.state.lock().unwrap().moved.insert(old.into(), new.into());
    }

    pub fn change(&self, change: impl FnOnce(&mut Repo)) {
        change(&mut self.state.lock().unwrap().repos[0]);
    }

    /// All requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

fn listen(state: &Arc<Mutex<State>>, host: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let state = state.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = state.clone();
            std::thread::spawn(move || serve(stream, &state, host));
        }
    });
    address
}

/// An answer on its way out.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The connection is cut after so many bytes.
    cut: Option<usize>,
}

impl Reply {
    fn new(status: u16) -> Self {
        Self { status, headers: vec![], body: vec![], cut: None }
    }

    fn refusal(status: u16, code: &str, message: &str) -> Self {
        Self::new(status).with("X-Error-Code", code).with("X-Error-Message", message)
    }

    fn json(value: &Value) -> Self {
        Self { body: value.to_string().into_bytes(), ..Self::new(200) }
            .with("Content-Type", "application/json")
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>, host: &'static str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: HashMap<String, String> = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.into())))
        .collect();
    let asked = Asked {
        host,
        method: method.into(),
        path: path.into(),
        token: headers.get("authorization").cloned(),
        range: headers.get("range").cloned(),
    };
    let reply = {
        let mut state = state.lock().unwrap();
        state.asked.push(asked.clone());
        if host == "hub" { hub(&mut state, &asked) } else { large(&mut state, &asked) }
    };
    send(&mut stream, reply, method == "HEAD");
}

fn send(stream: &mut TcpStream, reply: Reply, head: bool) {
    let mut text = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    text += &format!("Content-Length: {}\r\n", reply.body.len());
    reply.headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
    let _ = stream.write_all(format!("{text}\r\n").as_bytes());
    let end = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
    if !head {
        let _ = stream.write_all(&reply.body[..end]);
    }
    let _ = stream.flush();
    let _ = stream.shutdown(Shutdown::Both);
}

/// The host that names files.
fn hub(state: &mut State, asked: &Asked) -> Reply {
    let path = asked.path.split('?').next().unwrap_or_default();
    for (old, new) in &state.moved {
        if path.contains(&format!("/{old}/")) {
            return Reply::new(307).with("Location", path.replace(old, new));
        }
    }
    let found = state.repos.iter().find_map(|repo| {
        let api = format!("/api/{}/{}/", repo.kind, repo.id);
        let files = format!("/{}/resolve/", repo.prefix());
        let rest = |prefix: String| path.strip_prefix(&prefix).map(str::to_owned);
        rest(api).map(|rest| (repo.clone(), true, rest)).or_else(|| Some((repo.clone(), false, rest(files)?)))
    });
    let Some((repo, api, rest)) = found else {
        return match &asked.token {
            None => Reply::refusal(401, "RepoNotFound", "Repository not found"),
            Some(_) => Reply::refusal(404, "RepoNotFound", "Repository not found"),
        };
    };
    if api { interface(&repo, &rest) } else { file(state, asked, &repo, &rest) }
}

/// `revision/REVISION` and `tree/REVISION`.
fn interface(repo: &Repo, rest: &str) -> Reply {
    let (route, revision) = rest.split_once('/').unwrap_or((rest, "main"));
    let Some(commit) = repo.commit_of(&decoded(revision)) else {
        return Reply::refusal(404, "RevisionNotFound", "Invalid rev id");
    };
    let large = |bytes: &[u8]| json!({"oid": sha256(bytes), "size": bytes.len(), "pointerSize": 130});
    let entry = |(name, bytes): &(String, Vec<u8>)| {
        let mut entry = json!({"type": "file", "oid": mark(bytes), "size": bytes.len(), "path": name});
        if bytes.len() >= LARGE {
            entry["lfs"] = large(bytes);
        }
        entry
    };
    match route {
        "tree" => Reply::json(&repo.files.iter().map(entry).collect::<Value>()),
        _ => {
            let siblings: Value = repo.files.iter().map(|(name, _)| json!({"rfilename": name})).collect();
            Reply::json(&json!({"id": repo.id, "modelId": repo.id, "sha": commit, "private": false,
                "tags": [], "downloads": 0, "likes": 0, "siblings": siblings}))
        }
    }
}

/// `REVISION/FILE`.
fn file(state: &mut State, asked: &Asked, repo: &Repo, rest: &str) -> Reply {
    let (revision, name) = rest.split_once('/').unwrap_or((rest, ""));
    let Some(commit) = repo.commit_of(&decoded(revision)) else {
        return Reply::refusal(404, "RevisionNotFound", "Invalid rev id");
    };
    let allowed = repo.gated.as_ref().is_none_or(|token| asked.token == Some(format!("Bearer {token}")));
    if !allowed {
        return Reply::refusal(
            if asked.token.is_some() { 403 } else { 401 },
            "GatedRepo",
            "Access is restricted",
        );
    }
    let name = decoded(name);
    let Some((_, bytes)) = repo.files.iter().find(|(found, _)| *found == name) else {
        return Reply::refusal(404, "EntryNotFound", "Entry not found").with("X-Repo-Commit", commit);
    };
    if bytes.len() < LARGE {
        let etag = format!("\"{}\"", mark(bytes));
        return body(state, asked, &name, bytes).with("ETag", etag).with("X-Repo-Commit", commit);
    }
    let address = state.files.unwrap();
    let signed = format!(
        "http://localhost:{}/{}?signed=1",
        address.port(),
        name.replace(' ', "%20").replace('#', "%23")
    );
    Reply::new(302)
        .with("Location", signed)
        .with("X-Repo-Commit", commit)
        .with("X-Linked-Etag", format!("\"{}\"", sha256(bytes)))
        .with("X-Linked-Size", bytes.len())
        .with("ETag", "\"of-the-redirect\"")
}

/// The host that has large files.
fn large(state: &mut State, asked: &Asked) -> Reply {
    if asked.token.is_some() {
        return Reply::refusal(400, "InvalidArgument", "Only one auth mechanism allowed");
    }
    let path = asked.path.trim_start_matches('/').split('?').next().unwrap_or_default();
    let name = decoded(path);
    let bytes = state.repos.iter().flat_map(|repo| &repo.files).find(|(found, _)| *found == name);
    let bytes = bytes.unwrap().1.clone();
    body(state, asked, &name, &bytes).with("ETag", "\"of-the-store\"")
}

/// A file's bytes, or its part, or what its fault makes of them.
fn body(state: &mut State, asked: &Asked, name: &str, bytes: &[u8]) -> Reply {
    let mut none = Fault::default();
    let fault = state.faults.get_mut(name).filter(|_| asked.method == "GET").unwrap_or(&mut none);
    if !fault.statuses.is_empty() {
        return Reply::refusal(fault.statuses.remove(0), "Trouble", "try later");
    }
    let mut bytes = bytes.to_vec();
    if fault.damage > 0 {
        fault.damage -= 1;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }
    let cut = if fault.cuts.is_empty() { None } else { Some(fault.cuts.remove(0)) };
    let start = asked.range.as_ref().filter(|_| !fault.whole);
    let start = start.and_then(|range| range.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok());
    let whole = bytes.len();
    match start {
        None => Reply { body: bytes, cut, ..Reply::new(200) },
        Some(start) if start >= whole => Reply::new(416).with("Content-Range", format!("bytes */{whole}")),
        Some(start) => Reply { body: bytes.split_off(start), cut, ..Reply::new(206) }
            .with("Content-Range", format!("bytes {start}-{}/{whole}", whole - 1)),
    }
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = if bytes[at] == b'%' { text.get(at + 1..at + 3) } else { None };
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (out.push(byte), at += 3).1,
            None => (out.push(bytes[at]), at += 1).1,
        }
    }
    String::from_utf8(out).unwrap()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The mark of a small file: on the hub git's, here any forty digits that the contents decide.
fn mark(bytes: &[u8]) -> String {
    sha256(bytes)[..40].into()
}
