//! The kinds of picture that a question is asked about: clean, and each corruption at each severity.

use crate::record::digest;
use crate::{Error, Result};
use foveate_augment::{Corruption, Scale, Severity};
use image::RgbImage;
use std::sync::Arc;

/// One kind of picture.
#[derive(Clone, Debug)]
pub struct Cell {
    corruption: Option<Arc<dyn Corruption>>,
    severity: Severity,
    level: u8,
    /// Whether the model was trained on it, where it is known.
    pub seen: Option<bool>,
}

impl Cell {
    /// Pictures as they are.
    pub const CLEAN: Self = Self { corruption: None, severity: Severity::ZERO, level: 0, seen: None };

    /// Clean pictures first, then every corruption of `names` (a name, a list's name, or a composition) at each
    /// of `levels`. `seen` are names of what the model was trained on, `None` where that is not known.
    ///
    /// # Errors
    /// A name that is none, a level outside 1 to 5, or either of them twice.
    pub fn all(names: &[String], levels: &[u8], seen: Option<&[String]>) -> Result<Vec<Self>> {
        let corruptions = resolve(names)?;
        let seen: Option<Vec<String>> = match seen {
            Some(names) => Some(resolve(names)?.iter().map(|c| c.name().to_owned()).collect()),
            None => None,
        };
        if let Some(level) = levels.iter().find(|level| !(1..=5).contains(*level)) {
            return Err(Error::differs("command line", "--severities", "of 1 to 5", level));
        }
        let mut cells = vec![Self::CLEAN];
        for corruption in &corruptions {
            let seen = seen.as_ref().map(|names| names.iter().any(|name| name == corruption.name()));
            for &level in levels {
                let severity = Severity::level(level)?;
                cells.push(Self { corruption: Some(corruption.clone()), severity, level, seen });
            }
        }
        twice(corruptions.iter().map(|c| c.name()), "--corruptions")?;
        twice(levels.iter(), "--severities")?;
        Ok(cells)
    }

    /// The corruption's name.
    pub fn corruption(&self) -> Option<&str> {
        self.corruption.as_ref().map(|corruption| corruption.name())
    }

    /// 0 for clean pictures, else 1 to 5.
    pub fn severity(&self) -> u8 {
        self.level
    }

    /// The picture of this kind. `picture` names it (task and image) for the random draws: they are the same
    /// whatever else is evaluated, and at every severity, so that severities differ by nothing else.
    pub fn apply(&self, image: &RgbImage, scale: Scale, seed: u64, picture: &str) -> RgbImage {
        let Some(corruption) = &self.corruption else { return image.clone() };
        let draw = draw(seed, picture, corruption.name());
        corruption.apply_dose(image, &scale.dose(self.severity, draw, image.dimensions()))
    }
}

/// The seed of a corruption's draws.
fn draw(seed: u64, picture: &str, corruption: &str) -> u64 {
    let of = format!("corruption\n{seed}\n{picture}\n{corruption}");
    u64::from_str_radix(&digest(of.as_bytes(), 8), 16).unwrap_or(seed)
}

/// Names of corruptions, of lists, and compositions.
fn resolve(names: &[String]) -> Result<Vec<Arc<dyn Corruption>>> {
    let mut all: Vec<Arc<dyn Corruption>> = Vec::new();
    for name in names {
        match foveate_augment::list(name) {
            Ok(list) => all.extend(list.into_iter().map(|c| Arc::new(c) as Arc<dyn Corruption>)),
            Err(_) => all.push(Arc::from(foveate_augment::parse(name)?)),
        }
    }
    Ok(all)
}

fn twice<T: PartialEq + ToString>(mut all: impl Iterator<Item = T> + Clone, field: &str) -> Result<()> {
    while let Some(one) = all.next() {
        if all.clone().any(|other| other == one) {
            return Err(Error::differs(
                "command line",
                field,
                "each once",
                format!("{} twice", one.to_string()),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lists_are_spelt_out_and_what_was_trained_on_is_marked() {
        let seen = names(&["roma-seen"]);
        let cells =
            Cell::all(&names(&["roma-unseen", "contrast", "fog+contrast"]), &[1, 5], Some(&seen)).unwrap();
        assert_eq!(cells.len(), 1 + 2 * 8);
        assert_eq!((cells[0].corruption(), cells[0].seen), (None, None));
        let contrast = cells.iter().find(|cell| cell.corruption() == Some("contrast")).unwrap();
        assert_eq!((contrast.severity(), contrast.seen), (1, Some(true)));
        assert_eq!(cells.last().unwrap().corruption(), Some("fog+contrast"));
        assert_eq!(cells.iter().filter(|cell| cell.seen == Some(true)).count(), 2);
        for (bad, levels, word) in
            [("nothing", [1, 2], "nothing"), ("fog", [0, 1], "--severities"), ("fog", [1, 1], "twice")]
        {
            let message = Cell::all(&names(&[bad]), &levels, None).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
        assert!(Cell::all(&names(&["fog", "common"]), &[1], None).is_err());
    }

    #[test]
    fn draws_are_of_the_picture_the_corruption_and_the_seed() {
        let image = RgbImage::from_fn(40, 40, |x, y| image::Rgb([x as u8 * 5, y as u8 * 6, 9]));
        let cells = Cell::all(&names(&["gaussian_noise", "shot_noise"]), &[3], None).unwrap();
        let of =
            |cell: usize, seed, picture| cells[cell].apply(&image, Scale::Native, seed, picture).into_raw();
        assert_eq!(of(0, 1, "a"), image.clone().into_raw());
        assert_eq!(of(1, 1, "a"), of(1, 1, "a"));
        assert_ne!(of(1, 1, "a"), of(1, 2, "a"));
        assert_ne!(of(1, 1, "a"), of(1, 1, "b"));
        let alone = Cell::all(&names(&["shot_noise"]), &[3], None).unwrap();
        assert_eq!(of(2, 1, "a"), alone[1].apply(&image, Scale::Native, 1, "a").into_raw());
    }
}
