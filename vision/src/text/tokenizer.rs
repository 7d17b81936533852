//! A directory's `tokenizer.json`, run by the library that transformers runs it with.

use std::{fmt, path::Path, sync::Arc};

use crate::{Error, Result};

/// Text to ids and back. Cheap to clone.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    bytes: Arc<[u8]>,
    place: Arc<str>,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("place", &self.place).field("size", &self.size()).finish()
    }
}

impl Tokenizer {
    /// The file's name in a model directory.
    pub const FILE: &str = "tokenizer.json";

    /// Reads `tokenizer.json`; merges may be written as `"a b"` or as `["a", "b"]`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Text`] where it is no tokenizer.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join(Self::FILE);
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        Self::from_bytes(bytes, &path.display().to_string())
    }

    /// Reads the contents of a `tokenizer.json`; `place` names it in errors.
    ///
    /// # Errors
    /// [`Error::Text`] where it is no tokenizer.
    pub fn from_bytes(bytes: Vec<u8>, place: &str) -> Result<Self> {
        let wrong = |error: tokenizers::Error| Error::Text { place: place.into(), reason: error.to_string() };
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(wrong)?;
        // A trainer may have left its own cut-off and padding in the file; they are no part of the encoding.
        inner.with_truncation(None).map_err(wrong)?;
        inner.with_padding(None);
        Ok(Self { inner: Arc::new(inner), bytes: bytes.into(), place: place.into() })
    }

    /// The ids of `text`; special tokens written in it become their ids, none are added.
    ///
    /// # Errors
    /// [`Error::Text`] where the tokenizer has no id for a piece of it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(|error| self.failed(error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`. Ids that the tokenizer does not have (padded rows of the embedding) give nothing;
    /// `skip_special` leaves out tokens marked special, and only those.
    ///
    /// # Errors
    /// [`Error::Text`] where the decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.inner.decode(ids, skip_special).map_err(|error| self.failed(error))
    }

    /// The id of a whole token, such as `<|im_end|>`.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Number of ids, added tokens included. Ids from here on must not be sampled.
    pub fn size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The file as it was read.
    pub fn to_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the file as it was read to `dir`.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(Self::FILE);
        std::fs::write(&path, &self.bytes).map_err(Error::io(path))
    }

    fn failed(&self, error: tokenizers::Error) -> Error {
        Error::Text { place: self.place.to_string(), reason: error.to_string() }
    }
}
