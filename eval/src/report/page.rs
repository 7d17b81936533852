//! The page: what comes after what. One file, no scripts, nothing from elsewhere.

use super::exhibits::{Exhibit, Shot};
use super::gather::Report;
use super::lead::lead;
use super::sentence::{clean, facts, label, sentence, settings, short, warnings};
use super::text::{count, cut, escape, percent, spaced};
use super::{curves, figures, tables};
use crate::metrics::RunSummary;
use crate::record::Verdict;
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");

/// A longer response is cut in the gallery; the records have all of it.
const RESPONSE: usize = 240;

/// The report as HTML.
pub(super) fn html(report: &Report) -> String {
    let title = title(report);
    let lead: String =
        lead(&report.summary).iter().map(|line| format!("<p class=\"lead\">{}</p>", escape(line))).collect();
    let mut body = format!("<h1>{}</h1>{}{lead}", escape(&title), subtitle(report));
    for task in tasks(report) {
        let runs: Vec<&RunSummary> = report.summary.runs.iter().filter(|run| run.task == task).collect();
        let several = tasks(report).len() > 1;
        body.push_str(&section_of_task(report, &runs, &task, several));
    }
    body.push_str(&tables::elsewhere(&report.elsewhere));
    body.push_str(&gallery(&report.exhibits, &report.notes));
    if !report.training.is_empty() {
        let _ = write!(body, "<h2>Training</h2>{}", curves::training(&report.training));
    }
    body.push_str(&commands(report));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><style>\n{STYLE}</style></head><body><main>{body}\
         <footer>Made by foveate {}. Every number is computed from records.jsonl alone.</footer>\
         </main></body></html>\n",
        escape(&title),
        escape(&report.version)
    )
}

fn tasks(report: &Report) -> Vec<String> {
    let mut all: Vec<String> = report.summary.runs.iter().map(|run| run.task.clone()).collect();
    all.dedup();
    all
}

/// What the report is about.
pub(super) fn title(report: &Report) -> String {
    let mut models: Vec<&str> = report.summary.runs.iter().map(|run| short(&run.model)).collect();
    models.sort_unstable();
    models.dedup();
    match (models.as_slice(), tasks(report).as_slice()) {
        ([], _) => match report.training.as_slice() {
            [run] => format!("Training of {}", run.name),
            _ => "Training runs".into(),
        },
        ([model], [task]) => format!("{model} on {task}"),
        ([model], tasks) => format!("{model} on {} tasks", tasks.len()),
        (models, [task]) => format!("{} models on {task}", models.len()),
        (models, tasks) => format!("{} models on {} tasks", models.len(), tasks.len()),
    }
}

fn subtitle(report: &Report) -> String {
    let answers: usize = report.summary.runs.iter().map(|run| run.counts.came()).sum();
    if answers == 0 {
        return String::new();
    }
    let runs: Vec<&RunSummary> = report.summary.runs.iter().collect();
    let kinds = match curves::corruptions(&runs).len() {
        0 => "clean pictures only".into(),
        1 => "clean pictures and 1 corruption".into(),
        n => format!("clean pictures and {n} corruptions"),
    };
    format!("<p class=\"quiet\">{} answers, {kinds}</p>", count(answers))
}

fn section_of_task(report: &Report, runs: &[&RunSummary], task: &str, several: bool) -> String {
    let all = &report.summary.runs;
    let labels = curves::labels(runs, all);
    let mut out = if several { format!("<h2>{}</h2>", escape(task)) } else { String::new() };
    out.push_str(&tables::overview(runs, &labels));
    for (run, label) in runs.iter().zip(&labels) {
        out.push_str(&card(run, label));
    }
    let mut add = |heading: &str, words: &str, content: String| {
        if !content.is_empty() {
            let _ = write!(out, "<h2>{heading}</h2><p class=\"quiet\">{words}</p>{content}");
        }
    };
    add(
        "Accuracy against severity",
        "The mean over corruptions; below, each corruption by itself.",
        curves::severity(runs, &labels),
    );
    add("Clean against corrupted", "One dot a model.", curves::scatter(runs, &labels));
    for comparison in report.summary.comparisons.iter().filter(|comparison| comparison.task == task) {
        let [first, second] = comparison.runs.map(|at| escape(&label(&all[at], all)));
        let words = format!(
            "Second: {second}. First: {first}. Differences in points on the same questions; intervals by drawing \
             pictures, p by McNemar's exact test, over single cells after Holm."
        );
        add("Paired differences", &words, figures::forest(comparison));
    }
    add(
        "Budget of pixels",
        "The same model under several largest areas of pictures.",
        curves::budgets(runs, all),
    );
    for (run, label) in runs.iter().zip(&labels) {
        let name = if runs.len() > 1 { format!(": {}", escape(label)) } else { String::new() };
        let star = "Accuracy in percent by severity; the redder, the more of the clean accuracy is lost. \
                    * differs from clean (McNemar, p &lt; 0.05 after Holm).";
        add(&format!("Corruptions{name}"), star, figures::heat_map(run));
        add(&format!("The benchmark's own scores{name}"), "On clean pictures.", tables::scores(run));
        add(&format!("Agreement with people{name}"), "By kind of picture.", tables::quality(run));
        let groups = tables::groups(run);
        if !groups.is_empty() {
            add(
                &format!("By category{name}"),
                "Clean pictures.",
                format!("<div class=\"categories\">{groups}</div>"),
            );
        }
    }
    out
}

/// What a busy reader sees of a run.
fn card(run: &RunSummary, label: &str) -> String {
    let mut numbers = Vec::new();
    numbers.extend(clean(run).map(|share| (percent(share), "clean")));
    if let Some(robust) = &run.robustness {
        numbers.push((percent(robust.corrupted.value), "corrupted"));
        numbers.extend(robust.retention.map(|kept| (format!("{:.0} %", 100.0 * kept.value), "kept")));
        numbers.push((percent(robust.worst_cell.1), "worst cell"));
    }
    let numbers: String =
        numbers.iter().map(|(value, word)| format!("<div><b>{value}</b><span>{word}</span></div>")).collect();
    let facts: String = facts(run)
        .iter()
        .map(|(name, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value)))
        .collect();
    let warnings: String =
        warnings(run).iter().map(|word| format!("<p class=\"warning\">{}</p>", escape(word))).collect();
    format!(
        "<section class=\"card\"><h3>{}</h3><div class=\"numbers\">{numbers}</div><p>{}</p>{warnings}\
         <dl class=\"facts\">{facts}</dl><p class=\"quiet\">{}</p></section>",
        escape(label),
        escape(&sentence(run)),
        escape(&settings(run))
    )
}

fn gallery(exhibits: &[Exhibit], notes: &[String]) -> String {
    if exhibits.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<h2>Failures to look at</h2><p class=\"quiet\">Right on the clean picture and not on the corrupted one, \
         where there are such; frames show crops that were looked at.</p>",
    );
    notes.iter().for_each(|note| {
        let _ = write!(out, "<p class=\"warning\">{}</p>", escape(note));
    });
    out.push_str("<div class=\"gallery\">");
    for exhibit in exhibits {
        let shots: String = exhibit.shots.iter().map(shot).collect();
        let question = exhibit.question.replace("<image>", "").trim().to_owned();
        let _ = write!(
            out,
            "<article class=\"exhibit\"><p>{}</p><div class=\"shots\">{shots}</div>\
             <p class=\"quiet\">Right answer: {}. {}, {}</p></article>",
            escape(&cut(&question, 600)),
            escape(&exhibit.answer),
            escape(&exhibit.model),
            escape(&exhibit.sample)
        );
    }
    out + "</div>"
}

fn shot(shot: &Shot) -> String {
    let image = |url: &String| format!("<img alt=\"{}\" src=\"{url}\">", escape(&shot.cell));
    let images: String = shot.pictures.iter().map(image).collect();
    let looked: String =
        shot.looked.iter().map(|words| format!("<small>{}</small><br>", escape(words))).collect();
    let outcome = match shot.outcome {
        Verdict::Right => "right",
        Verdict::Wrong => "wrong",
        Verdict::Unparsed => "unparsed",
        Verdict::Failed => "failed",
    };
    format!(
        "<div class=\"shot\">{images}<small>{}</small> <span class=\"tag {outcome}\">{outcome}</span><br>{looked}<q>{}</q></div>",
        escape(&spaced(&shot.cell)),
        escape(&cut(&shot.response, RESPONSE))
    )
}

fn commands(report: &Report) -> String {
    if report.commands.is_empty() {
        return String::new();
    }
    let mut lines: Vec<String> = report
        .commands
        .iter()
        .map(|run| format!("# foveate {}, {}\n{}", run.version, run.model, run.command))
        .collect();
    lines.dedup();
    format!("<h2>To do it again</h2><pre>{}</pre>", escape(&lines.join("\n\n")))
}
