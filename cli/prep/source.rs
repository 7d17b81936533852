//! The words that say what to read.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser};
use foveate_datasets::formats::FORMATS;
use foveate_datasets::prep::SourceSpec;

use crate::failure::Outcome;
use crate::hub::{self, Reader, Stop};

/// How to read a source.
#[derive(Debug, clap::Args)]
pub struct ReadArgs {
    /// What the rows look like
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = formats())]
    format: String,
    /// Columns that have other names, as in problem=question,answer=label
    #[arg(long, value_name = "OURS=THEIRS", value_delimiter = ',')]
    map: Vec<Renamed>,
    /// Folder that image paths start from, besides SRC's own and its images/; zips and tars in them count
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
}

impl ReadArgs {
    /// `source` with all that is said of it; one of the hub is fetched.
    pub fn spec(&self, source: &str, stop: Stop) -> Outcome<SourceSpec> {
        let source = hub::data(source, Reader::Rows, stop)?.path;
        Ok(SourceSpec {
            source: source.to_string_lossy().into_owned(),
            format: self.format.clone(),
            rename: self.map.iter().map(|Renamed(ours, theirs)| (ours.clone(), theirs.clone())).collect(),
            images: self.images.clone(),
        })
    }
}

/// Every format with its line of help.
fn formats() -> PossibleValuesParser {
    let known = FORMATS.iter().map(|format| PossibleValue::new(format.name).help(format.summary));
    let auto =
        PossibleValue::new("auto").help("told by the columns (not csiq and pipal, which have no names)");
    let easy = PossibleValue::new("easy-vqa").help("the easy-VQA wheel, or a folder of it");
    PossibleValuesParser::new([auto, easy].into_iter().chain(known))
}

/// `ours=theirs`.
#[derive(Clone, Debug)]
struct Renamed(String, String);

impl FromStr for Renamed {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word.split_once('=') {
            Some((ours, theirs)) if !ours.is_empty() && !theirs.is_empty() => {
                Ok(Self(ours.to_owned(), theirs.to_owned()))
            }
            _ => Err(format!("`{word}` should be OURS=THEIRS, as in problem=question")),
        }
    }
}
