//! Which language a question is in.
//!
//! Trigrams and scripts tell it; a few words in one of the many languages that share a script tell little. A filter
//! therefore rejects what is clearly of another language and keeps what is not clear.

use crate::prompt::IMAGE_MARK;
use crate::{Error, Result};
use whatlang::{Lang, detect};

/// Two letters for the languages that most sets are in; the table of the detector has three for each.
const SHORT: [(&str, Lang); 16] = [
    ("ar", Lang::Ara),
    ("de", Lang::Deu),
    ("en", Lang::Eng),
    ("es", Lang::Spa),
    ("fr", Lang::Fra),
    ("hi", Lang::Hin),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("ko", Lang::Kor),
    ("nl", Lang::Nld),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ru", Lang::Rus),
    ("tr", Lang::Tur),
    ("vi", Lang::Vie),
    ("zh", Lang::Cmn),
];

/// The language with a code of ISO 639, two letters or three.
pub(super) fn named(code: &str) -> Result<Lang> {
    let short = SHORT.iter().find(|(short, _)| *short == code).map(|(_, lang)| *lang);
    short.or_else(|| Lang::from_code(code)).ok_or_else(|| {
        let known: Vec<_> = SHORT.iter().map(|(short, _)| *short).collect();
        let all: Vec<_> = Lang::all().iter().map(|lang| lang.code()).collect();
        Error::Invalid(format!(
            "no language has the code `{code}`; there are {}, {}",
            known.join(", "),
            all.join(", ")
        ))
    })
}

/// The name of the language of `text` where that is clear and none of `wanted`.
pub(super) fn other_than(wanted: &[Lang], text: &str) -> Option<&'static str> {
    let found = detect(&text.replace(IMAGE_MARK, " "))?;
    (found.is_reliable() && !wanted.contains(&found.lang())).then(|| found.lang().eng_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_language_is_told_and_an_unclear_one_is_kept() {
        let wanted = |codes: &[&str]| codes.iter().map(|c| named(c).unwrap()).collect::<Vec<_>>();
        let english =
            "<image>What is the name of the building that stands behind the two people in this picture?";
        let chinese = "<image>图片中左边的男人穿着什么颜色的衣服？";
        let german = "Welche Farbe hat das Auto, das vor dem Haus auf der linken Seite der Straße steht?";
        assert_eq!(other_than(&wanted(&["en"]), english), None);
        assert_eq!(other_than(&wanted(&["eng", "zh"]), chinese), None);
        assert_eq!(other_than(&wanted(&["en"]), chinese), Some("Mandarin"));
        assert_eq!(other_than(&wanted(&["en", "zh"]), german), Some("German"));
        for unclear in ["<image>", "1 + 1 = ?", "AB?", ""] {
            assert_eq!(other_than(&wanted(&["zh"]), unclear), None, "{unclear}");
        }
        let error = named("xx").unwrap_err().to_string();
        assert!(error.contains("`xx`") && error.contains("en") && error.contains("cmn"), "{error}");
    }
}
