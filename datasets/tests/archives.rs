//! Images in archives beside the rows: tars, gzips cut into parts, and what is wrong with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

mod support;

use foveate_datasets::Split;
use foveate_datasets::prep::export::samples;
use std::fs;
use std::io::Write;
use std::path::Path;
use support::{golden, image_bytes, options, rejects, run};

/// A row about each of `images`.
fn rows(folder: &Path, images: &[&str]) {
    let line = |image: &&str| {
        serde_json::json!({"id": image, "problem": "?", "answer": "1", "images": [image]}).to_string()
    };
    fs::write(folder.join("rows.jsonl"), images.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
}

/// The ids that come through, and the reasons of those that do not.
fn sorted_out(folder: &Path) -> (Vec<String>, Vec<String>) {
    let out = folder.join("out");
    run(&options(&folder.join("rows.jsonl"), "auto", &out));
    let ids = samples(&out, Split::Train).unwrap().into_iter().map(|s| s.id).collect();
    (ids, rejects(&out).into_iter().map(|r| r.reason).collect())
}

#[test]
fn a_plain_tar_is_looked_into_and_nothing_of_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let png = fs::read(golden().join("images/a.png")).unwrap();
    let mut tar = tar::Builder::new(fs::File::create(inner.join("images.tar")).unwrap());
    for name in ["./a.png", "../up.png", "deep/er/b.png"] {
        let mut header = tar::Header::new_ustar();
        header.set_size(png.len() as u64);
        // The builder refuses such names; a hostile archive does not.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, &png[..]).unwrap();
    }
    tar.into_inner().unwrap();
    rows(&inner, &["a.png", "deep/er/b.png", "../up.png", "none.png"]);
    let (ids, reasons) = sorted_out(&inner);
    assert_eq!(ids, ["a.png", "deep/er/b.png"]);
    assert!(
        reasons[0].contains("no file `../up.png`") && reasons[1].contains("no file `none.png`"),
        "{reasons:?}"
    );
    let found = samples(&inner.join("out"), Split::Train).unwrap();
    assert_eq!(image_bytes(&found[0]), [png]);
    let outside: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(outside, ["inner"]);
    let written: Vec<_> = fs::read_dir(inner.join("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(written.len(), 3, "{written:?}");
}

#[test]
fn a_missing_part_is_said_with_every_row_that_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["mme.json", "photos.tar.gz.part_aa", "photos.tar.gz.part_ac"] {
        fs::copy(golden().join("split").join(name), dir.path().join(name)).unwrap();
    }
    let out = dir.path().join("out");
    let report = run(&options(&dir.path().join("mme.json"), "auto", &out));
    assert_eq!((report.rows_in, report.rows_out), (2, 0));
    for reject in rejects(&out) {
        assert!(reject.reason.contains("photos.tar.gz") && reject.reason.contains("part 2"), "{reject:?}");
    }
}

/// 200 MB of zeros in a gzip of 200 kB.
#[test]
fn a_gzip_bomb_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("images.tar.gz")).unwrap();
    let mut zipped = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    (0..200).for_each(|_| zipped.write_all(&zeros).unwrap());
    zipped.finish().unwrap();
    rows(dir.path(), &["a.png"]);
    let (ids, reasons) = sorted_out(dir.path());
    assert!(ids.is_empty() && reasons[0].contains("unpacks to more than 50 times"), "{reasons:?}");
}

#[test]
fn a_gzip_cut_short_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["mme.json", "photos.tar.gz.part_aa", "photos.tar.gz.part_ab"] {
        fs::copy(golden().join("split").join(name), dir.path().join(name)).unwrap();
    }
    let out = dir.path().join("out");
    run(&options(&dir.path().join("mme.json"), "auto", &out));
    assert!(rejects(&out)[0].reason.contains("cannot be unpacked"), "{:?}", rejects(&out));
}
