//! What stands in an image of `shapes`, and how it is painted.

use crate::synth::{canvas, draw};
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Names and sRGB values.
pub(super) const COLOURS: [(&str, [u8; 3]); 6] = [
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
pub(super) const SHAPES: [(&str, Inside); 4] = [
    ("circle", |x, y| x * x + y * y <= 1.),
    ("square", |x, y| x.abs() <= 0.88 && y.abs() <= 0.88),
    ("triangle", |x, y| y <= 0.85 && x.abs() <= (y + 0.95) * 0.55),
    ("cross", |x, y| x.abs().max(y.abs()) <= 0.98 && x.abs().min(y.abs()) <= 0.32),
];

/// One figure; colour and shape are indices into the tables.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) colour: usize,
    pub(super) shape: usize,
    /// Column and row of the 2x2 grid of cells.
    pub(super) cell: (usize, usize),
    /// Centre in pixels.
    centre: (f32, f32),
    radius: f32,
    /// The colour as painted.
    paint: [u8; 3],
}

impl Object {
    pub(super) fn colour_name(&self) -> &'static str {
        COLOURS[self.colour].0
    }

    pub(super) fn shape_name(&self) -> &'static str {
        SHAPES[self.shape].0
    }

    /// `[x, y, width, height]` in whole pixels, holding the figure, inside the image.
    pub(super) fn bounds(&self, size: u32) -> [u32; 4] {
        let edge = |v: f32| (v.max(0.) as u32).min(size);
        let (x0, y0) =
            (edge((self.centre.0 - self.radius).floor()), edge((self.centre.1 - self.radius).floor()));
        let (x1, y1) =
            (edge((self.centre.0 + self.radius).ceil()), edge((self.centre.1 + self.radius).ceil()));
        [x0, y0, x1 - x0, y1 - y0]
    }
}

/// The figures of one image: colours, shapes and cells are all distinct.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) size: u32,
    pub(super) objects: Vec<Object>,
}

impl Scene {
    pub(super) fn draw(rng: &mut ChaCha8Rng, size: u32) -> Self {
        let count = rng.random_range(1..=3);
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
        let paint = COLOURS[colour].1.map(|c| c.saturating_add_signed(rng.random_range(-12..=12)));
        Object { colour, shape, cell, centre, radius, paint }
    }

    pub(super) fn render(&self, rng: &mut ChaCha8Rng) -> RgbImage {
        let mut image = canvas::texture(rng, self.size, self.size);
        for object in &self.objects {
            canvas::fill(&mut image, object.centre, object.radius, object.paint, SHAPES[object.shape].1);
        }
        image
    }
}
