//! Rollout, reward, pack, update, checkpoint: the only crate that sees both models and losses.
//!
//! A recipe ([`recipe`]) says what is wanted. A [`Trainer`] follows it: first a supervised warm-up
//! ([`warmup`]), then steps of reinforcement learning: questions ([`data`]) are answered ([`rollout`]),
//! by the model itself or by a server that follows it ([`engine`]), in one turn or several ([`turns`]), answers rewarded ([`reward`]), credits taken from the groups (the objectives' advantages), groups laid
//! into packs ([`micro`]), and weights changed ([`update`], [`optim`]). What it leaves behind is a run
//! directory ([`run_dir`], [`log`], [`checkpoint`]). Every random draw is a function of the step
//! ([`seeds`]), so a run that was killed goes on to the same bytes.

pub mod ask;
pub mod checkpoint;
mod correlation;
pub mod data;
pub mod engine;
mod error;
pub mod evaluate;
pub mod hacking;
mod lean;
pub mod log;
mod measured;
pub mod micro;
pub mod observer;
pub mod optim;
pub mod policy;
pub mod ranks;
pub mod recipe;
pub mod reward;
pub mod rollout;
pub mod run_dir;
pub mod seeds;
mod signals;
mod start;
mod step;
mod sums;
mod told;
mod trainer;
pub mod turns;
pub mod update;
pub mod view;
pub mod warmup;

pub use error::{Error, Result};
pub use trainer::{Finished, Trainer};
