//! The chat template of a model directory, rendered as transformers renders it.
//!
//! Decides where the template is looked for and which functions it may call. What it writes is its own. Of
//! Jinja's language the `%` operator on strings and the tag `generation` (of training templates) are absent:
//! templates that use them fail with the line, they are not rendered wrongly.

use std::{path::Path, sync::Arc};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::Map;

use super::{Message, clock, pyjson};
use crate::{Error, Result};

const NAME: &str = "chat_template";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Special tokens that transformers hands to templates by these names.
const SPECIAL: [&str; 4] = ["bos_token", "eos_token", "pad_token", "unk_token"];

/// A compiled chat template. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    special: Arc<Map<String, serde_json::Value>>,
    place: Arc<str>,
}

impl ChatTemplate {
    /// Reads `chat_template.jinja`, else `chat_template.json`, else `chat_template` of
    /// `tokenizer_config.json` (a string, or a list of named templates of which `default` is taken).
    ///
    /// # Errors
    /// [`Error::Input`] where none of them has a template, [`Error::Text`] where it is not valid,
    /// [`Error::Io`] and [`Error::Json`] for unreadable files.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let config = read_json(&dir.join(TOKENIZER_CONFIG))?;
        let special = special_tokens(config.as_ref());
        let jinja = dir.join("chat_template.jinja");
        if let Some(bytes) = read_optional(&jinja)? {
            let place = jinja.display().to_string();
            let source = String::from_utf8(bytes).map_err(|error| failed(&place, &error))?;
            return Self::compile(source, special, place);
        }
        let json = dir.join("chat_template.json");
        for (path, value) in [(json.clone(), read_json(&json)?), (dir.join(TOKENIZER_CONFIG), config)] {
            if let Some(template) = value.as_ref().and_then(|value| value.get(NAME)) {
                let place = path.display().to_string();
                return Self::compile(pick(template, &place)?, special, place);
            }
        }
        let expected = "in chat_template.jinja, chat_template.json or tokenizer_config.json";
        Err(Error::input(dir.display(), NAME, expected, "in none of them"))
    }

    /// Compiles a template's source; `place` names it in errors.
    ///
    /// # Errors
    /// [`Error::Text`] with the line of a syntax error.
    pub fn from_source(source: impl Into<String>, place: &str) -> Result<Self> {
        Self::compile(source.into(), Map::new(), place.into())
    }

    fn compile(source: String, special: Map<String, serde_json::Value>, place: String) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| failed(&place, &error))?);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_filter("tojson", pyjson::tojson);
        environment.add_function("strftime_now", |format: String| clock::strftime_now(&format));
        environment.add_function("raise_exception", |message: String| -> std::result::Result<Value, _> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source).map_err(|error| failed(&place, &error))?;
        Ok(Self { environment: environment.into(), special: special.into(), place: place.into() })
    }

    /// The text of a conversation; `add_generation_prompt` opens the assistant's turn.
    ///
    /// # Errors
    /// [`Error::Text`] with the line where the template fails or refuses the messages.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let wrong = |error: minijinja::Error| failed(&self.place, &error);
        let template = self.environment.get_template(NAME).map_err(wrong)?;
        let none = Value::from(());
        let values = context! {
            messages => Value::from(Serde(messages)),
            add_generation_prompt,
            tools => none.clone(),
            documents => none,
            ..Serde(&*self.special)
        };
        template.render(values).map_err(wrong)
    }
}

/// The source in a `chat_template` value.
fn pick(template: &serde_json::Value, place: &str) -> Result<String> {
    let expected = "a string, or a list with {\"name\": \"default\", \"template\": ...}";
    let default = |list: &Vec<serde_json::Value>| {
        list.iter()
            .find(|entry| entry.get("name").is_some_and(|name| name == "default"))?
            .get("template")
            .cloned()
    };
    let named = template.as_array().and_then(default);
    match named.as_ref().unwrap_or(template).as_str() {
        Some(source) => Ok(source.into()),
        None => Err(Error::input(place, NAME, expected, template)),
    }
}

/// Special tokens of `tokenizer_config.json`, written as a string or as an object with `content`.
fn special_tokens(config: Option<&serde_json::Value>) -> Map<String, serde_json::Value> {
    let token = |name: &&str| {
        let value = config?.get(*name)?;
        let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
        Some((name.to_string(), text.into()))
    };
    SPECIAL.iter().filter_map(token).collect()
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}

fn read_json(path: &Path) -> Result<Option<serde_json::Value>> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Json { path: path.into(), source })
}

fn failed(place: &str, error: &dyn std::error::Error) -> Error {
    Error::Text { place: place.into(), reason: error.to_string() }
}
