//! Both sides of a transfer in one process: routes that wait as vLLM's do, and a carrier made of a channel.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

#[path = "../../../eval/tests/support/http.rs"]
mod http;

use super::*;
use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use http::{Asked, Reply, listen};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// Where a group meets, and what comes to it.
type Meeting = (Arc<Barrier>, Receiver<Vec<f32>>);

/// Shape and values.
type Arrived = (Vec<usize>, Vec<f32>);

/// A server's side.
#[derive(Default)]
struct Side {
    /// Who waits for the trainer, by group.
    groups: Mutex<BTreeMap<String, Meeting>>,
    /// The group that was joined.
    joined: Mutex<Option<String>>,
    routes: Mutex<Vec<String>>,
    weights: Mutex<BTreeMap<String, Arrived>>,
    version: Mutex<String>,
}

impl Side {
    fn handle(&self, asked: &Asked) -> Reply {
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        self.routes.lock().unwrap().push(asked.path.clone());
        match asked.path.as_str() {
            WORLD => return Reply::ok(json!({"world_size": 2})),
            INIT => {
                let info = &body["init_info"];
                assert_eq!((&info["rank_offset"], &info["world_size"]), (&json!(1), &json!(3)));
                assert_eq!(info["packed"], false);
                let group = info["nccl_unique_id_b64"].as_str().unwrap().to_owned();
                assert_eq!(STANDARD.decode(&group).unwrap().len(), 128);
                // The trainer may come to the group later than to this route.
                let there = || self.groups.lock().unwrap().get(&group).map(|(barrier, _)| barrier.clone());
                let barrier = std::iter::repeat_with(there).find_map(|there| {
                    std::thread::sleep(Duration::from_millis(1));
                    there
                });
                barrier.unwrap().wait();
                *self.joined.lock().unwrap() = Some(group);
            }
            UPDATE => return self.take(&body["update_info"]),
            FINISH => *self.version.lock().unwrap() = body["weight_version"].as_str().unwrap().into(),
            _ => {}
        }
        Reply::ok("{}")
    }

    /// Answers when every tensor has come, as the routes of a server do.
    fn take(&self, info: &Value) -> Reply {
        let Some(group) = self.joined.lock().unwrap().clone() else {
            return Reply::status("500 Internal Server Error", "weight transfer not initialized");
        };
        let groups = self.groups.lock().unwrap();
        for (at, name) in info["names"].as_array().unwrap().iter().enumerate() {
            assert_eq!(info["dtype_names"][at], "float32");
            let shape: Vec<usize> = serde_json::from_value(info["shapes"][at].clone()).unwrap();
            let Ok(values) = groups[&group].1.recv_timeout(Duration::from_secs(5)) else {
                return Reply::Hangup;
            };
            assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
            self.weights.lock().unwrap().insert(name.as_str().unwrap().into(), (shape, values));
        }
        Reply::ok("{}")
    }
}

#[derive(Clone)]
struct Channels {
    side: Arc<Side>,
    groups: Arc<AtomicUsize>,
    /// The next tensor is lost.
    torn: Arc<AtomicBool>,
}

impl Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Channels")
    }
}

#[derive(Debug)]
struct Channel(Sender<Vec<f32>>, Arc<AtomicBool>);

impl Wire for Channel {
    fn send(&self, values: &[f32]) -> Result<(), String> {
        if self.1.swap(false, Ordering::SeqCst) {
            return Err("torn".into());
        }
        self.0.send(values.to_vec()).map_err(|e| e.to_string())
    }
}

impl Carrier for Channels {
    fn group(&self) -> Result<Vec<u8>, String> {
        Ok(vec![self.groups.fetch_add(1, Ordering::SeqCst) as u8; 128])
    }

    fn meet(&self, group: &[u8], size: usize) -> Result<Box<dyn Wire>, String> {
        assert_eq!(size, 3);
        let (barrier, (send, receive)) = (Arc::new(Barrier::new(2)), channel());
        self.side.groups.lock().unwrap().insert(STANDARD.encode(group), (barrier.clone(), receive));
        barrier.wait();
        Ok(Box::new(Channel(send, self.torn.clone())))
    }
}

#[test]
fn weights_arrive_whole_and_a_group_that_broke_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let spec = TinySpec { words: WORDS, ..TinySpec::laws(Family::Qwen3Vl) };
    tiny::write(&dir.path().join("model"), &spec).unwrap();
    let policy = LocalPolicy::load(&dir.path().join("model")).unwrap();
    let side = Arc::new(Side::default());
    let there = side.clone();
    let url = listen(move |asked| there.handle(&asked));
    let client = Client::new(&url, None, Duration::from_secs(20), 2).unwrap();
    let channels = Channels { side: side.clone(), groups: Arc::default(), torn: Arc::default() };
    let transfer = Transfer::new(Box::new(channels.clone()));

    transfer.push(&client, &policy, "v0").unwrap();
    policy.save(&created(&dir.path().join("saved"))).unwrap();
    let file = std::fs::read(dir.path().join("saved/model.safetensors")).unwrap();
    let saved = safetensors::SafeTensors::deserialize(&file).unwrap();
    let arrived = side.weights.lock().unwrap().clone();
    assert_eq!(arrived.len(), saved.len());
    for (name, (shape, values)) in &arrived {
        let tensor = saved.tensor(name).unwrap();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert!(tensor.shape() == shape && tensor.data() == bytes, "{name}");
    }
    assert_eq!(*side.version.lock().unwrap(), "v0");

    // The group stays for the next push.
    transfer.push(&client, &policy, "v1").unwrap();
    let routes = std::mem::take(&mut *side.routes.lock().unwrap());
    assert_eq!(routes, [WORLD, INIT, START, UPDATE, FINISH, START, UPDATE, FINISH]);

    // Lost on the way: the version is not what it was to be, and the next push begins anew.
    channels.torn.store(true, Ordering::SeqCst);
    let fault = transfer.push(&client, &policy, "v2").unwrap_err();
    assert!(matches!(fault, Fault::Passing { .. }), "{fault:?}");
    assert_eq!(*side.version.lock().unwrap(), "v1");
    transfer.push(&client, &policy, "v3").unwrap();
    assert_eq!((side.version.lock().unwrap().as_str(), channels.groups.load(Ordering::SeqCst)), ("v3", 2));

    // A server that was started again has joined nothing.
    *side.joined.lock().unwrap() = None;
    let fault = transfer.push(&client, &policy, "v4").unwrap_err();
    assert!(fault.why().contains("not initialized"), "{fault:?}");
    transfer.push(&client, &policy, "v4").unwrap();
    assert_eq!((side.version.lock().unwrap().as_str(), channels.groups.load(Ordering::SeqCst)), ("v4", 3));
}

fn created(dir: &std::path::Path) -> std::path::PathBuf {
    std::fs::create_dir(dir).unwrap();
    dir.into()
}
