//! Sets of module paths as patterns, by PEFT's rules: a pattern matches a whole path, a name its end.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::Target;
use crate::{Error, Result};

/// PEFT's word for every linear layer but the head.
const ALL: &str = "all-linear";

/// A [`Target`] that can be asked.
#[derive(Debug)]
pub(crate) enum Matcher<'a> {
    All,
    Pattern(Regex, &'a str),
    Names(&'a [String]),
}

impl Target {
    pub(crate) fn matcher(&self, place: &str) -> Result<Matcher<'_>> {
        match self {
            Self::Pattern(word) if word == ALL => Ok(Matcher::All),
            Self::Pattern(pattern) => {
                let whole = Regex::new(&format!("^(?:{pattern})$"));
                let wrong = |e: regex::Error| {
                    let found = format!("`{pattern}` ({e})");
                    Error::input(place, "target_modules", "a regular expression without look-around", found)
                };
                Ok(Matcher::Pattern(whole.map_err(wrong)?, pattern))
            }
            Self::Names(names) => Ok(Matcher::Names(names)),
        }
    }
}

fn ends(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

impl Matcher<'_> {
    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Pattern(regex, _) => regex.is_match(path),
            Self::Names(names) => names.iter().any(|name| ends(path, name)),
        }
    }

    /// What was said and fits none of `paths`.
    pub(crate) fn idle(&self, paths: &[String]) -> Option<String> {
        match self {
            Self::Names([]) => Some("an empty list".into()),
            Self::Names(names) => names.iter().find(|name| !paths.iter().any(|p| ends(p, name))).cloned(),
            Self::Pattern(_, pattern) => {
                (!paths.iter().any(|path| self.matches(path))).then(|| (*pattern).to_owned())
            }
            Self::All => None,
        }
    }
}

/// The value of the first pattern that matches the end of `path`.
pub(super) fn first<T: Copy>(patterns: &[(String, T)], path: &str) -> Option<T> {
    let fits =
        |pattern: &str| Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$")).is_ok_and(|r| r.is_match(path));
    patterns.iter().find(|(pattern, _)| fits(pattern)).map(|(_, value)| *value)
}

/// The last parts of paths with a number in the middle: for each number, what follows it.
type Numbered<'a> = BTreeMap<&'a str, BTreeMap<&'a str, BTreeSet<&'a str>>>;

/// `stem.number.rest`, at the first number that something follows.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let mut start = 0;
    for part in path.split('.') {
        let end = start + part.len();
        if start > 0 && end < path.len() && part.bytes().all(|b| b.is_ascii_digit()) {
            return Some((&path[..start - 1], part, &path[end + 1..]));
        }
        start = end + 1;
    }
    None
}

fn numbered<'a>(paths: &[&'a str]) -> Numbered<'a> {
    let mut all = Numbered::new();
    for (stem, number, rest) in paths.iter().filter_map(|path| split(path)) {
        all.entry(stem).or_default().entry(number).or_default().insert(rest);
    }
    all
}

/// A regular expression that matches `chosen` and no other of `paths`, nor any module around them.
pub(crate) fn pattern(chosen: &[&str], paths: &[&str]) -> String {
    let all = numbered(paths);
    let plain = chosen.iter().filter(|path| split(path).is_none()).map(|path| regex::escape(path));
    let mut alternatives: Vec<String> = plain.collect();
    for (stem, numbers) in numbered(chosen) {
        let mut alike: BTreeMap<&BTreeSet<&str>, Vec<&str>> = BTreeMap::new();
        numbers.iter().for_each(|(number, rests)| alike.entry(rests).or_default().push(number));
        for (rests, mut numbers) in alike {
            numbers.sort_by_key(|number| number.parse::<usize>().unwrap_or(usize::MAX));
            let every = all.get(stem).is_some_and(|all| all.len() == numbers.len());
            let numbers = if every { r"\d+".into() } else { one_of(numbers.into_iter().map(str::to_owned)) };
            let rests = one_of(rests.iter().map(|rest| regex::escape(rest)));
            alternatives.push(format!(r"{}\.{numbers}\.{rests}", regex::escape(stem)));
        }
    }
    alternatives.join("|")
}

fn one_of(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if let [word] = &words[..] { word.clone() } else { format!("({})", words.join("|")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 8] = [
        "model.language_model.layers.0.self_attn.q_proj",
        "model.language_model.layers.0.mlp.up_proj",
        "model.language_model.layers.1.self_attn.q_proj",
        "model.language_model.layers.1.mlp.up_proj",
        "model.language_model.layers.10.self_attn.q_proj",
        "model.language_model.layers.10.mlp.up_proj",
        "model.visual.blocks.0.mlp.up_proj",
        "model.visual.merger.mlp.0",
    ];

    fn chosen(target: &Target) -> Vec<&'static str> {
        let matcher = target.matcher("test").unwrap();
        PATHS.into_iter().filter(|path| matcher.matches(path)).collect()
    }

    #[test]
    fn a_pattern_of_a_set_matches_that_set() {
        for bits in 1..1u32 << PATHS.len() {
            let set: Vec<&str> = (0..PATHS.len()).filter(|i| bits >> i & 1 == 1).map(|i| PATHS[i]).collect();
            let pattern = pattern(&set, &PATHS);
            assert_eq!(chosen(&Target::Pattern(pattern.clone())), set, "{pattern}");
        }
        assert_eq!(
            pattern(&PATHS[..6], &PATHS),
            r"model\.language_model\.layers\.\d+\.(mlp\.up_proj|self_attn\.q_proj)"
        );
    }

    #[test]
    fn names_and_patterns_mean_what_they_mean_in_peft() {
        // Checked with peft 0.21.2, check_target_module_exists: a name is the end of a path after a dot, a
        // pattern is the whole path.
        assert_eq!(chosen(&Target::Names(vec!["up_proj".into()])).len(), 4);
        assert_eq!(chosen(&Target::Names(vec!["p_proj".into(), "mlp.0".into()])), [PATHS[7]]);
        assert_eq!(chosen(&Target::Pattern("up_proj".into())), [""; 0]);
        assert_eq!(chosen(&Target::Pattern(".*language_model.*up_proj".into())).len(), 3);
        assert_eq!(chosen(&Target::Pattern("all-linear".into())), PATHS);
        let paths = PATHS.map(str::to_owned);
        let names = Target::Names(vec!["q_proj".into(), "k_proj".into()]);
        assert_eq!(names.matcher("test").unwrap().idle(&paths).unwrap(), "k_proj");
        let error = Target::Pattern("(".into()).matcher("place").unwrap_err().to_string();
        assert!(error.starts_with("place: `target_modules`"), "{error}");
    }

    #[test]
    fn other_ranks_go_by_the_end_of_a_path() {
        let patterns = [(r"layers.1.self_attn.q_proj".to_owned(), 4), ("q_proj".to_owned(), 8)];
        assert_eq!(first(&patterns, PATHS[2]), Some(4));
        assert_eq!(first(&patterns, PATHS[0]), Some(8));
        assert_eq!(first(&patterns, PATHS[1]), None);
    }
}
