//! How weights get to a server, and which of its routes it has for that.
//!
//! Decides the order of calls; every route is looked for, none assumed, as they move between versions. What a
//! server answers is not taken for proof: [`super::probe`] is.

use super::Trouble;
use super::server::wrong;
use super::wire::{self, Transfer};
use crate::policy::LocalPolicy;
use crate::recipe::{ServerRecipe, SyncName};
use crate::run_dir::RunDir;
use crate::{Error, Result};
use foveate_eval::server::{Client, Fault};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Calls for a cache that is still in use.
const TRIES: usize = 50;

/// How a server takes weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// vLLM's `/v1/load_lora_adapter` (started with `--enable-lora` and `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`),
    /// each version under a name of its own, as servers remember adapters by name.
    Adapter,
    /// vLLM's `/collective_rpc` with `reload_weights` (a server started with `VLLM_SERVER_DEV_MODE=1`).
    Reload,
    /// SGLang's `/update_weights_from_disk`.
    UpdateFromDisk,
    /// vLLM's routes of a transfer (started with `--weight-transfer-config '{"backend": "nccl"}'` too).
    Transfer,
}

/// Where weights are put and how the server is told.
#[derive(Debug)]
pub(super) struct Push {
    way: Way,
    transfer: Option<Transfer>,
    dir: Option<PathBuf>,
    server_dir: Option<PathBuf>,
    /// Routes that are used where they are.
    routes: Vec<&'static str>,
}

const LOAD_ADAPTER: &str = "/v1/load_lora_adapter";
const UNLOAD_ADAPTER: &str = "/v1/unload_lora_adapter";
const RELOAD: &str = "/collective_rpc";
const FROM_DISK: &str = "/update_weights_from_disk";
const PAUSE: &str = "/pause";
const RESUME: &str = "/resume";
const CACHES: [&str; 3] = ["/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache"];
const SET_VERSION: &str = "/update_weight_version";
const VERSION: &str = "/weight_info";

impl Way {
    /// The first way that the server has and the run allows.
    fn of(client: &Client, known: &Routes, sync: SyncName, adapts: bool) -> Result<Self, Trouble> {
        let none = |message: String| Err(Error::Server { url: client.root().into(), message }.into());
        let by_adapter = match sync {
            SyncName::Auto => adapts,
            SyncName::Lora => true,
            SyncName::Disk | SyncName::Nccl => false,
        };
        if by_adapter != adapts {
            let trained = if adapts { "an adapter is trained" } else { "no adapter is trained" };
            return Err(wrong("sync", &format!("another, as {trained}"), sync.name()).into());
        }
        if sync == SyncName::Nccl {
            for route in wire::ROUTES {
                if !known.has(client, route)? {
                    return none(format!(
                        "has no {route} (vLLM, started with VLLM_SERVER_DEV_MODE=1 and --weight-transfer-config \
                         '{{\"backend\": \"nccl\"}}'): weights cannot be sent to it"
                    ));
                }
            }
            return Ok(Self::Transfer);
        }
        match by_adapter {
            true if known.has(client, LOAD_ADAPTER)? => Ok(Self::Adapter),
            true => none(format!(
                "has no {LOAD_ADAPTER} (vLLM, started with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True): \
                 an adapter cannot be given to it"
            )),
            false if known.has(client, RELOAD)? => Ok(Self::Reload),
            false if known.has(client, FROM_DISK)? => Ok(Self::UpdateFromDisk),
            false => none(format!(
                "has neither {RELOAD} (vLLM, started with VLLM_SERVER_DEV_MODE=1) nor {FROM_DISK} (SGLang): new \
                 weights cannot be given to it"
            )),
        }
    }
}

impl Push {
    /// Looks for the server's routes; `adapts` where an adapter is trained, not the model.
    ///
    /// # Errors
    /// A server without any way for weights to get in.
    pub(super) fn find(client: &Client, recipe: &ServerRecipe, adapts: bool) -> Result<Self, Trouble> {
        let optional = CACHES.into_iter().chain([PAUSE, RESUME, SET_VERSION, VERSION]);
        let known = Routes::read(client)?;
        let way = Way::of(client, &known, recipe.sync, adapts)?;
        let mut routes = vec![];
        for route in optional {
            if known.has(client, route)? {
                routes.push(route);
            }
        }
        let (dir, server_dir) = (recipe.dir.clone(), recipe.server_dir.clone());
        let transfer = match way {
            Way::Transfer => Some(Transfer::new(wire::Nccl::here()?)),
            _ => None,
        };
        Ok(Self { way, transfer, dir, server_dir, routes })
    }

    /// Writes the weights of version `name`, if they go by disk, and drops those of other versions.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn write(&self, run: &RunDir, policy: &LocalPolicy, name: &str) -> Result<()> {
        if self.transfer.is_some() {
            return Ok(());
        }
        let (dir, all) = (self.dir(run, name), self.dir(run, ""));
        std::fs::create_dir_all(&all).map_err(Error::io(&all))?;
        if !dir.is_dir() {
            run.whole(&dir, |dir| policy.save(dir))?;
        }
        for entry in std::fs::read_dir(&all).map_err(Error::io(&all))? {
            let path = entry.map_err(Error::io(&all))?.path();
            let ours = path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(PREFIX));
            if ours && path != dir {
                std::fs::remove_dir_all(&path).map_err(Error::io(&path))?;
            }
        }
        Ok(())
    }

    fn dir(&self, run: &RunDir, name: &str) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| run.served()).join(name)
    }

    /// Gives the server the weights of `policy`, version `name`, which were written.
    ///
    /// # Errors
    /// What the server says against it.
    pub(super) fn tell(
        &self,
        client: &Client,
        run: &RunDir,
        (policy, name): (&LocalPolicy, &str),
    ) -> Result<(), Fault> {
        let dir = self.seen(&self.dir(run, name), name);
        match self.way {
            Way::Adapter => {
                self.forget(client, name)?;
                client.post(LOAD_ADAPTER, &json!({"lora_name": name, "lora_path": dir}))?;
            }
            Way::Reload => self.paused(client, || {
                let body = json!({"method": "reload_weights", "kwargs": {"weights_path": dir}});
                client.post(RELOAD, &body).map(|_| ())
            })?,
            Way::Transfer => self.paused(client, || match &self.transfer {
                Some(transfer) => transfer.push(client, policy, name),
                None => Ok(()),
            })?,
            Way::UpdateFromDisk => {
                let body = json!({"model_path": dir, "weight_version": name, "flush_cache": true});
                let reply = client.post(FROM_DISK, &body)?;
                if reply["success"] == false {
                    return Err(Fault::Final(format!("{FROM_DISK}: {}", reply["message"])));
                }
            }
        }
        if self.says_version() {
            client.post(SET_VERSION, &json!({"new_version": name}))?;
        }
        Ok(())
    }

    /// Changes weights while nothing is answered, and empties what the old ones have filled.
    fn paused(&self, client: &Client, change: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
        self.optional(client, PAUSE, "?mode=wait")?;
        let changed = change();
        // A server that could not take them goes on all the same.
        let caches = CACHES.iter().try_for_each(|cache| self.reset(client, cache));
        self.optional(client, RESUME, "")?;
        changed.and(caches)
    }

    /// What version `name` is called where answers are asked for, if not as the model itself.
    pub(super) fn model<'a>(&self, name: &'a str) -> Option<&'a str> {
        (self.way == Way::Adapter).then_some(name)
    }

    /// Drops version `name` at the server, where versions stand beside each other; one that is not there is no
    /// fault.
    ///
    /// # Errors
    /// A server that may be gone.
    pub(super) fn forget(&self, client: &Client, name: &str) -> Result<(), Fault> {
        if self.way != Way::Adapter || name.is_empty() {
            return Ok(());
        }
        match client.post(UNLOAD_ADAPTER, &json!({"lora_name": name})) {
            Err(passing @ Fault::Passing { .. }) => Err(passing),
            _ => Ok(()),
        }
    }

    /// Whether the server still says that it has version `name`, where it says such things: one that was started
    /// again does not.
    ///
    /// # Errors
    /// How the call failed.
    pub(super) fn still(&self, client: &Client, name: &str) -> Result<bool, Fault> {
        if !self.says_version() {
            return Ok(true);
        }
        Ok(client.get(VERSION)?["weight_version"].as_str().is_none_or(|version| version == name))
    }

    /// An adapter is known by its name; the version is the model's.
    fn says_version(&self) -> bool {
        self.way != Way::Adapter && [SET_VERSION, VERSION].iter().all(|route| self.routes.contains(route))
    }

    /// What the server calls `dir`.
    fn seen(&self, dir: &Path, name: &str) -> PathBuf {
        match &self.server_dir {
            Some(server_dir) => server_dir.join(name),
            None => std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf()),
        }
    }

    fn optional(&self, client: &Client, route: &str, query: &str) -> Result<(), Fault> {
        match self.routes.contains(&route) {
            true => client.post(&format!("{route}{query}"), &json!({})).map(|_| ()),
            false => Ok(()),
        }
    }

    /// Empties a cache that old weights have filled; one that is in use says no, for a moment.
    fn reset(&self, client: &Client, route: &str) -> Result<(), Fault> {
        if !self.routes.contains(&route) {
            return Ok(());
        }
        for _ in 0..TRIES {
            if client.post(route, &json!({}))?["success"] != false {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Err(Fault::Final(format!("{route}: the cache is still in use")))
    }
}

/// What the names of versions begin with.
pub(super) const PREFIX: &str = "foveate-";

/// What a server says of its own routes, where it says that.
struct Routes(Option<Vec<String>>);

impl Routes {
    fn read(client: &Client) -> Result<Self, Fault> {
        let paths = match client.get("/openapi.json") {
            Ok(page) => page["paths"].as_object().map(|paths| paths.keys().cloned().collect()),
            Err(Fault::Fatal(_) | Fault::Final(_)) => None,
            Err(passing) => return Err(passing),
        };
        Ok(Self(paths))
    }

    fn has(&self, client: &Client, route: &str) -> Result<bool, Fault> {
        match &self.0 {
            Some(paths) => Ok(paths.iter().any(|path| path == route)),
            None => client.has(route),
        }
    }
}
