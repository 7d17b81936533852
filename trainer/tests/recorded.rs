//! The same run again with what a real vLLM answered: `tests/golden/engine/` says how it was written down.
//!
//! Nothing of a reply is ours here, so this holds the reading of it, to the letter, and the numbers: vLLM's
//! log-probabilities of its own samples against the trainer's, before and after two pushes of new weights.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

#[path = "../../eval/tests/support/http.rs"]
mod http;

use foveate_trainer::observer::Silent;
use foveate_trainer::recipe::from_file;
use foveate_trainer::{Error, Trainer};
use http::{Asked, Reply, listen};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What is known of a call: method, path, and of a chat completion its seed and the pushes before it.
type Key = (String, String, Option<(u64, u64)>);

struct Recorded {
    replies: HashMap<Key, (u64, Value)>,
    version: Mutex<String>,
    calls: AtomicUsize,
    fail: fn(usize) -> Option<Reply>,
}

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/engine").join(file)
}

impl Recorded {
    fn read(fail: fn(usize) -> Option<Reply>) -> Self {
        let (mut replies, mut pushes) = (HashMap::new(), 0);
        for line in std::fs::read_to_string(golden("replies.jsonl")).unwrap().lines() {
            let mut row: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            pushes += u64::from(row["path"] == "/collective_rpc");
            let key = (text("method"), text("path"), row["seed"].as_u64().map(|seed| (seed, pushes)));
            replies.insert(key, (row["status"].as_u64().unwrap(), row["reply"].take()));
        }
        Self { replies, version: Mutex::default(), calls: AtomicUsize::new(0), fail }
    }

    fn handle(&self, asked: &Asked) -> Reply {
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let answers = asked.path.ends_with("/chat/completions");
        let fault = answers.then(|| (self.fail)(self.calls.fetch_add(1, Ordering::SeqCst))).flatten();
        if let Some(fault) = fault {
            return fault;
        }
        // Versions are named anew by every run; they end in the number of steps before them.
        let mut version = self.version.lock().unwrap();
        let given =
            [&body["new_version"], &body["kwargs"]["weights_path"]].into_iter().find_map(Value::as_str);
        if let Some(given) = given {
            *version = given.rsplit('/').next().unwrap().into();
        }
        let pushes = || 1 + version.rsplit('-').next().unwrap().parse::<u64>().unwrap();
        let key =
            (asked.method.clone(), asked.path.clone(), body["seed"].as_u64().map(|seed| (seed, pushes())));
        let recorded = self.replies.get(&key).cloned();
        let (status, mut reply) = recorded.unwrap_or_else(|| panic!("was never asked: {key:?} {body}"));
        if reply.get("weight_version").is_some() {
            reply["weight_version"] = version.clone().into();
        }
        Reply::status(&format!("{status} As It Was"), &reply.to_string())
    }
}

fn run(dir: &Path, out: &str, fail: fn(usize) -> Option<Reply>, more: &[&str]) -> Result<Vec<Value>, Error> {
    let recorded = Recorded::read(fail);
    let url = listen(move |asked| recorded.handle(&asked));
    let out = dir.join(out);
    let mut words = vec![format!("rollout.server.url={url:?}"), format!("out={:?}", out.to_str().unwrap())];
    words.extend(more.iter().map(ToString::to_string));
    let mut trainer = Trainer::start(from_file(&golden("recipe.toml"), &words)?)?;
    trainer.run(&AtomicBool::new(false), &mut Silent)?;
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn what_vllm_said_is_what_the_trainer_says() {
    let dir = tempfile::tempdir().unwrap();
    let lines = run(dir.path(), "run", |_| None, &[]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(lines.len(), 3);
    let number =
        |line: &Value, name: &str| line[name].as_f64().unwrap_or_else(|| panic!("no {name}: {line}"));
    for line in &lines {
        // Two programs in f32: what was seen when it was written down was under 1e-5.
        assert!(number(line, "probe/gap") < 1e-4 && number(line, "logp/sampler_gap") < 1e-4, "{line}");
        assert_eq!((number(line, "sync/pushes"), number(line, "tokens/generated") > 9.0), (1.0, true));
    }
    assert!(lines[1..].iter().all(|line| number(line, "probe/moved") > 1e-3));
    // The server ends in the probe of the second step and in its rollouts, and says the same when asked again.
    let again =
        run(dir.path(), "again", |call| [9, 15].contains(&call).then_some(Reply::Hangup), &[]).unwrap();
    assert!(number(&again[1], "engine/asked_again") > 0.0 && number(&again[1], "sync/pushes") == 2.0);
    let weights =
        |run: &str| std::fs::read(dir.path().join(run).join("checkpoints/step-000003/model.safetensors"));
    assert!(weights("run").unwrap() == weights("again").unwrap());
}

#[test]
fn another_learning_rate_is_found_out_by_the_old_replies() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(dir.path(), "run", |_| None, &["optim.lr=3e-3"]).unwrap_err();
    assert!(matches!(error, Error::Stale { .. }), "{error}");
    // And pictures of another run are other prompts to the server.
    let error = run(dir.path(), "other", |_| None, &["data.size=84"]).unwrap_err();
    assert!(error.to_string().contains("prompt_token_ids"), "{error}");
}
