//! Files and folders: what is kept, what is refused and how.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_augment::{Corruption, Error, Job, Limits, Scale, Severity, find, open};
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("foveate-augment-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn job(corruption: &dyn Corruption) -> Job<'_> {
    let (severity, limits) = (Severity::LEVELS[2], Limits::default());
    Job { corruption, severity, seed: 4, scale: Scale::Native, limits }
}

fn picture(w: u32, h: u32) -> RgbImage {
    RgbImage::from_fn(w, h, |x, y| Rgb([(x * 9) as u8, (y * 7) as u8, 99]))
}

fn reason(result: Result<impl Sized, Error>, path: &Path) -> String {
    match result.err() {
        Some(Error::File { path: named, reason }) if named == path => reason,
        other => panic!("expected an error that names {}: {other:?}", path.display()),
    }
}

#[test]
fn a_file_is_corrupted_as_its_picture_is() {
    let folder = Folder::new("file");
    let (from, to) = (folder.0.join("a.png"), folder.0.join("b.png"));
    picture(40, 30).save(&from).unwrap();
    let fog = find("fog").unwrap();
    job(fog).file(&from, &to).unwrap();
    let limits = Limits::default();
    assert_eq!(open(&to, &limits).unwrap().rgb, fog.apply(&picture(40, 30), Severity::LEVELS[2], 4));
}

#[test]
fn alpha_is_kept_and_grey_becomes_colour() {
    let folder = Folder::new("alpha");
    let (from, to) = (folder.0.join("a.png"), folder.0.join("b.png"));
    RgbaImage::from_fn(20, 20, |x, y| Rgba([9, 90, 200, (x * y) as u8])).save(&from).unwrap();
    job(find("contrast").unwrap()).file(&from, &to).unwrap();
    let alpha: Vec<u8> = (0..400).map(|i| (i % 20 * (i / 20)) as u8).collect();
    assert_eq!(open(&to, &Limits::default()).unwrap().alpha, Some(alpha));
    let jpeg = folder.0.join("b.jpg");
    assert!(reason(job(find("contrast").unwrap()).file(&from, &jpeg), &jpeg).contains("alpha"));
    GrayImage::from_fn(20, 20, |x, _| Luma([x as u8 * 10])).save(&from).unwrap();
    job(find("gaussian_noise").unwrap()).file(&from, &to).unwrap();
    let tinted = open(&to, &Limits::default()).unwrap();
    assert!(tinted.alpha.is_none() && tinted.rgb.pixels().any(|p| p.0[0] != p.0[1]));
}

#[test]
fn what_cannot_be_corrupted_is_refused_by_name() {
    let folder = Folder::new("refused");
    let path = folder.0.join("a.png");
    let limits = Limits::default();
    let deep: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_pixel(8, 8, Luma([40_000]));
    DynamicImage::ImageLuma16(deep).save(&path).unwrap();
    assert!(reason(open(&path, &limits), &path).contains("8 bits"));
    std::fs::write(&path, b"not a picture").unwrap();
    assert!(!reason(open(&path, &limits), &path).is_empty());
    let missing = folder.0.join("missing.png");
    assert!(!reason(open(&missing, &limits), &missing).is_empty());
}

/// A header that promises 20,000 x 20,000 pixels is refused before a pixel is decoded or memory is taken.
#[test]
fn a_giant_header_is_refused() {
    let folder = Folder::new("giant");
    let path = folder.0.join("a.png");
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    picture(1, 1).write_with_encoder(encoder).unwrap();
    let side = 20_000u32.to_be_bytes();
    png[16..20].copy_from_slice(&side);
    png[20..24].copy_from_slice(&side);
    let crc = crc(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&crc);
    std::fs::write(&path, png).unwrap();
    let reason = reason(open(&path, &Limits::default()), &path);
    assert!(reason.contains("20000 x 20000") && reason.contains("100000000"), "{reason}");
}

/// PNG's checksum.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}

#[test]
fn a_folder_keeps_names_and_counts_everything() {
    let folder = Folder::new("folder");
    let (from, to) = (folder.0.join("in"), folder.0.join("out"));
    std::fs::create_dir_all(from.join("deep/er")).unwrap();
    let names = ["a.png", "deep/b.png", "deep/er/c.jpg"];
    names.iter().for_each(|n| picture(33, 21).save(from.join(n)).unwrap());
    std::fs::write(from.join("broken.png"), b"no").unwrap();
    std::fs::write(from.join("notes.txt"), b"text").unwrap();
    let heard = AtomicUsize::new(0);
    let noise = find("gaussian_noise").unwrap();
    let count = |done: usize, of: usize| {
        assert!(done <= of && of == 4);
        heard.fetch_add(1, Ordering::Relaxed);
    };
    let outcome = job(noise).folder(&from, &to, &count).unwrap();
    assert_eq!((outcome.written, outcome.failed.len(), heard.into_inner()), (3, 1, 4));
    assert!(outcome.failed[0].to_string().contains("broken.png"));
    assert_eq!(outcome.passed_over, [PathBuf::from("notes.txt")]);
    assert!(names.iter().all(|n| to.join(n).is_file()));
    let read = |n: &str| open(&to.join(n), &Limits::default()).unwrap().rgb;
    assert_ne!(read("a.png"), read("deep/b.png"), "equal pictures of other names must draw apart");
}

#[test]
fn a_folder_without_pictures_or_onto_itself_is_an_error() {
    let folder = Folder::new("empty");
    let nothing = |_: usize, _: usize| {};
    let job = job(find("contrast").unwrap());
    assert!(reason(job.folder(&folder.0, &folder.0.join("out"), &nothing), &folder.0).contains("no picture"));
    picture(5, 5).save(folder.0.join("a.png")).unwrap();
    assert!(reason(job.folder(&folder.0, &folder.0, &nothing), &folder.0).contains("itself"));
    let one = folder.0.join("a.png");
    assert!(reason(job.file(&one, &one), &one).contains("itself"));
}
