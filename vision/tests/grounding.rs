//! Boxes, crops and conversations against tests/golden/turns/, which Python and transformers made.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

mod golden;

use std::sync::Arc;

use foveate_vision::config::{FAMILIES, Family};
use foveate_vision::grounding::{
    Dialogue, Frame, Next, Protocol, Refusal, Region, Rules, SCRIPTS, Sizes, Turn, crop, find,
};
use foveate_vision::images::ImageProcessor;
use foveate_vision::text::{Content, Message};
use golden::{golden, index, json, synth_rgb};
use image::RgbImage;
use serde_json::Value;

fn pair(value: &Value) -> (u32, u32) {
    (index(&value[0]) as u32, index(&value[1]) as u32)
}

fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
}

#[test]
fn every_reply_is_worth_what_the_authors_rules_say() {
    let cases = json(&golden("turns/boxes.json"));
    let mut refused = Vec::new();
    for case in cases.as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let frame: Frame = serde_json::from_value(case["frame"].clone()).unwrap();
        let sizes = Sizes { original: pair(&case["original"]), read: pair(&case["read"]) };
        let rules = Rules::of(case["min_side"].as_f64().unwrap());
        let found = find(text);
        let region = found.as_ref().map_err(|refusal| *refusal);
        let region = region.and_then(|found| Region::new(found.bbox, frame, sizes, &rules));
        match (&region, case["refused"].as_str()) {
            (Err(refusal), Some(name)) => {
                assert_eq!(refusal.name(), name, "{text}");
                refused.push(*refusal);
            }
            (Ok(region), None) => {
                assert_eq!(region.said.to_vec(), numbers(&case["said"]), "{text}");
                assert_eq!(region.original.map(i64::from).to_vec(), numbers(&case["crop"]), "{text}");
                assert_eq!(found.unwrap().end, index(&case["keep"]), "{text}");
            }
            (found, wanted) => panic!("{text}: {found:?}, not {wanted:?}"),
        }
    }
    for refusal in Refusal::ALL {
        assert!(refused.contains(&refusal), "no case for {}", refusal.name());
    }
}

#[test]
fn a_teachers_box_is_read_back() {
    let sizes = Sizes { original: (1999, 1501), read: (1148, 868) };
    for frame in [Frame::Pixels, Frame::Thousandths] {
        for bounds in [[0.0, 0.0, 1999.0, 1501.0], [665.0, 1001.0, 799.0, 1125.0], [5.2, 8.9, 175.1, 133.0]] {
            let said = frame.around(bounds, sizes);
            let back = frame.to_original(said, sizes).map(|v| v as f64);
            assert!(back[0] <= bounds[0] && back[1] <= bounds[1], "{frame:?} {bounds:?} {back:?}");
            // The far corner is cut to a whole number once more.
            assert!(back[2] > bounds[2] - 1.0 && back[3] > bounds[3] - 1.0, "{frame:?} {bounds:?} {back:?}");
        }
    }
    // 84 of 84 tokens' pixels, times and divided by 100, is not quite 84.
    let odd = Sizes { original: (100, 100), read: (84, 84) };
    assert_eq!(Frame::Pixels.around([0.0, 0.0, 84.0 * (100.0 / 84.0), 100.0], odd), [0, 0, 84, 84]);
}

#[test]
fn an_extremely_long_part_is_the_whole() {
    let image = RgbImage::from_fn(200, 400, |x, y| image::Rgb([x as u8, (y / 2) as u8, 7]));
    let region = |original| Region { said: [0; 4], original, area: 0.0 };
    assert_eq!(crop(&image, &region([10, 20, 159, 21])).dimensions(), (149, 1));
    assert_eq!(crop(&image, &region([10, 20, 160, 21])), image);
    let part = crop(&image, &region([10, 20, 13, 25]));
    assert_eq!((part.dimensions(), part.get_pixel(2, 4)), ((3, 5), image.get_pixel(12, 24)));
}

/// A processor whose tokens are 28 pixels wide.
fn images() -> ImageProcessor {
    ImageProcessor {
        patch_size: 14,
        temporal_patch_size: 2,
        merge_size: 2,
        min_pixels: 56 * 56,
        max_pixels: 448 * 448,
        mean: [0.5; 3],
        std: [0.5; 3],
    }
}

fn protocol(turns: usize, forced: bool) -> Protocol {
    Protocol { turns, forced, ..Protocol::new("mgpo", Family::Qwen2_5Vl, &images()).unwrap() }
}

fn open(protocol: &Protocol) -> Dialogue<'_> {
    let image = Arc::new(synth_rgb(896, 672, 1));
    Dialogue::open(protocol, image, "<image>What color is it?", "What color is it?\n(A) red (B) blue")
        .unwrap()
}

fn turn(next: Next) -> Turn {
    match next {
        Next::Turn(turn) => turn,
        Next::Answer => panic!("it goes on"),
    }
}

fn text(message: &Message) -> String {
    let piece = |content: &Content| match content {
        Content::Image(_) => "<image>".to_string(),
        Content::Text(text) => text.clone(),
    };
    message.content.iter().map(piece).collect()
}

fn boxed(corners: [i64; 4]) -> String {
    format!("There.\n```json\n[{{\"bbox_2d\": {corners:?}, \"label\": \"cup\"}}]\n``` and so on")
}

#[test]
fn two_turns_are_forced_and_a_box_shows_its_part_of_the_original() {
    let protocol = protocol(2, true);
    let mut dialogue = open(&protocol);
    assert_eq!(dialogue.sizes(), Sizes { original: (672, 896), read: (364, 504) });
    let first = text(&dialogue.messages()[1]);
    assert!(first.starts_with("<image>What color is it?. Say first"), "{first}");
    assert!(!first.contains("(A)"), "options come with the last turn: {first}");
    let reply = boxed([91, 126, 182, 252]);
    let shown = turn(dialogue.reply(&reply));
    assert_eq!(&reply[shown.keep..], " and so on");
    let region = shown.region.unwrap();
    // 91 / 364 * 672 and so on.
    assert_eq!(region.original, [168, 224, 336, 448]);
    assert!((region.area - 1.0 / 16.0).abs() < 1e-12);
    assert_eq!(*shown.part.unwrap(), crop(&synth_rgb(896, 672, 1), &region));
    let second = text(&shown.message);
    assert!(second.contains("\n<image>\nWhat color is it?\n(A) red (B) blue\n"), "{second}");
    assert_eq!(text(&dialogue.messages()[2]), reply[..shown.keep]);
    assert_eq!(dialogue.pictures().len(), 2);
    assert!(matches!(dialogue.reply("\\boxed{A}"), Next::Answer));
    let roles: Vec<_> = dialogue.messages().iter().map(|message| &message.role[..]).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant"]);
}

#[test]
fn without_a_box_the_original_is_shown_again() {
    let protocol = protocol(2, true);
    for (reply, refusal) in [("none".to_string(), Refusal::NoBlock), (boxed([0, 0, 28, 300]), Refusal::Small)]
    {
        let mut dialogue = open(&protocol);
        let again = turn(dialogue.reply(&reply));
        assert_eq!((again.region, again.keep), (Err(refusal), reply.len()));
        assert!(again.part.is_none() && text(&again.message).contains("original image again"));
        assert!(Arc::ptr_eq(&dialogue.pictures()[0], &dialogue.pictures()[1]));
    }
}

#[test]
fn more_turns_go_on_until_there_is_an_answer() {
    let free = protocol(4, false);
    let mut dialogue = open(&free);
    let first = turn(dialogue.reply(&boxed([0, 0, 100, 100])));
    assert!(text(&first.message).contains("look elsewhere"), "{}", text(&first.message));
    // A box that cannot be used is no answer.
    assert!(turn(dialogue.reply(&boxed([0, 0, 9, 9]))).part.is_none());
    let last = turn(dialogue.reply(&boxed([0, 0, 364, 504])));
    assert!(text(&last.message).contains("(A) red"));
    assert!(matches!(dialogue.reply(&boxed([0, 0, 100, 100])), Next::Answer), "four turns are all");
    assert_eq!(dialogue.pictures().len(), 4);
    let mut dialogue = open(&free);
    assert!(matches!(dialogue.reply("\\boxed{A}"), Next::Answer));
    let forced = protocol(4, true);
    assert!(matches!(open(&forced).reply("\\boxed{A}"), Next::Turn(_)));
}

#[test]
fn every_script_says_where_images_stand() {
    for script in SCRIPTS {
        let marks = |piece: &str| piece.matches("<image>").count();
        let pieces = [script.first, script.shown, script.again, script.last, script.more, script.system];
        assert_eq!(pieces.map(marks), [1, 1, 1, 0, 0, 0], "{}", script.name);
        assert!(script.last.contains("{task}") && script.more.contains("{question}"), "{}", script.name);
        let protocol = Protocol::new(script.name, Family::Qwen3Vl, &images()).unwrap();
        assert_eq!(protocol.rules.min_side, 28.0);
    }
    let error = Protocol::new("mgp", Family::Qwen3Vl, &images()).unwrap_err().to_string();
    assert!(error.contains("mgpo, brief") && error.contains("mgp"), "{error}");
}

#[test]
fn the_frame_is_the_familys() {
    let frames: Vec<_> = FAMILIES.iter().map(|row| (row.model_type, row.frame)).collect();
    let expected =
        [("qwen2_vl", Frame::Thousandths), ("qwen2_5_vl", Frame::Pixels), ("qwen3_vl", Frame::Thousandths)];
    assert_eq!(frames, expected);
}
