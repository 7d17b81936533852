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
    kernels: crate::device::spatter::spatter,
};

/// Red, green and blue of pale turquoise and of mud.
pub(crate) const WATER: [f32; 3] = [175., 238., 238.];
pub(crate) const MUD: [f32; 3] = [63., 42., 20.];

/// What is on the lens.
pub(crate) struct Liquid {
    pub(crate) key: Key,
    /// Mean and deviation of the normals that it is made of.
    pub(crate) loc: f32,
    pub(crate) scale: f32,
    /// What smooths them.
    pub(crate) smooth: Kernel,
    pub(crate) kind: Kind,
}

/// Where the liquid is thick enough for a drop, and what a drop is.
pub(crate) enum Kind {
    Water { cut: f32, strength: f32 },
    Mud { cut: f32, soft: Kernel },
}

/// The liquid of a dose. Water and mud have nothing between them: above level 3 mud's constants begin at level 4's.
pub(crate) fn spatter_liquid(dose: &Dose) -> Liquid {
    let s = dose.severity;
    let (loc, scale, sigma, kind) = if s.next_level() <= 3 {
        let cut = s.constant(0.69, [0.69, 0.68, 0.68, 0.68, 0.68]);
        let strength = s.constant(0., [0.6, 0.6, 0.5, 0.5, 0.5]);
        (0.65, 0.3, s.constant(4., [4., 3., 2., 2., 2.]), Kind::Water { cut, strength })
    } else {
        let at_4 = |four: f32, five: f32| s.constant(four, [four, four, four, four, five]);
        let soft = Kernel::gaussian(1.5 * dose.pixel, 4.);
        (at_4(0.65, 0.67), at_4(0.3, 0.4), 1., Kind::Mud { cut: 0.65, soft })
    };
    let smooth = Kernel::gaussian(sigma * dose.pixel, 4.);
    Liquid { key: Key::new(dose.seed, SPATTER.name), loc, scale, smooth, kind }
}

fn spatter(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (w, liquid) = (image.width() as usize, spatter_liquid(dose));
    let mut plane = vec![0.; w * image.height() as usize];
    plane.par_chunks_mut(w).enumerate().for_each(|(y, to)| {
        wide!({
            liquid.key.row(y as u32).normals(to);
            to.iter_mut().for_each(|v| *v = liquid.loc + liquid.scale * *v);
        });
    });
    let mut plane = blur_plane(&plane, w, (&liquid.smooth, &liquid.smooth), Border::Edge);
    match liquid.kind {
        Kind::Water { cut, strength } => {
            let (wet, scale) = water(&plane, w, cut, strength);
            laid_on(image, &wet, |v, m, c| {
                let m = m * scale;
                v + m * WATER[c]
            })
        }
        Kind::Mud { cut, soft } => {
            plane.par_iter_mut().for_each(|v| *v = f32::from(u8::from(*v > cut)));
            let mud = blur_plane(&plane, w, (&soft, &soft), Border::Edge);
            laid_on(image, &mud, |v, m, c| {
                let m = if m < 0.8 { 0. } else { m };
                v * (1. - m) + m * MUD[c]
            })
        }
    }
}

/// Each element as `f(value, what lies on its pixel, channel)`.
#[inline(always)]
fn laid_on(image: &RgbImage, on: &[f32], f: impl Fn(f32, f32, usize) -> f32 + Sync) -> RgbImage {
    let w = image.width() as usize;
    rows!(image, |y, from, to| {
        let on = &on[y as usize * w..];
        for ((t, v), m) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0).zip(on) {
            *t = made(|c| byte(f(f32::from(v[c]), *m, c) + 0.001));
        }
    })
}

/// How much water stands before each pixel, and what brings the most of it to `strength`: the liquid, brighter within and
/// dark at the rim of a drop as its distance from the drops' outline, equalised and embossed, has it.
fn water(liquid: &[f32], w: usize, cut: f32, strength: f32) -> (Vec<f32>, f32) {
    let drops: Vec<u8> = liquid.par_iter().map(|v| if *v < cut { 0 } else { byte(*v * 255.) }).collect();
    let distance = distance_to_set(&canny(&drops, w, EDGES[0], EDGES[1]), w, FAR);
    let smooth: Vec<u8> = box_3(&distance, w).into_iter().map(byte).collect();
    let relief = emboss(&equalise(smooth), w);
    let relief = box_3(&relief, w);
    let wet: Vec<f32> = drops.iter().zip(&relief).map(|(d, r)| f32::from(*d) * r.round_ties_even()).collect();
    let most = wet.iter().copied().fold(0., f32::max);
    // Without a drop the published code divides by zero; here there is no water.
    (wet, if most > 0. { strength / most } else { 0. })
}

/// How steep a weak and a strong edge of a drop are, and how far from one counts.
pub(crate) const EDGES: [i32; 2] = [50, 150];
pub(crate) const FAR: u32 = 20;

/// The kernel of a mean over three.
pub(crate) fn third() -> Kernel {
    Kernel(vec![1. / 3., 1. / 3.])
}

/// The mean over 3x3.
fn box_3(plane: &[f32], w: usize) -> Vec<f32> {
    let third = third();
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
