//! The first lines of a report: what a reader with ten seconds takes away.

use super::sentence::{blind, clean, label, warnings};
use super::text::{percent, points, points_range, spaced};
use crate::metrics::{Comparison, Difference, RunSummary, Summary};

/// With more models than this on a task, only the best and the worst are spelt out; the table has all.
const FEW: usize = 3;

/// A sentence for each model, one for each comparison, and one on what to beware of.
pub(super) fn lead(summary: &Summary) -> Vec<String> {
    let runs = &summary.runs;
    let mut tasks: Vec<&str> = runs.iter().map(|run| run.task.as_str()).collect();
    tasks.dedup();
    let mut out = Vec::new();
    for task in &tasks {
        let place = if tasks.len() > 1 { format!(" on {task}") } else { String::new() };
        let seeing: Vec<&RunSummary> = runs.iter().filter(|r| r.task == *task && !blind(r)).collect();
        match seeing.len() {
            0..=FEW => {
                out.extend(seeing.iter().filter_map(|run| one(run, runs, &place)));
                let own = summary.comparisons.iter().filter(|comparison| comparison.task == *task);
                out.extend(own.filter_map(|comparison| compared(comparison, runs, &place)));
            }
            _ => out.extend(extremes(&seeing, runs, &place)),
        }
    }
    let all: Vec<String> = runs.iter().filter(|run| !blind(run)).flat_map(warnings).collect();
    out.extend(all.first().map(|first| match all.len() {
        1 => format!("Read with care. {first}"),
        n => format!("Read with care. {first} ({} more below.)", n - 1),
    }));
    out
}

/// What one model can do, what corruption leaves of it, and what it would be worth without looking.
fn one(run: &RunSummary, all: &[RunSummary], place: &str) -> Option<String> {
    let share = clean(run)?;
    let mut out = format!("{} answers {} of clean questions right{place}", label(run, all), percent(share));
    if let Some(robust) = &run.robustness {
        let kept = robust.retention.map(|kept| format!(": {:.0} % is kept", 100.0 * kept.value));
        let (worst, low) = &robust.worst_corruption;
        out += &format!(
            " and {} of corrupted ones{}; {} costs most ({})",
            percent(robust.corrupted.value),
            kept.unwrap_or_default(),
            spaced(worst),
            percent(*low)
        );
    }
    let grey = format!("{} (text only)", run.model);
    let same = |o: &&RunSummary| (&o.task, &o.model, &o.sampling) == (&run.task, &grey, &run.sampling);
    let grey = all.iter().find(same).and_then(clean);
    Some(match (grey, run.chance) {
        (Some(grey), Some(chance)) => {
            format!("{out}; with its eyes shut it reaches {}, guessing {}.", percent(grey), percent(chance))
        }
        (Some(grey), None) => format!("{out}; with its eyes shut it reaches {}.", percent(grey)),
        (None, Some(chance)) => format!("{out}; guessing reaches {}.", percent(chance)),
        (None, None) => out + ".",
    })
}

/// Whether the second of two models is better than the first: under corruption, where both were asked about it.
fn compared(comparison: &Comparison, runs: &[RunSummary], place: &str) -> Option<String> {
    let [first, second] = comparison.runs.map(|at| &runs[at]);
    if blind(first) || blind(second) {
        return None;
    }
    let (row, what) = match (&comparison.corrupted, comparison.cells.get("clean")) {
        (Some(row), _) => (row, "corrupted"),
        (None, Some(row)) => (row, "clean"),
        (None, None) => return None,
    };
    let [first, second] = [first, second].map(|run| label(run, runs));
    let Difference { difference, interval, .. } = row;
    let sure = interval.is_some_and(|i| i.low > 0.0 || i.high < 0.0);
    let range = points_range(*interval);
    Some(match (sure, *difference > 0.0) {
        (false, _) => format!(
            "{second} and {first} are not told apart on {what} pictures{place}: {} points ({range}).",
            points(*difference)
        ),
        (true, better) => format!(
            "{second} is {} than {first} on {what} pictures{place}: {} points ({range}).",
            if better { "better" } else { "worse" },
            points(*difference)
        ),
    })
}

/// The best and the worst of many.
fn extremes(seeing: &[&RunSummary], all: &[RunSummary], place: &str) -> Option<String> {
    let worth = |run: &&&RunSummary| run.robustness.as_ref().map_or(clean(run), |r| Some(r.corrupted.value));
    let known = || seeing.iter().filter(|run| worth(run).is_some());
    let by = |a: &&&RunSummary, b: &&&RunSummary| {
        worth(a).partial_cmp(&worth(b)).unwrap_or(std::cmp::Ordering::Equal)
    };
    let (best, worst) = (known().max_by(by)?, known().min_by(by)?);
    let what = if best.robustness.is_some() { "corrupted" } else { "clean" };
    Some(format!(
        "Of {} runs{place}, {} is best on {what} pictures ({}), {} worst ({}).",
        seeing.len(),
        label(best, all),
        percent(worth(&best)?),
        label(worst, all),
        percent(worth(&worst)?)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, Verdict};
    use crate::stats::Bootstrap;

    /// Forty answers, the first `right` of them right, each about a picture of its own.
    fn answers(model: &str, corruption: Option<&str>, right: usize) -> Vec<Record> {
        let one = |n: usize| Record {
            task: "shapes".into(),
            model: model.into(),
            sample: n.to_string(),
            image: n.to_string(),
            corruption: corruption.map(str::to_owned),
            severity: u8::from(corruption.is_some()),
            chance: Some(0.25),
            outcome: if n < right { Verdict::Right } else { Verdict::Wrong },
            ..Record::default()
        };
        (0..40).map(one).collect()
    }

    fn said(records: Vec<Vec<Record>>) -> Vec<String> {
        lead(&Summary::of(&records.concat(), &Bootstrap { resamples: 200, ..Bootstrap::default() }))
    }

    #[test]
    fn one_model_is_put_in_a_sentence_and_shut_eyes_beside_it() {
        let (clean, fog) = (answers("m@123", None, 32), answers("m@123", Some("fog"), 16));
        let blind = answers("m@123 (text only)", None, 10);
        assert_eq!(
            said(vec![clean, fog, blind]),
            [
                "m answers 80.0 % of clean questions right and 40.0 % of corrupted ones: 50 % is kept; fog costs most \
              (40.0 %); with its eyes shut it reaches 25.0 %, guessing 25.0 %."
            ]
        );
    }

    #[test]
    fn a_difference_is_one_only_where_its_interval_says_so() {
        let models = |second: usize| {
            let of = |model, right| [answers(model, None, 20), answers(model, Some("fog"), right)].concat();
            said(vec![of("a", 10), of("b", second)])[2].clone()
        };
        assert!(
            models(30).starts_with("b is better than a on corrupted pictures: +50.0 points ("),
            "{}",
            models(30)
        );
        assert!(
            models(1).starts_with("b is worse than a on corrupted pictures: −22.5 points ("),
            "{}",
            models(1)
        );
        assert!(
            models(11).starts_with("b and a are not told apart on corrupted pictures: +2.5 points"),
            "{}",
            models(11)
        );
    }

    #[test]
    fn of_many_the_best_and_the_worst_are_named_and_what_to_beware_of_comes_last() {
        let all = ["a", "b", "c", "d"].iter().zip([20, 5, 30, 10]);
        let said = said(all.map(|(model, right)| answers(model, None, right)).collect());
        assert_eq!(said[0], "Of 4 runs, c is best on clean pictures (75.0 %), b worst (12.5 %).");
        assert!(said[1].starts_with("Read with care. Blind guessing reaches 25.0 %"), "{}", said[1]);
        assert!(said[1].ends_with("(1 more below.)"), "{}", said[1]);
    }
}
