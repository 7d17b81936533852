//! How a model directory asks to be sampled: `generation_config.json`.
//!
//! Decides what silence means (transformers' defaults) and where to look when the file is absent. Does
//! not sample.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::fields::{Fields, read_json};
use crate::Result;

/// The fields of `generation_config.json` that generation here knows.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationConfig {
    /// Tokens after which a completion is over.
    pub eos_token_ids: Vec<u32>,
    /// Fills up shorter rows.
    pub pad_token_id: Option<u32>,
    /// Whether to draw, rather than to take the likeliest.
    pub do_sample: bool,
    /// Divides the logits; above 0.
    pub temperature: f32,
    /// Smallest total probability of the candidates, in (0, 1].
    pub top_p: f32,
    /// Number of candidates; 0 for all.
    pub top_k: usize,
    /// Divides positive logits of tokens seen, multiplies negative ones; 1 for none.
    pub repetition_penalty: f32,
    /// The file as it was read, `{}` where there was none.
    pub raw: Map<String, Value>,
}

impl GenerationConfig {
    /// Reads `generation_config.json`; where there is none, the ends of text from `config.json`.
    ///
    /// # Errors
    /// Names file, field and both values where a field has another type or is out of range.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("generation_config.json");
        if path.try_exists().map_err(crate::Error::io(&path))? {
            let value = read_json(&path)?;
            let place = path.display().to_string();
            let mut found = Self::read(&Fields::root(&place, &value)?)?;
            if let Value::Object(map) = value {
                found.raw = map;
            }
            return Ok(found);
        }
        let path = dir.join("config.json");
        let value = read_json(&path)?;
        let place = path.display().to_string();
        let root = Fields::root(&place, &value)?;
        let nested = root.object("text_config")?;
        let told = nested.as_ref().filter(|text| text.get("eos_token_id").is_some());
        let fields = told.unwrap_or(&root);
        let silent = Self::read(&Fields::root(&place, &json!({}))?)?;
        Ok(Self { eos_token_ids: eos(fields)?, pad_token_id: pad(fields)?, ..silent })
    }

    fn read(fields: &Fields) -> Result<Self> {
        let top_p = fields.positive("top_p", 1.0)?;
        if top_p > 1.0 {
            return Err(fields.wrong("top_p", "at most 1", top_p));
        }
        Ok(Self {
            eos_token_ids: eos(fields)?,
            pad_token_id: pad(fields)?,
            do_sample: fields.flag("do_sample")?.unwrap_or(false),
            temperature: fields.positive("temperature", 1.0)? as f32,
            top_p: top_p as f32,
            top_k: fields.index("top_k", 50)?,
            repetition_penalty: fields.positive("repetition_penalty", 1.0)? as f32,
            raw: Map::new(),
        })
    }

    /// The file to write: as it was read, with the fields known here set.
    pub fn to_json(&self) -> Value {
        let mut map = self.raw.clone();
        let eos = match self.eos_token_ids.as_slice() {
            [one] => json!(one),
            all => json!(all),
        };
        map.insert("eos_token_id".into(), eos);
        map.insert("pad_token_id".into(), json!(self.pad_token_id));
        map.insert("do_sample".into(), json!(self.do_sample));
        map.insert("temperature".into(), short(self.temperature));
        map.insert("top_p".into(), short(self.top_p));
        map.insert("top_k".into(), json!(self.top_k));
        map.insert("repetition_penalty".into(), short(self.repetition_penalty));
        Value::Object(map)
    }
}

/// The number as its shortest decimal says it: 0.7, not 0.699999988079071.
fn short(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, |number| json!(number))
}

/// One id or a list of them.
fn eos(fields: &Fields) -> Result<Vec<u32>> {
    let name = "eos_token_id";
    match fields.get(name) {
        None => Ok(vec![]),
        Some(Value::Array(all)) => all.iter().map(|id| fields.as_token(name, id)).collect(),
        Some(one) => Ok(vec![fields.as_token(name, one)?]),
    }
}

fn pad(fields: &Fields) -> Result<Option<u32>> {
    fields.get("pad_token_id").map(|id| fields.as_token("pad_token_id", id)).transpose()
}
