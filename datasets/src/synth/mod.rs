//! What the drawn tasks share: random streams, a canvas, figures, bitmap text, and the frame that turns pictures with
//! questions into a task. Knows no question of its own.

pub(crate) mod canvas;
pub(crate) mod draw;
pub(crate) mod drawn;
pub(crate) mod figures;
pub(crate) mod text;
