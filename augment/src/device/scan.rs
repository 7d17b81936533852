//! Scans.

use super::Plan;
use super::blur::{Side, separable};
use super::geometry::reduced;
use crate::Dose;
use crate::filter::Border;
use crate::scan as cpu;

pub(crate) fn low_resolution(plan: &mut Plan, dose: &Dose) {
    let (w, h) = (plan.size.0 as u32, plan.size.1 as u32);
    let (sw, sh) = cpu::scanned(dose, (w, h));
    let small = reduced(plan, (sw, sh));
    let [(columns, across), (rows, down)] = [(sw, w), (sh, h)].map(|(from, to)| {
        let places = cpu::between(from, to);
        let at = plan.ints(places.iter().flat_map(|(a, b, _)| [*a as i32, *b as i32]));
        (at, plan.floats(places.iter().map(|p| p.2)))
    });
    let threads = 3 * plan.pixels();
    plan.launch("enlarge", threads, &[small, columns, across, rows, down]).of_ints(&[sw as i32]);
}

pub(crate) fn document(plan: &mut Plan, dose: &Dose) {
    let (pixels, sheet) = (plan.pixels(), cpu::Sheet::of(dose));
    let (raw, paper) = (plan.scratch(4 * pixels), plan.scratch(4 * pixels));
    plan.launch("normal_field", pixels, &[raw]).key(sheet.paper).of_floats(&[0., 1.]);
    let sides = (Side(raw, false), Side(paper, false));
    separable(plan, sides, (&sheet.soft, &sheet.soft), (1, Border::Mirror), 1.);
    let [[ax, ay], [bx, by]] = sheet.grating;
    let looks = [sheet.sin, sheet.cos, sheet.fade, sheet.moire, sheet.grain, ax, ay, bx, by, cpu::LID];
    plan.launch("document", pixels, &[paper]).of_floats(&looks);
}
