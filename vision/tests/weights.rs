//! Weights: what is read back is what was written, and a damaged file is refused with its reason.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::path::Path;

use foveate_vision::weights::{Layout, Precision, Weights, save};

type Named = (String, Vec<usize>, Cow<'static, [f32]>);

fn named(name: &str, shape: &[usize]) -> Named {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 - 3.0) * 0.25).collect();
    (name.to_owned(), shape.to_vec(), values.into())
}

fn write(dir: &Path, tensors: Vec<Named>, layout: Layout) {
    save(dir, tensors, &layout).unwrap();
}

#[test]
fn reads_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let all = vec![named("model.embed_tokens.weight", &[4, 2]), named("visual.a", &[3])];
    for precision in [Precision::F32, Precision::F16, Precision::Bf16] {
        for max_shard_bytes in [1, 1 << 20] {
            let dir = tempfile::tempdir_in(dir.path()).unwrap();
            write(dir.path(), all.clone(), Layout { precision, max_shard_bytes });
            let weights = Weights::open(dir.path()).unwrap();
            for (name, shape, values) in &all {
                assert_eq!(weights.f32(name, shape).unwrap(), values.to_vec(), "{name}");
            }
            assert!(weights.unused().is_empty());
        }
    }
}
