//! The spellings of an image processor's settings.
//!
//! Decides how `preprocessor_config.json` (areas as `min_pixels`/`max_pixels`, or as
//! `size.shortest_edge`/`size.longest_edge`, which are areas in spite of their names) and the nested
//! `processor_config.json` of transformers 5 become an [`ImageProcessor`], and refuses settings that this
//! crate does not follow. Knows nothing of pixels.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::ImageProcessor;
use crate::{Error, Result};

const NESTED: &str = "processor_config.json";
const PLAIN: &str = "preprocessor_config.json";

/// Switches that must be on, were they named: their other setting is not implemented.
const STEPS: [&str; 4] = ["do_convert_rgb", "do_resize", "do_rescale", "do_normalize"];

impl ImageProcessor {
    /// Reads a model directory's settings; `image_processor` of `processor_config.json` goes before
    /// `preprocessor_config.json`, as in transformers 5.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Json`] for an unreadable file; [`Error::Input`] with file and key for a
    /// missing or mistyped value, or one that this crate cannot follow.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let nested = dir.join(NESTED);
        if nested.exists()
            && let Some(inner) = read(&nested)?.get("image_processor")
        {
            let fields = Fields::new(format!("{}: image_processor", nested.display()), inner)?;
            return fields.processor();
        }
        let path = dir.join(PLAIN);
        Fields::new(path.display().to_string(), &read(&path)?)?.processor()
    }

    /// The settings as `preprocessor_config.json`, with the areas in both spellings.
    pub fn to_json(&self) -> Value {
        json!({
            "min_pixels": self.min_pixels,
            "max_pixels": self.max_pixels,
            "size": {"shortest_edge": self.min_pixels, "longest_edge": self.max_pixels},
            "patch_size": self.patch_size,
            "temporal_patch_size": self.temporal_patch_size,
            "merge_size": self.merge_size,
            "image_mean": self.mean.map(shortest),
            "image_std": self.std.map(shortest),
            "image_processor_type": "Qwen2VLImageProcessor",
        })
    }
}

/// The f64 that prints as the f32 does, so that 0.48145466 is not written with seventeen digits.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn read(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.into(), source })
}

/// One object of settings and the words for it in errors.
struct Fields<'a> {
    place: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn new(place: String, value: &'a Value) -> Result<Self> {
        match value.as_object() {
            Some(map) => Ok(Self { place, map }),
            None => Err(Error::input(place, "(the whole)", "an object", value)),
        }
    }

    fn processor(&self) -> Result<ImageProcessor> {
        self.refuse_unfollowed()?;
        let (min_pixels, max_pixels) =
            (self.area("min_pixels", "shortest_edge")?, self.area("max_pixels", "longest_edge")?);
        if min_pixels > max_pixels {
            return Err(self.wrong("min_pixels", format!("at most max_pixels = {max_pixels}"), min_pixels));
        }
        let processor = ImageProcessor {
            patch_size: self.size("patch_size")?,
            temporal_patch_size: self.size("temporal_patch_size")?,
            merge_size: self.size("merge_size")?,
            min_pixels,
            max_pixels,
            mean: self.channels("image_mean")?,
            std: self.channels("image_std")?,
        };
        match processor.std.iter().find(|&&std| std <= 0.0) {
            Some(std) => Err(self.wrong("image_std", "over 0", std)),
            None => Ok(processor),
        }
    }

    /// Steps switched off, another filter, another scale: silently ignoring them would change the pixels.
    fn refuse_unfollowed(&self) -> Result<()> {
        for step in STEPS {
            match self.present(step) {
                None | Some(Value::Bool(true)) => {}
                Some(other) => return Err(self.wrong(step, true, other)),
            }
        }
        if let Some(other) = self.present("resample").filter(|value| value.as_u64() != Some(3)) {
            return Err(self.wrong("resample", "3 (bicubic)", other));
        }
        let is_255th =
            |value: &&Value| value.as_f64().is_some_and(|factor| (factor * 255.0 - 1.0).abs() < 1e-6);
        match self.present("rescale_factor").filter(|value| !is_255th(value)) {
            Some(other) => Err(self.wrong("rescale_factor", "1/255", other)),
            None => Ok(()),
        }
    }

    /// The value of `key`; null is as good as absent.
    fn present(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// An area at the top level, or in `size` under either name.
    fn area(&self, key: &str, edge: &str) -> Result<u64> {
        let size = self.present("size");
        let inside = |name| size.and_then(|size| size.get(name)).filter(|value| !value.is_null());
        let found = self.present(key).or_else(|| inside(edge)).or_else(|| inside(key));
        let field = format!("{key} (or size.{edge})");
        match found {
            Some(value) => value
                .as_u64()
                .filter(|&area| area > 0)
                .ok_or_else(|| self.wrong(&field, "a number of pixels over 0", value)),
            None => Err(self.wrong(&field, "a number of pixels over 0", "missing")),
        }
    }

    /// A side or count; 1024 is far over any model's and keeps products from overflowing.
    fn size(&self, key: &str) -> Result<usize> {
        let expected = "a whole number from 1 to 1024";
        let value = self.present(key).ok_or_else(|| self.wrong(key, expected, "missing"))?;
        let found = value.as_u64().filter(|size| (1..=1024).contains(size));
        found.map(|size| size as usize).ok_or_else(|| self.wrong(key, expected, value))
    }

    fn channels(&self, key: &str) -> Result<[f32; 3]> {
        let expected = "three finite numbers";
        let value = self.present(key).ok_or_else(|| self.wrong(key, expected, "missing"))?;
        let numbers = value.as_array().map(|list| list.iter().filter_map(Value::as_f64).collect::<Vec<_>>());
        match numbers.as_deref() {
            Some(&[r, g, b]) if value.as_array().is_some_and(|list| list.len() == 3) => {
                Ok([r, g, b].map(|v| v as f32))
            }
            _ => Err(self.wrong(key, expected, value)),
        }
    }

    fn wrong(&self, key: &str, expected: impl ToString, found: impl ToString) -> Error {
        Error::input(&self.place, key, expected, found)
    }
}
