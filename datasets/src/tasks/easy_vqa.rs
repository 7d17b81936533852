//! `easy-vqa`: easy-VQA 1.0 (MIT), 64x64 images of one figure, 13 answers, the official splits.
//!
//! Reads the package as it is served (a wheel, that is a zip), an unpacked folder of it, or its `data` folder. Images
//! stay as the PNG bytes of the package.

use crate::task::outside;
use crate::{Encoded, Error, Grade, ImageRef, OpenOptions, Result, Sample, Split, Task, TaskEntry, grade};
use serde_json::Map;
use source::Source;
use std::collections::HashMap;
use std::path::Path;

mod source;

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: "easy-vqa",
    summary: "easy-VQA: 5,000 images of one figure, 48,248 questions, 13 answers (wheel or folder)",
    needs_data: true,
    open: |options| Ok(Box::new(EasyVqa::open(options)?)),
};

#[derive(Debug)]
struct EasyVqa {
    answers: Vec<String>,
    splits: [Questions; 2],
}

#[derive(Debug)]
struct Questions {
    file: String,
    /// Question, answer, image number; sorted by image, so that an image's questions lie side by side.
    rows: Vec<(String, String, u64)>,
    images: HashMap<u64, Encoded>,
}

impl EasyVqa {
    fn open(options: &OpenOptions) -> Result<Self> {
        let data = options.data.as_deref().unwrap_or(Path::new("."));
        let mut source = Source::open(data)?;
        let listed = source.text("answers.txt")?;
        let answers: Vec<_> = listed.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
        let splits = [Questions::read(&mut source, "train")?, Questions::read(&mut source, "test")?];
        for questions in &splits {
            questions.check(&answers)?;
        }
        Ok(Self { answers, splits })
    }
}

impl Questions {
    fn read(source: &mut Source, split: &str) -> Result<Self> {
        let name = format!("{split}/questions.json");
        let file = source.place(&name);
        let text = source.text(&name)?;
        let mut rows: Vec<(String, String, u64)> = serde_json::from_str(&text)
            .map_err(|e| Error::file(&file, format!("not [[text, answer, image]]: {e}")))?;
        rows.sort_by_key(|row| row.2);
        let mut images = HashMap::new();
        for row in &rows {
            if let std::collections::hash_map::Entry::Vacant(slot) = images.entry(row.2) {
                slot.insert(source.bytes(&format!("{split}/images/{}.png", row.2))?.into());
            }
        }
        Ok(Self { file, rows, images })
    }

    fn check(&self, answers: &[String]) -> Result<()> {
        for (i, (text, answer, _)) in self.rows.iter().enumerate() {
            let fault = |field: &str, message: String| {
                Err(Error::Row { file: self.file.clone(), row: i as u64, field: field.into(), message })
            };
            if text.trim().is_empty() {
                return fault("question", "empty".into());
            }
            if !answers.contains(answer) {
                return fault(
                    "answer",
                    format!("`{answer}` is none of the {} in answers.txt", answers.len()),
                );
            }
        }
        Ok(())
    }
}

/// What is asked for: the package does not say it, its wording does.
fn category(problem: &str, answer: &str) -> &'static str {
    match answer {
        "yes" | "no" if problem.contains(" not ") || problem.contains(" no ") => "absence",
        "yes" | "no" => "presence",
        _ if problem.contains(" color ") => "color",
        _ => "shape",
    }
}

impl Task for EasyVqa {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn version(&self) -> u32 {
        1
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split as usize].rows.len()
    }

    fn image_of(&self, split: Split, index: usize) -> usize {
        self.splits[split as usize].rows.get(index).map_or(index, |row| row.2 as usize)
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample> {
        let questions = &self.splits[split as usize];
        let (problem, answer, image) =
            questions.rows.get(index).ok_or_else(|| outside(self, split, index))?.clone();
        let name = format!("{}/images/{image}.png", split.name());
        let bytes = questions.images.get(&image).cloned().ok_or_else(|| outside(self, split, index))?;
        let mut meta = Map::new();
        meta.insert("image".into(), image.into());
        meta.insert("category".into(), category(&problem, &answer).into());
        let id = format!("easy-vqa-{}-{index}", split.name());
        Ok(Sample {
            id,
            problem,
            answer,
            choices: vec![],
            images: vec![ImageRef::Bytes { bytes, name }],
            meta,
        })
    }

    fn grade(&self, sample: &Sample, response: &str) -> Grade {
        grade::exact::closed(&sample.answer, |word| self.answers.iter().any(|a| a == word), response)
    }
}
