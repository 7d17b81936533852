//! Coloured figures in the cells of a 2x2 grid: what `shapes`, `prior` and `quality` show.

use super::{canvas, draw};
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Names and sRGB values.
pub(crate) const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [216, 40, 36]),
    ("green", [36, 164, 60]),
    ("blue", [44, 84, 220]),
    ("yellow", [240, 212, 44]),
    ("purple", [152, 60, 190]),
    ("white", [242, 242, 242]),
];

/// Whether a point, in units of the radius, lies in the figure.
type Inside = fn(f32, f32) -> bool;

/// Names and figures.
pub(crate) const SHAPES: [(&str, Inside); 4] = [
    ("circle", |x, y| x * x + y * y <= 1.),
    ("square", |x, y| x.abs() <= 0.88 && y.abs() <= 0.88),
    ("triangle", |x, y| y <= 0.85 && x.abs() <= (y + 0.95) * 0.55),
    ("cross", |x, y| x.abs().max(y.abs()) <= 0.98 && x.abs().min(y.abs()) <= 0.32),
];

/// One figure; colour and shape are indices into the tables.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) colour: usize,
    pub(crate) shape: usize,
    /// Column and row of the 2x2 grid of cells.
    pub(crate) cell: (usize, usize),
    /// Centre in pixels.
    pub(crate) centre: (f32, f32),
    pub(crate) radius: f32,
    /// The colour as painted.
    pub(crate) paint: [u8; 3],
}

impl Object {
    pub(crate) fn colour_name(&self) -> &'static str {
        COLOURS[self.colour].0
    }

    pub(crate) fn shape_name(&self) -> &'static str {
        SHAPES[self.shape].0
    }

    pub(crate) fn set_colour(&mut self, rng: &mut ChaCha8Rng, colour: usize) {
        self.colour = colour;
        self.paint = paint(rng, colour);
    }

    /// `[x, y, width, height]` in whole pixels, holding the figure, inside the image.
    pub(crate) fn bounds(&self, size: u32) -> [u32; 4] {
        let edge = |v: f32| (v.max(0.) as u32).min(size);
        let (x0, y0) =
            (edge((self.centre.0 - self.radius).floor()), edge((self.centre.1 - self.radius).floor()));
        let (x1, y1) =
            (edge((self.centre.0 + self.radius).ceil()), edge((self.centre.1 + self.radius).ceil()));
        [x0, y0, x1 - x0, y1 - y0]
    }
}

/// A colour as painted: never quite the same twice.
fn paint(rng: &mut ChaCha8Rng, colour: usize) -> [u8; 3] {
    COLOURS[colour].1.map(|c| c.saturating_add_signed(rng.random_range(-12..=12)))
}

/// The figures of one image: colours, shapes and cells are all distinct.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) size: u32,
    pub(crate) objects: Vec<Object>,
}

impl Scene {
    /// One to three figures.
    pub(crate) fn draw(rng: &mut ChaCha8Rng, size: u32) -> Self {
        Self::draw_with(rng, size, 1..=3)
    }

    /// As many figures as `counts` says, at most four.
    pub(crate) fn draw_with(
        rng: &mut ChaCha8Rng,
        size: u32,
        counts: std::ops::RangeInclusive<usize>,
    ) -> Self {
        let count = rng.random_range(counts).min(4);
        let colours = draw::permutation(rng, COLOURS.len());
        let shapes = draw::permutation(rng, SHAPES.len());
        let cells = draw::permutation(rng, 4);
        let objects = (0..count).map(|i| Self::object(rng, size, colours[i], shapes[i], cells[i])).collect();
        Self { size, objects }
    }

    fn object(rng: &mut ChaCha8Rng, size: u32, colour: usize, shape: usize, cell: usize) -> Object {
        let half = size as f32 / 2.;
        let radius = half * rng.random_range(0.30..0.44);
        let cell = (cell % 2, cell / 2);
        let slack = half / 2. - radius;
        let mut place = |c: usize| (c as f32 + 0.5) * half + rng.random_range(-slack..slack);
        let centre = (place(cell.0), place(cell.1));
        let paint = paint(rng, colour);
        Object { colour, shape, cell, centre, radius, paint }
    }

    /// What stands where, for `meta`.
    pub(crate) fn truth(&self) -> Value {
        let one = |o: &Object| json!({"color": o.colour_name(), "shape": o.shape_name(), "box": o.bounds(self.size)});
        self.objects.iter().map(one).collect()
    }

    pub(crate) fn render(&self, rng: &mut ChaCha8Rng) -> RgbImage {
        let mut image = canvas::texture(rng, self.size, self.size);
        for object in &self.objects {
            canvas::fill(&mut image, object.centre, object.radius, object.paint, SHAPES[object.shape].1);
        }
        image
    }
}
