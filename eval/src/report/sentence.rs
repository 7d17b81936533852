//! A run in a sentence, and what a reader must be warned of.

use super::text::{count, number, percent, points, range, spaced};
use crate::likelihood::SAMPLING;
use crate::metrics::RunSummary;

/// More unparsed answers than this are worth a warning.
const UNPARSED: f64 = 0.05;

/// A score this near to blindness is worth a warning.
const NEAR_CHANCE: f64 = 0.02;

/// The model's name without the digest of its weights.
pub(super) fn short(model: &str) -> &str {
    model.split_once('@').map_or(model, |(name, _)| name)
}

/// Whether a run was shown grey pictures.
pub(super) fn blind(run: &RunSummary) -> bool {
    run.model.ends_with("(text only)")
}

/// How answers came about, in two words.
fn way(sampling: &str) -> &str {
    match sampling.split_once(',') {
        Some((first, _)) if first.ends_with(" turns") => first,
        _ if sampling == SAMPLING => "by likelihood",
        _ => "in one turn",
    }
}

/// [`name`] with the budget of pixels, where the same was measured under several.
pub(super) fn label(run: &RunSummary, all: &[RunSummary]) -> String {
    let same = |other: &&RunSummary| {
        (&other.task, &other.model, &other.sampling) == (&run.task, &run.model, &run.sampling)
    };
    let name = name(run, all);
    match run.pixels {
        Some([_, most]) if all.iter().filter(same).any(|other| other.pixels != run.pixels) => {
            format!("{name}, {} pixels", count(most as usize))
        }
        _ => name,
    }
}

/// The model's name, with what else tells this run from others of the same model.
pub(super) fn name(run: &RunSummary, all: &[RunSummary]) -> String {
    let name = short(&run.model);
    let text_only = if blind(run) && !name.ends_with("(text only)") { ", text only" } else { "" };
    let twin = |other: &&RunSummary| {
        other.task == run.task && short(&other.model) == name && other.model != run.model
    };
    let digest = match run.model.split_once('@') {
        Some((_, digest))
            if all.iter().filter(twin).any(|o| o.model.split(' ').next() != run.model.split(' ').next()) =>
        {
            format!(" @{}", digest.split(' ').next().unwrap_or_default().get(..6).unwrap_or_default())
        }
        _ => String::new(),
    };
    let other_way =
        |o: &&RunSummary| (&o.task, &o.model) == (&run.task, &run.model) && o.sampling != run.sampling;
    let others: Vec<&str> = all.iter().filter(other_way).map(|other| other.sampling.as_str()).collect();
    let sampling = match (others.is_empty(), others.iter().any(|other| way(other) == way(&run.sampling))) {
        (true, _) => String::new(),
        (_, false) => format!(", {}", way(&run.sampling)),
        (_, true) => format!(", {}", run.sampling),
    };
    format!("{name}{digest}{text_only}{sampling}")
}

/// The accuracy on clean pictures.
pub(super) fn clean(run: &RunSummary) -> Option<f64> {
    run.cells.iter().find(|cell| cell.corruption.is_none())?.counts.accuracy()
}

/// What a busy reader takes away.
pub(super) fn sentence(run: &RunSummary) -> String {
    let cell = run.cells.iter().find(|cell| cell.corruption.is_none());
    let mut out = match cell.and_then(|cell| cell.counts.accuracy()) {
        Some(share) => {
            let interval = range(cell.and_then(|cell| cell.interval));
            format!("Answers {} of clean questions right ({interval})", percent(share))
        }
        None => "No clean pictures were asked about".into(),
    };
    if let Some(robust) = &run.robustness {
        let kept = robust
            .retention
            .map_or_else(String::new, |kept| format!(", {:.0} % of it kept", 100.0 * kept.value));
        let (worst, low) = &robust.worst_corruption;
        out += &format!(
            "; {} under corruption{kept}. Worst: {} at {}",
            percent(robust.corrupted.value),
            spaced(worst),
            percent(*low)
        );
    }
    out + "."
}

/// What is wrong with taking the score at its word.
pub(super) fn warnings(run: &RunSummary) -> Vec<String> {
    let mut out = Vec::new();
    if run.counts.failed > 0 {
        let failed = count(run.counts.failed);
        out.push(format!("{failed} calls failed and are in no score: the evaluation is incomplete."));
    }
    if let Some(share) = run.counts.unparsed_share().filter(|share| *share > UNPARSED) {
        out.push(format!("In {} of the responses no answer could be read.", percent(share)));
    }
    if let (Some(share), Some(chance)) = (clean(run), run.chance)
        && share < chance + NEAR_CHANCE
    {
        out.push(format!("Blind guessing reaches {}: the score says little.", percent(chance)));
    }
    let habit = run.always_letter.iter().max_by(|a, b| a.1.total_cmp(b.1));
    if let Some((letter, share)) = habit.filter(|(_, share)| **share > 0.9) {
        out.push(format!("Always answering {letter} would score {}: shuffle the options.", percent(*share)));
    }
    out
}

/// The settings that a number is worth nothing without.
pub(super) fn settings(run: &RunSummary) -> String {
    let pixels = run.pixels.map_or_else(
        || "pictures as the server resizes them".to_owned(),
        |[least, most]| format!("pictures of {} to {} pixels", count(least as usize), count(most as usize)),
    );
    format!("{} version {}, {}, {pixels}, seed {}", run.task, run.version, run.sampling, run.seed)
}

/// Further numbers of a run, as name and value.
pub(super) fn facts(run: &RunSummary) -> Vec<(&'static str, String)> {
    let mut out = vec![("answers", count(run.counts.came()))];
    if let Some(chance) = run.chance {
        out.push(("blind guessing", percent(chance)));
    }
    if let Some(robust) = &run.robustness {
        out.push(("same answer everywhere", percent(robust.consistency.value)));
        out.push(("right everywhere", percent(robust.always_right.value)));
        out.push(("right turned wrong", percent(robust.broken.value)));
        if let Some(beyond) = robust.retention_beyond_chance {
            out.push(("kept beyond guessing", percent(beyond.value)));
        }
    }
    if let (Some(seen), Some(unseen)) = (&run.seen, &run.unseen) {
        out.push(("seen corruptions", percent(seen.corrupted.value)));
        out.push(("unseen corruptions", percent(unseen.corrupted.value)));
        out.push((
            "unseen less seen",
            format!("{} points", points(unseen.corrupted.value - seen.corrupted.value)),
        ));
    }
    if let Some(errors) = &run.corruption_errors {
        out.push(("mCE", number(errors.mce)));
        out.extend(errors.relative_mce.map(|mce| ("relative mCE", number(mce))));
    }
    let looks = run.cells.first().map(|cell| &cell.metrics);
    let look = |name: &str| looks.and_then(|metrics| metrics.get(name).copied());
    out.extend(look("boxes/valid").map(|share| ("usable boxes", percent(share))));
    out.extend(look("boxes/area").map(|share| ("of the picture looked at", percent(share))));
    out.push(("unparsed", percent(run.counts.unparsed_share().unwrap_or(0.0))));
    out
}
