//! Where in the image the answer is, as a sample's metadata says.

use foveate_datasets::Sample;
use serde_json::Value;

/// The boxes that the question is about, `[x1, y1, x2, y2]` in pixels of the original: `meta.targets`, each
/// `[x, y, width, height]` or the number of one of `meta.objects` with such a `box`. Empty where there are
/// none.
pub fn targets(sample: &Sample) -> Vec<[f64; 4]> {
    let list =
        |key: &str| sample.meta.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let objects = list("objects");
    let one = |target: &Value| {
        let bounds = match target.as_u64() {
            Some(index) => objects.get(usize::try_from(index).ok()?)?.get("box")?,
            None => target,
        };
        let sides: Vec<f64> = bounds.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
        let [x, y, width, height] = sides.try_into().ok()?;
        Some([x, y, x + width, y + height])
    };
    list("targets").iter().filter_map(one).collect()
}

/// The smallest box around all of a sample's targets.
pub fn hull(sample: &Sample) -> Option<[f64; 4]> {
    let join = |a: [f64; 4], b: [f64; 4]| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])];
    targets(sample).into_iter().reduce(join)
}

/// Area in common over area of either, of boxes `[x1, y1, x2, y2]`.
pub fn intersection_over_union(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |b: [f64; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let common = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let either = area(a) + area(b) - common;
    if either > 0.0 { common / either } else { 0.0 }
}

/// Whether `region` has the centres of all targets in it.
pub(super) fn covers(region: [u32; 4], targets: &[[f64; 4]]) -> bool {
    let [x1, y1, x2, y2] = region.map(f64::from);
    targets.iter().all(|t| {
        let (x, y) = ((t[0] + t[2]) / 2.0, (t[1] + t[3]) / 2.0);
        (x1..=x2).contains(&x) && (y1..=y2).contains(&y)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(meta: &Value) -> Sample {
        let (id, problem, answer) = ("s".into(), "?".into(), "red".into());
        let meta = meta.as_object().unwrap().clone();
        Sample { id, problem, answer, choices: vec![], images: vec![], meta }
    }

    #[test]
    fn boxes_are_given_or_named() {
        let given = sample(&json!({"targets": [[10, 20, 5, 6], [0, 30, 2, 2]]}));
        assert_eq!(targets(&given), [[10.0, 20.0, 15.0, 26.0], [0.0, 30.0, 2.0, 32.0]]);
        assert_eq!(hull(&given), Some([0.0, 20.0, 15.0, 32.0]));
        let named =
            sample(&json!({"targets": [1], "objects": [{"box": [1, 1, 1, 1]}, {"box": [4, 5, 6, 7]}]}));
        assert_eq!(hull(&named), Some([4.0, 5.0, 10.0, 12.0]));
        assert_eq!(hull(&sample(&json!({"targets": [3, "x", [1, 2]], "objects": []}))), None);
        assert_eq!(hull(&sample(&json!({}))), None);
    }

    #[test]
    fn overlap_is_a_share() {
        let unit = [0.0, 0.0, 2.0, 2.0];
        assert_eq!(intersection_over_union(unit, unit), 1.0);
        // Two of six squares in common.
        assert!((intersection_over_union(unit, [1.0, 0.0, 3.0, 2.0]) - 2.0 / 6.0).abs() < 1e-12);
        assert_eq!(intersection_over_union(unit, [2.0, 2.0, 3.0, 3.0]), 0.0);
        assert_eq!(intersection_over_union([1.0; 4], [1.0; 4]), 0.0);
        assert!(
            covers([0, 0, 2, 2], &[[1.0, 1.0, 3.0, 3.0]]) && !covers([0, 0, 2, 2], &[[1.5, 1.0, 3.5, 3.0]])
        );
    }
}
