//! How well numbers follow numbers, and how far they lie from them.

use super::mean;

/// Pearson's correlation (PLCC); `None` for fewer than two pairs or a side that is constant.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 2 {
        return None;
    }
    let (mx, my) = (mean(x)?, mean(y)?);
    let mut sums = [0.; 3];
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mx, y - my);
        sums[0] += dx * dy;
        sums[1] += dx * dx;
        sums[2] += dy * dy;
    }
    let scale = sums[1].sqrt() * sums[2].sqrt();
    (scale > 0. && scale.is_finite()).then(|| (sums[0] / scale).clamp(-1., 1.))
}

/// Spearman's correlation (SRCC): Pearson's of the average ranks.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    pearson(&ranks(x), &ranks(y))
}

/// Ranks from 1; equal values share the average of their places.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut out = vec![0.; values.len()];
    for tied in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let first = order.partition_point(|&i| values[i].total_cmp(&values[tied[0]]).is_lt());
        let shared = first as f64 + (tied.len() + 1) as f64 / 2.;
        tied.iter().for_each(|&i| out[i] = shared);
    }
    out
}

/// Kendall's tau-b (KRCC): pairs in the same order less pairs in the other, ties taken out of both sides (Kendall
/// 1945). Counted by merge sort (Knight 1966), so ten thousand pictures take milliseconds.
pub fn kendall(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 2 {
        return None;
    }
    let mut pairs: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let tied_x = tied(pairs.chunk_by(|a, b| a.0 == b.0).map(<[_]>::len));
    let tied_both = tied(pairs.chunk_by(|a, b| a == b).map(<[_]>::len));
    let mut ys: Vec<f64> = pairs.into_iter().map(|pair| pair.1).collect();
    let discordant = inversions(&mut ys);
    let tied_y = tied(ys.chunk_by(|a, b| a == b).map(<[_]>::len));
    let all = choose2(x.len());
    let balance = all - tied_x - tied_y + tied_both - 2. * discordant;
    let scale = ((all - tied_x) * (all - tied_y)).sqrt();
    (scale > 0.).then(|| (balance / scale).clamp(-1., 1.))
}

fn choose2(n: usize) -> f64 {
    n as f64 * (n as f64 - 1.) / 2.
}

fn tied(groups: impl Iterator<Item = usize>) -> f64 {
    groups.map(choose2).sum()
}

/// Sorts, and counts the pairs that stood in falling order.
fn inversions(values: &mut [f64]) -> f64 {
    if values.len() < 2 {
        return 0.;
    }
    let (left, right) = values.split_at_mut(values.len() / 2);
    let mut count = inversions(left) + inversions(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut i, mut j) = (0, 0);
    while i < left.len() || j < right.len() {
        if j == right.len() || (i < left.len() && left[i] <= right[j]) {
            merged.push(left[i]);
            i += 1;
        } else {
            count += (left.len() - i) as f64;
            merged.push(right[j]);
            j += 1;
        }
    }
    values.copy_from_slice(&merged);
    count
}

/// The root of the mean squared difference; `None` of nothing.
pub fn rmse(x: &[f64], y: &[f64]) -> Option<f64> {
    let squares: Vec<f64> = x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).collect();
    (x.len() == y.len()).then(|| mean(&squares)).flatten().map(f64::sqrt)
}
