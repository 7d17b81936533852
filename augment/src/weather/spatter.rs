//! Rain or mud on the lens.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, made, rows, wide};
use crate::filter::{Border, Kernel, blur_plane, canny, distance_to_set};
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const SPATTER: Entry = Entry {
    name: "spatter",
    summary: "drops of water (levels 1 to 3) or mud (4, 5) on the lens (ImageNet-C, validation set)",
    random: true,
    render: spatter,
};

/// Red, green and blue of pale turquoise and of mud.
const WATER: [f32; 3] = [175., 238., 238.];
const MUD: [f32; 3] = [63., 42., 20.];

fn spatter(image: &RgbImage, dose: &Dose) -> RgbImage {
    let s = dose.severity;
    let w = image.width() as usize;
    // Water and mud have nothing between them: above level 3 mud's constants begin at level 4's.
    if s.next_level() <= 3 {
        let cut = s.constant(0.69, [0.69, 0.68, 0.68, 0.68, 0.68]);
        let liquid = liquid(image, dose, [0.65, 0.3, s.constant(4., [4., 3., 2., 2., 2.])]);
        let strength = s.constant(0., [0.6, 0.6, 0.5, 0.5, 0.5]);
        let wet = water(&liquid, w, cut, strength);
        return rows!(image, |y, from, to| {
            let wet = &wet[y as usize * w..];
            for ((t, f), m) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0).zip(wet) {
                *t = made(|c| byte(f32::from(f[c]) + m * WATER[c] + 0.001));
            }
        });
    }
    let at_4 = |four: f32, five: f32| s.constant(four, [four, four, four, four, five]);
    let liquid = liquid(image, dose, [at_4(0.65, 0.67), at_4(0.3, 0.4), 1.]);
    let mut mud = liquid;
    mud.par_iter_mut().for_each(|v| *v = f32::from(u8::from(*v > 0.65)));
    let soft = Kernel::gaussian(1.5 * dose.pixel, 4.);
    let mud = blur_plane(&mud, w, (&soft, &soft), Border::Edge);
    rows!(image, |y, from, to| {
        let mud = &mud[y as usize * w..];
        for ((t, f), m) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0).zip(mud) {
            let m = if *m < 0.8 { 0. } else { *m };
            *t = made(|c| byte(f32::from(f[c]) * (1. - m) + MUD[c] * m + 0.001));
        }
    })
}

/// Normals of a mean and a deviation, smoothed by a Gaussian of so many pixels.
fn liquid(image: &RgbImage, dose: &Dose, [loc, scale, sigma]: [f32; 3]) -> Vec<f32> {
    let w = image.width() as usize;
    let key = Key::new(dose.seed, SPATTER.name);
    let mut plane = vec![0.; w * image.height() as usize];
    plane.par_chunks_mut(w).enumerate().for_each(|(y, to)| {
        wide!({
            key.row(y as u32).normals(to);
            to.iter_mut().for_each(|v| *v = loc + scale * *v);
        });
    });
    let kernel = Kernel::gaussian(sigma * dose.pixel, 4.);
    blur_plane(&plane, w, (&kernel, &kernel), Border::Edge)
}

/// How much water stands before each pixel: the liquid, brighter within and dark at the rim of a drop as its distance
/// from the drops' outline, equalised and embossed, has it.
fn water(liquid: &[f32], w: usize, cut: f32, strength: f32) -> Vec<f32> {
    let drops: Vec<u8> = liquid.par_iter().map(|v| if *v < cut { 0 } else { byte(*v * 255.) }).collect();
    let distance = distance_to_set(&canny(&drops, w, 50, 150), w, 20.);
    let smooth: Vec<u8> = box_3(&distance, w).into_iter().map(byte).collect();
    let relief = emboss(&equalise(smooth), w);
    let relief = box_3(&relief, w);
    let mut wet: Vec<f32> =
        drops.iter().zip(&relief).map(|(d, r)| f32::from(*d) * r.round_ties_even()).collect();
    let most = wet.iter().copied().fold(0., f32::max);
    // Without a drop the published code divides by zero; here there is no water.
    let scale = if most > 0. { strength / most } else { 0. };
    wet.iter_mut().for_each(|v| *v *= scale);
    wet
}

/// The mean over 3x3.
fn box_3(plane: &[f32], w: usize) -> Vec<f32> {
    let third = Kernel(vec![1. / 3., 1. / 3.]);
    blur_plane(plane, w, (&third, &third), Border::Reflect)
}

/// The histogram made even, as OpenCV does it.
fn equalise(mut plane: Vec<u8>) -> Vec<u8> {
    let mut count = [0u32; 256];
    plane.iter().for_each(|v| count[usize::from(*v)] += 1);
    let first = count.iter().position(|n| *n > 0).unwrap_or(0);
    let rest = plane.len() as u32 - count[first];
    if rest == 0 {
        return plane;
    }
    let scale = 255. / rest as f32;
    let (mut sum, mut table) = (0, [0u8; 256]);
    for level in first + 1..256 {
        sum += count[level];
        table[level] = (sum as f32 * scale).round_ties_even() as u8;
    }
    plane.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
    plane
}

/// Light from the lower right.
fn emboss(plane: &[u8], w: usize) -> Vec<f32> {
    const RELIEF: [[i32; 3]; 3] = [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]];
    let h = plane.len() / w;
    let mut out = vec![0.; plane.len()];
    out.par_chunks_mut(w).enumerate().for_each(|(y, to)| {
        let lines = [-1, 0, 1].map(|d| &plane[Border::Reflect.at(y as i64 + d, h) * w..][..w]);
        for (x, t) in to.iter_mut().enumerate() {
            let columns = [Border::Reflect.at(x as i64 - 1, w), x, Border::Reflect.at(x as i64 + 1, w)];
            let line = |(line, weights): (&&[u8], [i32; 3])| {
                (0..3).map(|i| weights[i] * i32::from(line[columns[i]])).sum::<i32>()
            };
            *t = lines.iter().zip(RELIEF).map(line).sum::<i32>().clamp(0, 255) as f32;
        }
    });
    out
}
