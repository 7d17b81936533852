//! A server that samples from a model of its own, as vLLM or SGLang do, and that goes wrong on demand.
//!
//! It has the routes of the real ones and computes what they compute: from messages, not from the trainer's
//! ids. What real servers' replies look like to the letter is `tests/golden/engine`'s business.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // helpers of tests are tests; not every test needs all

use super::http::{Asked, Reply, listen};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foveate_trainer::policy::LocalPolicy;
use foveate_vision::generate::{Generated, Request, Sampling, Stop, generate};
use foveate_vision::images::Patches;
use foveate_vision::text::{Content, Message};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Whose routes and replies it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    Vllm,
    /// The same without a list of its routes.
    Unlisted,
    Sglang,
}

/// What happens at a call for answers, counted from 0.
pub type Fate = fn(usize) -> Option<Fault>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    Hangup,
    Status(u16),
    Garbage,
    Cut,
    /// It ends, and comes back after so many refused calls as it was at first.
    Restart(usize),
    /// It is replaced by one as it was at first, and no call fails.
    Replaced,
    /// An answer that the server broke off.
    Abort,
}

pub struct Served {
    pub url: String,
    pub inner: Arc<Inner>,
}

pub struct Inner {
    base: PathBuf,
    manner: Manner,
    fate: Fate,
    policy: Mutex<LocalPolicy>,
    /// By name, with the adapters that were loaded.
    pub adapted: Mutex<BTreeMap<String, LocalPolicy>>,
    /// Adapters of the vision tower are left out without a word, as vLLM does where it was not told of them.
    pub blind: AtomicBool,
    version: Mutex<String>,
    /// Calls still to be refused.
    down: AtomicUsize,
    /// Weights are not taken any more.
    pub deaf: AtomicBool,
    /// Log-probabilities are of the temperature.
    pub tempered: AtomicBool,
    /// Changes a reply.
    pub spoil: Mutex<fn(&mut Value)>,
    pub calls: AtomicUsize,
    pub pushes: AtomicUsize,
}

impl Served {
    pub fn start(base: &Path, manner: Manner, fate: Fate) -> Self {
        let inner = Arc::new(Inner {
            base: base.into(),
            manner,
            fate,
            policy: Mutex::new(LocalPolicy::load(base).unwrap()),
            adapted: Mutex::default(),
            blind: AtomicBool::new(false),
            version: Mutex::new("default".into()),
            down: AtomicUsize::new(0),
            deaf: AtomicBool::new(false),
            tempered: AtomicBool::new(false),
            spoil: Mutex::new(|_| ()),
            calls: AtomicUsize::new(0),
            pushes: AtomicUsize::new(0),
        });
        let shared = inner.clone();
        Self { url: listen(move |asked| shared.handle(&asked)), inner }
    }
}

impl Inner {
    fn handle(&self, asked: &Asked) -> Reply {
        let left = |n: usize| n.checked_sub(1);
        if self.down.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            return Reply::Hangup;
        }
        let path = asked.path.split('?').next().unwrap();
        let known = self.routes().into_iter().find(|(_, route)| *route == path);
        let Some((method, _)) = known else {
            return Reply::status("404 Not Found", "{\"detail\":\"Not Found\"}");
        };
        if method != asked.method {
            return Reply::status("405 Method Not Allowed", "{}");
        }
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        match path {
            "/v1/models" => Reply::ok(json!({"data": [{"id": "policy"}]})),
            "/openapi.json" => {
                let paths: serde_json::Map<_, _> =
                    self.routes().into_iter().map(|(_, route)| (route.into(), json!({}))).collect();
                Reply::ok(json!({"paths": paths}))
            }
            "/v1/chat/completions" => self.chat(&body),
            "/collective_rpc" => {
                assert_eq!(body["method"], "reload_weights");
                self.load(body["kwargs"]["weights_path"].as_str().unwrap());
                Reply::ok(json!({"results": [null]}))
            }
            "/v1/load_lora_adapter" => self.load_adapter(&body),
            "/v1/unload_lora_adapter" => match self.adapted.lock().unwrap().remove(name(&body)) {
                Some(_) => Reply::ok("Success"),
                None => Reply::status("404 Not Found", "{\"error\": {\"message\": \"cannot be found\"}}"),
            },
            "/update_weights_from_disk" => {
                self.load(body["model_path"].as_str().unwrap());
                Reply::ok(json!({"success": true, "message": "Succeeded to update model weights."}))
            }
            "/update_weight_version" => {
                *self.version.lock().unwrap() = body["new_version"].as_str().unwrap().into();
                Reply::ok(json!({"success": true}))
            }
            "/weight_info" => Reply::ok(json!({"weight_version": *self.version.lock().unwrap()})),
            _ => Reply::ok(json!({"success": true})),
        }
    }

    fn routes(&self) -> Vec<(&'static str, &'static str)> {
        let mut routes = vec![("GET", "/v1/models"), ("POST", "/v1/chat/completions")];
        let vllm = ["/collective_rpc", "/pause", "/resume", "/reset_prefix_cache", "/reset_mm_cache"];
        match self.manner {
            Manner::Sglang => routes.push(("POST", "/update_weights_from_disk")),
            _ => routes.extend(vllm.map(|route| ("POST", route))),
        }
        if self.manner == Manner::Vllm {
            routes.extend(["/v1/load_lora_adapter", "/v1/unload_lora_adapter"].map(|route| ("POST", route)));
        }
        if self.manner == Manner::Vllm {
            routes.extend([("POST", "/update_weight_version"), ("GET", "/weight_info")]);
        }
        if self.manner != Manner::Unlisted {
            routes.push(("GET", "/openapi.json"));
        }
        routes
    }

    fn load(&self, dir: &str) {
        self.pushes.fetch_add(1, Ordering::SeqCst);
        if !self.deaf.load(Ordering::SeqCst) {
            *self.policy.lock().unwrap() = LocalPolicy::load(Path::new(dir)).unwrap();
        }
    }

    /// The model of the start with an adapter, under a name that must be new.
    fn load_adapter(&self, body: &Value) -> Reply {
        self.pushes.fetch_add(1, Ordering::SeqCst);
        let mut policy = LocalPolicy::load(&self.base).unwrap();
        policy.model.load_adapter(Path::new(body["lora_path"].as_str().unwrap())).unwrap();
        if self.blind.load(Ordering::SeqCst) {
            policy.model = policy.model.without_vision_adapter().unwrap();
        }
        match self.adapted.lock().unwrap().insert(name(body).into(), policy) {
            None => Reply::ok("Success: LoRA adapter added successfully."),
            Some(_) => Reply::status("400 Bad Request", "{\"error\": \"already been loaded\"}"),
        }
    }

    /// As it was when it was started.
    fn forget(&self) {
        self.adapted.lock().unwrap().clear();
        *self.policy.lock().unwrap() = LocalPolicy::load(&self.base).unwrap();
        *self.version.lock().unwrap() = "default".into();
    }

    fn chat(&self, body: &Value) -> Reply {
        let fate = (self.fate)(self.calls.fetch_add(1, Ordering::SeqCst));
        match fate {
            Some(Fault::Hangup) => return Reply::Hangup,
            Some(Fault::Status(429)) => return Reply::status("429 Busy\r\nretry-after: 0", "busy"),
            Some(Fault::Status(code)) => return Reply::status(&format!("{code} Oops"), "oops"),
            Some(Fault::Garbage) => return Reply::ok("<html>"),
            Some(Fault::Restart(calls)) => {
                self.forget();
                self.down.store(calls, Ordering::SeqCst);
                return Reply::Hangup;
            }
            Some(Fault::Replaced) => self.forget(),
            _ => {}
        }
        let model = body["model"].as_str().unwrap();
        let adapted = self.adapted.lock().unwrap();
        let mut reply = match adapted.get(model) {
            Some(policy) => self.answer(policy, body),
            None if model == "policy" => self.answer(&self.policy.lock().unwrap(), body),
            None => return Reply::status("404 Not Found", "{\"error\": \"The model does not exist.\"}"),
        };
        if fate == Some(Fault::Abort) {
            reply["choices"][0]["finish_reason"] = "abort".into();
        }
        (self.spoil.lock().unwrap())(&mut reply);
        match fate {
            Some(Fault::Cut) => Reply::Cut(reply.to_string()),
            _ => Reply::ok(reply),
        }
    }

    fn answer(&self, policy: &LocalPolicy, body: &Value) -> Value {
        assert_eq!((&body["logprobs"], &body["return_token_ids"]), (&json!(true), &json!(true)));
        let (messages, patches) = conversation(policy, &body["messages"]);
        let prompt = Arc::new(policy.processor.prompt(&messages, &patches).unwrap());
        let n = body["n"].as_u64().unwrap() as usize;
        let request = Request { prompt: prompt.clone(), n, seed: body["seed"].as_u64().unwrap() };
        let said = generate(&policy.model, &[request], &sampling(body)).unwrap().remove(0);
        let mut choices: Vec<Value> =
            said.iter().enumerate().map(|(at, said)| self.choice(at, said)).collect();
        // The order of choices is nobody's promise.
        choices.reverse();
        if self.manner == Manner::Sglang {
            choices.iter_mut().for_each(|choice| choice["prompt_token_ids"] = json!(prompt.input_ids));
            return json!({"choices": choices});
        }
        json!({"prompt_token_ids": prompt.input_ids, "choices": choices})
    }

    fn choice(&self, index: usize, said: &Generated) -> Value {
        let tempered = self.tempered.load(Ordering::SeqCst);
        let logp = if tempered { &said.logp_tempered } else { &said.logp_raw };
        let content: Vec<Value> = logp.iter().map(|logp| json!({"token": "?", "logprob": logp})).collect();
        let reason = if said.stop == Stop::Stop { "stop" } else { "length" };
        // Text that was cut into other tokens would show if anybody read it.
        json!({
            "index": index, "message": {"role": "assistant", "content": "not to be read"},
            "finish_reason": reason, "token_ids": said.ids, "logprobs": {"content": content},
        })
    }
}

/// Of an adapter.
fn name(body: &Value) -> &str {
    body["lora_name"].as_str().unwrap()
}

/// A request's messages with the patches of their pictures.
fn conversation(policy: &LocalPolicy, messages: &Value) -> (Vec<Message>, Vec<Arc<Patches>>) {
    let mut patches = vec![];
    let mut piece = |piece: &Value| match piece["image_url"]["url"].as_str() {
        None => Content::Text(piece["text"].as_str().unwrap().into()),
        Some(url) => {
            let png = STANDARD.decode(url.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
            let picture = image::load_from_memory(&png).unwrap().to_rgb8();
            let resized = policy.processor.images.resize(&picture).unwrap();
            assert!(resized == picture, "the server's own processor changes nothing");
            patches.push(Arc::new(policy.processor.images.patches(&picture).unwrap()));
            Content::Image(None)
        }
    };
    let mut turn = |turn: &Value| Message {
        role: turn["role"].as_str().unwrap().into(),
        content: turn["content"].as_array().unwrap().iter().map(&mut piece).collect(),
    };
    (messages.as_array().unwrap().iter().map(&mut turn).collect(), patches)
}

fn sampling(body: &Value) -> Sampling {
    let number = |key: &str| body[key].as_f64().unwrap_or_else(|| panic!("no {key}: {body}")) as f32;
    let count = |key: &str| body[key].as_u64().unwrap_or_default() as usize;
    let ids = |ids: &Value| -> Vec<u32> {
        ids.as_array().into_iter().flatten().map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let bias = body["logit_bias"].as_object().into_iter().flatten();
    let endless = body["ignore_eos"] == true;
    Sampling {
        max_tokens: count("max_tokens"),
        min_tokens: count("min_tokens"),
        temperature: number("temperature"),
        top_p: number("top_p"),
        top_k: body["top_k"].as_i64().unwrap().max(0) as usize,
        min_p: number("min_p"),
        repetition_penalty: number("repetition_penalty"),
        stop_ids: if endless { vec![] } else { ids(&body["stop_token_ids"]) },
        forbidden_ids: bias.map(|(id, _)| id.parse().unwrap()).collect(),
        tokenizer_size: 0,
        allow_placeholders: true,
    }
}

/// A pause in which nothing is expected to happen.
pub const MOMENT: Duration = Duration::from_millis(100);
