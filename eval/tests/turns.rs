//! MGPO's conversation as a mode of evaluation: what is asked, shown and remembered at each turn, whoever answers.
#![allow(clippy::unwrap_used)] // tests may panic, also in their helpers

mod support;

use foveate_eval::policy::{
    Asked, Demand, Endpoint, EndpointOptions, Failed, Local, Pictures, Policy, Reply, Shown, Turns,
};
use foveate_eval::sweep::{Plan, run};
use foveate_eval::{Record, Result, Store, Verdict};
use foveate_vision::config::Family;
use foveate_vision::grounding::Protocol;
use foveate_vision::images::ImageProcessor;
use foveate_vision::processor::Processor;
use foveate_vision::text::{Content, Message};
use foveate_vision::tiny::{self, TinySpec};
use image::RgbImage;
use image::imageops::crop_imm;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use support::{BOX, Server, options, own, plan, said_to, shapes};

/// Says what `script` says to the number of turns so far and the question, and keeps what it was asked.
struct Scripted {
    script: fn(usize, &Record) -> std::result::Result<&'static str, Failed>,
    kept: Mutex<Vec<Asked<Arc<RgbImage>>>>,
}

impl Policy for Scripted {
    type Picture = Arc<RgbImage>;
    fn name(&self) -> &str {
        "scripted"
    }
    fn sampling(&self) -> String {
        "as written".into()
    }
    fn prepare(&self, picture: &RgbImage) -> Result<Shown<Self::Picture>> {
        Ok(Shown::new(Arc::new(picture.clone()), picture.dimensions().into()))
    }
    fn demand(&self) -> Demand {
        Demand { workers: 2, budget: 64, question: 4, pixels: 1000 }
    }
    fn answer(&self, asked: &[Asked<Self::Picture>]) -> Result<Vec<std::result::Result<Reply, Failed>>> {
        self.kept.lock().unwrap().extend_from_slice(asked);
        let say = |asked: &Asked<_>| {
            let before = asked.messages.iter().filter(|message| message.role == "assistant").count();
            let text = (self.script)(before, &asked.question)?.to_owned();
            Ok(Reply { text, finish: Some("stop".into()), tokens: Some(7), turns: vec![] })
        };
        Ok(asked.iter().map(say).collect())
    }
}

/// Pictures of 48 x 48 are read as 56 x 56, in tokens of 28.
fn images() -> ImageProcessor {
    let (mean, std) = ([0.5; 3], [0.5; 3]);
    ImageProcessor {
        patch_size: 14,
        temporal_patch_size: 2,
        merge_size: 2,
        min_pixels: 3136,
        max_pixels: 50176,
        mean,
        std,
    }
}

fn protocol(script: &str, turns: usize, forced: bool) -> Protocol {
    Protocol { turns, forced, ..Protocol::new(script, Family::Qwen2_5Vl, &images()).unwrap() }
}

/// The records of a plan, by sample and kind of picture.
fn asked<P: Policy>(plan: &Plan, policy: &P) -> BTreeMap<(String, String), Record> {
    let (dir, stop) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let mut store = Store::open(dir.path()).unwrap();
    run(plan, policy, &mut store, &stop, &mut |_| ()).unwrap();
    let records = store.finish().unwrap().records;
    records.into_iter().map(|record| ((record.sample.clone(), record.cell()), record)).collect()
}

fn text(message: &Message) -> String {
    let piece = |content: &Content| match content {
        Content::Image(_) => "<image>".to_owned(),
        Content::Text(text) => text.clone(),
    };
    message.content.iter().map(piece).collect()
}

#[test]
fn the_part_that_was_asked_for_is_cut_out_of_the_picture_as_it_was_asked_about() {
    let script = |before: usize, _: &Record| Ok(if before == 0 { BOX } else { "red" });
    let inner = Scripted { script, kept: Mutex::default() };
    let policy = Turns::new(inner, protocol("mgpo", 2, true));
    let task = shapes();
    let records = asked(&plan(task.as_ref(), 6), &policy);
    assert_eq!(records.len(), 18);
    for record in records.values() {
        assert_eq!(record.sampling, "mgpo in 2 turns, boxes in pixels over 28, as written a turn");
        assert_eq!(record.key, record.digest());
        assert_eq!((record.response.as_deref(), record.tokens), (Some("red"), Some(14)));
        assert_eq!(record.outcome == Verdict::Right, record.answer == "red");
        assert_eq!(record.size, [[48, 48]]);
        let turn = &record.turns[0];
        assert_eq!(record.turns.len(), 1);
        // 4, 8, 40 and 48 of 56 are 3.4, 6.9, 34.3 and 41.1 of 48.
        assert_eq!(turn["crop"], serde_json::json!([3, 6, 34, 41]));
        assert_eq!((turn["tokens"].as_u64(), &turn["size"]), (Some(7), &serde_json::json!([31, 35])));
        assert!((turn["area"].as_f64().unwrap() - 31.0 * 35.0 / 2304.0).abs() < 1e-12);
        assert!(turn["reply"].as_str().unwrap().ends_with("```"), "what follows the box is dropped");
    }
    let kept = std::mem::take(&mut *policy.inner().kept.lock().unwrap());
    assert_eq!(kept.len(), 36);
    let (first, second): (Vec<_>, Vec<_>) = kept.into_iter().partition(|asked| asked.pictures.len() == 1);
    assert_eq!((first.len(), second.len()), (18, 18));
    let mut pictures = std::collections::BTreeSet::new();
    for asked in &second {
        let roles: Vec<&str> = asked.messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "user"]);
        assert!(text(&asked.messages[3]).contains(&asked.question.prompt.replace("<image>", "")));
        assert_eq!(*asked.pictures[1], crop_imm(&*asked.pictures[0], 3, 6, 31, 35).to_image());
        pictures.insert(asked.pictures[0].as_raw().clone());
        let before = first.iter().find(|other| {
            (&other.question.sample, other.question.cell()) == (&asked.question.sample, asked.question.cell())
        });
        assert_ne!(before.unwrap().question.key, asked.question.key, "draws of its own");
    }
    let images: std::collections::BTreeSet<&str> =
        records.values().map(|record| record.image.as_str()).collect();
    assert_eq!(pictures.len(), 3 * images.len(), "corrupted pictures are cut, not clean ones");
}

#[test]
fn a_reply_without_a_usable_box_is_shown_the_picture_again() {
    let script = |before: usize, question: &Record| match (before, question.cell().as_str()) {
        (0, "clean") => Ok("I see nothing"),
        (0, "contrast-3") => Ok("```json\n[{\"bbox_2d\": [0, 0, 99, 99], \"label\": \"it\"}]\n```"),
        (0, _) => Ok(BOX),
        (_, "clean") => Ok("red"),
        (_, "contrast-3") => Ok("two"),
        _ => Err(Failed("too long".into())),
    };
    let inner = Scripted { script, kept: Mutex::default() };
    let policy = Turns::new(inner, protocol("brief", 2, true));
    let task = shapes();
    for ((_, cell), record) in asked(&plan(task.as_ref(), 4), &policy) {
        match cell.as_str() {
            "clean" => assert_eq!(record.turns[0]["refused"], "no-block"),
            "contrast-3" => assert_eq!(record.turns[0]["refused"], "outside"),
            _ => assert_eq!((record.outcome, record.error.as_deref()), (Verdict::Failed, Some("too long"))),
        }
    }
    let kept = policy.inner().kept.lock().unwrap();
    let again = kept.iter().filter(|asked| asked.pictures.len() == 2 && asked.question.cell() == "clean");
    assert_eq!(again.map(|asked| assert_eq!(asked.pictures[0], asked.pictures[1])).count(), 4);
}

#[test]
fn a_reply_without_a_box_is_the_answer_where_it_may_be() {
    let script = |before: usize, question: &Record| match (before, question.cell().as_str()) {
        (_, "clean") => Ok("red"),
        (0 | 1, _) => Ok(BOX),
        _ => Ok("two"),
    };
    let inner = Scripted { script, kept: Mutex::default() };
    let policy = Turns::new(inner, protocol("brief", 3, false));
    let task = shapes();
    for ((_, cell), record) in asked(&plan(task.as_ref(), 3), &policy) {
        let turns = if cell == "clean" { 0 } else { 2 };
        assert_eq!((record.turns.len(), record.tokens), (turns, Some(7 * (turns as u32 + 1))), "{cell}");
        assert!(record.sampling.starts_with("brief in up to 3 turns"));
    }
}

/// Three calls in ten go wrong, at any turn.
#[test]
fn a_conversation_with_a_server_ends_scored_or_failed() {
    let (model, task, stop) = (model(), shapes(), AtomicBool::new(false));
    let server = Server::start(30);
    let processor = Processor::from_dir(model.path()).unwrap();
    let protocol = Protocol::new("brief", Family::Qwen2_5Vl, &processor.images).unwrap();
    let pictures = Pictures::Model(Box::new(processor));
    let endpoint = Endpoint::new(EndpointOptions { pictures, ..options(&server, 7) }, &stop).unwrap();
    let plan = plan(task.as_ref(), 20);
    let records = asked(&plan, &Turns::new(endpoint, protocol));
    assert_eq!(records.len(), plan.len());
    for record in records.values() {
        assert!(own(record), "{record:?}");
        assert_eq!(record.outcome == Verdict::Failed, record.error.is_some());
        if record.outcome != Verdict::Failed {
            assert_eq!(record.turns[0]["crop"], serde_json::json!([3, 6, 34, 41]));
            assert_eq!(record.tokens, Some(6));
        }
    }
    assert!(server.calls() > 2 * plan.len(), "there were failures to try again: {}", server.calls());
    let answered = server.seen.answered.lock().unwrap();
    let turns = |body: &serde_json::Value| body["messages"].as_array().unwrap().len();
    let last = answered.iter().filter(|body| turns(body) == 3);
    let said: Vec<String> = last
        .map(|body| {
            assert!(body["messages"][1]["content"][0]["text"].as_str().unwrap().ends_with("```"));
            body["messages"][2]["content"][1]["text"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(said.len() + 2 >= plan.len());
    assert!(
        records
            .values()
            .all(|r| r.response.is_none() || said.iter().any(|s| said_to(s) == said_to(&r.prompt)))
    );
}

fn model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path());
    dir
}

fn write_model(dir: &Path) {
    tiny::write(dir, &TinySpec { words: tiny::WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) }).unwrap();
}

#[test]
fn a_conversation_with_a_local_model_depends_on_its_question_alone() {
    let (model, task) = (model(), shapes());
    let local = Local::open(model.path(), 4, 0.0).unwrap();
    let protocol = Protocol::new("brief", Family::Qwen2_5Vl, &local.processor().images).unwrap();
    let single = asked(&plan(task.as_ref(), 12), &local);
    let policy = Turns::new(local, protocol);
    let whole = asked(&plan(task.as_ref(), 12), &policy);
    let few = asked(&plan(task.as_ref(), 3), &policy);
    assert_eq!((whole.len(), few.len()), (36, 9));
    assert!(few.iter().all(|(place, record)| whole.get(place) == Some(record)));
    assert!(whole.values().all(|record| record.turns.len() == 1 && record.outcome != Verdict::Failed));
    assert!(whole.iter().all(|(place, record)| single[place].key != record.key), "other questions");
}
