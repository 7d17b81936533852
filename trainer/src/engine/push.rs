//! How weights get to a server, and which of its routes it has for that.
//!
//! Decides the order of calls; every route is looked for, none assumed, as they move between versions. What a
//! server answers is not taken for proof: [`super::probe`] is.

use super::Trouble;
use crate::policy::LocalPolicy;
use crate::recipe::{ServerRecipe, SyncName};
use crate::run_dir::RunDir;
use crate::{Error, Result};
use foveate_eval::server::{Client, Fault};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Calls for a cache that is still in use.
const TRIES: usize = 50;

/// How a server takes weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// vLLM's `/collective_rpc` with `reload_weights` (a server started with `VLLM_SERVER_DEV_MODE=1`).
    Reload,
    /// SGLang's `/update_weights_from_disk`.
    UpdateFromDisk,
}

/// Where weights are put and how the server is told.
#[derive(Debug)]
pub(super) struct Push {
    way: Way,
    dir: Option<PathBuf>,
    server_dir: Option<PathBuf>,
    /// Routes that are used where they are.
    routes: Vec<&'static str>,
}

const RELOAD: &str = "/collective_rpc";
const FROM_DISK: &str = "/update_weights_from_disk";
const PAUSE: &str = "/pause";
const RESUME: &str = "/resume";
const CACHES: [&str; 3] = ["/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache"];
const SET_VERSION: &str = "/update_weight_version";
const VERSION: &str = "/weight_info";

impl Push {
    /// Looks for the server's routes.
    ///
    /// # Errors
    /// A server without any way for weights to get in.
    pub(super) fn find(client: &Client, recipe: &ServerRecipe) -> Result<Self, Trouble> {
        let optional = CACHES.into_iter().chain([PAUSE, RESUME, SET_VERSION, VERSION]);
        let known = Routes::read(client)?;
        let way = match recipe.sync {
            SyncName::Auto | SyncName::Disk if known.has(client, RELOAD)? => Way::Reload,
            SyncName::Auto | SyncName::Disk if known.has(client, FROM_DISK)? => Way::UpdateFromDisk,
            SyncName::Auto | SyncName::Disk => {
                let message = format!(
                    "has neither {RELOAD} (vLLM, started with VLLM_SERVER_DEV_MODE=1) nor {FROM_DISK} (SGLang): \
                     new weights cannot be given to it"
                );
                return Err(Error::Server { url: client.root().into(), message }.into());
            }
        };
        let mut routes = vec![];
        for route in optional {
            if known.has(client, route)? {
                routes.push(route);
            }
        }
        let (dir, server_dir) = (recipe.dir.clone(), recipe.server_dir.clone());
        Ok(Self { way, dir, server_dir, routes })
    }

    /// Writes the weights of version `name`, and drops those of other versions.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn write(&self, run: &RunDir, policy: &LocalPolicy, name: &str) -> Result<()> {
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

    /// Tells the server to take the weights of version `name`, which were written.
    ///
    /// # Errors
    /// What the server says against it.
    pub(super) fn tell(&self, client: &Client, run: &RunDir, name: &str) -> Result<(), Fault> {
        let dir = self.seen(&self.dir(run, name), name);
        match self.way {
            Way::Reload => {
                self.optional(client, PAUSE, "?mode=wait")?;
                let told = client
                    .post(RELOAD, &json!({"method": "reload_weights", "kwargs": {"weights_path": dir}}));
                // A server that could not reload goes on all the same.
                let caches = CACHES.iter().try_for_each(|cache| self.reset(client, cache));
                self.optional(client, RESUME, "")?;
                told.and(caches.map(|()| Value::Null))?;
            }
            Way::UpdateFromDisk => {
                let body = json!({"model_path": dir, "weight_version": name, "flush_cache": true});
                let reply = client.post(FROM_DISK, &body)?;
                if reply["success"] == false {
                    return Err(Fault::Final(format!("{FROM_DISK}: {}", reply["message"])));
                }
            }
        }
        if self.routes.contains(&SET_VERSION) {
            client.post(SET_VERSION, &json!({"new_version": name}))?;
        }
        Ok(())
    }

    /// Whether the server still says that it has version `name`, where it says such things: one that was started
    /// again does not.
    ///
    /// # Errors
    /// How the call failed.
    pub(super) fn still(&self, client: &Client, name: &str) -> Result<bool, Fault> {
        if !self.routes.contains(&VERSION) || !self.routes.contains(&SET_VERSION) {
            return Ok(true);
        }
        Ok(client.get(VERSION)?["weight_version"].as_str().is_none_or(|version| version == name))
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
