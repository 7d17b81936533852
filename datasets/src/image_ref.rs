//! An image that is not decoded yet: a path, encoded bytes, or (for drawn images) the pixels themselves.
//!
//! Decides the limits under which anything is decoded; a claim of a header is checked before memory is taken.

use crate::{Error, Result};
use image::{ImageReader, RgbImage};
use parquet::data_type::ByteArray;
use std::io::{BufRead, Cursor, Seek};
use std::path::PathBuf;
use std::sync::Arc;

/// Encoded image bytes, shared and never copied on clone: their own, or a slice of a parquet page (which may itself be
/// a slice of a mapped file).
#[derive(Clone)]
pub struct Encoded(Store);

#[derive(Clone)]
enum Store {
    Own(bytes::Bytes),
    Page(ByteArray),
}

impl std::ops::Deref for Encoded {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Store::Own(bytes) => bytes,
            Store::Page(bytes) => bytes.data(),
        }
    }
}

impl Encoded {
    /// As a value of a parquet column.
    pub(crate) fn into_page(self) -> ByteArray {
        match self.0 {
            Store::Own(bytes) => bytes.into(),
            Store::Page(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Encoded {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Store::Own(bytes.into()))
    }
}

impl From<ByteArray> for Encoded {
    fn from(bytes: ByteArray) -> Self {
        Self(Store::Page(bytes))
    }
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// What a decoder may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Width times height.
    pub pixels: u64,
    /// Encoded bytes.
    pub bytes: u64,
}

impl Default for DecodeLimits {
    /// 200 megapixels and 512 MiB: above any benchmark's image, below what hurts.
    fn default() -> Self {
        Self { pixels: 200_000_000, bytes: 512 << 20 }
    }
}

/// One image of a sample.
#[derive(Clone, Debug)]
pub enum ImageRef {
    /// Pixels, of a synthetic task.
    Rgb(Arc<RgbImage>),
    /// A file.
    Path(PathBuf),
    /// The bytes of an encoded file.
    Bytes {
        /// PNG, JPEG, WebP or BMP.
        bytes: Encoded,
        /// Where they came from, for messages and for export.
        name: String,
    },
}

impl ImageRef {
    /// Where the image came from, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::Rgb(image) => format!("drawn {}x{}", image.width(), image.height()),
            Self::Path(path) => path.display().to_string(),
            Self::Bytes { name, bytes } if name.is_empty() => format!("of {} bytes", bytes.len()),
            Self::Bytes { name, .. } => name.clone(),
        }
    }

    /// Whether both are the same picture by what is at hand: pixels, path or encoded bytes. No file is opened and nothing decoded.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rgb(a), Self::Rgb(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Path(a), Self::Path(b)) => a == b,
            (Self::Bytes { bytes: a, .. }, Self::Bytes { bytes: b, .. }) => a[..] == b[..],
            _ => false,
        }
    }

    /// Decodes to RGB, alpha dropped, under [`DecodeLimits::default`].
    ///
    /// # Errors
    /// The file is missing, is no image, is truncated, or passes the limits.
    pub fn decode(&self) -> Result<Arc<RgbImage>> {
        self.decode_within(DecodeLimits::default())
    }

    /// Decodes to RGB, alpha dropped, under `limits`.
    ///
    /// # Errors
    /// As [`ImageRef::decode`].
    pub fn decode_within(&self, limits: DecodeLimits) -> Result<Arc<RgbImage>> {
        match self {
            Self::Rgb(image) => Ok(image.clone()),
            Self::Path(_) | Self::Bytes { .. } => {
                let bytes = self.encoded(limits)?;
                decode_bytes(&bytes, limits).map(Arc::new).map_err(|m| self.error(m))
            }
        }
    }

    /// Width and height from the header alone.
    ///
    /// # Errors
    /// The file is missing or its header unreadable.
    pub fn dimensions(&self) -> Result<(u32, u32)> {
        let read = |r: ImageReader<_>| r.into_dimensions().map_err(|e| self.error(e.to_string()));
        match self {
            Self::Rgb(image) => Ok(image.dimensions()),
            Self::Bytes { bytes, .. } => {
                read(guess(Box::new(Cursor::new(&bytes[..]))).map_err(|m| self.error(m))?)
            }
            Self::Path(path) => {
                let file = std::fs::File::open(path).map_err(Error::io(path))?;
                read(guess(Box::new(std::io::BufReader::new(file))).map_err(|m| self.error(m))?)
            }
        }
    }

    /// The encoded bytes as they are (a drawn image becomes PNG).
    ///
    /// # Errors
    /// The file cannot be read or is larger than `limits.bytes`.
    pub fn encoded(&self, limits: DecodeLimits) -> Result<Encoded> {
        let bytes = match self {
            Self::Rgb(image) => return png(image).map(Encoded::from).map_err(|m| self.error(m)),
            Self::Bytes { bytes, .. } => bytes.clone(),
            Self::Path(path) => {
                let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
                if length > limits.bytes {
                    return Err(self.error(format!("{length} bytes, the limit is {}", limits.bytes)));
                }
                std::fs::read(path).map_err(Error::io(path))?.into()
            }
        };
        match bytes.len() as u64 > limits.bytes {
            true => Err(self.error(format!("{} bytes, the limit is {}", bytes.len(), limits.bytes))),
            false => Ok(bytes),
        }
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::Image { place: self.place(), message: message.into() }
    }
}

/// What an image reader may be built on.
trait Source: BufRead + Seek {}
impl<T: BufRead + Seek> Source for T {}

fn guess<'a>(source: Box<dyn Source + 'a>) -> std::result::Result<ImageReader<Box<dyn Source + 'a>>, String> {
    ImageReader::new(source).with_guessed_format().map_err(|e| e.to_string())
}

fn decode_bytes(bytes: &[u8], limits: DecodeLimits) -> std::result::Result<RgbImage, String> {
    let (width, height) =
        guess(Box::new(Cursor::new(bytes)))?.into_dimensions().map_err(|e| e.to_string())?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > limits.pixels {
        return Err(format!("{width}x{height} is {pixels} pixels, the limit is {}", limits.pixels));
    }
    let mut reader = guess(Box::new(Cursor::new(bytes)))?;
    let mut alloc = image::Limits::default();
    // Decoders hold up to RGBA with 16 bits a channel, and the output beside it.
    alloc.max_alloc = Some(limits.pixels.saturating_mul(16));
    reader.limits(alloc);
    reader.decode().map(|image| image.into_rgb8()).map_err(|e| e.to_string())
}

fn png(image: &RgbImage) -> std::result::Result<Vec<u8>, String> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, image::ImageFormat::Png).map_err(|e| e.to_string())?;
    Ok(out.into_inner())
}
