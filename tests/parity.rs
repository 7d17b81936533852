//! foveate equals transformers on the golden checkpoints of every family.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use std::path::Path;

#[path = "support/parity.rs"]
mod parity;

#[test]
fn every_golden_checkpoint_is_reproduced() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/model");
    let mut seen = 0;
    for entry in std::fs::read_dir(golden.join("ref")).unwrap() {
        let reference = entry.unwrap().path();
        if !reference.is_dir() {
            continue;
        }
        let name = reference.file_name().unwrap();
        let table = parity::compare(&golden.join("checkpoints").join(name), &reference).unwrap();
        for (quantity, difference, tolerance) in table.0 {
            assert!(difference <= tolerance, "{name:?}: {quantity} {difference:e} > {tolerance:e}");
        }
        seen += 1;
    }
    assert!(seen >= 4, "only {seen} golden checkpoints");
}
