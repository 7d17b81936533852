//! Corrupting files and folders: what may be read, what stands beside the colours, and where results go.

use crate::random::seed_of;
use crate::{Corruption, Error, Scale, Severity};
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// What a file may ask of a decoder.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Width times height.
    pub pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pixels: 100_000_000 }
    }
}

/// A picture's colours, and its alpha channel if it has one.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The colours; grey ones have three equal channels, as the corruptions tint them.
    pub rgb: RgbImage,
    /// Opacity of each pixel in raster order.
    pub alpha: Option<Vec<u8>>,
}

fn wrong(path: &Path, reason: impl ToString) -> Error {
    Error::File { path: path.to_owned(), reason: reason.to_string() }
}

/// Reads an 8-bit picture of any colour type.
///
/// # Errors
/// A file that is missing, is no picture, is larger than the limits (told from its header, before any pixel is
/// decoded), or has more than 8 bits a channel.
pub fn open(path: &Path, limits: &Limits) -> Result<Picture, Error> {
    let reader = ImageReader::open(path).and_then(|r| r.with_guessed_format()).map_err(|e| wrong(path, e))?;
    let decoder = reader.into_decoder().map_err(|e| wrong(path, e))?;
    let (w, h) = decoder.dimensions();
    if u64::from(w) * u64::from(h) > limits.pixels {
        let reason = format!(
            "{w} x {h} is {} pixels, more than the limit of {}",
            u64::from(w) * u64::from(h),
            limits.pixels
        );
        return Err(wrong(path, reason));
    }
    let colour = decoder.color_type();
    if !matches!(colour, ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8) {
        return Err(wrong(
            path,
            format!("its pixels are {colour:?}; corruptions are defined on 8 bits a channel"),
        ));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(|e| wrong(path, e))?;
    let alpha = colour.has_alpha().then(|| image.to_rgba8().pixels().map(|p| p.0[3]).collect());
    Ok(Picture { rgb: image.to_rgb8(), alpha })
}

impl Picture {
    /// Writes the picture in the format that the file's name says; in JPEG at quality 95, which cannot hold alpha. The file
    /// is whole or not there.
    ///
    /// # Errors
    /// An unknown extension, alpha where it cannot be kept, or a file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let format = ImageFormat::from_path(path).map_err(|e| wrong(path, e))?;
        if self.alpha.is_some() && format == ImageFormat::Jpeg {
            return Err(wrong(path, "the picture has an alpha channel, which JPEG cannot hold"));
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        let written = self.write(&draft, format).map_err(|e| wrong(path, e));
        let named = written.and_then(|()| std::fs::rename(&draft, path).map_err(|e| wrong(path, e)));
        if named.is_err() {
            std::fs::remove_file(&draft).ok();
        }
        named
    }

    fn write(&self, path: &Path, format: ImageFormat) -> image::ImageResult<()> {
        if format == ImageFormat::Jpeg {
            let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
            let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 95);
            return self.rgb.write_with_encoder(encoder);
        }
        let Some(alpha) = &self.alpha else { return self.rgb.save_with_format(path, format) };
        let mut rgba = DynamicImage::ImageRgb8(self.rgb.clone()).to_rgba8();
        rgba.pixels_mut().zip(alpha).for_each(|(p, a)| p.0[3] = *a);
        rgba.save_with_format(path, format)
    }
}

/// The pictures below a folder, by their names, in order.
///
/// # Errors
/// A folder that cannot be listed, or that has no picture in it.
pub(crate) fn pictures(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let (mut names, mut others) = (Vec::new(), Vec::new());
    walk(folder, Path::new(""), &mut names, &mut others)?;
    if names.is_empty() {
        return Err(wrong(folder, "there is no picture in this folder"));
    }
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// A corruption of files.
#[derive(Debug)]
pub struct Job<'a> {
    /// What to do to each picture.
    pub corruption: &'a dyn Corruption,
    /// How strongly.
    pub severity: Severity,
    /// Which random numbers. Each picture of a folder has its own, from this seed and its path within the folder.
    pub seed: u64,
    /// What a pixel of the constants is.
    pub scale: Scale,
    /// What a file may ask of a decoder.
    pub limits: Limits,
}

/// What became of the pictures of a job.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many were written.
    pub written: usize,
    /// Those that were not, and why.
    pub failed: Vec<Error>,
    /// Files of a folder that are no pictures by their names.
    pub passed_over: Vec<PathBuf>,
}

impl Job<'_> {
    /// One picture.
    ///
    /// # Errors
    /// As [`open`] and [`Picture::save`].
    pub fn file(&self, from: &Path, to: &Path) -> Result<(), Error> {
        apart(from, to)?;
        self.picture(from, to, self.seed)
    }

    /// Every picture below a folder, under the same name below another, on all threads; `progress` hears of each one
    /// done (how many, of how many). Pictures that fail are in the outcome and do not stop the rest.
    ///
    /// # Errors
    /// A folder that cannot be listed or made, or that has no picture in it.
    pub fn folder(
        &self,
        from: &Path,
        to: &Path,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Outcome, Error> {
        apart(from, to)?;
        let mut outcome = Outcome::default();
        let mut names = Vec::new();
        walk(from, Path::new(""), &mut names, &mut outcome.passed_over)?;
        if names.is_empty() {
            return Err(wrong(from, "there is no picture in this folder"));
        }
        let done = std::sync::atomic::AtomicUsize::new(0);
        let results: Vec<Result<(), Error>> = names
            .par_iter()
            .map(|name| {
                let result = self.named(from, to, name);
                progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, names.len());
                result
            })
            .collect();
        outcome.written = results.iter().filter(|r| r.is_ok()).count();
        outcome.failed = results.into_iter().filter_map(Result::err).collect();
        Ok(outcome)
    }

    fn named(&self, from: &Path, to: &Path, name: &Path) -> Result<(), Error> {
        let target = to.join(name);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(|e| wrong(folder, e))?;
        }
        // Written with slashes, so that every system draws the same.
        let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
        self.picture(&from.join(name), &target, seed_of(self.seed, &parts.join("/"), 0))
    }

    fn picture(&self, from: &Path, to: &Path, seed: u64) -> Result<(), Error> {
        let mut picture = open(from, &self.limits)?;
        let dose = self.scale.dose(self.severity, seed, picture.rgb.dimensions());
        picture.rgb = self.corruption.apply_dose(&picture.rgb, &dose);
        picture.save(to)
    }
}

/// Refuses to write over what is read.
fn apart(from: &Path, to: &Path) -> Result<(), Error> {
    let same = from.canonicalize().is_ok_and(|f| to.canonicalize().is_ok_and(|t| f == t));
    if same { Err(wrong(from, "it would be written over itself; give another target")) } else { Ok(()) }
}

/// The pictures below `root/below`, as paths from `root`, sorted.
fn walk(root: &Path, below: &Path, names: &mut Vec<PathBuf>, others: &mut Vec<PathBuf>) -> Result<(), Error> {
    let folder = root.join(below);
    let entries = std::fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.map_err(|e| wrong(&folder, e))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = below.join(entry.file_name());
        if entry.path().is_dir() {
            walk(root, &name, names, others)?;
        } else if ImageFormat::from_path(&name).is_ok_and(|f| f.reading_enabled()) {
            names.push(name);
        } else {
            others.push(name);
        }
    }
    Ok(())
}
