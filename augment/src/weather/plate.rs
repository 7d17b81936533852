//! Frosted window panes, made from nothing: the photographs of the published code have no known licence. Five plates
//! with the mean and spread of colour of the five that it draws from.

use crate::filter::{Border, Kernel, blur_plane};
use crate::random::Key;
use image::{Rgb, RgbImage};
use std::sync::OnceLock;

const WIDTH: usize = 640;
const HEIGHT: usize = 420;

/// A plate's colour and how much of its texture is haze, needles and grain.
struct Look {
    mean: [f32; 3],
    spread: [f32; 3],
    haze: f32,
    needles: f32,
    /// Length of a needle in pixels.
    length: f32,
}

/// Means and standard deviations of red, green and blue measured on the published photographs.
const LOOKS: [Look; 5] = [
    Look { mean: [78., 149., 166.], spread: [27., 16.5, 15.], haze: 0.8, needles: 0.4, length: 40. },
    Look { mean: [201., 205., 214.], spread: [21., 22., 22.5], haze: 0.5, needles: -0.6, length: 45. },
    Look { mean: [201., 205., 214.], spread: [21., 22., 22.5], haze: 0.5, needles: -0.6, length: 30. },
    Look { mean: [138., 153., 165.], spread: [28.5, 28.5, 30.], haze: 0.45, needles: 0.6, length: 18. },
    Look { mean: [112., 123., 135.], spread: [44., 43., 42.], haze: 0.5, needles: 0.7, length: 28. },
];

/// The five plates, made once.
pub(crate) fn plates() -> &'static [RgbImage] {
    static PLATES: OnceLock<Vec<RgbImage>> = OnceLock::new();
    PLATES.get_or_init(|| LOOKS.iter().enumerate().map(|(i, look)| plate(look, i as u64)).collect())
}

fn plate(look: &Look, number: u64) -> RgbImage {
    let key = |what: &str| Key::new(number, what);
    let haze = smooth(key("frost haze"), 45.);
    let cloud = smooth(key("frost cloud"), 8.);
    let grain = smooth(key("frost grain"), 0.7);
    let needles = unit(needles(key("frost needles"), look.length));
    let mixed = (0..WIDTH * HEIGHT)
        .map(|i| look.haze * haze[i] + 0.3 * cloud[i] + look.needles * needles[i] + 0.36 * grain[i])
        .collect();
    let texture = unit(mixed);
    RgbImage::from_fn(WIDTH as u32, HEIGHT as u32, |x, y| {
        let t = texture[y as usize * WIDTH + x as usize];
        Rgb(std::array::from_fn(|c| (look.mean[c] + look.spread[c] * t).round().clamp(0., 255.) as u8))
    })
}

/// White noise smoothed by a Gaussian, of mean 0 and variance 1.
fn smooth(key: Key, sigma: f32) -> Vec<f32> {
    let mut noise = vec![0.; WIDTH * HEIGHT];
    noise.chunks_mut(WIDTH).enumerate().for_each(|(y, row)| key.row(y as u32).normals(row));
    let kernel = Kernel::gaussian(sigma, 3.);
    unit(blur_plane(&noise, WIDTH, (&kernel, &kernel), Border::Mirror))
}

/// Shifted and scaled to mean 0 and variance 1.
fn unit(mut plane: Vec<f32>) -> Vec<f32> {
    let n = plane.len() as f64;
    let mean = plane.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = plane.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
    let scale = 1. / variance.sqrt().max(1e-9);
    plane.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * scale) as f32);
    plane
}

/// Feathers of ice: stems in random places, each with barbs to both sides that shorten towards the tip.
fn needles(key: Key, length: f32) -> Vec<f32> {
    let mut plane = vec![0.; WIDTH * HEIGHT];
    let stems = (WIDTH * HEIGHT) as f32 / (length * length) * 1.6;
    for stem in 0..stems as u32 {
        let draw = |i: u32, low: f32, high: f32| key.between(8 * stem + i, low, high);
        let (x, y) = (draw(0, 0., WIDTH as f32), draw(1, 0., HEIGHT as f32));
        let (angle, long, light) =
            (draw(2, 0., std::f32::consts::TAU), draw(3, 0.4, 1.3) * length, draw(4, 0.3, 1.));
        let at = |along: f32| (x + along * angle.cos(), y + along * angle.sin());
        line(&mut plane, at(0.), at(long), light);
        let barbs = (long / 4.) as u32;
        for barb in 0..barbs {
            let along = long * barb as f32 / barbs as f32;
            let reach = 0.35 * (long - along) * draw(5, 0.5, 1.2);
            for side in [-0.9f32, 0.9] {
                let (from, turn) = (at(along), angle + side);
                line(
                    &mut plane,
                    from,
                    (from.0 + reach * turn.cos(), from.1 + reach * turn.sin()),
                    0.7 * light,
                );
            }
        }
    }
    plane
}

/// A line that fades towards its end, a sample every half pixel, each shared among four pixels.
fn line(plane: &mut [f32], from: (f32, f32), to: (f32, f32), light: f32) {
    let steps = (2. * (to.0 - from.0).hypot(to.1 - from.1)).max(1.) as u32;
    for step in 0..steps {
        let part = step as f32 / steps as f32;
        let (x, y) = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
        let (fx, fy) = (x - x.floor(), y - y.floor());
        for (dx, dy, weight) in
            [(0, 0, (1. - fx) * (1. - fy)), (1, 0, fx * (1. - fy)), (0, 1, (1. - fx) * fy), (1, 1, fx * fy)]
        {
            let (px, py) = (x.floor() as i64 + dx, y.floor() as i64 + dy);
            if (0..WIDTH as i64).contains(&px) && (0..HEIGHT as i64).contains(&py) {
                plane[py as usize * WIDTH + px as usize] += weight * light * (1. - 0.8 * part);
            }
        }
    }
}
