//! Pictures and settings that must be refused, each with words that say what is wrong with which.

use crate::golden::{golden, synth_rgb};
use foveate_vision::Error;
use foveate_vision::images::{ImageProcessor, Limits, decode, open};
use serde_json::{Value, json};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(golden("images/files").join(name)).unwrap()
}

fn refusal(bytes: &[u8], limits: &Limits) -> String {
    let error = decode(bytes, "pic", limits).unwrap_err();
    assert!(matches!(error, Error::Image { .. }) && error.is_input(), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("image pic: "), "{text}");
    text
}

/// Cut after each of many lengths: never a picture, never a panic.
#[test]
fn cut_short() {
    for name in [
        "rgb.jpg",
        "progressive.jpg",
        "orientation6.jpg",
        "cmyk.jpg",
        "rgba16.png",
        "palette.png",
        "rgb.webp",
        "rgb.bmp",
    ] {
        let bytes = file(name);
        // Whole without its last chunk, which is empty, or without a byte of padding.
        let spare = if name.ends_with("png") { 12 } else { usize::from(name.ends_with("webp")) };
        let needed = bytes.len() - spare;
        for length in (0..needed).step_by(7).chain([needed - 1]) {
            refusal(&bytes[..length], &Limits::default());
        }
        decode(&bytes, name, &Limits::default()).unwrap();
    }
    let text = refusal(&file("rgb.jpg")[..500], &Limits::default());
    assert!(text.contains("after 500 bytes"), "{text}");
}

/// One byte wrong at each place: a picture or an error, never a panic or a wrong size.
#[test]
fn one_byte_wrong() {
    for name in [
        "rgb.jpg",
        "progressive.jpg",
        "cmyk.jpg",
        "rgba.png",
        "palette_transparent.png",
        "rgba.webp",
        "rgb.bmp",
    ] {
        let bytes = file(name);
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0x55;
            drop(decode(&broken, name, &Limits { max_pixels: 1 << 16, max_bytes: 1 << 20 }));
        }
    }
}

#[test]
fn not_a_picture() {
    assert!(refusal(b"", &Limits::default()).contains("empty"));
    assert!(refusal(b"just some text", &Limits::default()).contains("not a JPEG"));
    assert!(refusal(b"GIF89a......", &Limits::default()).contains("image pic"));
    let error = open(&golden("images/none.png"), &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("none.png"), "{error}");
}

/// A header of 50000 x 50000 over few bytes; its checksum is right, so that only the limit stops it.
#[test]
fn bombs_are_refused_by_their_header() {
    let mut png = file("rgb.png");
    png[16..20].copy_from_slice(&50_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&50_000_u32.to_be_bytes());
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let text = refusal(&png, &Limits::default());
    assert!(text.contains("50000x50000 is 2500000000 pixels") && text.contains("100000000"), "{text}");

    let limits = Limits { max_pixels: 239, ..Limits::default() };
    for name in ["rgb.jpg", "rgb.png", "rgb.webp", "rgb.bmp"] {
        let text = refusal(&file(name), &limits);
        assert!(text.contains("20x12 is 240 pixels") && text.contains("239"), "{text}");
    }
    let png = file("rgb.png");
    let limits = Limits { max_bytes: png.len() as u64 - 1, ..Limits::default() };
    assert!(refusal(&png, &limits).contains(&format!("{} bytes", png.len())));
    let path = golden("images/files/rgb.png");
    assert!(open(&path, &limits).unwrap_err().to_string().contains("rgb.png"));
}

/// CRC-32 of a PNG chunk, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[test]
fn sizes_that_cannot_be_resized() {
    let processor = ImageProcessor::from_dir(&golden("template/qwen3_vl")).unwrap();
    for (height, width) in [(0, 5), (5, 0), (1, 201), (4020, 20)] {
        let text = processor.smart_resize(height, width).unwrap_err().to_string();
        assert!(text.contains(&format!("{width}x{height}")) && text.contains("200"), "{text}");
    }
    assert!(processor.patches(&synth_rgb(1, 250, 0)).unwrap_err().to_string().contains("250x1"));
}

/// Sides from 1 to 300 in both families: either refused for its ratio, or whole blocks between the bounds.
#[test]
fn every_size_gives_whole_blocks() {
    for family in ["qwen2_5_vl", "qwen3_vl"] {
        let processor = ImageProcessor::from_dir(&golden("template").join(family)).unwrap();
        let factor = processor.patch_size * processor.merge_size;
        for (height, width) in (1..=300).flat_map(|h| (1..=300).map(move |w| (h, w))) {
            let Ok((high, wide)) = processor.smart_resize(height, width) else {
                assert!(height.max(width) > 200 * height.min(width), "{height}x{width}");
                continue;
            };
            assert!(high % factor == 0 && wide % factor == 0 && high * wide > 0, "{height}x{width}");
            let area = (high * wide) as u64;
            // A side kept at one block may push the area over the bound, as in transformers.
            let thin = high == factor || wide == factor;
            assert!(
                area >= processor.min_pixels && (area <= processor.max_pixels || thin),
                "{height}x{width}"
            );
        }
        for (height, width) in (1..=300).step_by(23).flat_map(|h| (1..=300).step_by(29).map(move |w| (h, w)))
        {
            if height.max(width) <= 200 * height.min(width) {
                let patches = processor.patches(&synth_rgb(height, width, 3)).unwrap();
                let count: usize = patches.grid_thw.iter().product();
                assert_eq!(patches.values_np.len(), count * patches.patch_dim);
                assert!(patches.values_np.iter().all(|value| value.abs() < 3.0));
            }
        }
    }
}

/// Each edit of the settings and the two words its refusal must have.
#[test]
fn settings_that_are_missing_or_wrong() {
    let good = ImageProcessor::from_dir(&golden("template/qwen2_5_vl")).unwrap().to_json();
    let edits: &[(&str, Value, &str)] = &[
        ("patch_size", Value::Null, "missing"),
        ("patch_size", json!("14"), "\"14\""),
        ("patch_size", json!(0), "is 0"),
        ("merge_size", json!(2.5), "2.5"),
        ("temporal_patch_size", json!(-2), "-2"),
        ("image_mean", json!([0.5, 0.5]), "[0.5,0.5]"),
        ("image_mean", json!([0.5, 0.5, "x"]), "x"),
        ("image_std", json!([0.5, 0.0, 0.5]), "is 0"),
        ("min_pixels", json!("many"), "many"),
        ("min_pixels", json!(60_000), "50176"),
        ("max_pixels", json!(0), "is 0"),
        ("do_resize", json!(false), "false"),
        ("do_convert_rgb", json!(false), "false"),
        ("resample", json!(2), "is 2"),
        ("rescale_factor", json!(1), "1/255"),
    ];
    for (key, value, word) in edits {
        let mut bad = good.clone();
        bad[*key] = value.clone();
        let text = settings_error(&bad.to_string());
        assert!(text.contains(key) && text.contains(word), "{key} = {value}: {text}");
    }
    let mut bad = good.clone();
    (bad["size"], bad["max_pixels"]) = (Value::Null, Value::Null);
    assert!(settings_error(&bad.to_string()).contains("`max_pixels (or size.longest_edge)`"));
    assert!(settings_error("[1]").contains("an object"));
    assert!(settings_error("{").contains("line 1"));
    let empty = tempfile::tempdir().unwrap();
    assert!(
        ImageProcessor::from_dir(empty.path()).unwrap_err().to_string().contains("preprocessor_config.json")
    );
}

fn settings_error(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("preprocessor_config.json"), text).unwrap();
    let error = ImageProcessor::from_dir(dir.path()).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("preprocessor_config.json"), "{error}");
    error.to_string()
}
