//! Bad input, one test a kind: exactly the bad rows are rejected with their reason, the rest comes through, and nothing
//! is written outside the folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

mod support;

use foveate_datasets::Split;
use foveate_datasets::prep::export::samples;
use foveate_datasets::prep::validate::validate;
use foveate_datasets::prep::{Hooks, Kind, Reject};
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaDataBuilder, ParquetMetaDataReader, ParquetMetaDataWriter,
    RowGroupMetaData,
};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use support::{golden, options, rejects, run};

/// Imports `source` and returns the ids that came through and the rejects.
fn sort_out(source: &Path, out: &Path) -> (Vec<String>, Vec<Reject>) {
    run(&options(source, "auto", out));
    (samples(out, Split::Train).unwrap().into_iter().map(|s| s.id).collect(), rejects(out))
}

/// Imports lines of JSON that lie beside the golden images.
fn lines(rows: &[Vec<u8>]) -> (Vec<String>, Vec<Reject>) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("images")).unwrap();
    for name in ["a.png", "b.jpg"] {
        fs::copy(golden().join("images").join(name), dir.path().join("images").join(name)).unwrap();
    }
    let whole = fs::read(golden().join("images/b.jpg")).unwrap();
    fs::write(dir.path().join("images/cut.jpg"), &whole[..whole.len() / 2]).unwrap();
    let whole = fs::read(golden().join("images/a.png")).unwrap();
    fs::write(dir.path().join("images/cut.png"), &whole[..whole.len() - 30]).unwrap();
    fs::write(dir.path().join("images/text.png"), "no image").unwrap();
    let source = dir.path().join("rows.jsonl");
    fs::write(&source, rows.join(&b'\n')).unwrap();
    sort_out(&source, &dir.path().join("out"))
}

fn row(id: &str, problem: &str, answer: serde_json::Value, images: &[&str]) -> Vec<u8> {
    json!({"id": id, "problem": problem, "answer": answer, "images": images}).to_string().into_bytes()
}

#[test]
fn each_bad_row_has_its_reason_and_the_rest_comes_through() {
    let bad: Vec<(Vec<u8>, &[&str])> = vec![
        (row("cut-png", "<image>?", json!("1"), &["cut.png"]), &["cut.png"]),
        (row("cut-jpg", "<image>?", json!("1"), &["cut.jpg"]), &["cut.jpg"]),
        (row("no-image", "<image>?", json!("1"), &["text.png"]), &["text.png"]),
        (row("missing", "<image>?", json!("1"), &["gone.png"]), &["images", "gone.png"]),
        (row("marks", "<image><image>?", json!("1"), &["a.png"]), &["problem", "2", "1"]),
        (row("null", "?", json!(null), &[]), &["answer", "null"]),
        (row("blank", "?", json!("  "), &[]), &["answer", "empty"]),
        (row("box", "?", json!("\\boxed{}"), &[]), &["answer", "box"]),
        (row("two", "?", json!(["a", "b"]), &[]), &["answer", "ambiguous"]),
        (row("type", "?", json!({"a": 1}), &[]), &["answer", "object"]),
        (json!({"id": "no-problem", "problem": 3, "answer": "1"}).to_string().into(), &["problem", "number"]),
        (row("ok-1", "again", json!("1"), &[]), &["ok-1", "row 0"]),
        (b"{\"id\": \"utf8\", \"problem\": \"\xff\", \"answer\": \"1\"}".to_vec(), &["UTF-8", "27"]),
        (b"{\"id\": \"open\", ".to_vec(), &["not JSON"]),
        (b"[1, 2]".to_vec(), &["object", "list"]),
        (b"null".to_vec(), &["object", "null"]),
    ];
    let mut rows = vec![row("ok-1", "<image>?", json!("1"), &["a.png"])];
    rows.extend(bad.iter().map(|b| b.0.clone()));
    rows.push(row("ok-2", "?", json!(7), &[]));
    rows.push(row("ok-3", "<image>?", json!("1"), &["b.jpg"]));
    let (ids, rejects) = lines(&rows);
    assert_eq!(ids, ["ok-1", "ok-2", "ok-3"]);
    assert_eq!(rejects.len(), bad.len());
    for ((i, reject), (_, words)) in rejects.iter().enumerate().zip(&bad) {
        assert_eq!(reject.row, i as u64 + 1, "{reject:?}");
        for word in *words {
            assert!(reject.reason.contains(word), "{word} not in {reject:?}");
        }
    }
    assert_eq!(rejects[11].kind, Kind::Duplicate);
}

#[test]
fn a_broken_element_of_a_json_array_spoils_itself_only() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("rows.json");
    let text = "[\n{\"problem\": \"a]}\\\"\", \"answer\": 1},\n {\"problem\": oops, \"answer\": 1}, 5,\n{\"problem\": \"b\", \
                \"answer\": 2}, {\"problem\": \"cut";
    fs::write(&source, text).unwrap();
    let (ids, rejects) = sort_out(&source, &dir.path().join("out"));
    assert_eq!(ids, ["0", "3"]);
    assert_eq!(rejects.iter().map(|r| r.row).collect::<Vec<_>>(), [1, 2, 4]);
    assert!(rejects[2].reason.contains("ends inside"), "{rejects:?}");
}

/// A decompression bomb of an image: a header that claims 60,000 x 60,000 pixels.
#[test]
fn an_image_that_claims_too_much_is_refused_before_memory_is_taken() {
    let mut png = fs::read(golden().join("images/a.png")).unwrap();
    png[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("bomb.png"), png).unwrap();
    fs::write(dir.path().join("rows.jsonl"), row("bomb", "?", json!("1"), &["bomb.png"])).unwrap();
    let (ids, rejects) = sort_out(&dir.path().join("rows.jsonl"), &dir.path().join("out"));
    assert!(ids.is_empty());
    assert!(rejects[0].reason.contains("60000x60000") && rejects[0].reason.contains("limit"), "{rejects:?}");
}

fn tar_entry(tar: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    // The builder refuses such names; a hostile archive does not.
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    if kind == tar::EntryType::Symlink {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

fn tar_of(entries: &[(&str, tar::EntryType)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind) in entries {
        let bytes: &[u8] =
            if *kind == tar::EntryType::Symlink { b"" } else { b"{\"question\": \"?\", \"answer\": \"1\"}" };
        tar_entry(&mut tar, name, *kind, bytes);
    }
    tar.into_inner().unwrap()
}

#[test]
fn tar_entries_that_climb_out_or_link_are_rejected() {
    use tar::EntryType::{Regular, Symlink};
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let entries = [
        ("ok.json", Regular),
        ("../climb.json", Regular),
        ("/tmp/foveate-absolute.json", Regular),
        ("link.json", Symlink),
        ("a/../../up.json", Regular),
        ("fine.json", Regular),
    ];
    fs::write(inner.join("shard.tar"), tar_of(&entries)).unwrap();
    let (ids, rejects) = sort_out(&inner.join("shard.tar"), &inner.join("out"));
    assert_eq!(ids, ["ok", "fine"]);
    assert_eq!(rejects.iter().map(|r| r.row).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for (reject, word) in rejects.iter().zip(["climb.json", "absolute.json", "regular file", "up.json"]) {
        assert!(reject.reason.contains(word), "{reject:?}");
    }
    let outside: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(outside, ["inner"], "something was written outside the folder");
    assert!(!Path::new("/tmp/foveate-absolute.json").exists());
}

#[test]
fn a_tar_with_a_broken_header_gives_what_stands_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = tar_of(&[("a.json", tar::EntryType::Regular), ("b.json", tar::EntryType::Regular)]);
    bytes[1024 + 3] ^= 0x55;
    fs::write(dir.path().join("shard.tar"), bytes).unwrap();
    let (ids, rejects) = sort_out(&dir.path().join("shard.tar"), &dir.path().join("out"));
    assert_eq!(ids, ["a"]);
    assert!(rejects.len() == 1 && rejects[0].reason.contains("checksum"), "{rejects:?}");
}

/// 140 MB of zeros in a zip of 140 kB, where an image should be.
#[test]
fn a_zip_bomb_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("images.zip")).unwrap();
    let mut zip = zip::ZipWriter::new(file);
    let deflated =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    zip.start_file("bomb.png", deflated.large_file(true)).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..140 {
        zip.write_all(&zeros).unwrap();
    }
    zip.start_file("a.png", deflated).unwrap();
    zip.write_all(&fs::read(golden().join("images/a.png")).unwrap()).unwrap();
    zip.finish().unwrap();
    let rows = [row("bomb", "?", json!("1"), &["bomb.png"]), row("ok", "?", json!("1"), &["a.png"])];
    fs::write(dir.path().join("rows.jsonl"), rows.join(&b'\n')).unwrap();
    let (ids, rejects) = sort_out(&dir.path().join("rows.jsonl"), &dir.path().join("out"));
    assert_eq!(ids, ["ok"]);
    assert!(rejects[0].reason.contains("unpacks to more than"), "{rejects:?}");
}

fn copy_groups(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(golden().join("groups.parquet")).unwrap();
    change(&mut bytes);
    let path = dir.join("groups.parquet");
    fs::write(&path, bytes).unwrap();
    path
}

/// Where `needle` first stands.
fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|w| w == needle).unwrap()
}

#[test]
fn a_corrupted_page_costs_its_row_group_only() {
    let dir = tempfile::tempdir().unwrap();
    // The length in front of the first question of the third group: the page can no longer be cut into values.
    let path = copy_groups(dir.path(), |bytes| {
        let at = find(bytes, b"question 4");
        bytes[at - 4..at].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    });
    let (ids, rejects) = sort_out(&path, &dir.path().join("out"));
    assert_eq!(ids, ["p-0", "p-1", "p-2", "p-3", "p-6", "p-7"]);
    assert_eq!((rejects.len(), rejects[0].row, rejects[0].rows), (1, 4, 2), "{rejects:?}");
    assert!(rejects[0].reason.contains("row group 2"), "{rejects:?}");
}

/// `groups.parquet` with the third row group's claims changed in the footer.
fn claiming(dir: &Path, change: impl Fn(RowGroupMetaData) -> RowGroupMetaData) -> PathBuf {
    copy_groups(dir, |bytes| {
        let whole = bytes::Bytes::from(bytes.clone());
        let meta = ParquetMetaDataReader::new().parse_and_finish(&whole).unwrap();
        let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
        bytes.truncate(bytes.len() - 8 - footer);
        let groups = meta.row_groups().iter().enumerate();
        let groups = groups.map(|(i, g)| if i == 2 { change(g.clone()) } else { g.clone() }).collect();
        let meta = ParquetMetaDataBuilder::new(meta.file_metadata().clone()).set_row_groups(groups).build();
        let mut written = Vec::new();
        ParquetMetaDataWriter::new(&mut written, &meta).finish().unwrap();
        bytes.extend(written);
    })
}

#[test]
fn a_row_group_that_claims_five_gigabytes_is_rejected_alone() {
    let dir = tempfile::tempdir().unwrap();
    let five = 5 << 30;
    let unpacked = |group: RowGroupMetaData| group.into_builder().set_total_byte_size(five).build().unwrap();
    let stored = |group: RowGroupMetaData| {
        let claim = |column: &ColumnChunkMetaData| {
            column.clone().into_builder().set_total_compressed_size(five).build().unwrap()
        };
        let columns = group.columns().iter().map(claim).collect();
        group.into_builder().set_column_metadata(columns).build().unwrap()
    };
    let sorted = |path: PathBuf, k| sort_out(&path, &dir.path().join(format!("out-{k}")));
    let first = sorted(claiming(dir.path(), unpacked), 0);
    let second = sorted(claiming(dir.path(), stored), 1);
    for ((ids, rejects), word) in [(first, "claims 5368709120 bytes"), (second, "the file has")] {
        assert_eq!(ids, ["p-0", "p-1", "p-2", "p-3", "p-6", "p-7"]);
        assert_eq!((rejects.len(), rejects[0].row, rejects[0].rows), (1, 4, 2), "{rejects:?}");
        assert!(rejects[0].reason.contains(word), "{rejects:?}");
    }
}

#[test]
fn invalid_utf8_in_parquet_costs_its_row_only() {
    let dir = tempfile::tempdir().unwrap();
    let (ids, rejects) = sort_out(&golden().join("utf8.parquet"), &dir.path().join("out"));
    assert_eq!(ids, ["0", "2"]);
    assert!(
        rejects[0].row == 1 && rejects[0].reason.contains("`problem`: invalid UTF-8 at byte 4"),
        "{rejects:?}"
    );
}

#[test]
fn a_parquet_cut_short_or_of_noise_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(golden().join("groups.parquet")).unwrap();
    for (k, bytes) in
        [whole[..whole.len() - 9].to_vec(), whole[..100].to_vec(), vec![7; 400], vec![]].iter().enumerate()
    {
        let path = dir.path().join(format!("{k}.parquet"));
        fs::write(&path, bytes).unwrap();
        let out = dir.path().join("out");
        let result = foveate_datasets::prep::import(&options(&path, "auto", &out), Default::default());
        let message = result.unwrap_err().to_string();
        assert!(message.contains(&format!("{k}.parquet")), "{message}");
    }
}

/// Every byte of a small file, one at a time, turned: no panic, no hang, and no row unaccounted for.
#[test]
fn a_flipped_byte_never_takes_the_import_down() {
    let dir = tempfile::tempdir().unwrap();
    let length = fs::metadata(golden().join("groups.parquet")).unwrap().len() as usize;
    for at in (0..length).step_by(23) {
        let path = copy_groups(dir.path(), |bytes| bytes[at] ^= 0xff);
        let out = dir.path().join(format!("out-{at}"));
        if let Ok(report) =
            foveate_datasets::prep::import(&options(&path, "easyr1", &out), Default::default())
        {
            let rejected: u64 = report.rejected.values().sum();
            assert_eq!(report.rows_in, report.rows_out + rejected, "byte {at}");
        }
    }
}

#[test]
fn validate_says_the_same_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [
        row("a", "<image>?", json!("1"), &[]),
        row("b", "?", json!("1"), &[]),
        row("b", "?", json!("2"), &[]),
    ];
    fs::write(dir.path().join("rows.jsonl"), rows.join(&b'\n')).unwrap();
    let options = options(&dir.path().join("rows.jsonl"), "auto", dir.path());
    let mut found = Vec::new();
    let summary =
        validate(&options.spec, &options.filter, Hooks::default(), |reject| found.push(reject)).unwrap();
    assert_eq!((summary.rows, summary.bad), (3, 2));
    assert_eq!(
        found.iter().map(|r| (r.row, r.kind)).collect::<Vec<_>>(),
        [(0, Kind::Broken), (2, Kind::Duplicate)]
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
