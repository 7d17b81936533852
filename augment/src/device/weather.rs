//! Fog, snow and frost.

use super::Plan;
use super::blur::{Side, lines, streak};
use crate::Dose;
use crate::blur::clipped;
use crate::random::Key;
use crate::weather as cpu;
use image::RgbImage;

pub(crate) fn fog(plan: &mut Plan, dose: &Dose) {
    clouds(plan, &cpu::Clouds::of(dose, plan.size));
}

pub(crate) fn fog_hendrycks(plan: &mut Plan, dose: &Dose) {
    clouds(plan, &cpu::Clouds::of_256(dose, plan.size));
}

fn clouds(plan: &mut Plan, clouds: &cpu::Clouds) {
    let (side, pixels) = (clouds.side, plan.pixels());
    let mut grid = plan.floats([0.]);
    for level in cpu::plasma_levels(side, clouds.decay) {
        let cells = level.cells * level.cells;
        let (middle, finer) = (plan.scratch(4 * cells), plan.scratch(16 * cells));
        let ints = [level.cells as i32, level.draws as i32];
        plan.launch("plasma_middle", cells, &[grid, middle])
            .key(clouds.key)
            .of_ints(&ints)
            .of_floats(&[level.rough]);
        let launch = plan.launch("plasma_finer", cells, &[grid, middle, finer]).key(clouds.key);
        launch.of_ints(&ints).of_floats(&[level.rough]);
        grid = finer;
    }
    let extremes = plan.ints([i32::MAX, i32::MIN, 0]);
    let (values, bytes) = (side * side, 3 * pixels);
    let launch = plan.launch("extremes", values.max(bytes).div_ceil(1024), &[grid, extremes]);
    launch.of_ints(&[values as i32, bytes as i32]);
    let launch = plan.launch("fog", pixels, &[grid, extremes]);
    launch.of_ints(&[side as i32]).of_floats(&[clouds.amount, clouds.step]);
}

pub(crate) fn snow(plan: &mut Plan, dose: &Dose) {
    let (size, pixels) = (plan.size, plan.pixels());
    let flakes = cpu::Flakes::of(dose);
    let columns = clipped(size.0, flakes.zoom);
    let rows = clipped(size.1, flakes.zoom);
    let field = (columns.len(), rows.len());
    let places = field.0 * field.1;
    let (raw, blown) = (plan.scratch(4 * places), plan.scratch(4 * places));
    let ((columns, across), (rows, down)) = (lines(plan, &columns), lines(plan, &rows));
    let key = Key::new(dose.seed, cpu::SNOW.name);
    let launch = plan.launch("snow_field", places, &[raw, columns, across, rows, down]).key(key);
    launch.of_size(field.0, field.1).of_floats(&[flakes.loc, flakes.scale, flakes.cut]);
    plan.size = field;
    streak(plan, (Side(raw, false), Side(blown, false)), 1, &flakes.wind);
    if let Some(last) = plan.launches.last_mut() {
        last.of_size(field.0, field.1);
    }
    plan.size = size;
    plan.launch("snow", pixels, &[blown]).of_ints(&[field.0 as i32]).of_floats(&[flakes.mix, flakes.fade]);
}

pub(crate) fn frost(plan: &mut Plan, dose: &Dose) {
    frost_of(plan, dose, cpu::plates());
}

/// Frost drawn from these plates.
pub(crate) fn frost_of(plan: &mut Plan, dose: &Dose, plates: &[RgbImage]) {
    let (size, elements) = (plan.size, 3 * plan.pixels());
    let parts = cpu::FrostParts::of(dose, size, plates);
    let plate = plan.data(parts.plate.as_raw().clone());
    let [(columns, across), (rows, down)] = [&parts.columns, &parts.lines].map(|places| {
        let at = plan.ints(places.iter().flat_map(|p| p.at.map(|v| v as i32)).collect::<Vec<_>>());
        (at, plan.floats(places.iter().flat_map(|p| p.weight).collect::<Vec<_>>()))
    });
    let launch = plan.launch("frost", elements, &[plate, columns, across, rows, down]);
    launch.of_ints(&[parts.plate.width() as i32]).of_floats(&[parts.keep, parts.add]);
}
