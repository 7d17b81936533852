//! A server that fails in every way: each question ends scored or failed, none is lost, none is there twice.
#![allow(clippy::unwrap_used)] // tests may panic, also in their helpers

mod support;

use foveate_eval::policy::{Asked, Endpoint, EndpointOptions, Pictures, Policy, messages};
use foveate_eval::store::Records;
use foveate_eval::sweep::run;
use foveate_eval::{Record, Store, Verdict};
use foveate_vision::config::Family;
use foveate_vision::processor::Processor;
use foveate_vision::tiny::{self, TinySpec};
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;
use support::{Server, options, own, plan, shapes};

#[test]
fn three_calls_in_ten_may_fail_and_nothing_is_lost_or_twice() {
    let (dir, task, server) = (tempfile::tempdir().unwrap(), shapes(), Server::start(30));
    let (plan, stop) = (plan(task.as_ref(), 40), AtomicBool::new(false));
    let mut store = Store::open(dir.path()).unwrap();
    let endpoint = Endpoint::new(options(&server, 7), &stop).unwrap();
    let tally = run(&plan, &endpoint, &mut store, &stop, &mut |_| ()).unwrap();
    assert_eq!((plan.len(), tally.asked, tally.found), (120, 120, 0));
    let records = store.finish().unwrap();
    assert_eq!((records.records.len(), records.superseded), (120, 0));
    assert!(tally.failed <= 2, "{} of 120 failed seven times and more", tally.failed);
    assert!(server.calls() > 140, "there were failures to try again: {}", server.calls());
    for record in &records.records {
        assert!(own(record), "{record:?}");
        assert_eq!(record.outcome == Verdict::Failed, record.error.is_some());
        assert_eq!(record.size, [[48, 48]]);
    }
    // On disk there is the same, a line each.
    let read = Records::read(&dir.path().join("records.jsonl")).unwrap();
    assert_eq!((read.records.len(), read.superseded), (120, 0));
}

#[test]
fn what_failed_is_asked_again_by_the_next_run_and_nothing_else() {
    let (dir, task) = (tempfile::tempdir().unwrap(), shapes());
    let (plan, stop) = (plan(task.as_ref(), 40), AtomicBool::new(false));
    let failing = Server::start(50);
    let mut store = Store::open(dir.path()).unwrap();
    let first =
        run(&plan, &Endpoint::new(options(&failing, 0), &stop).unwrap(), &mut store, &stop, &mut |_| ());
    let first = first.unwrap();
    assert!(first.failed > 30 && first.failed < 90, "{first:?}");
    drop(store.finish().unwrap());

    let sound = Server::start(0);
    let mut store = Store::open(dir.path()).unwrap();
    let endpoint = Endpoint::new(options(&sound, 0), &stop).unwrap();
    let second = run(&plan, &endpoint, &mut store, &stop, &mut |_| ()).unwrap();
    assert_eq!((second.asked, second.failed, second.found), (first.failed, 0, 120 - first.failed));
    assert_eq!(sound.calls(), first.failed);
    let records = store.finish().unwrap();
    assert_eq!((records.records.len(), records.superseded), (120, first.failed));
    assert!(records.records.iter().all(|record| record.outcome != Verdict::Failed && own(record)));

    // And once more costs nothing.
    let mut store = Store::open(dir.path()).unwrap();
    let third = run(&plan, &endpoint, &mut store, &stop, &mut |_| ()).unwrap();
    assert_eq!((third.asked, third.found, sound.calls()), (0, 120, first.failed));
}

#[test]
fn nobody_there_is_a_failure_of_each_question() {
    let (dir, task) = (tempfile::tempdir().unwrap(), shapes());
    let (plan, stop) = (plan(task.as_ref(), 20), AtomicBool::new(false));
    let mut gone = options(&Server::start(0), 1);
    // A port that was free a moment ago: calls are refused.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    gone.url = format!("http://{free}");
    let mut store = Store::open(dir.path()).unwrap();
    let tally = run(&plan, &Endpoint::new(gone, &stop).unwrap(), &mut store, &stop, &mut |_| ()).unwrap();
    assert_eq!((tally.asked, tally.failed), (60, 60));
    let records = store.finish().unwrap();
    let why = records.records[0].error.clone().unwrap();
    assert!(why.to_lowercase().contains("refused"), "{why}");
}

#[test]
fn a_server_that_sees_another_prompt_is_found_out() {
    let model = tempfile::tempdir().unwrap();
    let spec = TinySpec { words: tiny::WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) };
    tiny::write(model.path(), &spec).unwrap();
    let (task, stop) = (shapes(), AtomicBool::new(false));
    let plan = plan(task.as_ref(), 8);
    let ask = |server: &Server| {
        let dir = tempfile::tempdir().unwrap();
        let processor = Processor::from_dir(model.path()).unwrap();
        let pictures = Pictures::Model(Box::new(processor));
        let endpoint = Endpoint::new(EndpointOptions { pictures, ..options(server, 0) }, &stop);
        let mut store = Store::open(dir.path()).unwrap();
        run(&plan, &endpoint.unwrap(), &mut store, &stop, &mut |_| ())
            .map(|tally| (tally.asked, tally.failed))
    };
    let silent = Server::with(0, |asked| {
        assert_eq!(asked["return_token_ids"], true);
        json!({})
    });
    assert_eq!(ask(&silent).unwrap(), (24, 0));
    let other = Server::with(0, |_| json!({"prompt_token_ids": [1, 2, 3]}));
    let error = ask(&other).unwrap_err();
    assert!(error.is_input());
    let message = error.to_string();
    assert!(message.contains("prompt_token_ids") && message.contains("3 ids with 1 at 0"), "{message}");
}

/// What vLLM answered (tests/golden/serve/record.py).
fn recorded() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/serve/vllm.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_ids_of_a_real_servers_prompt_are_ours_and_one_that_is_not_is_shown() {
    let (model, stop) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    tiny::write(model.path(), &TinySpec::quickstart()).unwrap();
    let (golden, picture) = (recorded(), image::RgbImage::new(56, 56));
    assert_eq!(golden["size"], json!([56, 56]));
    let ask = |extra| {
        let server = Server::with(0, extra);
        let pictures = Pictures::Model(Box::new(Processor::from_dir(model.path()).unwrap()));
        let endpoint = Endpoint::new(EndpointOptions { pictures, ..options(&server, 0) }, &stop).unwrap();
        let text = format!("<image>{}", golden["text"].as_str().unwrap());
        let asked = Asked {
            question: Record { sample: "triangle".into(), ..Record::default() },
            problem: String::new(),
            choices: vec![],
            messages: messages(&text, 1).unwrap().0,
            pictures: vec![endpoint.prepare(&picture).unwrap().picture],
            cost: 1,
        };
        endpoint.answer(&[asked])
    };
    let reply = ask(|_| recorded()["reply"].clone()).unwrap().remove(0).unwrap();
    assert_eq!(
        (reply.text.as_str(), reply.finish.as_deref(), reply.tokens),
        ("white", Some("stop"), Some(2))
    );
    let other = |_: &Value| {
        let mut reply = recorded()["reply"].clone();
        reply["prompt_token_ids"][17] = 690.into();
        reply
    };
    let error = ask(other).unwrap_err();
    let message = error.to_string();
    assert!(error.is_input(), "{message}");
    for words in ["sample triangle", "prompt_token_ids", "31 ids with 691 at 17", "31 ids with 690 at 17"] {
        assert!(message.contains(words), "{words}: {message}");
    }
}

#[test]
fn a_server_that_knows_no_such_model_ends_the_run() {
    let (dir, task, server) = (tempfile::tempdir().unwrap(), shapes(), Server::start(0));
    let (plan, stop) = (plan(task.as_ref(), 8), AtomicBool::new(false));
    let mut wrong = options(&server, 5);
    wrong.url = "ftp://nowhere".into();
    assert!(Endpoint::new(wrong, &stop).unwrap_err().is_input());
    // A listener that answers 404 to everything.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut lost = options(&server, 5);
    lost.url = format!("http://{}/v1/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            drop(stream.read(&mut [0; 1 << 16]));
            drop(stream.write_all(
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 13\r\nconnection: close\r\n\r\nno such model",
            ));
        }
    });
    let mut store = Store::open(dir.path()).unwrap();
    let error = run(&plan, &Endpoint::new(lost, &stop).unwrap(), &mut store, &stop, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("404") && error.to_string().contains("no such model"), "{error}");
    assert!(!error.is_input());
}
