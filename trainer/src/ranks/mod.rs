//! One run on many ranks: how its work is split, and how what each did becomes one.
//!
//! Every rank has the whole model and walks through the same steps. The groups of a step are dealt out
//! ([`Share`]); since every random draw is a function of the step and the sample, a group is the same
//! whoever makes it. What a decision or a metric is made of is told to all ([`all`]), so all decide alike:
//! credits, dynamic sampling, skipped updates, the best checkpoint. Gradients are summed in buckets while
//! the backward pass runs ([`Reducer`]), and each rank updates its part of the weights ([`Layout`]). Rank 0
//! alone writes the run's files.
//!
//! Knows no engine: messages are `foveate_ranks`' business.

mod layout;
mod reducer;
mod share;
mod zero;

pub(crate) use layout::Layout;
pub use reducer::{Pass, Reducer};
pub use share::Share;

use crate::recipe::Recipe;
use crate::{Error, Result};
use foveate_ranks::Collective;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What every rank has to say, in the order of the ranks.
///
/// # Errors
/// A lost rank, or one that says something else.
pub fn all<T: Serialize + DeserializeOwned>(ranks: &dyn Collective, mine: T) -> Result<Vec<T>> {
    if ranks.size() == 1 {
        return Ok(vec![mine]);
    }
    let bytes = postcard::to_allocvec(&mine).map_err(|e| garbled(ranks.rank(), e))?;
    let all = ranks.all_gather_bytes(&bytes)?;
    let read = |(rank, bytes): (usize, &Vec<u8>)| postcard::from_bytes(bytes).map_err(|e| garbled(rank, e));
    all.iter().enumerate().map(read).collect()
}

/// What every rank has to say, each thing at its place.
///
/// # Errors
/// As of [`all`].
pub fn in_order<T: Serialize + DeserializeOwned>(
    ranks: &dyn Collective,
    mine: Vec<(usize, T)>,
) -> Result<Vec<T>> {
    let mut told: Vec<(usize, T)> = all(ranks, mine)?.into_iter().flatten().collect();
    // One rank's are in order already.
    if ranks.size() > 1 {
        told.sort_by_key(|(place, _)| *place);
    }
    Ok(told.into_iter().map(|(_, thing)| thing).collect())
}

/// Says something to all others, on rank 0; they [`hear`] it.
///
/// # Errors
/// As of [`all`].
pub(crate) fn tell<T: Serialize>(ranks: &dyn Collective, said: &T) -> Result<()> {
    let bytes = postcard::to_allocvec(said).map_err(|e| garbled(ranks.rank(), e))?;
    Ok(ranks.broadcast(bytes, 0).map(|_| ())?)
}

/// What rank 0 [tells](tell), on the others.
///
/// # Errors
/// As of [`all`].
pub(crate) fn hear<T: DeserializeOwned>(ranks: &dyn Collective) -> Result<T> {
    postcard::from_bytes(&ranks.broadcast(vec![], 0)?).map_err(|e| garbled(0, e))
}

/// Whether any rank says yes.
///
/// # Errors
/// As of [`all`].
pub fn any(ranks: &dyn Collective, mine: bool) -> Result<bool> {
    Ok(all(ranks, mine)?.into_iter().any(|yes| yes))
}

/// `make` on rank 0, and when that is done on the others: files that one writes and all read.
///
/// # Errors
/// Those of `make`; on the others those of rank 0.
pub(crate) fn first_on_rank_0<T>(ranks: &dyn Collective, make: impl FnOnce() -> Result<T>) -> Result<T> {
    if ranks.rank() == 0 {
        let made = make();
        if let Err(e) = &made {
            ranks.abort(&e.to_string());
            return made;
        }
        ranks.barrier()?;
        return made;
    }
    ranks.barrier()?;
    make()
}

/// Rank 0's recipe, to which those of the other ranks must be equal but for `out`: the first free
/// directory may be another one for each that looks.
///
/// # Errors
/// [`foveate_ranks::Error::Mismatch`], naming the first line that differs.
pub(crate) fn agreed(ranks: &dyn Collective, mut recipe: Recipe) -> Result<Recipe> {
    if ranks.size() == 1 {
        return Ok(recipe);
    }
    let text = |recipe: &Recipe| toml::to_string(recipe).map_err(|e| Error::run(&recipe.out, e));
    let out = ranks.broadcast(recipe.out.display().to_string().into_bytes(), 0)?;
    recipe.out = String::from_utf8_lossy(&out).into_owned().into();
    let mine = text(&recipe)?;
    let said = all(ranks, mine.clone())?;
    let Some((rank, theirs)) = said.iter().enumerate().find(|(_, theirs)| **theirs != mine) else {
        return Ok(recipe);
    };
    let mut lines = mine.lines().zip(theirs.lines());
    let (expected, found) = lines.find(|(a, b)| a != b).unwrap_or((mine.as_str(), theirs.as_str()));
    let (expected, found) = (expected.into(), found.into());
    Err(foveate_ranks::Error::Mismatch { rank, what: "the recipe".into(), expected, found }.into())
}

fn garbled(rank: usize, e: postcard::Error) -> Error {
    let (what, expected) = ("what it tells".into(), "of this version of the program".into());
    foveate_ranks::Error::Mismatch { rank, what, expected, found: e.to_string() }.into()
}
