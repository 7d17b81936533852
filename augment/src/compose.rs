//! Corruptions made of corruptions: one after another, or one drawn at random. Each part has a seed of its own.

use crate::device::Plan;
use crate::random::{Key, seed_of};
use crate::{Corruption, Dose, Error, Severity, find, list};
use image::RgbImage;

/// One after another, at the same severity.
#[derive(Debug)]
pub struct Chain {
    name: String,
    parts: Vec<Box<dyn Corruption>>,
}

/// One drawn at random for each seed.
#[derive(Debug)]
pub struct OneOf {
    name: String,
    parts: Vec<Box<dyn Corruption>>,
}

fn joined(parts: &[Box<dyn Corruption>], by: &str) -> String {
    parts.iter().map(|p| p.name()).collect::<Vec<_>>().join(by)
}

fn dose_of(dose: &Dose, part: &str, index: usize) -> Dose {
    Dose { seed: seed_of(dose.seed, part, index as u32), ..*dose }
}

impl Chain {
    /// `parts` in the order of application; none of them is the identity.
    #[must_use]
    pub fn new(parts: Vec<Box<dyn Corruption>>) -> Self {
        Self { name: joined(&parts, "+"), parts }
    }
}

impl OneOf {
    /// Any of `parts`, each as likely as another; none of them is the identity.
    #[must_use]
    pub fn new(parts: Vec<Box<dyn Corruption>>) -> Self {
        Self { name: joined(&parts, "|"), parts }
    }

    fn drawn(&self, dose: &Dose) -> usize {
        Key::new(dose.seed, "one of").pick(0, self.parts.len() as u32) as usize
    }

    /// Any of a named list.
    ///
    /// # Errors
    /// No such list.
    pub fn of_list(name: &str) -> Result<Self, Error> {
        let parts = list(name)?.into_iter().map(|c| Box::new(c) as Box<dyn Corruption>).collect();
        Ok(Self { name: format!("any:{name}"), parts })
    }
}

impl Corruption for Chain {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> &str {
        "one corruption after another"
    }

    fn random(&self) -> bool {
        self.parts.iter().any(|p| p.random())
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        let parts = self.parts.iter().enumerate();
        parts.fold(image.clone(), |image, (i, part)| part.apply_dose(&image, &dose_of(dose, "chain", i)))
    }

    fn kernels(&self, plan: &mut Plan, dose: &Dose) -> bool {
        plan.chain(self.parts.len(), |plan, i| plan.add(&*self.parts[i], &dose_of(dose, "chain", i)))
    }
}

impl Corruption for OneOf {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> &str {
        "one corruption drawn at random"
    }

    fn random(&self) -> bool {
        self.parts.len() > 1 || self.parts.iter().any(|p| p.random())
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        let drawn = self.drawn(dose);
        let part = self.parts.get(drawn);
        part.map_or_else(|| image.clone(), |p| p.apply_dose(image, &dose_of(dose, "one of", drawn)))
    }

    fn kernels(&self, plan: &mut Plan, dose: &Dose) -> bool {
        let drawn = self.drawn(dose);
        let drawn = self.parts.get(drawn..=drawn).unwrap_or_default();
        plan.chain(drawn.len(), |plan, _| plan.add(&*drawn[0], &dose_of(dose, "one of", self.drawn(dose))))
    }
}

/// The corruption that a recipe's or a command's words name: `a` of the table, `a+b` one after another, `a|b` one of
/// them, `any:LIST` one of a list. `+` binds closer than `|`; a part may be held at a level of its own, as in
/// `gaussian_blur@2+jpeg_compression`.
///
/// # Errors
/// A name or list that is not known, a level out of range, or an empty part.
pub fn parse(spec: &str) -> Result<Box<dyn Corruption>, Error> {
    let parts = |by: char| spec.split(by).map(|part| parse(part.trim())).collect::<Result<Vec<_>, _>>();
    if spec.contains('|') {
        return Ok(Box::new(OneOf::new(parts('|')?)));
    }
    if spec.contains('+') {
        return Ok(Box::new(Chain::new(parts('+')?)));
    }
    if spec.is_empty() {
        return Err(Error::Composition { spec: spec.to_owned(), reason: "a part of it is empty".to_owned() });
    }
    if let Some(name) = spec.strip_prefix("any:") {
        return Ok(Box::new(OneOf::of_list(name)?));
    }
    let Some((name, level)) = spec.split_once('@') else { return Ok(Box::new(find(spec)?)) };
    let level = level.parse().map_err(|_| Error::Composition {
        spec: spec.to_owned(),
        reason: format!("`{level}` after @ is not a level of 0 to 5"),
    })?;
    Ok(Box::new(Held { name: spec.to_owned(), part: find(name)?, severity: Severity::level(level)? }))
}

/// A corruption at a severity of its own, whatever is asked for.
#[derive(Debug)]
struct Held {
    name: String,
    part: &'static dyn Corruption,
    severity: Severity,
}

impl Corruption for Held {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> &str {
        self.part.summary()
    }

    fn random(&self) -> bool {
        self.part.random()
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        self.part.apply_dose(image, &Dose { severity: self.severity, ..*dose })
    }

    fn kernels(&self, plan: &mut Plan, dose: &Dose) -> bool {
        plan.add(self.part, &Dose { severity: self.severity, ..*dose })
    }
}
