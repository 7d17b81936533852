//! Responses that somebody else recorded, one for each sample.

use super::{Asked, Demand, Failed, Policy, Reply, Shown};
use crate::{Error, Result};
use image::RgbImage;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// Why a question without a line has no answer.
pub(crate) const UNRECORDED: &str = "no response was recorded for this sample";

/// A line: `{"id", "response"}`, a failed call being `{"id", "response": null, "error"}`.
#[derive(Debug, Deserialize)]
struct Line {
    id: Value,
    response: Option<String>,
    error: Option<String>,
}

/// Recorded responses by the id of their sample.
#[derive(Clone, Debug)]
pub struct Recorded {
    name: String,
    responses: HashMap<String, Said>,
}

/// What was recorded for one id, and where.
#[derive(Clone, Debug)]
pub struct Said {
    /// The file and the line.
    pub place: String,
    /// The response, or why there is none.
    pub response: Result<String, Failed>,
}

impl Recorded {
    /// Reads JSON lines.
    ///
    /// # Errors
    /// The file is missing, a line is broken, or an id is there twice.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let mut responses = HashMap::new();
        for (row, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = format!("{}:{}", path.display(), row + 1);
            let Line { id, response, error } = serde_json::from_str(line)
                .map_err(|e| Error::Line { place: place.clone(), message: e.to_string() })?;
            let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
            let why = error.unwrap_or_else(|| "recorded without a response".into());
            let said = Said { place: place.clone(), response: response.ok_or(Failed(why)) };
            if responses.insert(id.clone(), said).is_some() {
                return Err(Error::differs(place, "id", "there once in the file", id));
            }
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let digest = crate::record::digest(text.as_bytes(), 6);
        Ok(Self { name: format!("{name}@{digest}"), responses })
    }

    /// Everything by its id.
    pub fn responses(&self) -> &HashMap<String, Said> {
        &self.responses
    }
}

impl Policy for Recorded {
    type Picture = ();

    fn name(&self) -> &str {
        &self.name
    }

    fn sampling(&self) -> String {
        "recorded".into()
    }

    fn prepare(&self, picture: &RgbImage) -> Result<Shown<()>> {
        Ok(Shown::unseen(picture))
    }

    fn demand(&self) -> Demand {
        Demand::UNSEEING
    }

    fn answer(&self, asked: &[Asked<()>]) -> Result<Vec<Result<Reply, Failed>>> {
        let say = |asked: &Asked<()>| match self.responses.get(&asked.question.sample) {
            Some(Said { response: Ok(text), .. }) => Ok(Reply { text: text.clone(), ..Reply::default() }),
            Some(Said { response: Err(failed), .. }) => Err(failed.clone()),
            None => Err(Failed(UNRECORDED.into())),
        };
        Ok(asked.iter().map(say).collect())
    }
}
