//! Weights to a vLLM server over the wire: its routes for a transfer, and who carries the numbers.
//!
//! Decides the order of calls on both sides: the server waits within two of them until the trainer has come, or
//! has sent, so these are made beside what they wait for. Once anything has failed the group is given up, and
//! the next push begins a new one: a server that was started again knows of none.
//!
//! Knows the carrier by a trait. The one there is, NCCL, has not run: there was no machine with two GPUs.

use crate::policy::LocalPolicy;
use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foveate_eval::server::{Client, Fault};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

const WORLD: &str = "/get_world_size";
const INIT: &str = "/init_weight_transfer_engine";
const START: &str = "/start_weight_update";
const UPDATE: &str = "/update_weights";
const FINISH: &str = "/finish_weight_update";

/// The routes without which weights cannot be sent.
pub(super) const ROUTES: [&str; 5] = [WORLD, INIT, START, UPDATE, FINISH];

/// What carries numbers to a server's GPUs, once both sides have met.
pub(super) trait Wire: Debug + Send {
    /// Sends one tensor's values, in f32.
    fn send(&self, values: &[f32]) -> Result<(), String>;
}

/// How both sides meet.
pub(super) trait Carrier: Debug + Send + Sync {
    /// What a new group is known by.
    fn group(&self) -> Result<Vec<u8>, String>;

    /// Joins `group` of `size` processes as the first; returns when all are there.
    fn meet(&self, group: &[u8], size: usize) -> Result<Box<dyn Wire>, String>;
}

/// A server's GPUs, as something to send weights to.
#[derive(Debug)]
pub(super) struct Transfer {
    carrier: Box<dyn Carrier>,
    wire: Mutex<Option<Box<dyn Wire>>>,
}

impl Transfer {
    pub(super) fn new(carrier: Box<dyn Carrier>) -> Self {
        Self { carrier, wire: Mutex::default() }
    }

    /// Gives the server the weights of `policy`, called `version`.
    ///
    /// # Errors
    /// What server or carrier say against it.
    pub(super) fn push(&self, client: &Client, policy: &LocalPolicy, version: &str) -> Result<(), Fault> {
        let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        // Left empty where anything fails from here on.
        let open = match wire.take() {
            Some(open) => open,
            None => self.meet(client)?,
        };
        send(client, open.as_ref(), policy, version)?;
        *wire = Some(open);
        Ok(())
    }

    fn meet(&self, client: &Client) -> Result<Box<dyn Wire>, Fault> {
        let size = client.get(WORLD)?["world_size"].as_u64();
        let size = 1 + size.ok_or_else(|| Fault::Fatal(format!("{WORLD}: no world_size")))? as usize;
        let group = self.carrier.group().map_err(Fault::Fatal)?;
        let info = json!({
            "nccl_unique_id_b64": STANDARD.encode(&group), "rank_offset": 1, "world_size": size, "packed": false,
        });
        beside(client, INIT, &json!({"init_info": info}), || self.carrier.meet(&group, size))
    }
}

/// Every tensor under its published name, in the order that the server is told.
fn send(client: &Client, wire: &dyn Wire, policy: &LocalPolicy, version: &str) -> Result<(), Fault> {
    let published = || policy.model.parameters().iter().filter(|parameter| !parameter.adapter);
    let (mut names, mut shapes) = (vec![], vec![]);
    for parameter in published() {
        parameter.pieces.iter().for_each(|(name, shape)| {
            names.push(name.as_str());
            shapes.push(shape.as_slice());
        });
    }
    let dtypes = vec!["float32"; names.len()];
    let info = json!({"names": names, "dtype_names": dtypes, "shapes": shapes});
    client.post(START, &json!({}))?;
    beside(client, UPDATE, &json!({"update_info": info}), || {
        published().try_for_each(|parameter| {
            let values = parameter.values().map_err(|e| e.to_string())?;
            parameter.split(&values).try_for_each(|(_, _, piece)| wire.send(piece))
        })
    })?;
    client.post(FINISH, &json!({"weight_version": version})).map(|_| ())
}

/// Calls `route`, which does not answer before `work` is done, and does it. What the server says against it goes
/// first: it tells why the work failed.
fn beside<T>(
    client: &Client,
    route: &str,
    body: &Value,
    work: impl FnOnce() -> Result<T, String>,
) -> Result<T, Fault> {
    std::thread::scope(|scope| {
        let told = scope.spawn(|| client.post(route, body));
        let done = work();
        let told = told.join().unwrap_or_else(|_| Err(Fault::passing(format!("{route}: broke off"), true)));
        told.and_then(|_| done.map_err(|why| Fault::passing(format!("{route}: {why}"), true)))
    })
}

/// NCCL from the first GPU of this machine.
#[derive(Debug)]
pub(super) struct Nccl;

impl Nccl {
    /// The carrier, where this build and this machine have it.
    ///
    /// # Errors
    /// [`Error::Recipe`]
    pub(super) fn here() -> Result<Box<dyn Carrier>> {
        let fault = |message| Error::Recipe { place: "rollout.server.sync".into(), message };
        Nccl.group().map_err(|why| fault(format!("cannot be `nccl` here: {why}")))?;
        Ok(Box::new(Nccl))
    }
}

#[cfg(not(feature = "nccl"))]
impl Carrier for Nccl {
    fn group(&self) -> Result<Vec<u8>, String> {
        Err("this program was built without the feature `nccl`".into())
    }

    fn meet(&self, _: &[u8], _: usize) -> Result<Box<dyn Wire>, String> {
        Err("this program was built without the feature `nccl`".into())
    }
}

#[cfg(feature = "nccl")]
impl Carrier for Nccl {
    fn group(&self) -> Result<Vec<u8>, String> {
        Ok(foveate_ranks::group_id().map_err(|e| e.to_string())?.to_vec())
    }

    fn meet(&self, group: &[u8], size: usize) -> Result<Box<dyn Wire>, String> {
        const DEADLINE: std::time::Duration = std::time::Duration::from_secs(120);
        let group = group.try_into().map_err(|_| "a group is 128 bytes".to_string())?;
        let sender = foveate_ranks::Sender::meet(0, group, size, DEADLINE).map_err(|e| e.to_string())?;
        Ok(Box::new(sender))
    }
}

#[cfg(feature = "nccl")]
impl Wire for foveate_ranks::Sender {
    fn send(&self, values: &[f32]) -> Result<(), String> {
        foveate_ranks::Sender::send(self, values).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
