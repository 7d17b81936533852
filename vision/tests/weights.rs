//! Weights: what is read back is what was written, and a damaged file is refused with its reason.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use foveate_vision::weights::{Layout, Precision, Weights, save};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

type Named = (String, Vec<usize>, Cow<'static, [f32]>);

fn named(name: &str, shape: &[usize]) -> Named {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 - 3.0) * 0.25).collect();
    (name.to_owned(), shape.to_vec(), values.into())
}

const ONE_SHARD: Layout = Layout { precision: Precision::F32, max_shard_bytes: 1 << 20 };
const MANY_SHARDS: Layout = Layout { precision: Precision::F32, max_shard_bytes: 40 };

/// A directory with two tensors of 8 and 12 numbers.
fn dir(layout: Layout) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let all = [named("model.embed_tokens.weight", &[4, 2]), named("visual.a", &[12])];
    save(dir.path(), all, &layout).unwrap();
    dir
}

/// A directory whose one file has this header and as many bytes of data.
fn raw(header: &str, data: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
    dir
}

#[track_caller]
fn refused<T>(result: foveate_vision::Result<T>, words: &[&str]) {
    let Err(error) = result else { panic!("accepted, although {words:?}") };
    assert!(error.is_input());
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

#[test]
fn reads_what_was_written() {
    let all = [named("model.embed_tokens.weight", &[4, 2]), named("visual.a", &[3]), named("b", &[])];
    for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
        for (max_shard_bytes, files) in [(1, 4), (24, 3), (1 << 20, 1)] {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout { precision, max_shard_bytes };
            let paths = save(dir.path(), all.clone(), &layout).unwrap();
            if max_shard_bytes != 24 || precision == Precision::F32 {
                assert_eq!(paths.len(), files, "{layout:?}: {paths:?}");
            }
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), paths.len());
            let weights = Weights::open(dir.path()).unwrap();
            for (name, shape, values) in &all {
                assert_eq!(weights.f32(name, shape).unwrap(), values.to_vec(), "{name}");
            }
            assert!(weights.unused().is_empty());
        }
    }
}

#[test]
fn the_reference_implementation_reads_what_was_written() {
    let dir = dir(ONE_SHARD);
    let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    let (length, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(length % 8, 0);
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("visual.a").unwrap();
    assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, [12].as_slice()));
    assert_eq!(tensor.data()[4..8], (-0.5f32).to_le_bytes());
}

#[test]
fn an_index_is_laid_out_as_published() {
    let dir = dir(MANY_SHARDS);
    let index = std::fs::read(dir.path().join("model.safetensors.index.json")).unwrap();
    let want = json!({
        "metadata": {"total_size": 80},
        "weight_map": {
            "model.embed_tokens.weight": "model-00001-of-00002.safetensors",
            "visual.a": "model-00002-of-00002.safetensors",
        },
    });
    assert_eq!(serde_json::from_slice::<Value>(&index).unwrap(), want);
}

/// Written by torch: tests/golden/weights/make.py.
#[test]
fn halves_are_converted_as_by_torch() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/weights");
    let from = tempfile::tempdir().unwrap();
    std::fs::copy(golden.join("half.safetensors"), from.path().join("model.safetensors")).unwrap();
    let bytes = std::fs::read(golden.join("half.safetensors")).unwrap();
    let torch = SafeTensors::deserialize(&bytes).unwrap();
    let weights = Weights::open(from.path()).unwrap();
    let read = |name: &str| {
        weights.f32(name, torch.tensor(name).unwrap().shape()).unwrap().iter().map(|x| x.to_bits()).collect()
    };
    for name in ["f16", "bf16", "all16"] {
        let (found, want): (Vec<u32>, Vec<u32>) = (read(name), read(&format!("{name}.f32")));
        assert_eq!(found, want, "{name}");
    }
    let shape = torch.tensor("f32").unwrap().shape().to_vec();
    let values = weights.f32("f32", &shape).unwrap();
    for (precision, name) in [(Precision::F16, "f16"), (Precision::Bf16, "bf16"), (Precision::F32, "f32")] {
        let to = tempfile::tempdir().unwrap();
        let tensor = ("x".to_owned(), shape.clone(), Cow::from(&values));
        save(to.path(), [tensor], &Layout { precision, ..Layout::default() }).unwrap();
        let bytes = std::fs::read(to.path().join("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("x").unwrap().data(), torch.tensor(name).unwrap().data(), "{name}");
    }
}

#[test]
fn every_spelling_finds_the_tensor() {
    // Stored name, names to ask for.
    for (stored, asked) in [
        ("visual.blocks.0.x", ["visual.blocks.0.x", "model.visual.blocks.0.x"]),
        ("model.visual.blocks.0.x", ["visual.blocks.0.x", "model.visual.blocks.0.x"]),
        ("model.layers.1.y", ["model.layers.1.y", "model.language_model.layers.1.y"]),
        ("model.language_model.layers.1.y", ["model.layers.1.y", "model.language_model.layers.1.y"]),
        ("language_model.model.layers.1.y", ["model.layers.1.y", "model.language_model.layers.1.y"]),
        ("model.language_model.norm.weight", ["model.norm.weight", "model.language_model.norm.weight"]),
        ("lm_head.weight", ["lm_head.weight", "language_model.lm_head.weight"]),
        ("language_model.lm_head.weight", ["lm_head.weight", "language_model.lm_head.weight"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), [named(stored, &[2]), named("model.other", &[1])], &ONE_SHARD).unwrap();
        for name in asked {
            let weights = Weights::open(dir.path()).unwrap();
            assert!(weights.has(name), "{stored} for {name}");
            assert_eq!(weights.f32(name, &[2]).unwrap(), [-0.75, -0.5]);
            assert_eq!(weights.unused(), ["model.other"]);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let twice = [named("model.norm.weight", &[1]), named("model.language_model.norm.weight", &[1])];
    save(dir.path(), twice, &ONE_SHARD).unwrap();
    refused(Weights::open(dir.path()), &["model.norm.weight", "model.language_model.norm.weight", "once"]);
}

#[test]
fn what_was_not_asked_for_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let rotary = "model.layers.0.self_attn.rotary_emb.inv_freq";
    save(dir.path(), ["visual.z", "a", rotary, "b"].map(|n| named(n, &[1])), &ONE_SHARD).unwrap();
    let weights = Weights::open(dir.path()).unwrap();
    weights.f32("a", &[1]).unwrap();
    assert_eq!(weights.unused(), ["b", "visual.z"]);
}

#[test]
fn a_tied_head_may_be_there_if_it_is_the_embedding() {
    let (embedding, head, shape) = ("model.embed_tokens.weight", "lm_head.weight", [2, 2]);
    let write = |all: &[Named]| {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), all.to_vec(), &ONE_SHARD).unwrap();
        dir
    };
    let other: Named = (head.into(), shape.to_vec(), vec![9.0; 4].into());
    let read = |dir: &TempDir, tied| Weights::open(dir.path()).unwrap().lm_head(tied, embedding, &shape);

    let without = write(&[named(embedding, &shape)]);
    assert_eq!(read(&without, true).unwrap(), None);
    refused(read(&without, false), &["lm_head.weight", "missing"]);
    let same = write(&[named(embedding, &shape), named(head, &shape)]);
    assert_eq!(read(&same, true).unwrap(), None);
    assert_eq!(read(&same, false).unwrap().unwrap(), named(head, &shape).2.to_vec());
    let weights = Weights::open(same.path()).unwrap();
    weights.lm_head(true, embedding, &shape).unwrap();
    assert!(weights.unused().is_empty());
    let different = write(&[named(embedding, &shape), other]);
    refused(read(&different, true), &["lm_head.weight", "tie_word_embeddings"]);
    assert_eq!(read(&different, false).unwrap().unwrap(), [9.0; 4]);
}

#[test]
fn a_tensor_that_does_not_fit_is_refused_by_name() {
    let dir = dir(ONE_SHARD);
    let weights = Weights::open(dir.path()).unwrap();
    let file = "model.safetensors";
    refused(weights.f32("visual.a", &[3, 4]), &[file, "`visual.a`", "[3, 4]", "[12]"]);
    refused(weights.f32("visual.b", &[1]), &[file, "`visual.b`", "missing"]);
    let integers = raw(r#"{"n":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}"#, 4);
    refused(Weights::open(integers.path()).unwrap().f32("n", &[1]), &["`n`", "F32, F16 or BF16", "I32"]);
}

#[test]
fn weights_that_are_not_finite_are_refused_with_their_place() {
    let bits = [f32::NAN.to_le_bytes(), f32::INFINITY.to_le_bytes(), f32::NEG_INFINITY.to_le_bytes()];
    for (bytes, word) in bits.iter().zip(["NaN", "inf", "-inf"]) {
        let mut data = vec![0; 400_000];
        data[300_000..300_004].copy_from_slice(bytes);
        let view = TensorView::new(Dtype::F32, vec![100_000], &data).unwrap();
        let file = safetensors::serialize([("w", view)], None).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("model.safetensors"), file).unwrap();
        let weights = Weights::open(dir.path()).unwrap();
        refused(weights.f32("w", &[100_000]), &["model.safetensors", "`w`", word, "75000"]);
    }
    let half = half_file(&[0, 0x7c00]);
    refused(Weights::open(half.path()).unwrap().f32("w", &[2]), &["`w`", "inf", "index 1"]);
}

fn half_file(bits: &[u16]) -> TempDir {
    let data: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F16, vec![bits.len()], &data).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = safetensors::serialize([("w", view)], None).unwrap();
    std::fs::write(dir.path().join("model.safetensors"), file).unwrap();
    dir
}

#[test]
fn a_truncated_file_is_refused() {
    let dir = dir(ONE_SHARD);
    let path = dir.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        refused(Weights::open(dir.path()).map(|_| ()), &["model.safetensors"]);
    }
    std::fs::write(&path, [whole.as_slice(), &[0]].concat()).unwrap();
    refused(Weights::open(dir.path()), &["file size", "where the last tensor ends"]);
}

#[test]
fn a_length_that_lies_is_refused() {
    let dir = dir(ONE_SHARD);
    let path = dir.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for length in [u64::MAX, u64::MAX - 7, 1 << 40, whole.len() as u64 - 7] {
        let file = [&length.to_le_bytes(), &whole[8..]].concat();
        std::fs::write(&path, file).unwrap();
        refused(Weights::open(dir.path()), &["model.safetensors", "header length", &length.to_string()]);
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let a = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    // Header, bytes of data, words of the error.
    let cases: &[(&str, usize, &[&str])] = &[
        ("", 0, &["header", "EOF"]),
        ("[]", 0, &["header", "an object"]),
        ("{\"a\"", 0, &["header"]),
        (r#"{"a":7}"#, 8, &["`a`", "data_offsets"]),
        (r#"{"a":{"dtype":"F32","shape":[2]}}"#, 8, &["`a`", "data_offsets"]),
        (r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8, &["`a`", "-2"]),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}}"#, 8, &["`a`"]),
        (r#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#, 8, &["`a`", "dtype", "F33"]),
        (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8, &["`a`", "12 bytes", "is 8"]),
        (r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#, 8, &["too many"]),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, &["`a`", "8..0"]),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 8, &["`a`", "4..12", "8 bytes"]),
        (
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,18446744073709551615]}}"#,
            8,
            &["`a`", "8 bytes"],
        ),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12, &["`a`", "gap"]),
        (&format!(r#"{{{a},"b":{{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}}}"#), 12, &["overlap"]),
        (&format!(r#"{{{a},"b":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}"#), 8, &["overlap"]),
        (
            &format!(r#"{{{a},"a":{{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}}}"#),
            12,
            &["`a`", "twice"],
        ),
        (&format!("{{{a}}}"), 9, &["file size", "should be 70 bytes", "is 71"]),
    ];
    for (header, data, words) in cases {
        let dir = raw(header, *data);
        let words: Vec<_> = ["model.safetensors"].iter().chain(*words).copied().collect();
        refused(Weights::open(dir.path()), &words);
    }
    assert!(Weights::open(raw(&format!("{{{a}}}"), 8).path()).is_ok(), "the unbroken one");
    let empty = r#"{"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}}"#;
    assert!(Weights::open(raw(empty, 0).path()).unwrap().f32("a", &[0, 5]).unwrap().is_empty());
}

/// A directory in shards, after `change` to the index.
fn reindexed(change: impl Fn(&mut Value)) -> TempDir {
    let dir = dir(MANY_SHARDS);
    let path = dir.path().join("model.safetensors.index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut index);
    std::fs::write(path, index.to_string()).unwrap();
    dir
}

#[test]
fn an_index_that_lies_is_refused() {
    let index = "model.safetensors.index.json";
    let names =
        ["../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..\\x.safetensors", "config.json", ""];
    for name in names {
        let dir = reindexed(|index| index["weight_map"]["visual.a"] = json!(name));
        refused(Weights::open(dir.path()), &[index, "`weight_map.visual.a`", &format!("`{name}`")]);
    }
    let missing = reindexed(|index| index["weight_map"]["visual.a"] = json!("model-9.safetensors"));
    refused(Weights::open(missing.path()), &[index, "`model-9.safetensors`", "missing"]);
    let elsewhere =
        reindexed(|index| index["weight_map"]["visual.a"] = json!("model-00001-of-00002.safetensors"));
    refused(Weights::open(elsewhere.path()), &["model-00001-of-00002.safetensors", "`visual.a`", "missing"]);
    let unnamed =
        reindexed(|index| index["weight_map"]["visual.c"] = json!("model-00002-of-00002.safetensors"));
    refused(Weights::open(unnamed.path()), &["`visual.c`", "missing"]);
    for map in [json!(null), json!({}), json!(3)] {
        let dir = reindexed(|index| index["weight_map"] = map.clone());
        refused(Weights::open(dir.path()), &[index, "`weight_map`"]);
    }
    let more = dir(MANY_SHARDS);
    let shard = more.path().join("model-00002-of-00002.safetensors");
    let view = TensorView::new(Dtype::U8, vec![1], &[0]).unwrap();
    let all: HashMap<_, _> = [("visual.a", view.clone()), ("visual.b", view)].into();
    std::fs::write(shard, safetensors::serialize(all, None).unwrap()).unwrap();
    refused(Weights::open(more.path()), &["model-00002-of-00002", "`visual.b`", "not named"]);
}

#[test]
fn a_directory_without_weights_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().display().to_string();
    refused(Weights::open(dir.path()), &[&name, "model.safetensors", "neither"]);
    refused(Weights::open(Path::new("/nowhere")), &["/nowhere"]);
}

#[test]
fn bad_tensors_are_not_saved() {
    let bad = |tensor: Named, precision| {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), [tensor], &Layout { precision, ..Layout::default() }).map(|_| ())
    };
    let of = |values: Vec<f32>| ("w".to_owned(), vec![2], Cow::from(values));
    refused(bad(of(vec![0.0; 3]), Precision::F32), &["`w`", "[2]", "is 3"]);
    refused(bad(of(vec![0.0, f32::NAN]), Precision::F32), &["`w`", "NaN at index 1"]);
    refused(bad(of(vec![65_520.0, 0.0]), Precision::F16), &["`w`", "F16", "65520 at index 0"]);
    refused(bad(of(vec![0.0, f32::MAX]), Precision::Bf16), &["`w`", "Bf16", "index 1"]);
    let dir = dir(ONE_SHARD);
    refused(save(dir.path(), [named("w", &[1])], &ONE_SHARD), &["model.safetensors", "there"]);
    let fresh = tempfile::tempdir().unwrap();
    let twice = [named("w", &[1]), named("w", &[1])];
    refused(save(fresh.path(), twice, &ONE_SHARD), &["`w`", "twice"]);
}

/// Flips bits of header or index, or cuts or doubles a piece: an error or a model, never a panic.
#[test]
fn corrupted_files_never_panic() {
    for (layout, file, reach) in [
        (ONE_SHARD, "model.safetensors", 200),
        (MANY_SHARDS, "model-00002-of-00002.safetensors", 120),
        (MANY_SHARDS, "model.safetensors.index.json", 200),
    ] {
        let dir = dir(layout);
        let path = dir.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (mut opened, mut refused) = (0, 0);
        for _ in 0..700 {
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len().min(reach));
                match rng.random_range(0..6) {
                    0 => drop(bytes.drain(at..bytes.len().min(at + 3))),
                    1 => bytes.splice(at..at, *b"9").for_each(drop),
                    2 => bytes[at] = *b"0123456789[]{},:\"-.eE\\".get(at % 22).unwrap_or(&0),
                    _ => bytes[at] ^= 1 << rng.random_range(0..8),
                }
            }
            std::fs::write(&path, bytes).unwrap();
            match Weights::open(dir.path()) {
                Ok(weights) => {
                    let _ = weights.f32("visual.a", &[12]);
                    let _ = weights.f32("model.embed_tokens.weight", &[4, 2]);
                    opened += 1;
                }
                Err(error) => {
                    assert!(error.is_input() && !error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
        assert!(opened > 0 && refused > 200, "{file}: {opened} opened, {refused} refused");
    }
}
