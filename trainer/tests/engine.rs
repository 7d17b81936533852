//! Rollouts on a server: the same weights come of it whatever befalls the server, and what it must not get wrong
//! is found out.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

#[path = "support/among.rs"]
mod among;
#[path = "../../eval/tests/support/http.rs"]
mod http;
#[path = "support/served.rs"]
mod served;

use among::among;
use foveate_trainer::observer::Silent;
use foveate_trainer::recipe::{Recipe, from_text};
use foveate_trainer::{Error, Trainer};
use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use serde_json::Value;
use served::{Fate, Fault, MOMENT, Manner, Served};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const RECIPE: &str = r#"
seed = 5

[data]
task = "shapes"
size = 56

[rollout]
prompts = 4
group = 3
max_tokens = 4
engine = "server"

[rollout.server]
concurrency = 3
timeout = 20
deadline = 20

[[reward]]
name = "exact"

# Answers of an untrained model are all wrong: without a term there would be nothing to learn.
[[term]]
name = "entropy"
weight = 0.1

[optim]
lr = 2e-5
updates = 2

[train]
steps = 3
checkpoint_every = 0
"#;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spec = TinySpec { words: WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) };
        tiny::write(&dir.path().join("model"), &spec).unwrap();
        Self(dir)
    }

    fn model(&self) -> PathBuf {
        self.0.path().join("model")
    }

    fn serve(&self, manner: Manner, fate: Fate) -> Served {
        Served::start(&self.model(), manner, fate)
    }

    fn recipe(&self, out: &str, url: &str, more: &[&str]) -> Recipe {
        let mut words = vec![
            format!("model.path={:?}", self.model().to_str().unwrap()),
            format!("out={:?}", self.out(out).to_str().unwrap()),
            format!("rollout.server.url={url:?}"),
        ];
        words.extend(more.iter().map(ToString::to_string));
        from_text(RECIPE, "engine.toml", &words).unwrap_or_else(|e| panic!("{e}"))
    }

    fn out(&self, out: &str) -> PathBuf {
        self.0.path().join(out)
    }

    fn run(&self, out: &str, server: &Served, more: &[&str]) -> Result<Vec<Value>, Error> {
        let mut trainer = Trainer::start(self.recipe(out, &server.url, more))?;
        trainer.run(&AtomicBool::new(false), &mut Silent)?;
        let text = std::fs::read_to_string(self.out(out).join("metrics.jsonl")).unwrap();
        Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    fn good(&self, out: &str, server: &Served, more: &[&str]) -> Vec<Value> {
        self.run(out, server, more).unwrap_or_else(|e| panic!("{out}: {e}"))
    }

    fn weights(&self, out: &str) -> Vec<u8> {
        weights(&self.out(out), 3)
    }

    fn adapter(&self, out: &str) -> Vec<u8> {
        std::fs::read(self.out(out).join("checkpoints/step-000003/adapter_model.safetensors")).unwrap()
    }
}

/// LoRA on every linear layer, by steps that are seen in 16 tokens.
const ADAPTER: [&str; 4] = [
    "model.lora.rank=2",
    "model.lora.alpha=4.0",
    "model.lora.target_modules=\"all-linear\"",
    "optim.lr=1e-3",
];

fn weights(run: &Path, step: u64) -> Vec<u8> {
    std::fs::read(run.join(format!("checkpoints/step-{step:06}/model.safetensors"))).unwrap()
}

const SOUND: Fate = |_| None;

fn number(line: &Value, name: &str) -> f64 {
    line[name].as_f64().unwrap_or_else(|| panic!("no {name} in {line}"))
}

#[test]
fn what_a_server_says_is_what_the_trainer_says() {
    let place = Place::new();
    let server = place.serve(Manner::Vllm, SOUND);
    let lines = place.good("run", &server, &[]);
    assert_eq!(lines.len(), 3);
    for (step, line) in lines.iter().enumerate() {
        // Sampling and scoring are other code, f32 both: rounding.
        assert!(number(line, "probe/gap") < 1e-5, "{line}");
        assert!(
            number(line, "logp/sampler_gap") < 1e-5 && number(line, "logp/sampler_gap/max") < 1e-4,
            "{line}"
        );
        assert!((number(line, "logp/sampler_factor") - 1.0).abs() < 1e-4, "{line}");
        assert!(number(line, "logp/sampler_kl").abs() < 1e-6, "{line}");
        assert_eq!(number(line, "sync/pushes"), 1.0);
        assert!(number(line, "grad_norm") > 0.0 && line.get("engine/asked_again").is_none());
        // Weights moved, and the probe saw it at the server too.
        assert_eq!(
            step > 0,
            line.get("probe/moved").is_some_and(|moved| moved.as_f64().unwrap() > 1e-3),
            "{line}"
        );
    }
    // One version lies there for the server, whole.
    let served: Vec<_> =
        std::fs::read_dir(place.out("run/served")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(served.len(), 1);
    assert!(served[0].to_str().unwrap().ends_with("-000002") && served[0].join("config.json").is_file());
}

#[test]
fn every_manner_of_server_gives_the_same_weights() {
    let place = Place::new();
    place.good("vllm", &place.serve(Manner::Vllm, SOUND), &[]);
    place.good("unlisted", &place.serve(Manner::Unlisted, SOUND), &["rollout.server.concurrency=1"]);
    place.good("sglang", &place.serve(Manner::Sglang, SOUND), &["rollout.server.model=policy"]);
    assert!(
        place.weights("vllm") == place.weights("unlisted")
            && place.weights("vllm") == place.weights("sglang")
    );
}

/// One of eleven numbers, by a hash of `call`.
fn drawn(call: usize) -> usize {
    (call.wrapping_mul(0x9e37_79b9) >> 12) % 11
}

#[test]
fn whatever_befalls_the_server_the_weights_are_the_same() {
    let place = Place::new();
    place.good("sound", &place.serve(Manner::Vllm, SOUND), &[]);
    let sound = place.weights("sound");
    // At calls that are in step with nothing: a fault of each probe's first call would be one for ever.
    let fates: [(&str, Fate); 6] = [
        ("hangups", |call| (drawn(call) == 4).then_some(Fault::Hangup)),
        ("statuses", |call| {
            (drawn(call) == 4).then_some(Fault::Status(if call % 2 == 0 { 500 } else { 429 }))
        }),
        ("garbage", |call| {
            (drawn(call) == 2).then_some(if call % 4 == 0 { Fault::Garbage } else { Fault::Cut })
        }),
        ("aborts", |call| (call == 6 || call == 17).then_some(Fault::Abort)),
        // In the middle of the rollouts of the second step, and during the probe of the third.
        ("restarts", |call| (call == 14 || call == 27).then_some(Fault::Restart(3))),
        ("replaced", |call| (call == 13).then_some(Fault::Replaced)),
    ];
    for (name, fate) in fates {
        let server = place.serve(Manner::Vllm, fate);
        let lines = place.good(name, &server, &["rollout.server.deadline=60"]);
        assert!(place.weights(name) == sound, "{name}");
        let pushes: f64 = lines.iter().map(|line| number(line, "sync/pushes")).sum();
        // What is lost with the server is pushed again; what is only refused is asked for again.
        let again = ["aborts", "restarts", "replaced"].contains(&name);
        assert!(if again { pushes > 3.0 } else { pushes >= 3.0 }, "{name}: {pushes} pushes");
        assert!(lines.iter().all(|line| number(line, "logp/sampler_gap/max") < 1e-4), "{name}");
    }
}

#[test]
fn a_stale_server_is_caught_and_the_work_is_kept() {
    let place = Place::new();
    // It serves what the run starts from, so the first push is not missed; the second is.
    let server = place.serve(Manner::Vllm, SOUND);
    server.inner.deaf.store(true, Ordering::SeqCst);
    let error = place.run("deaf", &server, &[]).unwrap_err();
    assert!(matches!(error, Error::Stale { .. }) && !error.is_input());
    let message = error.to_string();
    for part in ["-000001", "log-probability", "here and", "-000000 gave", "did not take the new weights"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // Asked twice: it might have been started again in between.
    assert_eq!(server.inner.pushes.load(Ordering::SeqCst), 3);
    assert!(!weights(&place.out("deaf"), 1).is_empty());
    // A small step is found as well, far below the tolerance.
    let server = place.serve(Manner::Vllm, SOUND);
    server.inner.deaf.store(true, Ordering::SeqCst);
    let error = place.run("small", &server, &["optim.lr=1e-7", "train.steps=60"]).unwrap_err();
    let Error::Stale { gap, tolerance, .. } = &error else { panic!("{error}") };
    assert!(gap * 10.0 < *tolerance, "{error}");
    assert!(error.to_string().contains("did not take the new weights"), "{error}");
}

#[test]
fn adapters_are_loaded_under_names_of_their_own_and_old_ones_are_dropped() {
    let place = Place::new();
    let server = place.serve(Manner::Vllm, SOUND);
    let lines = place.good("sound", &server, &ADAPTER);
    for (step, line) in lines.iter().enumerate() {
        assert!(number(line, "probe/gap") < 1e-5 && number(line, "logp/sampler_gap/max") < 1e-4, "{line}");
        let moved = line.get("probe/moved").is_some_and(|moved| moved.as_f64().unwrap() > 1e-4);
        assert_eq!((step > 0, number(line, "sync/pushes")), (moved, 1.0), "{line}");
    }
    let left: Vec<String> = server.inner.adapted.lock().unwrap().keys().cloned().collect();
    assert!(left.len() == 1 && left[0].ends_with("-000002"), "{left:?}");
    // A server that was started again, in rollouts and in a probe, knows none of them.
    let fate: Fate = |call| match call {
        14 | 27 => Some(Fault::Restart(3)),
        18 => Some(Fault::Replaced),
        _ => None,
    };
    let lines = place.good("again", &place.serve(Manner::Vllm, fate), &ADAPTER);
    assert!(lines.iter().map(|line| number(line, "sync/pushes")).sum::<f64>() > 3.0);
    assert!(place.adapter("again") == place.adapter("sound"));
}

#[test]
fn a_server_that_leaves_out_the_adapters_of_the_tower_is_caught() {
    let place = Place::new();
    let server = place.serve(Manner::Vllm, SOUND);
    server.inner.blind.store(true, Ordering::SeqCst);
    // A new adapter changes nothing, so the first push is not missed.
    let error = place.run("blind", &server, &ADAPTER).unwrap_err();
    let Error::Stale { gap, tolerance, .. } = &error else { panic!("{error}") };
    assert!(gap * 2.0 < *tolerance, "{error}");
    let message = error.to_string();
    for part in ["-000001", "without its adapters on the vision tower", "--enable-tower-connector-lora"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_server_with_another_model_is_caught_at_once() {
    let place = Place::new();
    let other = tempfile::tempdir().unwrap();
    let spec = TinySpec { words: WORDS, seed: 9, ..TinySpec::laws(Family::Qwen2_5Vl) };
    tiny::write(&other.path().join("m"), &spec).unwrap();
    let server = Served::start(&other.path().join("m"), Manner::Vllm, SOUND);
    server.inner.deaf.store(true, Ordering::SeqCst);
    let message = place.run("run", &server, &[]).unwrap_err().to_string();
    assert!(message.contains("-000000") && message.contains("rollout.server.tolerance is 0.05"), "{message}");
}

#[test]
fn replies_that_cannot_be_trained_on_are_refused() {
    let place = Place::new();
    type Case = (fn(&mut Value), &'static str, bool);
    let cases: [Case; 5] = [
        (|reply| reply["prompt_token_ids"][3] = 7.into(), "prompt_token_ids` should be", true),
        (
            |reply| drop(reply.as_object_mut().unwrap().remove("prompt_token_ids")),
            "no prompt_token_ids",
            false,
        ),
        (|reply| reply["choices"][0]["token_ids"] = Value::Null, "no choices[].token_ids", false),
        (
            |reply| drop(reply["choices"][0]["logprobs"]["content"].as_array_mut().unwrap().pop()),
            "should have 16 values, but has 15",
            false,
        ),
        (
            |reply| {
                reply["choices"][0]["token_ids"].as_array_mut().unwrap().pop();
                reply["choices"][0]["logprobs"]["content"].as_array_mut().unwrap().pop();
            },
            "15 tokens with",
            true,
        ),
    ];
    for (n, (spoil, part, input)) in cases.into_iter().enumerate() {
        let server = place.serve(Manner::Vllm, SOUND);
        *server.inner.spoil.lock().unwrap() = spoil;
        let error = place.run(&format!("run-{n}"), &server, &[]).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
        assert_eq!(error.is_input(), input, "{error}");
    }
}

#[test]
fn a_server_must_be_there_and_take_weights_before_a_run_begins() {
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Trainer::start(place.recipe("run", &format!("http://{free}"), &[])).unwrap_err();
    assert!(error.to_string().contains("docs/engines.md") && !error.is_input(), "{error}");
    let plain = http::listen(|asked| match asked.path.as_str() {
        "/v1/models" => http::Reply::ok(r#"{"data": [{"id": "a"}, {"id": "b"}]}"#),
        _ => http::Reply::status("404 Not Found", "{}"),
    });
    let error = Trainer::start(place.recipe("run", &plain, &[])).unwrap_err();
    assert!(error.to_string().contains("serves (a, b), but is absent") && error.is_input(), "{error}");
    let error = Trainer::start(place.recipe("run", &plain, &["rollout.server.model=a"])).unwrap_err();
    assert!(error.to_string().contains("VLLM_SERVER_DEV_MODE=1"), "{error}");
    let vllm = place.serve(Manner::Vllm, SOUND);
    let error = Trainer::start(place.recipe("run", &vllm.url, &["rollout.server.sync=nccl"])).unwrap_err();
    assert!(error.to_string().contains("has no /get_world_size") && !error.is_input(), "{error}");
    assert!(!place.out("run").exists());
}

#[test]
fn temperature_is_known_or_missing_but_never_guessed() {
    let place = Place::new();
    let server = place.serve(Manner::Vllm, SOUND);
    let warm = ["rollout.temperature=0.7"];
    // Log-probabilities at temperature 1 prove the weights; of the sampling they say nothing.
    let lines = place.good("raw", &server, &warm);
    assert!(
        lines.iter().all(|line| line.get("logp/sampler_gap").is_none() && number(line, "probe/gap") < 1e-5)
    );
    let corrected = [warm[0], r#"objective.correction="token-truncate""#];
    let message = place.run("refused", &server, &corrected).unwrap_err().to_string();
    assert!(message.contains("objective.correction") && message.contains("0.7"), "{message}");
    server.inner.tempered.store(true, Ordering::SeqCst);
    let lines = place.good("tempered", &server, &corrected);
    for line in &lines {
        assert!(number(line, "logp/sampler_gap") < 1e-5 && number(line, "probe/gap") < 1e-5, "{line}");
        assert!((number(line, "correction/weight") - 1.0).abs() < 1e-4, "{line}");
        assert_eq!(number(line, "correction/bounded"), 0.0);
    }
}

#[test]
fn a_server_that_stays_away_ends_the_run_and_a_stop_ends_the_wait() {
    let place = Place::new();
    let away: Fate = |call| (call >= 10).then_some(Fault::Restart(usize::MAX));
    let error =
        place.run("away", &place.serve(Manner::Vllm, away), &["rollout.server.deadline=1.5"]).unwrap_err();
    assert!(matches!(error, Error::Server { .. }), "{error}");
    assert!(error.to_string().contains("was away for"), "{error}");
    assert!(!weights(&place.out("away"), 1).is_empty());

    let (server, stop) = (place.serve(Manner::Vllm, away), AtomicBool::new(false));
    let mut trainer = Trainer::start(place.recipe("stopped", &server.url, &[])).unwrap();
    let finished = std::thread::scope(|scope| {
        scope.spawn(|| {
            while server.inner.calls.load(Ordering::SeqCst) <= 10 {
                std::thread::sleep(MOMENT);
            }
            stop.store(true, Ordering::SeqCst);
        });
        trainer.run(&stop, &mut Silent).unwrap()
    });
    assert_eq!((finished.step, finished.interrupted), (1, true));
    // What was stopped goes on where it was: the same weights as without.
    place.good("whole", &place.serve(Manner::Vllm, SOUND), &[]);
    let again = place.serve(Manner::Vllm, SOUND);
    let url = format!("rollout.server.url={:?}", again.url);
    Trainer::resume(&place.out("stopped"), &[url])
        .unwrap()
        .run(&AtomicBool::new(false), &mut Silent)
        .unwrap();
    assert!(place.weights("stopped") == place.weights("whole"));
}

/// The same run on three ranks, the last of which has no question of its own in the second mini-batch.
fn among_three(place: &Place, out: &str, server: &Served, more: &[&str]) -> Vec<Result<(), Error>> {
    let recipe = place.recipe(out, &server.url, more);
    among(3, |ranks| {
        let mut trainer = Trainer::start_among(recipe.clone(), ranks)?;
        trainer.run(&AtomicBool::new(false), &mut Silent).map(|_| ())
    })
}

#[test]
fn ranks_share_a_server() {
    let place = Place::new();
    let one = place.serve(Manner::Vllm, SOUND);
    place.good("one", &one, &["train.completions=9"]);
    // Restarted in the middle of the first step's rollouts, too.
    let fates: [(&str, Fate); 2] =
        [("three", SOUND), ("restarts", |call| (call == 6).then_some(Fault::Restart(3)))];
    for (name, fate) in fates {
        let server = place.serve(Manner::Vllm, fate);
        for end in among_three(&place, name, &server, &["train.completions=9"]) {
            end.unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        // One rank pushes, for all.
        let pushes = server.inner.pushes.load(Ordering::SeqCst);
        assert!(if name == "three" { pushes == 3 } else { pushes > 3 }, "{name}: {pushes}");
        let first = |run: &str| -> Vec<[Value; 3]> {
            let text = std::fs::read_to_string(place.out(run).join("completions.jsonl")).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let first = lines.filter(|line| line["step"] == 1);
            first.map(|line| ["id", "index", "completion"].map(|key| line[key].clone())).collect()
        };
        assert_eq!(first("one").len(), 12);
        assert_eq!(first("one"), first(name), "{name}");
    }
    // A server that is lost ends them all, and the work is kept.
    let away = place.serve(Manner::Vllm, |call| (call >= 10).then_some(Fault::Restart(usize::MAX)));
    for end in among_three(&place, "away", &away, &["rollout.server.deadline=1.5"]) {
        let error = end.unwrap_err();
        assert!(
            matches!(&error, Error::Server { message, .. } if message.contains("was away for")),
            "{error}"
        );
    }
    assert!(!weights(&place.out("away"), 1).is_empty());
}
