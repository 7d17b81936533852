//! What is said to the model: one script an entry of [`SCRIPTS`].
//!
//! `<image>` stands for a picture, `{question}` for the question alone, `{task}` for the question as its task
//! asks it, with options and the form of the answer.

/// The words of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// The name in recipes.
    pub name: &'static str,
    /// The system's turn; empty for none.
    pub system: &'static str,
    /// The first turn: asks for a box.
    pub first: &'static str,
    /// Shows the part that was asked for.
    pub shown: &'static str,
    /// Shows the whole image again, where the box cannot be used.
    pub again: &'static str,
    /// Follows either: asks for the answer.
    pub last: &'static str,
    /// Follows either where there may be more boxes: asks for one, or for the answer.
    pub more: &'static str,
    /// Whether a question without a full stop gets one.
    pub full_stop: bool,
}

/// Every script.
pub const SCRIPTS: &[Script] = &[MGPO, BRIEF];

/// The course of MGPO's conversation (arXiv:2507.05920) in words of our own.
const MGPO: Script = Script {
    name: "mgpo",
    system: "You are a helpful assistant. You answer questions about images in steps. First find the part of the \
             image that the question is about, and end your reply with its coordinates in JSON, like this:\n\
             ```json\n[{\"bbox_2d\": [x1, y1, x2, y2], \"label\": \"what is there\"}]\n```\nThen stop: that part \
             will be cut out, enlarged and shown to you. When you have seen it, answer the question, with the \
             final answer in \\boxed{}.",
    first: "<image>{question} Say first where to look: output the coordinates of the key area in JSON.",
    shown: "This is the area at your coordinates, enlarged.\n<image>\n",
    again: "These are no coordinates that can be used. This is the original image again.\n<image>\n",
    last: "{task}\nLook at both images step by step, at the original where the second one does not show enough. \
           Put the final answer in \\boxed{}.",
    more: "{question} If you have to look elsewhere, output further coordinates of the original image in JSON. \
           If not, put the final answer in \\boxed{}.",
    full_stop: true,
};

/// The same course with hardly a word, for small models.
const BRIEF: Script = Script {
    name: "brief",
    system: "",
    first: "<image>{question} Which box?",
    shown: "<image>",
    again: "<image>not a box. ",
    last: "{task}",
    more: "{question} Which box or answer?",
    full_stop: false,
};
