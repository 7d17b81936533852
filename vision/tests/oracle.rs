//! The processor against the full dumps of transformers, for those who have rebuilt them.
//!
//! `FOVEATE_ORACLE=DIR cargo test -p foveate-vision --test oracle -- --ignored` reads DIR/ref/*,
//! DIR/checkpoints/*, DIR/tokenizer_cases_*.json and DIR/tokenizer-*/. What runs on every machine is in
//! images.rs and text.rs, on small cuts of the same dumps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foveate_vision::images::{ImageProcessor, Patches};
use foveate_vision::processor::Processor;
use foveate_vision::text::{Message, Tokenizer};
use image::RgbImage;
use safetensors::SafeTensors;
use serde_json::Value;

const CHECKPOINTS: [&str; 2] = ["tiny-qwen2_5_vl", "tiny-qwen3_vl"];

fn oracle() -> PathBuf {
    PathBuf::from(std::env::var_os("FOVEATE_ORACLE").expect("FOVEATE_ORACLE names the folder of the dumps"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn picture(tensors: &SafeTensors<'_>, name: &str) -> RgbImage {
    let view = tensors.tensor(name).unwrap();
    let &[height, width, 3] = view.shape() else { panic!("{name}: {:?}", view.shape()) };
    RgbImage::from_raw(width as u32, height as u32, view.data().to_vec()).unwrap()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = tensors.tensor(name).unwrap();
    view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Largest difference and the fraction of values that differ.
fn differences(a: &RgbImage, b: &RgbImage) -> (u8, f64) {
    assert_eq!(a.dimensions(), b.dimensions());
    let differing = a.iter().zip(b.iter()).filter(|(a, b)| a != b).count();
    let largest = a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
    (largest, differing as f64 / a.len() as f64)
}

#[test]
#[ignore = "needs FOVEATE_ORACLE"]
fn sizes_pictures_and_patches_equal_the_dumps() {
    for checkpoint in CHECKPOINTS {
        let dir = oracle().join("ref").join(checkpoint);
        let processor = ImageProcessor::from_dir(&oracle().join("checkpoints").join(checkpoint)).unwrap();
        for row in json(&dir.join("smart_resize.json")).as_array().unwrap() {
            let at = |key: &str| row[key].as_u64().unwrap();
            let merge_size = at("factor") as usize / processor.patch_size;
            assert_eq!(
                merge_size * processor.patch_size % at("factor") as usize,
                merge_size * processor.patch_size % at("factor") as usize
            );
            let settings = ImageProcessor {
                patch_size: at("factor") as usize,
                merge_size: 1,
                min_pixels: at("min_pixels"),
                max_pixels: at("max_pixels"),
                ..processor.clone()
            };
            let (h, w) = settings.smart_resize(at("h") as usize, at("w") as usize).unwrap();
            assert_eq!(serde_json::json!([h, w]), row["out"], "{checkpoint}: {row}");
        }
        let bytes = std::fs::read(dir.join("images.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        for name in ["tiny20", "odd", "grid", "wide", "extreme", "large", "tall"] {
            let source = picture(&tensors, &format!("source.{name}"));
            let resized = processor.resize(&source).unwrap();
            for peer in ["pil", "torchvision"] {
                let (largest, fraction) =
                    differences(&resized, &picture(&tensors, &format!("resized.{peer}.{name}")));
                println!("{checkpoint} {name} {peer}: {largest} levels, {:.3} % of values", fraction * 100.0);
                assert!(largest <= 2 && fraction <= 0.01);
            }
            if !["tiny20", "odd", "extreme", "tall"].contains(&name) {
                continue;
            }
            let expected = floats(&tensors, &format!("pixel_values.torchvision.{name}"));
            let got = processor.patches(&source).unwrap();
            let (side, frames) = (processor.patch_size, processor.temporal_patch_size);
            let expected = Patches::from_pixel_values(&expected, got.grid_thw, 3, frames, side).unwrap();
            let largest =
                got.values_np.iter().zip(&expected.values_np).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{checkpoint} {name} patches: {largest}");
        }
    }
}

#[test]
#[ignore = "needs FOVEATE_ORACLE"]
fn tokenizers_equal_the_published_ones() {
    for family in ["qwen3_vl", "qwen2_5_vl"] {
        let dir = oracle().join(format!("tokenizer-{family}"));
        if !dir.exists() {
            println!("no {}", dir.display());
            continue;
        }
        let tokenizer = Tokenizer::from_dir(&dir).unwrap();
        let cases = json(&oracle().join(format!("tokenizer_cases_{family}.json")));
        println!(
            "{family}: {} {}",
            tokenizer.size(),
            cases.to_string().chars().take(300).collect::<String>()
        );
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
            assert_eq!(
                processor.template.render(&messages, true).unwrap(),
                case["rendered"].as_str().unwrap()
            );
            let names = case["images"].as_array().unwrap().iter();
            let images: Vec<_> = names
                .map(|image| picture(&tensors, &format!("source.{}", image.as_str().unwrap())))
                .map(|image| Arc::new(processor.images.patches(&image).unwrap()))
                .collect();
            let prompt = processor.prompt(&messages, &images).unwrap();
            assert_eq!(serde_json::json!(prompt.input_ids), case["input_ids"], "{checkpoint} {name}");
            assert_eq!(prompt.images, images);
        }
    }
}
