//! How stats are shown: on a terminal, and as a page of its own that loads nothing from elsewhere.

use super::Stats;
use super::spread::Spread;
use std::fmt::Write;

/// Cells of the longest bar on a terminal.
const BAR: u64 = 32;
/// Pixels of the longest bar on the page.
const WIDE: u64 = 260;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;\
    color-scheme:light dark}h1{font-size:1.5rem;margin-bottom:0}p{margin:.3rem 0}\
    main{display:grid;grid-template-columns:repeat(auto-fill,minmax(460px,1fr));gap:1.2rem 2rem;margin-top:1.5rem}\
    h2{font-size:1rem;margin:0}small{opacity:.75}svg{display:block;margin-top:.3rem}rect{fill:#3b78b8}\
    text{fill:currentColor;font-size:12px}.bad{color:#c0392b}";

impl Stats {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = format!("{} ({})\n{}\n", self.source, self.format, self.counted());
        for (title, spread) in self.spreads() {
            let _ = writeln!(out, "\n{title}: {}", summary(spread));
            out += &bars(&labelled(spread));
        }
        let _ = writeln!(out, "\nanswers: {}", self.answered());
        out + &bars(&self.answers)
    }

    /// A page.
    pub fn html(&self) -> String {
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{source}</title>\n<style>{STYLE}</style>\n\
             <h1>{source}</h1>\n<p>{} &middot; {}</p>\n",
            escape(&self.format),
            self.counted(),
            source = escape(&self.source),
        );
        if self.broken + self.unreadable_images + self.unmeasured > 0 {
            out += "<p class=\"bad\">Some of it cannot be used: <code>foveate prep validate</code> says what.</p>\n";
        }
        out += "<main>\n";
        for (title, spread) in self.spreads() {
            out += &section(title, &summary(spread), &labelled(spread));
        }
        out += &section("answers", &self.answered(), &self.answers);
        out + "</main>\n</html>\n"
    }

    fn counted(&self) -> String {
        let mut out = format!("{} rows", self.rows);
        let more = [
            (self.broken, "broken rows"),
            (self.unreadable_images, "unreadable images"),
            (self.unmeasured, "images or prompts the model cannot take"),
        ];
        for (n, what) in more.into_iter().filter(|(n, _)| *n > 0) {
            let _ = write!(out, ", {n} {what}");
        }
        out
    }

    fn answered(&self) -> String {
        let shown: u64 = self.answers.iter().map(|(_, n)| n).sum();
        let rest = self.distinct_answers - self.answers.len() as u64;
        match rest {
            0 => format!("{} different ones", self.distinct_answers),
            _ => {
                format!("{} different ones; {rest} more in {} rows", self.distinct_answers, self.rows - shown)
            }
        }
    }
}

fn summary(spread: &Spread) -> String {
    let at = |share| spread.number(spread.quantile(share));
    if spread.quantile(0.) == spread.quantile(1.) {
        return format!("always {}", at(1.));
    }
    format!("from {} to {}, median {}, 95 % up to {}", at(0.), at(1.), at(0.5), at(0.95))
}

fn labelled(spread: &Spread) -> Vec<(String, u64)> {
    spread.bins().into_iter().map(|(edge, n)| (spread.label(edge), n)).collect()
}

fn most(bars: &[(String, u64)]) -> u64 {
    bars.iter().map(|bar| bar.1).max().unwrap_or(0).max(1)
}

fn bars(bars: &[(String, u64)]) -> String {
    let most = most(bars);
    let line = |(label, n): &(String, u64)| {
        let bar = "#".repeat((n * BAR / most).max(1) as usize);
        format!("  {:>24}  {bar} {n}\n", cut(label))
    };
    bars.iter().map(line).collect()
}

fn section(title: &str, said: &str, bars: &[(String, u64)]) -> String {
    let most = most(bars);
    let mut out = format!("<section><h2>{}</h2><small>{}</small>", escape(title), escape(said));
    let _ = write!(out, "<svg width=\"460\" height=\"{}\" role=\"img\">", bars.len() * 18 + 4);
    for (i, (label, n)) in bars.iter().enumerate() {
        let (y, width) = (i * 18 + 14, (n * WIDE / most).max(1));
        let _ = write!(
            out,
            "<text x=\"130\" y=\"{y}\" text-anchor=\"end\">{}</text><rect x=\"136\" y=\"{}\" width=\"{width}\" \
             height=\"12\"/><text x=\"{}\" y=\"{y}\">{n}</text>",
            escape(&cut(label)),
            y - 10,
            width + 142
        );
    }
    out + "</svg></section>\n"
}

/// A label short enough to stand beside its bar.
fn cut(label: &str) -> String {
    let plain: String = label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match plain.chars().count() > 20 {
        true => plain.chars().take(18).chain("..".chars()).collect(),
        false => plain,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_data_says_is_never_markup() {
        let bars = vec![("<script>alert(1)".to_owned(), 3)];
        let page = section("a \"b\" & c", "", &bars);
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
        assert!(page.contains("a &quot;b&quot; &amp; c"));
        assert_eq!(cut("one\ntwo"), "one two");
        assert_eq!(cut(&"x".repeat(21)).len(), 20);
    }
}
