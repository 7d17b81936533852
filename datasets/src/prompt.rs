//! Where the images stand in a question. Never guesses: a count that does not fit is an error.

use crate::{Error, Result};

/// The mark that a question has in place of an image, as EasyR1, LLaVA and ms-swift write it.
pub const IMAGE_MARK: &str = "<image>";

/// A part of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The image with this index.
    Image(usize),
    /// Text between images, never empty.
    Text(String),
}

/// Splits `text` at its image marks. Without any mark the `images` images come first.
///
/// # Errors
/// The number of marks differs from `images`.
pub fn pieces(text: &str, images: usize) -> Result<Vec<Piece>> {
    let marks = text.matches(IMAGE_MARK).count();
    if marks == 0 {
        let tail = (!text.is_empty()).then(|| Piece::Text(text.to_owned()));
        return Ok((0..images).map(Piece::Image).chain(tail).collect());
    }
    if marks != images {
        return Err(Error::Invalid(format!("the text has {marks} `{IMAGE_MARK}` marks for {images} images")));
    }
    let mut out = Vec::new();
    for (i, part) in text.split(IMAGE_MARK).enumerate() {
        out.extend((i > 0).then(|| Piece::Image(i - 1)));
        out.extend((!part.is_empty()).then(|| Piece::Text(part.to_owned())));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_where_the_marks_are() {
        let text = |s: &str| Piece::Text(s.to_owned());
        let got = pieces("a<image>b<image>", 2).unwrap();
        assert_eq!(got, [text("a"), Piece::Image(0), text("b"), Piece::Image(1)]);
        assert_eq!(pieces("q", 2).unwrap(), [Piece::Image(0), Piece::Image(1), text("q")]);
        assert_eq!(pieces("q", 0).unwrap(), [text("q")]);
        let error = pieces("<image>q", 2).unwrap_err().to_string();
        assert!(error.contains('1') && error.contains('2'), "{error}");
    }
}
