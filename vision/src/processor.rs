//! Messages and pictures to the ids and patches that a model reads.
//!
//! Decides that each picture's placeholder is repeated once for each of its tokens, and that every mismatch
//! between placeholders and pictures is an error. Knows nothing of models.

use std::{fmt, path::Path, sync::Arc};

use crate::images::{ImageProcessor, Patches};
use crate::text::{ChatTemplate, Content, Message, Tokenizer};
use crate::{Error, Result};

const IMAGE_TOKEN: &str = "<|image_pad|>";
const VIDEO_TOKEN: &str = "<|video_pad|>";

/// Stands for what an assistant said, where only what follows it is wanted.
const SAID: &str = "[said]";

/// Files beside the tokenizer's that are carried from the directory read to the directory written, where
/// they exist.
pub const KEPT: [&str; 10] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
];

/// What a model is asked: ids with every placeholder repeated, and the pictures in prompt order.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// Token ids.
    pub input_ids: Vec<u32>,
    /// One entry for each picture; shared, so that a group or a view costs nothing.
    pub images: Vec<Arc<Patches>>,
}

/// Everything of a model directory that stands before the model.
#[derive(Clone, Debug)]
pub struct Processor {
    /// Pictures to patches.
    pub images: ImageProcessor,
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// Messages to text.
    pub template: ChatTemplate,
    /// `<|image_pad|>`
    pub image_token_id: u32,
    /// `<|video_pad|>`, which prompts must not have.
    pub video_token_id: u32,
    kept: Arc<[Kept]>,
}

/// A file's name and contents.
struct Kept(&'static str, Box<[u8]>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.0, self.1.len())
    }
}

impl Processor {
    /// Reads tokenizer, chat template and image settings of a model directory.
    ///
    /// # Errors
    /// As [`ImageProcessor::from_dir`], [`Tokenizer::from_dir`] and [`ChatTemplate::from_dir`]; and
    /// [`Error::Input`] for a tokenizer without `<|image_pad|>` or `<|video_pad|>`.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let images = ImageProcessor::from_dir(dir)?;
        let template = ChatTemplate::from_dir(dir)?;
        let tokenizer = Tokenizer::from_dir(dir)?;
        let place = dir.join(Tokenizer::FILE);
        let id = |token: &str| {
            let missing =
                || Error::input(place.display(), "added_tokens", format!("with {token}"), "without");
            tokenizer.id(token).ok_or_else(missing)
        };
        let (image_token_id, video_token_id) = (id(IMAGE_TOKEN)?, id(VIDEO_TOKEN)?);
        let kept = read_kept(dir)?;
        Ok(Self { images, tokenizer, template, image_token_id, video_token_id, kept })
    }

    /// Renders the messages with the assistant's turn opened, and gives each placeholder as many tokens as
    /// its picture has merge blocks. `images` are the pictures of the messages in reading order.
    ///
    /// # Errors
    /// [`Error::Input`] with both counts where messages, rendered placeholders and `images` do not agree
    /// (a text that has `<|image_pad|>` in it counts as a placeholder).
    pub fn prompt(&self, messages: &[Message], images: &[Arc<Patches>]) -> Result<Prompt> {
        let contents = messages.iter().flat_map(|message| &message.content);
        let asked = contents.filter(|content| matches!(content, Content::Image(_))).count();
        self.equal("images", asked, "contents of type image", images.len())?;
        self.expand(&self.template.render(messages, true)?, images)
    }

    /// The ids of `user`'s turn where it follows an assistant's turn that stands as ids already: from the
    /// assistant's closing token, which is the first of them, up to the opening of the next turn. `history` are
    /// the messages before that assistant's turn.
    ///
    /// What was said is not needed, so it is never tokenised again: a closing token is special, and text behind
    /// it is cut the same way whatever stands before.
    ///
    /// # Errors
    /// As [`Processor::prompt`], for `user` and `images` alone; and a template that does not close an
    /// assistant's turn with a token of its own behind the text.
    pub fn turn(&self, history: &[Message], user: &Message, images: &[Arc<Patches>]) -> Result<Prompt> {
        let asked = user.content.iter().filter(|content| matches!(content, Content::Image(_))).count();
        self.equal("images", asked, "contents of type image", images.len())?;
        let messages = [history, &[Message::text("assistant", SAID), user.clone()]].concat();
        let text = self.template.render(&messages, true)?;
        let rest = text.rfind(SAID).map(|at| &text[at + SAID.len()..]);
        let prompt = self.expand(rest.unwrap_or_default(), images)?;
        let special = |id: &u32| self.tokenizer.decode(&[*id], true).is_ok_and(|text| text.is_empty());
        match prompt.input_ids.first().is_some_and(special) {
            true => Ok(prompt),
            false => {
                let expected = "a special token right behind the text of an assistant's turn";
                Err(Error::input(
                    "chat template",
                    "closing",
                    expected,
                    format!("{:?}", rest.unwrap_or_default()),
                ))
            }
        }
    }

    /// The ids of a rendered text, every placeholder as many times as its picture has tokens.
    fn expand(&self, text: &str, images: &[Arc<Patches>]) -> Result<Prompt> {
        let ids = self.tokenizer.encode(text)?;
        if ids.contains(&self.video_token_id) {
            return Err(Error::input("prompt", "messages", format!("without {VIDEO_TOKEN}"), "with it"));
        }
        let placeholders = ids.iter().filter(|&&id| id == self.image_token_id).count();
        self.equal("images", placeholders, "placeholders <|image_pad|>", images.len())?;
        let mut next = images.iter();
        let mut input_ids = Vec::with_capacity(ids.len());
        for id in ids {
            let picture = if id == self.image_token_id { next.next() } else { None };
            let copies = picture.map_or(1, |picture| picture.image_tokens(self.images.merge_size));
            input_ids.extend(std::iter::repeat_n(id, copies));
        }
        Ok(Prompt { input_ids, images: images.to_vec() })
    }

    /// Writes the files that were read to `dir`, byte for byte.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.tokenizer.save(dir)?;
        for Kept(name, bytes) in self.kept.iter() {
            let path = dir.join(name);
            std::fs::write(&path, bytes).map_err(Error::io(path))?;
        }
        Ok(())
    }

    fn equal(&self, field: &str, expected: usize, what: &str, found: usize) -> Result<()> {
        if expected == found {
            return Ok(());
        }
        Err(Error::input("prompt", field, format!("{expected}, as there are {expected} {what}"), found))
    }
}

fn read_kept(dir: &Path) -> Result<Arc<[Kept]>> {
    let existing = KEPT.into_iter().map(|name| (name, dir.join(name))).filter(|(_, path)| path.exists());
    existing
        .map(|(name, path)| Ok(Kept(name, std::fs::read(&path).map_err(Error::io(&path))?.into())))
        .collect()
}
