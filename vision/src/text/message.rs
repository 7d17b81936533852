//! The turns of a conversation in the form that datasets and chat templates share.

use std::path::PathBuf;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One turn. In JSON `content` may also be a plain string.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system`, `user` or `assistant`; what else is allowed is the template's affair.
    pub role: String,
    /// Pictures and texts in reading order.
    #[serde(deserialize_with = "text_or_list")]
    pub content: Vec<Content>,
}

impl Message {
    /// A turn of one text.
    pub fn text(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self { role: role.into(), content: vec![Content::Text(text.into())] }
    }
}

/// A piece of a turn, in JSON `{"type":"image","image":PATH}` or `{"type":"text","text":STR}`.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A picture and, where the reader needs it, the file it lies in.
    Image(Option<PathBuf>),
    /// A text.
    Text(String),
}

/// What may stand in a piece; columnar files give every piece every key, null where it does not apply.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    r#type: String,
    #[serde(default)]
    image: Option<PathBuf>,
    #[serde(default)]
    text: Option<String>,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        match (raw.r#type.as_str(), raw.image, raw.text) {
            ("image", image, None) => Ok(Self::Image(image)),
            ("text", None, Some(text)) => Ok(Self::Text(text)),
            ("text", None, None) => Err(de::Error::missing_field("text")),
            ("image", _, Some(_)) => Err(de::Error::custom("content of type `image` has a `text`")),
            ("text", Some(_), _) => Err(de::Error::custom("content of type `text` has an `image`")),
            (other, ..) => Err(de::Error::unknown_variant(other, &["image", "text"])),
        }
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Image(path) => {
                map.serialize_entry("type", "image")?;
                if let Some(path) = path {
                    map.serialize_entry("image", path)?;
                }
            }
            Self::Text(text) => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
            }
        }
        map.end()
    }
}

fn text_or_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Content>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<Content>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string or a list of contents")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![Content::Text(text.into())])
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Deserialize::deserialize(de::value::SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(Visitor)
}
