//! Pictures become the very bytes and patches that transformers' default processor makes of them.
//!
//! Golden values: tests/golden/images/make.py (versions there).
#![allow(clippy::unwrap_used, clippy::panic)]

mod golden;
#[path = "images/poisoned.rs"]
mod poisoned;

use foveate_vision::images::{ImageProcessor, Limits, Patches, decode, open};
use golden::{fnv1a, golden, index, json, synth_rgb};
use image::RgbImage;
use serde_json::Value;

fn processor(family: &str) -> ImageProcessor {
    ImageProcessor::from_dir(&golden("template").join(family)).unwrap()
}

/// Every (family, picture, expected) of resized.json, with the source rebuilt.
fn each_picture(mut check: impl FnMut(&str, &ImageProcessor, &RgbImage, &Value)) {
    for (family, pictures) in json(&golden("images/resized.json")).as_object().unwrap() {
        let processor = processor(family);
        for (name, expected) in pictures.as_object().unwrap() {
            let (height, width) = (index(&expected["source"][0]), index(&expected["source"][1]));
            let source = synth_rgb(height, width, index(&expected["seed"]));
            check(&format!("{family} {name}"), &processor, &source, expected);
        }
    }
}

#[test]
fn sizes_equal_smart_resize() {
    let rows = json(&golden("images/smart_resize.json"));
    for row in rows.as_array().unwrap() {
        let at = |column: usize| index(&row[column]);
        let settings = ImageProcessor {
            patch_size: at(2),
            merge_size: 1,
            min_pixels: at(3) as u64,
            max_pixels: at(4) as u64,
            ..processor("qwen2_5_vl")
        };
        let size = settings.smart_resize(at(0), at(1)).ok().map(|(h, w)| [h, w]);
        assert_eq!(serde_json::json!(size), row[5], "{row}");
    }
    assert_eq!(rows.as_array().unwrap().len(), 161);
}

#[test]
fn resized_bytes_equal_torchvisions() {
    each_picture(|name, processor, source, expected| {
        let resized = processor.resize(source).unwrap();
        assert_eq!(serde_json::json!([resized.height(), resized.width()]), expected["resized"], "{name}");
        let sample: Vec<_> = resized.iter().copied().step_by(997).collect();
        assert_eq!(serde_json::json!(sample), expected["bytes"], "{name}");
        assert_eq!(fnv1a(resized.iter().copied()), expected["hash"].as_str().unwrap(), "{name}");
    });
}

#[test]
fn patches_equal_pixel_values() {
    each_picture(|name, processor, source, expected| {
        let patches = processor.patches(source).unwrap();
        assert_eq!(serde_json::json!(patches.grid_thw), expected["grid"], "{name}");
        let wanted = expected["values"].as_array().unwrap();
        let sample = patches.values_np.iter().step_by(1999);
        assert_eq!(sample.len(), wanted.len(), "{name}");
        for (value, wanted) in sample.zip(wanted) {
            assert!((f64::from(*value) - wanted.as_f64().unwrap()).abs() < 1e-6, "{name}: {value} {wanted}");
        }
        let bytes = patches.values_np.iter().flat_map(|value| value.to_le_bytes());
        assert_eq!(fnv1a(bytes), expected["patch_hash"].as_str().unwrap(), "{name}");
    });
}

/// What another program is shown is what was cut, and it leaves it as it is.
#[test]
fn a_picture_comes_back_from_its_patches() {
    each_picture(|name, processor, source, _| {
        let resized = processor.resize(source).unwrap();
        let patches = processor.patches(source).unwrap();
        let picture = processor.picture(&patches).unwrap();
        assert!(picture == resized, "{name}");
        assert!(processor.patches(&picture).unwrap() == patches, "{name}");
    });
    let processor = processor("qwen2_5_vl");
    let every_byte = RgbImage::from_fn(64, 56, |x, y| image::Rgb([(4 * x + y % 4) as u8; 3]));
    let every_byte = processor.resize(&every_byte).unwrap();
    let patches = processor.patches(&every_byte).unwrap();
    assert!(processor.picture(&patches).unwrap() == every_byte);
    let odd = Patches { grid_thw: [1, 3, 4], ..patches };
    assert!(processor.picture(&odd).unwrap_err().to_string().contains("3x4"));
}

/// A batch of threads must not change a byte: strips are cut where the thread count says.
#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let (source, processor) = (synth_rgb(480, 640, 5), processor("qwen3_vl"));
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| processor.patches(&source).unwrap())
    };
    let one = with(1);
    assert!([2, 3, 7].into_iter().all(|threads| with(threads) == one));
}

#[test]
fn two_frames_fold_to_one() {
    let one = processor("qwen2_5_vl").patches(&synth_rgb(37, 211, 1)).unwrap();
    let frame = one.patch_dim / 3;
    let mut two: Vec<f32> = one.values_np.chunks(frame).flat_map(|plane| [plane, plane].concat()).collect();
    let fold = |values: &[f32], grid| Patches::from_pixel_values(values, grid, 3, 2, 14);
    assert_eq!(fold(&two, one.grid_thw).unwrap(), one);
    assert_eq!(one.image_tokens(2) * 4, one.values_np.len() / one.patch_dim);

    let error = fold(&two[1..], one.grid_thw).unwrap_err().to_string();
    assert!(
        error.contains(&two.len().to_string()) && error.contains(&(two.len() - 1).to_string()),
        "{error}"
    );
    assert!(fold(&two, [2, 1, 16]).unwrap_err().to_string().contains("t = 2"));
    *two.last_mut().unwrap() += 1.0;
    let error = fold(&two, one.grid_thw).unwrap_err().to_string();
    assert!(error.contains("patch 31, channel 2"), "{error}");
}

#[test]
fn every_pixel_format_and_orientation_decodes_as_in_transformers() {
    let expected = json(&golden("images/files.json"));
    for (name, expected) in expected.as_object().unwrap() {
        let picture = open(&golden("images/files").join(name), &Limits::default()).unwrap();
        let size = [picture.height(), picture.width()].map(u64::from);
        assert_eq!(size.map(Value::from), [expected["height"].clone(), expected["width"].clone()], "{name}");
        let hex = expected["rgb"].as_str().unwrap().as_bytes().as_chunks::<2>().0;
        let bytes = hex.iter().map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap());
        let levels: Vec<_> = picture.iter().zip(bytes).map(|(a, b)| a.abs_diff(b)).collect();
        let (largest, sum) =
            (levels.iter().max().unwrap(), levels.iter().map(|&level| u32::from(level)).sum::<u32>());
        let mean = f64::from(sum) / levels.len() as f64;
        // libjpeg-turbo and zune-jpeg round differently; all else is exact.
        let (most, average) = if name.ends_with("jpg") { (4, 0.6) } else { (0, 0.0) };
        println!("{name}: {largest} levels at most, {mean:.3} in the mean");
        assert!(*largest <= most && mean <= average, "{name}: {largest} levels, {mean}");
    }
}

#[test]
fn sixteen_bit_grey_is_scaled() {
    let grey = image::ImageBuffer::from_fn(3, 1, |x, _| image::Luma([[0_u16, 0x80ff, 0xffff][x as usize]]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageLuma16(grey).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let picture = decode(bytes.get_ref(), "grey", &Limits::default()).unwrap();
    assert_eq!(picture.as_raw(), &[0, 0, 0, 0x80, 0x80, 0x80, 0xff, 0xff, 0xff]);
}

/// Settings in each spelling, and what the written form reads back as.
#[test]
fn every_spelling_of_the_settings_is_read() {
    let plain = processor("qwen2_5_vl");
    let base = plain.to_json();
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut value = base.clone();
        edit(&mut value);
        value
    };
    let remove = |value: &mut Value, keys: &[&str]| {
        keys.iter().for_each(|key| drop(value.as_object_mut().unwrap().remove(*key)))
    };
    let spellings = [
        ("preprocessor_config.json", base.clone()),
        ("preprocessor_config.json", with(&|v| remove(v, &["size"]))),
        ("preprocessor_config.json", with(&|v| remove(v, &["min_pixels", "max_pixels"]))),
        (
            "preprocessor_config.json",
            with(&|v| (v["min_pixels"], v["max_pixels"]) = (Value::Null, Value::Null)),
        ),
        (
            "preprocessor_config.json",
            with(&|v| {
                remove(v, &["min_pixels", "max_pixels"]);
                v["size"] = serde_json::json!({"min_pixels": 3136, "max_pixels": 50176});
            }),
        ),
        (
            "processor_config.json",
            serde_json::json!({"image_processor": base.clone(), "processor_class": "X"}),
        ),
    ];
    for (file, value) in spellings {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file), value.to_string()).unwrap();
        assert_eq!(ImageProcessor::from_dir(dir.path()).unwrap(), plain, "{file} {value}");
    }
    assert_eq!(plain.mean, [0.48145466, 0.4578275, 0.40821073]);
    assert!(base.to_string().len() < 400, "numbers as short as the file's: {base}");
}
