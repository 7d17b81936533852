//! The processor against the full dumps of transformers, for those who have rebuilt them.
//!
//! `FOVEATE_ORACLE=DIR cargo test -p foveate-vision --test oracle -- --ignored` reads DIR/ref/*,
//! DIR/checkpoints/*, DIR/tokenizer_cases_*.json and DIR/tokenizer-*/tokenizer.json. What runs on every
//! machine is in images.rs and text.rs, on small cuts of the same kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod golden;

use std::path::PathBuf;
use std::sync::Arc;

use foveate_vision::images::{ImageProcessor, Patches};
use foveate_vision::processor::Processor;
use foveate_vision::text::{Message, Tokenizer};
use golden::{index, json};
use image::RgbImage;
use safetensors::SafeTensors;

const CHECKPOINTS: [&str; 2] = ["tiny-qwen2_5_vl", "tiny-qwen3_vl"];
const PICTURES: [&str; 7] = ["tiny20", "odd", "grid", "wide", "extreme", "large", "tall"];

fn oracle() -> PathBuf {
    PathBuf::from(std::env::var_os("FOVEATE_ORACLE").expect("FOVEATE_ORACLE names the folder of the dumps"))
}

fn picture(tensors: &SafeTensors<'_>, name: &str) -> RgbImage {
    let view = tensors.tensor(name).unwrap();
    let &[height, width, 3] = view.shape() else { panic!("{name}: {:?}", view.shape()) };
    RgbImage::from_raw(width as u32, height as u32, view.data().to_vec()).unwrap()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
    let view = tensors.tensor(name).ok()?;
    Some(view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Largest difference and the share of values that differ.
fn differences(a: &RgbImage, b: &RgbImage) -> (u8, f64) {
    assert_eq!(a.dimensions(), b.dimensions());
    let differing = a.iter().zip(b.iter()).filter(|(a, b)| a != b).count();
    let largest = a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    (largest, differing as f64 / a.len() as f64)
}

#[test]
#[ignore = "needs FOVEATE_ORACLE"]
fn sizes_equal_the_dumps() {
    for checkpoint in CHECKPOINTS {
        let read = ImageProcessor::from_dir(&oracle().join("checkpoints").join(checkpoint)).unwrap();
        let rows = json(&oracle().join("ref").join(checkpoint).join("smart_resize.json"));
        assert_eq!(rows.as_array().unwrap().len(), 140);
        for row in rows.as_array().unwrap() {
            let at = |key: &str| index(&row[key]);
            let (min_pixels, max_pixels) = (at("min_pixels") as u64, at("max_pixels") as u64);
            let settings = ImageProcessor {
                patch_size: at("factor"),
                merge_size: 1,
                min_pixels,
                max_pixels,
                ..read.clone()
            };
            let (h, w) = settings.smart_resize(at("h"), at("w")).unwrap();
            assert_eq!(serde_json::json!([h, w]), row["out"], "{checkpoint}: {row}");
        }
    }
}

/// Equal to torchvision's kernel, which transformers uses; close to Pillow's, whose weights are finer.
#[test]
#[ignore = "needs FOVEATE_ORACLE"]
fn pictures_and_patches_equal_the_dumps() {
    for checkpoint in CHECKPOINTS {
        let processor = ImageProcessor::from_dir(&oracle().join("checkpoints").join(checkpoint)).unwrap();
        let bytes = std::fs::read(oracle().join("ref").join(checkpoint).join("images.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        for name in PICTURES {
            let source = picture(&tensors, &format!("source.{name}"));
            let resized = processor.resize(&source).unwrap();
            assert_eq!(
                resized,
                picture(&tensors, &format!("resized.torchvision.{name}")),
                "{checkpoint} {name}"
            );
            let (levels, share) = differences(&resized, &picture(&tensors, &format!("resized.pil.{name}")));
            println!("{checkpoint} {name}: {levels} levels from Pillow in {:.2} % of values", share * 100.0);
            assert!(levels <= 2 && share <= 0.01, "{checkpoint} {name}");
            let got = processor.patches(&source).unwrap();
            if let Some(values) = floats(&tensors, &format!("pixel_values.torchvision.{name}")) {
                let (side, frames) = (processor.patch_size, processor.temporal_patch_size);
                let expected = Patches::from_pixel_values(&values, got.grid_thw, 3, frames, side).unwrap();
                assert_eq!(got, expected, "{checkpoint} {name}");
            }
        }
    }
}

#[test]
#[ignore = "needs FOVEATE_ORACLE"]
fn encodings_equal_the_published_tokenizers() {
    for family in ["qwen3_vl", "qwen2_5_vl"] {
        let tokenizer = Tokenizer::from_dir(&oracle().join(format!("tokenizer-{family}"))).unwrap();
        let cases = json(&oracle().join(format!("tokenizer_cases_{family}.json")));
        assert_eq!(cases.as_array().unwrap().len(), 338);
        for case in cases.as_array().unwrap() {
            let ids = tokenizer.encode(case["text"].as_str().unwrap()).unwrap();
            assert_eq!(serde_json::json!(ids), case["ids"], "{family}: {case}");
            let text = tokenizer.decode(&ids, false).unwrap();
            assert_eq!(tokenizer.encode(&text).unwrap(), ids, "{family}: {case}");
        }
    }
}

#[test]
#[ignore = "needs FOVEATE_ORACLE"]
fn prompts_equal_the_dumps() {
    for checkpoint in CHECKPOINTS {
        let dir = oracle().join("ref").join(checkpoint);
        let processor = Processor::from_dir(&oracle().join("checkpoints").join(checkpoint)).unwrap();
        let bytes = std::fs::read(dir.join("images.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        for (name, case) in json(&dir.join("prompts.json")).as_object().unwrap() {
            let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
            let rendered = processor.template.render(&messages, true).unwrap();
            assert_eq!(rendered, case["rendered"].as_str().unwrap(), "{checkpoint} {name}");
            let names = case["images"].as_array().unwrap().iter().map(|image| image.as_str().unwrap());
            let images: Vec<_> = names
                .map(|image| picture(&tensors, &format!("source.{image}")))
                .map(|image| Arc::new(processor.images.patches(&image).unwrap()))
                .collect();
            let prompt = processor.prompt(&messages, &images).unwrap();
            assert_eq!(serde_json::json!(prompt.input_ids), case["input_ids"], "{checkpoint} {name}");
        }
    }
}
