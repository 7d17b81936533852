//! What the drawn tasks share: random streams and a canvas. Knows no question.

pub(crate) mod canvas;
pub(crate) mod draw;
pub(crate) mod text;
