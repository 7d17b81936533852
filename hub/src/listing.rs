//! What the hub says a repository has at a revision.

use serde::Deserialize;

use crate::http::{Http, encode};
use crate::layout::{is_commit, is_inside};
use crate::{Error, Name, Result};

/// A commit and its files.
#[derive(Debug)]
pub(crate) struct Listing {
    pub commit: String,
    /// In order.
    pub files: Vec<String>,
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// Asks for the commit of `name`'s revision and for its files.
pub(crate) fn list(http: &Http, name: &Name, attempts: u32) -> Result<Listing> {
    let (kind, revision) = (name.kind.plural(), encode(name.revision()));
    let url = format!("{}/api/{kind}/{}/revision/{revision}", http.endpoint(), name.id);
    let info: Info = http.json(&url, name, attempts)?;
    let wrong = |message: String| Error::Answer { url: url.clone(), message };
    if !is_commit(&info.sha) {
        return Err(wrong(format!("`sha` should be a commit, but is `{}`", info.sha)));
    }
    let mut files: Vec<String> = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    if let Some(file) = files.iter().find(|file| !is_inside(file)) {
        return Err(wrong(format!("`rfilename` should be a path in the repository, but is `{file}`")));
    }
    files.sort();
    Ok(Listing { commit: info.sha, files })
}
