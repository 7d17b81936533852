//! Files come whole, once, from where they broke off, and to where Python looks for them.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

#[path = "support/server.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foveate_hub::{Error, Hub, Name, Observer, Reason, Result, Settings, Silent};
use serde_json::{Value, json};
use server::{Fault, Repo, Server, commit, sample};
use tempfile::TempDir;

const FIRST: &str = "model-00001-of-00002.safetensors";

struct Place {
    server: Server,
    cache: TempDir,
    settings: Settings,
}

impl Place {
    fn new(repo: Repo) -> Self {
        let (server, cache) = (Server::start(vec![repo]), tempfile::tempdir().unwrap());
        let settings = Settings {
            endpoint: server.endpoint(),
            cache: cache.path().into(),
            token: None,
            offline: false,
            backoff: Duration::from_millis(1),
        };
        Self { server, cache, settings }
    }

    fn with(&self, change: impl FnOnce(&mut Settings)) -> Hub {
        let mut settings = self.settings.clone();
        change(&mut settings);
        Hub::new(settings)
    }

    fn fetch(&self, word: &str, files: &[&str]) -> Result<std::path::PathBuf> {
        fetch(&self.with(|_| {}), word, files, &Silent)
    }

    /// The repository's folder in the cache.
    fn folder(&self) -> std::path::PathBuf {
        self.cache.path().join("models--org--sample")
    }
}

fn fetch(hub: &Hub, word: &str, files: &[&str], observer: &dyn Observer) -> Result<std::path::PathBuf> {
    let name = Name::model(word)?.unwrap();
    let snapshot = hub.open(&name, observer)?;
    snapshot.fetch(files, observer)?;
    Ok(snapshot.dir())
}

fn bytes(name: &str) -> Vec<u8> {
    sample().files.into_iter().find(|(found, _)| found == name).unwrap().1
}

fn all() -> Vec<String> {
    sample().files.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn files_come_as_they_are_and_come_once() {
    let place = Place::new(sample());
    let dir = place.fetch("org/sample", &["config.json", FIRST, "notes/one #1 100%.txt"]).unwrap();
    for file in ["config.json", FIRST, "notes/one #1 100%.txt"] {
        assert_eq!(fs::read(dir.join(file)).unwrap(), bytes(file), "{file}");
    }
    assert!(!dir.join("pytorch_model.bin").exists(), "nobody asked for it");
    let asked = place.server.asked();
    assert_eq!(asked.iter().filter(|asked| asked.host == "files").count(), 1);
    assert!(asked.iter().all(|asked| asked.token.is_none()));

    place.fetch("org/sample", &["config.json", FIRST]).unwrap();
    let again = place.server.asked();
    assert_eq!(again.len(), 1, "only which commit it is: {again:?}");
}

#[test]
fn the_token_goes_to_the_hub_and_to_no_other_host() {
    let place = Place::new(Repo { gated: Some("secret".into()), ..sample() });
    let refused = place.fetch("org/sample", &["config.json"]).unwrap_err();
    assert!(refused.is_input() && refused.to_string().contains("is gated"), "{refused}");
    let wrong = fetch(&place.with(|s| s.token = Some("other".into())), "org/sample", &[FIRST], &Silent);
    assert!(wrong.unwrap_err().to_string().contains("403"));
    place.server.asked();

    fetch(&place.with(|s| s.token = Some("secret".into())), "org/sample", &[FIRST], &Silent).unwrap();
    for asked in place.server.asked() {
        let expected = (asked.host == "hub").then(|| "Bearer secret".to_owned());
        assert_eq!(asked.token, expected, "{asked:?}");
    }
}

#[test]
fn a_cut_connection_goes_on_where_it_was() {
    let place = Place::new(sample());
    place.server.fault(FIRST, Fault { cuts: vec![100_000, 0, 50_000], ..Fault::default() });
    let dir = place.fetch("org/sample", &[FIRST]).unwrap();
    assert_eq!(fs::read(dir.join(FIRST)).unwrap(), bytes(FIRST));
    let ranges: Vec<_> = place.server.asked().into_iter().filter(|asked| asked.host == "files").collect();
    let ranges: Vec<_> = ranges.iter().map(|asked| asked.range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-"), Some("bytes=100000-"), Some("bytes=150000-")]);
}

#[test]
fn what_another_command_left_is_taken_up() {
    let place = Place::new(sample());
    place.server.fault(FIRST, Fault { cuts: vec![9000, 0, 0, 0, 0, 0], ..Fault::default() });
    let broken = place.fetch("org/sample", &[FIRST]).unwrap_err();
    assert!(!broken.is_input(), "{broken}");
    let part = place.folder().join("blobs").join(format!("{}.incomplete", server::sha256(&bytes(FIRST))));
    assert_eq!(fs::read(&part).unwrap(), bytes(FIRST)[..9000]);

    place.server.fault(FIRST, Fault::default());
    place.server.asked();
    let dir = place.fetch("org/sample", &[FIRST]).unwrap();
    assert_eq!(fs::read(dir.join(FIRST)).unwrap(), bytes(FIRST));
    assert!(place.server.asked().iter().any(|asked| asked.range.as_deref() == Some("bytes=9000-")));
    assert!(!part.exists());

    // A part that is not of this file is found out by the hash, one that is too long by its length.
    for wrong in [vec![7; 9000], vec![7; 400_000]] {
        fs::remove_dir_all(place.folder()).unwrap();
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(&part, wrong).unwrap();
        let dir = place.fetch("org/sample", &[FIRST]).unwrap();
        assert_eq!(fs::read(dir.join(FIRST)).unwrap(), bytes(FIRST));
    }
}

#[test]
fn a_server_that_does_not_resume_starts_over() {
    let place = Place::new(sample());
    place.server.fault(FIRST, Fault { cuts: vec![100_000], whole: true, ..Fault::default() });
    let watch = Watch::default();
    let dir = fetch(&place.with(|_| {}), "org/sample", &[FIRST], &watch).unwrap();
    assert_eq!(fs::read(dir.join(FIRST)).unwrap(), bytes(FIRST));
    assert_eq!(watch.bytes.load(Ordering::Relaxed), 300_000, "what was lost is counted back");
}

#[test]
fn damage_is_found_and_nothing_is_kept() {
    let place = Place::new(sample());
    place.server.fault(FIRST, Fault { damage: usize::MAX, ..Fault::default() });
    let damaged = place.fetch("org/sample", &[FIRST]).unwrap_err();
    let told = damaged.to_string();
    assert!(told.contains(FIRST) && told.contains("sha256"), "{told}");
    assert!(told.contains(&server::sha256(&bytes(FIRST))) && !damaged.is_input(), "{told}");
    assert_eq!(fs::read_dir(place.folder().join("blobs")).unwrap().count(), 0);
    assert!(!place.folder().join("snapshots").join(commit('a')).join(FIRST).exists());
}

#[test]
fn a_server_in_trouble_is_asked_again_and_one_that_refuses_is_not() {
    let place = Place::new(sample());
    place.server.fault("config.json", Fault { statuses: vec![503, 429, 500], ..Fault::default() });
    place.fetch("org/sample", &["config.json"]).unwrap();
    place.server.asked();
    let missing = place.fetch("org/sample", &["tokenizer.json"]).unwrap_err();
    assert!(missing.is_input() && missing.to_string().contains("tokenizer.json"), "{missing}");
    let told = place.fetch("org/sample@v9", &[]).unwrap_err().to_string();
    assert!(told.contains("no revision `v9`"), "{told}");
    let told = place.fetch("org/absent", &[]).unwrap_err().to_string();
    assert!(told.contains("there is no model org/absent") && told.contains("401"), "{told}");
    assert_eq!(place.server.asked().len(), 3);
}

#[test]
fn a_repository_that_moved_is_followed() {
    let place = Place::new(sample());
    place.server.moved("old/name", "org/sample");
    let dir = fetch(&place.with(|s| s.token = Some("t".into())), "old/name", &[FIRST], &Silent).unwrap();
    assert_eq!(fs::read(dir.join(FIRST)).unwrap(), bytes(FIRST));
    assert!(place.server.asked().iter().all(|asked| (asked.host == "hub") == asked.token.is_some()));
}

#[test]
fn offline_says_what_is_missing_and_where_it_was_looked_for() {
    let place = Place::new(sample());
    let offline = place.with(|s| s.offline = true);
    let nothing = fetch(&offline, "org/sample", &["config.json"], &Silent).unwrap_err();
    let told = nothing.to_string();
    assert!(told.contains("HF_HUB_OFFLINE") && told.contains("`main`") && nothing.is_input(), "{told}");
    assert!(told.contains(place.folder().to_str().unwrap()), "{told}");

    place.fetch("org/sample", &["config.json"]).unwrap();
    place.server.asked();
    fetch(&offline, "org/sample", &["config.json"], &Silent).unwrap();
    fetch(&offline, &format!("org/sample@{}", commit('a')), &["config.json"], &Silent).unwrap();
    let told = fetch(&offline, "org/sample", &["config.json", FIRST], &Silent).unwrap_err().to_string();
    assert!(told.contains(FIRST) && told.contains(&commit('a')), "{told}");
    assert_eq!(place.server.asked(), []);
}

#[test]
fn a_hub_out_of_reach_leaves_what_is_in_the_cache() {
    let place = Place::new(sample());
    place.fetch("org/sample", &["config.json"]).unwrap();
    // A port that was free a moment ago: nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = place.with(|s| s.endpoint = format!("http://{free}"));
    let watch = Watch::default();
    fetch(&away, "org/sample", &["config.json"], &watch).unwrap();
    assert!(watch.notes.lock().unwrap()[0].contains(&commit('a')));
    let told = fetch(&away, "org/sample", &[FIRST], &Silent).unwrap_err();
    assert!(matches!(&told, Error::Absent { reason: Reason::Unreachable(_), .. }), "{told}");
    assert!(!told.is_input());
}

#[test]
fn a_branch_moves_and_a_commit_does_not() {
    let place = Place::new(sample());
    let old = place.fetch("org/sample", &["config.json"]).unwrap();
    place.server.change(|repo| {
        repo.refs[0].1 = commit('c');
        repo.files[1].1 = b"{}".to_vec();
    });
    let new = place.fetch("org/sample", &["config.json"]).unwrap();
    assert_eq!(fs::read(new.join("config.json")).unwrap(), b"{}");
    assert_eq!(fs::read(old.join("config.json")).unwrap(), bytes("config.json"));
    assert_eq!(fs::read_to_string(place.folder().join("refs/main")).unwrap(), commit('c'));
    let offline = place.with(|s| s.offline = true);
    assert_eq!(fetch(&offline, "org/sample", &["config.json"], &Silent).unwrap(), new);
}

#[test]
fn a_name_from_the_server_stays_in_its_folder() {
    for name in ["../../escape", "/etc/passwd", "a/../../b", "c:\\x"] {
        let mut repo = sample();
        repo.files.push((name.into(), b"x".to_vec()));
        let told = Place::new(repo).fetch("org/sample", &["config.json"]).unwrap_err().to_string();
        assert!(told.contains("rfilename") && told.contains(name), "{told}");
    }
}

#[test]
fn two_at_once_fetch_one_file_once() {
    let place = Place::new(sample());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| place.fetch("org/sample", &[FIRST]).unwrap());
        }
    });
    let asked = place.server.asked();
    assert_eq!(asked.iter().filter(|asked| asked.host == "files").count(), 1, "{asked:?}");
}

#[test]
fn a_wish_to_stop_is_heard_and_loses_nothing() {
    let place = Place::new(sample());
    let watch = Watch { patience: 1, ..Watch::default() };
    let stopped = fetch(&place.with(|_| {}), "org/sample", &[FIRST], &watch).unwrap_err();
    assert!(matches!(stopped, Error::Stopped));
    place.fetch("org/sample", &[FIRST]).unwrap();
}

/// The tree of a cache: where links lead, what files hold.
fn tree(root: &Path) -> Vec<Value> {
    let (mut found, mut open) = (vec![], vec![root.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if name == ".locks" {
                continue;
            }
            if path.is_symlink() {
                found.push(json!({"path": name, "link": fs::read_link(&path).unwrap()}));
            } else if path.is_dir() {
                open.push(path);
            } else {
                found.push(json!({"path": name, "sha256": server::sha256(&fs::read(&path).unwrap())}));
            }
        }
    }
    found.sort_by_key(|entry| entry["path"].as_str().unwrap().to_owned());
    found
}

/// What Python's huggingface_hub made of the same repository; see `tests/golden/hub/make.py`.
fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/hub/cache.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_cache_is_the_one_that_python_makes() {
    let place = Place::new(sample());
    let (all, hub) = (all(), place.with(|_| {}));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    fetch(&hub, "org/sample", &all, &Silent).unwrap();
    fetch(&hub, "org/sample@v1", &all, &Silent).unwrap();
    let golden = golden();
    assert_eq!(tree(place.cache.path()), *golden["tree"].as_array().unwrap());
}

#[test]
fn what_python_fetched_is_found_without_the_hub() {
    let place = Place::new(sample());
    let contents = sample().files;
    for entry in golden()["tree"].as_array().unwrap() {
        let path = place.cache.path().join(entry["path"].as_str().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match entry["link"].as_str() {
            Some(link) => std::os::unix::fs::symlink(link, &path).unwrap(),
            None => {
                let of = |bytes: &[u8]| server::sha256(bytes) == entry["sha256"];
                let refs = [commit('a').into_bytes(), commit('b').into_bytes(), vec![]];
                let all = contents.iter().map(|(_, bytes)| bytes).chain(&refs);
                fs::write(&path, all.into_iter().find(|bytes| of(bytes)).unwrap()).unwrap();
            }
        }
    }
    let offline = place.with(|s| s.offline = true);
    for word in ["org/sample", "org/sample@v1"] {
        let snapshot = offline.open(&Name::model(word).unwrap().unwrap(), &Silent).unwrap();
        let mut there = all();
        there.sort();
        assert_eq!(snapshot.files(), there);
        snapshot.fetch(&[FIRST, "notes/deep/er/copy.bin"], &Silent).unwrap();
    }
    place.fetch("org/sample", &[FIRST]).unwrap();
    assert!(place.server.asked().iter().all(|asked| asked.host == "hub" && asked.method == "GET"));
}

/// Counts, and loses patience after so many pieces.
#[derive(Default)]
struct Watch {
    bytes: AtomicU64,
    notes: std::sync::Mutex<Vec<String>>,
    patience: u64,
}

impl Observer for Watch {
    fn advance(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn retreat(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.into());
    }

    fn stopped(&self) -> bool {
        self.patience > 0 && self.bytes.load(Ordering::Relaxed) >= self.patience
    }
}
