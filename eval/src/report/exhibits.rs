//! Failures to look at: questions that were answered right on the clean picture and wrong on a corrupted one,
//! with both pictures; without such, wrong answers on clean pictures.

use super::gather::Options;
use super::sentence::{label, short};
use super::text::percent;
use crate::metrics::RunSummary;
use crate::record::{Record, Verdict};
use crate::settings::Invocation;
use crate::sweep::{Cell, picture_name};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foveate_augment::Scale;
use foveate_datasets::{Sample, Split, Task};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{Rgb, RgbImage};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Good enough for a thumbnail.
const QUALITY: u8 = 85;

/// What a crop is drawn in.
const FRAME: Rgb<u8> = Rgb([255, 176, 0]);

/// One failure.
#[derive(Clone, Debug)]
pub struct Exhibit {
    /// The sample's id.
    pub sample: String,
    /// The task.
    pub task: String,
    /// Who answered.
    pub model: String,
    /// The question as it was put.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// The clean picture first, where it was asked about.
    pub shots: Vec<Shot>,
}

/// One picture and what was said to it.
#[derive(Clone, Debug)]
pub struct Shot {
    /// `clean`, `fog-3`.
    pub cell: String,
    /// What came of each turn before the answer.
    pub looked: Vec<String>,
    /// What was said.
    pub response: String,
    /// What became of it.
    pub outcome: Verdict,
    /// Of the pictures, as data URLs; empty where the task's files are not at hand.
    pub pictures: Vec<String>,
}

/// A clean answer that is right with a corrupted one that is not; or a wrong clean answer alone.
type Case<'a> = Vec<&'a Record>;

/// A task and the part that was asked, or why it cannot be opened.
type Opened = std::result::Result<(Box<dyn Task>, Split), String>;

/// Chooses failures and shows them; the notes say why pictures are missing.
pub(super) fn choose(
    records: &[Record],
    runs: &[RunSummary],
    commands: &[Invocation],
    options: &Options,
) -> (Vec<Exhibit>, Vec<String>) {
    let cases = cases(records, options.exhibits);
    let mut tasks: HashMap<[&str; 2], Opened> = HashMap::new();
    let (mut exhibits, mut notes) = (vec![], vec![]);
    for case in cases {
        let Some(first) = case.first() else { continue };
        let task = tasks.entry([&first.task, &first.model]).or_insert_with(|| open(first, commands));
        let sample = match task {
            Ok((task, split)) => find(task.as_ref(), *split, first),
            Err(why) => {
                let note = format!("Pictures of {} are not shown: {why}.", first.task);
                if !notes.contains(&note) {
                    notes.push(note);
                }
                None
            }
        };
        let own = runs.iter().find(|run| of_run(first, run));
        let model = own.map_or_else(|| short(&first.model).to_owned(), |run| label(run, runs));
        exhibits.push(exhibit(&case, model, sample.as_ref(), options));
    }
    (exhibits, notes)
}

/// Whether a record is one of `run`.
fn of_run(record: &Record, run: &RunSummary) -> bool {
    (&record.task, &record.model, &record.sampling) == (&run.task, &run.model, &run.sampling)
        && (record.version, record.pixels, record.seed) == (run.version, run.pixels, run.seed)
}

/// One case from each run and corruption in turn, at its lowest severity, so that the few that are shown differ.
fn cases(records: &[Record], most: usize) -> Vec<Case<'_>> {
    let mut clean: HashMap<(&str, &str, &str), &Record> = HashMap::new();
    for record in records.iter().filter(|record| record.is_clean()) {
        clean.insert((&record.model, &record.task, &record.sample), record);
    }
    let mut kinds: BTreeMap<Kind, Vec<Case>> = BTreeMap::new();
    let mut worse: Vec<&Record> =
        records.iter().filter(|record| bad(record) && record.outcome != Verdict::Failed).collect();
    worse.sort_by_key(|record| (record.severity, &record.key));
    let mut used = std::collections::HashSet::new();
    for record in worse {
        let before = clean.get(&(record.model.as_str(), record.task.as_str(), record.sample.as_str()));
        let case = match (record.is_clean(), before) {
            (true, _) => vec![record],
            (false, Some(before)) if before.outcome == Verdict::Right => vec![*before, record],
            (false, _) => continue,
        };
        if used.insert((&record.model, &record.task, &record.sample)) || record.is_clean() {
            let kind =
                (record.task.as_str(), record.model.as_str(), record.corruption.as_deref().unwrap_or(""));
            kinds.entry(kind).or_default().push(case);
        }
    }
    // Breaks first: wrong answers to clean pictures only fill up.
    let (breaks, wrong): (Vec<_>, Vec<_>) = kinds.into_iter().partition(|(kind, _)| !kind.2.is_empty());
    let mut all = in_turn(&breaks, most);
    all.extend(in_turn(&wrong, most.saturating_sub(all.len())));
    all
}

/// What a case is of: task, model, corruption.
type Kind<'a> = (&'a str, &'a str, &'a str);

/// The first case of each kind, then the second of each, up to `most`.
fn in_turn<'a>(kinds: &[(Kind<'a>, Vec<Case<'a>>)], most: usize) -> Vec<Case<'a>> {
    let longest = kinds.iter().map(|(_, cases)| cases.len()).max().unwrap_or(0).min(most);
    let round = |i: usize| kinds.iter().filter_map(move |(_, cases)| cases.get(i).cloned());
    (0..longest).flat_map(round).take(most).collect()
}

fn bad(record: &Record) -> bool {
    record.outcome != Verdict::Right
}

fn open(record: &Record, commands: &[Invocation]) -> Opened {
    let told = commands.iter().find(|run| {
        (&run.model, &run.task.name, run.task.seed) == (&record.model, &record.task, record.seed)
    });
    let told = told.ok_or("eval.json does not say where its files lie")?;
    let task = told.task.open().map_err(|e| e.to_string())?;
    Ok((task, told.task.split().map_err(|e| e.to_string())?))
}

/// The sample of a record, by its image and id.
fn find(task: &dyn Task, split: Split, record: &Record) -> Option<Sample> {
    (0..task.len(split))
        .filter(|&index| task.image_of(split, index).to_string() == record.image)
        .find_map(|index| task.sample(split, index).ok().filter(|sample| sample.id == record.sample))
}

fn exhibit(case: &[&Record], model: String, sample: Option<&Sample>, options: &Options) -> Exhibit {
    let first = case[0];
    let shot = |record: &&Record| Shot {
        cell: record.cell(),
        looked: record.turns.iter().filter_map(looked).collect(),
        response: record.response.clone().unwrap_or_default(),
        outcome: record.outcome,
        pictures: sample.map(|sample| pictures(record, sample, options)).unwrap_or_default(),
    };
    Exhibit {
        sample: first.sample.clone(),
        task: first.task.clone(),
        model,
        question: first.prompt.clone(),
        answer: first.answer.clone(),
        shots: case.iter().map(shot).collect(),
    }
}

/// The pictures of a question as it was asked, with the crops that were looked at.
fn pictures(record: &Record, sample: &Sample, options: &Options) -> Vec<String> {
    let names = record.corruption.clone().into_iter().collect::<Vec<_>>();
    let Ok(cells) = Cell::all(&names, &[record.severity.max(1)], None) else { return vec![] };
    let Some(cell) = cells.get(usize::from(record.corruption.is_some())) else { return vec![] };
    let scale: Scale = record.scale.parse().unwrap_or_default();
    let show = |(at, image): (usize, &foveate_datasets::ImageRef)| {
        let clean = image.decode().ok()?;
        // After resizing, the exact filter does not show at the size of a thumbnail.
        let clean = match (scale, record.size.get(at)) {
            (Scale::AfterResize, Some(&[w, h])) => {
                image::imageops::resize(&*clean, w, h, FilterType::CatmullRom)
            }
            _ => (*clean).clone(),
        };
        let shown = cell.apply(&clean, scale, record.seed, &picture_name(record, at));
        Some((shown, if at == 0 { crops(record) } else { vec![] }))
    };
    let draw = |(shown, crops): (RgbImage, Vec<[u32; 4]>)| {
        let whole = thumbnail(&shown, &crops, options.picture);
        let part = |crop: &[u32; 4]| thumbnail(&part(&shown, *crop), &[], options.picture / 2);
        std::iter::once(whole).chain(crops.iter().map(part)).collect::<Vec<_>>()
    };
    sample.images.iter().enumerate().filter_map(show).flat_map(draw).flatten().collect()
}

/// The parts `[left, top, right, bottom]` that were looked at, in pixels of the picture that was asked about;
/// conversations are about one.
fn crops(record: &Record) -> Vec<[u32; 4]> {
    let of = |turn: &Value| {
        let corners: Vec<u64> = turn.get("crop")?.as_array()?.iter().filter_map(Value::as_u64).collect();
        corners.into_iter().map(|v| u32::try_from(v).ok()).collect::<Option<Vec<_>>>()?.try_into().ok()
    };
    record.turns.iter().filter_map(of).collect()
}

/// The part as it was shown, as far as it lies in the picture.
fn part(picture: &RgbImage, [left, top, right, bottom]: [u32; 4]) -> RgbImage {
    let (right, bottom) = (right.min(picture.width()), bottom.min(picture.height()));
    let (left, top) = (left.min(right.saturating_sub(1)), top.min(bottom.saturating_sub(1)));
    image::imageops::crop_imm(picture, left, top, right - left, bottom - top).to_image()
}

/// A turn in a few words.
fn looked(turn: &Value) -> Option<String> {
    turn.get("reply")?;
    Some(match (turn["area"].as_f64(), turn["refused"].as_str()) {
        (Some(area), _) => format!("looked at {} of it", percent(area)),
        (None, Some(why)) => format!("no usable box: {why}"),
        (None, None) => "no box".into(),
    })
}

/// A small JPEG as a data URL.
fn thumbnail(image: &RgbImage, crops: &[[u32; 4]], side: u32) -> Option<String> {
    let ratio = (f64::from(side) / f64::from(image.width().max(image.height()).max(1))).min(4.0);
    let scaled = |n: u32| ((f64::from(n) * ratio).round() as u32).max(1);
    let filter = if ratio > 1.0 { FilterType::Nearest } else { FilterType::Triangle };
    let mut small = image::imageops::resize(image, scaled(image.width()), scaled(image.height()), filter);
    crops.iter().for_each(|corners| frame(&mut small, corners.map(|v| f64::from(v) * ratio)));
    let mut jpeg = Vec::new();
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY)).ok()?;
    Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

/// A frame of two pixels, cut off at the picture's edges.
fn frame(image: &mut RgbImage, [left, top, right, bottom]: [f64; 4]) {
    let (width, height) = image.dimensions();
    let clip = |v: f64, most: u32| (v.round().max(0.0) as u32).min(most.saturating_sub(1));
    let (x0, x1) = (clip(left, width), clip(right, width));
    let (y0, y1) = (clip(top, height), clip(bottom, height));
    for inset in 0..2 {
        for x in x0..=x1 {
            image.put_pixel(x, (y0 + inset).min(y1), FRAME);
            image.put_pixel(x, y1.saturating_sub(inset).max(y0), FRAME);
        }
        for y in y0..=y1 {
            image.put_pixel((x0 + inset).min(x1), y, FRAME);
            image.put_pixel(x1.saturating_sub(inset).max(x0), y, FRAME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_come_first_and_kinds_in_turn() {
        let record = |sample: &str, corruption: Option<&str>, outcome| {
            let severity = u8::from(corruption.is_some());
            let corruption = corruption.map(str::to_owned);
            let record = Record { sample: sample.into(), corruption, severity, outcome, ..Record::default() };
            Record { key: record.digest(), ..record }
        };
        let mut records = vec![record("z", None, Verdict::Wrong)];
        for sample in ["a", "b", "c", "d"] {
            records.push(record(sample, None, Verdict::Right));
        }
        records.push(record("a", Some("fog"), Verdict::Wrong));
        records.push(record("b", Some("fog"), Verdict::Unparsed));
        records.push(record("c", Some("blur"), Verdict::Wrong));
        records.push(record("d", Some("blur"), Verdict::Failed));
        let cells =
            |most| cases(&records, most).iter().map(|case| case[case.len() - 1].cell()).collect::<Vec<_>>();
        assert_eq!(cells(9), ["blur-1", "fog-1", "fog-1", "clean"]);
        assert_eq!(cells(2), ["blur-1", "fog-1"]);
    }

    #[test]
    fn what_was_looked_at_is_drawn_on_the_picture_and_shown_beside_it() {
        let options = foveate_datasets::OpenOptions { size: Some(96), ..Default::default() };
        let task = foveate_datasets::open("shapes", &options).unwrap();
        let sample = task.sample(Split::Test, 0).unwrap();
        let turn = serde_json::json!({"reply": "there", "box": [9, 9, 9, 9], "crop": [16, 32, 64, 80], "area": 0.25});
        let refused = serde_json::json!({"reply": "?", "refused": "no-block"});
        let record = Record { turns: vec![turn, refused], scale: "native".into(), ..Record::default() };
        let urls = pictures(&record, &sample, &Options { exhibits: 1, picture: 192 });
        let decode = |url: &String| {
            let bytes = STANDARD.decode(url.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
            image::load_from_memory(&bytes).unwrap().into_rgb8()
        };
        let [whole, part] = &urls.iter().map(decode).collect::<Vec<_>>()[..] else {
            panic!("{}", urls.len())
        };
        assert_eq!((whole.dimensions(), part.dimensions()), ((192, 192), (96, 96)));
        // Twice as large: the frame runs from 32, 64 to 128, 160, in a colour that survives a JPEG.
        let framed = |x: u32, y: u32| {
            let distance = whole.get_pixel(x, y).0.iter().zip(FRAME.0).map(|(a, b)| a.abs_diff(b)).max();
            distance.unwrap() < 60
        };
        assert!(framed(80, 65) && framed(33, 100) && framed(127, 100) && framed(80, 159));
        assert!(!framed(80, 112) && !framed(10, 10) && !framed(150, 100));
        let words: Vec<_> = record.turns.iter().filter_map(looked).collect();
        assert_eq!(words, ["looked at 25.0 % of it", "no usable box: no-block"]);
        assert_eq!(looked(&serde_json::json!({"mean_logprob": [-1.0]})), None);
    }

    #[test]
    fn a_frame_stays_inside() {
        let mut image = RgbImage::new(10, 8);
        frame(&mut image, [-5.0, 2.0, 40.0, 6.0]);
        assert_eq!(*image.get_pixel(0, 2), FRAME);
        assert_eq!(*image.get_pixel(9, 6), FRAME);
        assert_eq!(*image.get_pixel(5, 4), Rgb([0; 3]));
        assert_eq!(*image.get_pixel(5, 0), Rgb([0; 3]));
    }
}
