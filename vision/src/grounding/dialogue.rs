//! One conversation: whose turn it is, and what is said and shown next.

use std::sync::Arc;

use image::RgbImage;

use super::{Frame, Refusal, Region, Rules, SCRIPTS, Script, Sizes, crop, find};
use crate::config::Family;
use crate::images::ImageProcessor;
use crate::text::{Content, Message};
use crate::{Error, Result};

const IMAGE_MARK: &str = "<image>";

/// The rules of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// What is said.
    pub script: Script,
    /// The assistant's turns at most: those before the last are asked for boxes.
    pub turns: usize,
    /// Whether every conversation has all its turns. If not, a reply without a block of JSON is the answer.
    pub forced: bool,
    /// What coordinates count.
    pub frame: Frame,
    /// Which boxes can be used.
    pub rules: Rules,
    /// How the model's images are resized.
    pub images: ImageProcessor,
}

/// What follows a reply.
#[derive(Clone, Debug)]
pub enum Next {
    /// Another turn of the user.
    Turn(Turn),
    /// Nothing: the reply is the answer.
    Answer,
}

/// A turn of the user, with a picture.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What is said.
    pub message: Message,
    /// The part that was asked for; `None` for the original again.
    pub part: Option<Arc<RgbImage>>,
    /// Where the part is, or why there is none.
    pub region: std::result::Result<Region, Refusal>,
    /// Bytes of the reply that stay: what follows a usable box is dropped.
    pub keep: usize,
}

/// A conversation under way.
#[derive(Clone, Debug)]
pub struct Dialogue<'a> {
    protocol: &'a Protocol,
    image: Arc<RgbImage>,
    sizes: Sizes,
    question: String,
    task: String,
    messages: Vec<Message>,
    pictures: Vec<Arc<RgbImage>>,
    replies: usize,
}

impl Protocol {
    /// MGPO's: two turns, both forced, for a model of `family` whose images are resized by `images`.
    ///
    /// # Errors
    /// [`Error::Input`] for a script that there is not.
    pub fn new(script: &str, family: Family, images: &ImageProcessor) -> Result<Self> {
        let found = SCRIPTS.iter().find(|known| known.name == script).ok_or_else(|| {
            let known: Vec<_> = SCRIPTS.iter().map(|known| known.name).collect();
            Error::input("turns", "script", format!("one of {}", known.join(", ")), script)
        })?;
        let rules = Rules::of((images.patch_size * images.merge_size) as f64);
        let (frame, images) = (family.row().frame, images.clone());
        Ok(Self { script: *found, turns: 2, forced: true, frame, rules, images })
    }

    /// The sizes of an image.
    ///
    /// # Errors
    /// An image that cannot be resized.
    pub fn sizes(&self, image: &RgbImage) -> Result<Sizes> {
        let (width, height) = image.dimensions();
        let (read_height, read_width) = self.images.smart_resize(height as usize, width as usize)?;
        Ok(Sizes { original: (width, height), read: (read_width as u32, read_height as u32) })
    }
}

impl<'a> Dialogue<'a> {
    /// Opens a conversation about `image`: `question` is the question alone, `task` the question as its task
    /// asks it. Image marks in either are dropped: the script says where images stand.
    ///
    /// # Errors
    /// An image that cannot be resized.
    pub fn open(protocol: &'a Protocol, image: Arc<RgbImage>, question: &str, task: &str) -> Result<Self> {
        let plain = |text: &str| text.replace(IMAGE_MARK, "").trim().to_string();
        let (sizes, mut question, script) = (protocol.sizes(&image)?, plain(question), &protocol.script);
        if script.full_stop && !question.ends_with('.') {
            question.push('.');
        }
        let pictures = vec![image.clone()];
        let (task, messages, replies) = (plain(task), vec![], 0);
        let mut own = Self { protocol, image, sizes, question, task, messages, pictures, replies };
        if !script.system.is_empty() {
            own.messages.push(Message::text("system", script.system));
        }
        let single =
            if protocol.turns < 2 { format!("{IMAGE_MARK}{}", script.last) } else { script.first.into() };
        own.messages.push(own.user(&single));
        Ok(own)
    }

    /// Everything said so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The pictures of [`Dialogue::messages`], in reading order.
    pub fn pictures(&self) -> &[Arc<RgbImage>] {
        &self.pictures
    }

    /// The image's sizes.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Takes the assistant's reply. What follows a usable box is no part of the conversation any more.
    pub fn reply(&mut self, text: &str) -> Next {
        self.replies += 1;
        let Protocol { turns, forced, frame, rules, script, .. } = self.protocol;
        let found = find(text);
        let answered = !forced && found == Err(Refusal::NoBlock);
        if self.replies >= *turns || answered {
            self.messages.push(Message::text("assistant", text));
            return Next::Answer;
        }
        let end = found.as_ref().map_or(text.len(), |found| found.end);
        let region = found.and_then(|found| Region::new(found.bbox, *frame, self.sizes, rules));
        let keep = if region.is_ok() { end } else { text.len() };
        let part = region.as_ref().ok().map(|region| Arc::new(crop(&self.image, region)));
        self.messages.push(Message::text("assistant", &text[..keep]));
        let intro = if part.is_some() { script.shown } else { script.again };
        let rest = if self.replies + 1 == *turns { script.last } else { script.more };
        let message = self.user(&format!("{intro}{rest}"));
        self.messages.push(message.clone());
        self.pictures.push(part.clone().unwrap_or_else(|| self.image.clone()));
        Next::Turn(Turn { message, part, region, keep })
    }

    /// A user's turn of a piece of the script.
    fn user(&self, piece: &str) -> Message {
        let mut content = Vec::new();
        for (index, text) in piece.split(IMAGE_MARK).enumerate() {
            content.extend((index > 0).then_some(Content::Image(None)));
            // One of the two at most, so that a question with a brace in it stays as it is.
            let text = match text.contains("{task}") {
                true => text.replace("{task}", &self.task),
                false => text.replace("{question}", &self.question),
            };
            content.extend((!text.is_empty()).then_some(Content::Text(text)));
        }
        Message { role: "user".into(), content }
    }
}
