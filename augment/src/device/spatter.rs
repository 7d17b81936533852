//! Rain or mud on the lens.

use super::Plan;
use super::blur::{Side, separable};
use crate::Dose;
use crate::filter::{Border, Kernel, STEPS};
use crate::weather::spatter::{EDGES, FAR, Kind, MUD, WATER, spatter_liquid, third};

pub(crate) fn spatter(plan: &mut Plan, dose: &Dose) {
    let (pixels, liquid) = (plan.pixels(), spatter_liquid(dose));
    let raw = plan.scratch(4 * pixels);
    let launch = plan.launch("normal_field", pixels, &[raw]).key(liquid.key);
    launch.of_floats(&[liquid.loc, liquid.scale]);
    let smooth = filtered(plan, raw, &liquid.smooth, Border::Edge);
    match liquid.kind {
        Kind::Water { cut, strength } => water(plan, smooth, cut, strength),
        Kind::Mud { cut, soft } => {
            let drops = plan.scratch(4 * pixels);
            plan.launch("above", pixels, &[smooth, drops]).of_floats(&[cut]);
            let mud = filtered(plan, drops, &soft, Border::Edge);
            plan.launch("mud", pixels, &[mud]).of_floats(&MUD);
        }
    }
}

/// A plane filtered by one kernel both ways.
fn filtered(plan: &mut Plan, from: i32, kernel: &Kernel, border: Border) -> i32 {
    let to = plan.scratch(4 * plan.pixels());
    separable(plan, (Side(from, false), Side(to, false)), (kernel, kernel), (1, border), 1.);
    to
}

fn water(plan: &mut Plan, liquid: i32, cut: f32, strength: f32) {
    let (pixels, third) = (plan.pixels(), third());
    let drops = plan.scratch(pixels);
    plan.launch("as_bytes", pixels, &[liquid, drops]).of_floats(&[cut, 255.]);
    let distance = outline_distance(plan, drops);
    let smooth = filtered(plan, distance, &third, Border::Reflect);
    let (flat, counts, table) = (plan.scratch(pixels), plan.data(vec![0; 1024]), plan.scratch(256));
    plan.launch("as_bytes", pixels, &[smooth, flat]).of_floats(&[0., 1.]);
    plan.launch("count_greys", pixels, &[flat, counts]);
    plan.launch("equal_table", 256, &[counts, table]);
    let relief = plan.scratch(4 * pixels);
    plan.launch("emboss", pixels, &[flat, table, relief]);
    let relief = filtered(plan, relief, &third, Border::Reflect);
    let (wet, most) = (plan.scratch(4 * pixels), plan.ints([0]));
    plan.launch("wetness", pixels, &[drops, relief, wet, most]);
    let [r, g, b] = WATER;
    plan.launch("water", pixels, &[wet, most]).of_floats(&[r, g, b, strength]);
}

/// The distance of each pixel to an edge of the drops.
fn outline_distance(plan: &mut Plan, drops: i32) -> i32 {
    let pixels = plan.pixels();
    let (slope, crest) = (plan.scratch(8 * pixels), plan.scratch(pixels));
    let (parent, strong) = (plan.scratch(4 * pixels), plan.scratch(4 * pixels));
    plan.launch("slope", pixels, &[drops, slope]);
    plan.launch("crest", pixels, &[slope, crest, parent, strong]).of_ints(&EDGES);
    plan.launch("join", pixels, &[crest, parent]);
    plan.launch("mark", pixels, &[crest, parent, strong]);
    let [mut now, mut next] = [plan.scratch(4 * pixels), plan.scratch(4 * pixels)];
    plan.launch("distance_start", pixels, &[crest, parent, strong, now]).of_ints(&[(FAR << 16) as i32]);
    // A step costs at least one, so that nothing nearer than `FAR` is more steps away.
    for _ in 0..FAR {
        plan.launch("distance_step", pixels, &[now, next]).of_ints(&STEPS.map(|s| s as i32));
        (now, next) = (next, now);
    }
    plan.launch("distance_end", pixels, &[now, next]);
    next
}
