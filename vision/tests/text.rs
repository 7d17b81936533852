//! Messages become the very text and ids that transformers' processors make of them.
//!
//! Golden values: tests/golden/template/make.py and tests/golden/tokenizer/make.py (versions there).
#![allow(clippy::unwrap_used, clippy::panic)]

mod golden;
#[path = "text/poisoned.rs"]
mod poisoned;

use std::sync::Arc;

use foveate_vision::processor::Processor;
use foveate_vision::text::{ChatTemplate, Message, Tokenizer};
use golden::{golden, index, json, synth_rgb};
use serde_json::{Value, json as object};

const FAMILIES: [&str; 2] = ["qwen2_5_vl", "qwen3_vl"];

fn processor(family: &str) -> Processor {
    Processor::from_dir(&golden("template").join(family)).unwrap()
}

fn messages(value: &Value) -> Vec<Message> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn encodings_equal_transformers_in_both_merge_forms() {
    let cases = json(&golden("tokenizer/cases.json"));
    for family in FAMILIES {
        let pairs = Tokenizer::from_dir(&golden("template").join(family)).unwrap();
        let mut file: Value = serde_json::from_slice(pairs.to_bytes()).unwrap();
        for merge in file["model"]["merges"].as_array_mut().unwrap() {
            *merge = format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()).into();
        }
        let strings = Tokenizer::from_bytes(file.to_string().into_bytes(), "strings").unwrap();
        for tokenizer in [pairs, strings] {
            for case in cases[family].as_array().unwrap() {
                let ids = tokenizer.encode(case[0].as_str().unwrap()).unwrap();
                assert_eq!(object!(ids), case[1], "{family} {case}");
                assert_eq!(
                    tokenizer.decode(&ids, true).unwrap(),
                    case[2].as_str().unwrap(),
                    "{family} {case}"
                );
            }
        }
    }
}

#[test]
fn tokens_are_known_by_name_and_number() {
    for (family, size) in FAMILIES.into_iter().zip([1046, 1050]) {
        let tokenizer = processor(family).tokenizer;
        assert_eq!(tokenizer.size(), size);
        assert_eq!(tokenizer.id("<|endoftext|>"), Some(1024));
        assert_eq!(tokenizer.id("<|nothing|>"), None);
        assert_eq!(tokenizer.decode(&[1026, 39, 1087], false).unwrap(), "<|im_end|>H");
        assert_eq!(tokenizer.decode(&[1026, 39, 1087], true).unwrap(), "H");
    }
}

/// A trainer's cut-off and padding, saved with the tokenizer, must not touch prompts.
#[test]
fn saved_truncation_and_padding_are_ignored() {
    let plain = processor("qwen3_vl").tokenizer;
    let mut file: Value = serde_json::from_slice(plain.to_bytes()).unwrap();
    file["truncation"] =
        object!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    file["padding"] = object!({"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "!"});
    let cut = Tokenizer::from_bytes(file.to_string().into_bytes(), "cut").unwrap();
    assert_eq!(cut.encode("one two three").unwrap(), plain.encode("one two three").unwrap());
}

#[test]
fn prompts_equal_transformers() {
    let expected = json(&golden("template/prompts.json"));
    for family in FAMILIES {
        let processor = processor(family);
        for (name, case) in expected[family].as_object().unwrap() {
            let messages = messages(&case["messages"]);
            let render = |opened| processor.template.render(&messages, opened).unwrap();
            assert_eq!(render(true), case["opened"].as_str().unwrap(), "{family} {name}");
            assert_eq!(render(false), case["closed"].as_str().unwrap(), "{family} {name}");
            let sizes = case["sizes"].as_array().unwrap().iter().enumerate();
            let images: Vec<_> = sizes
                .map(|(seed, size)| synth_rgb(index(&size[0]), index(&size[1]), seed))
                .map(|picture| Arc::new(processor.images.patches(&picture).unwrap()))
                .collect();
            let prompt = processor.prompt(&messages, &images).unwrap();
            assert_eq!(object!(prompt.input_ids), case["input_ids"], "{family} {name}");
            assert_eq!(prompt.images, images);
        }
    }
}

#[test]
fn templates_speak_jinja_and_python() {
    for case in json(&golden("template/features.json")).as_array().unwrap() {
        let source = case["source"].as_str().unwrap();
        let template = ChatTemplate::from_source(source, "feature").unwrap();
        match (template.render(&messages(&case["messages"]), true), case["text"].as_str()) {
            (Ok(text), Some(expected)) => assert_eq!(text, expected, "{source}"),
            (Err(error), None) => {
                assert!(error.to_string().contains(case["error"].as_str().unwrap()), "{error}")
            }
            (got, expected) => panic!("{source}: {got:?}, transformers: {expected:?}"),
        }
    }
}

/// Each place that a template may lie in, most to least preferred, and what transformers hands to it.
#[test]
fn templates_are_found_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
    let rendered = || ChatTemplate::from_dir(dir.path()).unwrap().render(&[], false).unwrap();
    let named = r#"{"chat_template": [{"name": "rag", "template": "R"}, {"name": "default", "template": "D{{ eos_token }}"}],
        "eos_token": {"content": "<e>"}, "pad_token": "<p>", "bos_token": null}"#;
    write("tokenizer_config.json", named);
    assert_eq!(rendered(), "D<e>");
    write(
        "tokenizer_config.json",
        r#"{"chat_template": "S{{ pad_token }}{{ bos_token }}", "pad_token": "<p>"}"#,
    );
    assert_eq!(rendered(), "S<p>");
    write("chat_template.json", r#"{"chat_template": "J"}"#);
    assert_eq!(rendered(), "J");
    write("chat_template.jinja", "{{ pad_token }}\n");
    assert_eq!(rendered(), "<p>");
}

#[test]
fn messages_keep_their_json_form() {
    let form = object!([
        {"role": "user", "content": [{"type": "image", "image": "a/b.png"}, {"type": "image"}, {"type": "text", "text": "hi"}]}
    ]);
    assert_eq!(serde_json::to_value(messages(&form)).unwrap(), form);
    let columnar = object!([{"role": "user", "content": [{"type": "image", "image": "a/b.png", "text": null},
        {"type": "image", "image": null, "text": null}, {"type": "text", "image": null, "text": "hi"}]}]);
    assert_eq!(messages(&columnar), messages(&form));
    assert_eq!(messages(&object!([{"role": "user", "content": "hi"}])), [Message::text("user", "hi")]);
}

#[test]
fn files_are_written_back_untouched() {
    for family in FAMILIES {
        let (from, to) = (golden("template").join(family), tempfile::tempdir().unwrap());
        processor(family).save(to.path()).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let mut written: Vec<_> =
            std::fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        written.sort();
        assert_eq!(written, names);
        for name in names {
            assert!(
                std::fs::read(from.join(&name)).unwrap() == std::fs::read(to.path().join(&name)).unwrap(),
                "{name:?}"
            );
        }
    }
}
