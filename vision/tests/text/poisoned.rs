//! Messages, templates and tokenizers that must be refused, each with words that say what is wrong with which.

use std::path::Path;
use std::sync::Arc;

use crate::golden::golden;
use foveate_vision::Error;
use foveate_vision::images::Patches;
use foveate_vision::processor::Processor;
use foveate_vision::text::{ChatTemplate, Content, Message, Tokenizer};

fn processor() -> Processor {
    Processor::from_dir(&golden("template/qwen2_5_vl")).unwrap()
}

fn picture() -> Arc<Patches> {
    Patches { values_np: vec![0.0; 4 * 768], grid_thw: [1, 2, 2], patch_dim: 768 }.into()
}

/// A copy of the golden directory in which `name` has `text`, or is gone.
fn edited(name: &str, text: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    processor().save(dir.path()).unwrap();
    let path = dir.path().join(name);
    match text {
        Some(text) => std::fs::write(path, text).unwrap(),
        None => std::fs::remove_file(path).unwrap(),
    }
    dir
}

fn refusal(dir: &Path) -> String {
    let error = Processor::from_dir(dir).unwrap_err();
    assert!(error.is_input());
    error.to_string()
}

#[test]
fn counts_that_differ_are_named() {
    let processor = processor();
    let asking = |contents: Vec<Content>, images: usize| {
        let messages = [Message { role: "user".into(), content: contents }];
        let error = processor.prompt(&messages, &vec![picture(); images]).unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error:?}");
        error.to_string()
    };
    let image = || Content::Image(None);
    let text = asking(vec![image(), image()], 3);
    assert!(text.contains("there are 2 contents") && text.contains("is 3"), "{text}");
    assert!(asking(vec![image()], 0).contains("is 0"));
    // A placeholder that a data set left in its text is one too many.
    let text = asking(vec![image(), Content::Text("What? <|image_pad|>".into())], 1);
    assert!(text.contains("there are 2 placeholders") && text.contains("is 1"), "{text}");
    assert!(asking(vec![Content::Text("<|video_pad|>".into())], 0).contains("<|video_pad|>"));
}

#[test]
fn contents_of_other_kinds() {
    let cases = [
        (r#"{"type":"video","video":"a.mp4"}"#, "video"),
        (r#"{"type":"audio"}"#, "audio"),
        (r#"{"type":"text"}"#, "text"),
        (r#"{"type":"text","text":null}"#, "text"),
        (r#"{"type":"text","text":7}"#, "7"),
        (r#"{"type":"text","text":"a","image":"b.png"}"#, "image"),
        (r#"{"type":"image","text":"a"}"#, "text"),
        (r#"{"type":"image","image_url":"b.png"}"#, "image_url"),
        (r#"{"image":"b.png"}"#, "type"),
        ("7", "struct"),
    ];
    for (content, word) in cases {
        let message = format!(r#"{{"role":"user","content":[{content}]}}"#);
        let error = serde_json::from_str::<Message>(&message).unwrap_err().to_string();
        assert!(error.contains(word), "{content}: {error}");
    }
    for (message, word) in [
        (r#"{"content":"a"}"#, "role"),
        (r#"{"role":"user"}"#, "content"),
        (r#"{"role":"user","content":7}"#, "a string or a list"),
        (r#"{"role":"user","content":"a","tools":[]}"#, "tools"),
    ] {
        let error = serde_json::from_str::<Message>(message).unwrap_err().to_string();
        assert!(error.contains(word), "{message}: {error}");
    }
}

#[test]
fn directories_with_a_file_missing_or_broken() {
    let cases: [(&str, Option<&str>, &str); 7] = [
        ("tokenizer.json", None, "tokenizer.json: No such file"),
        ("tokenizer.json", Some("{}"), "tokenizer.json: "),
        ("tokenizer.json", Some("{\"model\": "), "tokenizer.json: "),
        ("chat_template.json", Some("{\"chat_template\": 7}"), "chat_template.json: `chat_template`"),
        ("chat_template.json", Some("{"), "chat_template.json: "),
        ("chat_template.jinja", Some("a\n{% if %}"), "chat_template.jinja: "),
        ("tokenizer_config.json", Some("nothing"), "tokenizer_config.json: "),
    ];
    for (name, text, words) in cases {
        let error = refusal(edited(name, text).path());
        assert!(error.contains(words), "{name} {text:?}: {error}");
    }
    let dir = edited("tokenizer_config.json", Some("{}"));
    std::fs::remove_file(dir.path().join("chat_template.json")).unwrap();
    assert!(refusal(dir.path()).contains("`chat_template` should be in chat_template.jinja"));
    let tokenizer = String::from_utf8(processor().tokenizer.to_bytes().to_vec()).unwrap();
    let without = tokenizer.replace("<|image_pad|>", "<|picture|>");
    assert!(refusal(edited("tokenizer.json", Some(&without)).path()).contains("with <|image_pad|>"));
}

#[test]
fn templates_that_fail_say_where() {
    let error = ChatTemplate::from_source("a\nb\n{% for x %}", "t.jinja").unwrap_err().to_string();
    assert!(error.contains("t.jinja") && error.contains(":3"), "{error}");
    let template = ChatTemplate::from_source("a\n{{ messages[0].role.nothing() }}", "t.jinja").unwrap();
    let error = template.render(&[Message::text("user", "x")], true).unwrap_err().to_string();
    assert!(error.contains("t.jinja") && error.contains(":2"), "{error}");
    // Endless recursion ends.
    let deep = ChatTemplate::from_source("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "deep").unwrap();
    assert!(deep.render(&[], true).is_err());
}

#[test]
fn a_directory_that_cannot_be_written() {
    let error = processor().save(Path::new("/nowhere/at/all")).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
    assert!(
        Tokenizer::from_dir(Path::new("/nowhere"))
            .unwrap_err()
            .to_string()
            .contains("/nowhere/tokenizer.json")
    );
}
