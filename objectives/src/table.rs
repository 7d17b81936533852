//! How a table is written down and how a recipe picks a row of it.
//!
//! This module knows names and settings; what a row computes is the table's own business.

use crate::{Error, Result};
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::fmt;

/// A row of a table of `T`s.
pub struct Entry<T: ?Sized> {
    /// The name in recipes and in logs: lower case, digits and hyphens.
    pub name: &'static str,
    /// Where the formula is from.
    pub paper: &'static str,
    /// Builds the row from its settings; an unknown setting is an error.
    pub build: fn(Value) -> serde_json::Result<Box<T>>,
}

impl<T: ?Sized> fmt::Debug for Entry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("paper", &self.paper).finish()
    }
}

/// What a recipe says of one axis: a name alone, or a table with `name` and settings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Named {
    /// The row.
    pub name: String,
    /// Its settings, empty where the recipe gave only the name.
    pub settings: Map<String, Value>,
}

impl Named {
    /// The row `name` with its default settings.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_string(), settings: Map::new() }
    }

    /// The same with one more setting.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key.to_string(), value.into());
        self
    }

    /// Finds the row in `table` and builds it.
    pub fn build<T: ?Sized>(&self, axis: &'static str, table: &[Entry<T>]) -> Result<Box<T>> {
        let entry = table.iter().find(|e| e.name == self.name).ok_or_else(|| Error::Unknown {
            axis,
            name: self.name.clone(),
            known: table.iter().map(|e| e.name).collect::<Vec<_>>().join(", "),
        })?;
        (entry.build)(Value::Object(self.settings.clone())).map_err(|e| Error::Config {
            axis,
            name: self.name.clone(),
            reason: e.to_string(),
        })
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        if self.settings.is_empty() {
            return to.serialize_str(&self.name);
        }
        let mut map = to.serialize_map(Some(1 + self.settings.len()))?;
        map.serialize_entry("name", &self.name)?;
        for (key, value) in &self.settings {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct NameOrTable;
        impl<'de> Visitor<'de> for NameOrTable {
            type Value = Named;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a table with `name` and settings")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Named, E> {
                Ok(Named::new(name))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Named, A::Error> {
                let mut named = Named::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "name" {
                        named.name = map.next_value()?;
                    } else {
                        named.settings.insert(key, map.next_value()?);
                    }
                }
                if named.name.is_empty() {
                    return Err(de::Error::missing_field("name"));
                }
                Ok(named)
            }
        }
        from.deserialize_any(NameOrTable)
    }
}
