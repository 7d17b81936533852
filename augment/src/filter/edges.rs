//! Canny's edges as OpenCV finds them: Sobel's 3x3 gradient, its L1 size, maxima across the edge, and what hangs
//! together with a strong one.

/// Whether each pixel of a plane of `w` columns is an edge: its gradient is a maximum above `high`, or one above
/// `low` that touches an edge.
pub(crate) fn canny(plane: &[u8], w: usize, low: i32, high: i32) -> Vec<bool> {
    let gradient = gradient(plane, w);
    let h = plane.len() / w;
    let size = |x: i64, y: i64| {
        let inside = (0..w as i64).contains(&x) && (0..h as i64).contains(&y);
        if inside { length(gradient[y as usize * w + x as usize]) } else { 0 }
    };
    let mut edge = vec![false; plane.len()];
    let mut weak = vec![false; plane.len()];
    let mut strong = Vec::new();
    for (place, step) in gradient.iter().enumerate() {
        let here = length(*step);
        if here > low && is_crest(*step, here, (place % w) as i64, (place / w) as i64, size) {
            if here > high {
                edge[place] = true;
                strong.push(place);
            } else {
                weak[place] = true;
            }
        }
    }
    while let Some(place) = strong.pop() {
        for next in around(place, w, h) {
            if std::mem::take(&mut weak[next]) {
                edge[next] = true;
                strong.push(next);
            }
        }
    }
    edge
}

fn length([x, y]: [i16; 2]) -> i32 {
    i32::from(x.abs()) + i32::from(y.abs())
}

/// The places next to one, across corners too.
fn around(place: usize, w: usize, h: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (place % w, place / w);
    let span = |i: usize, n: usize| i.saturating_sub(1)..=(i + 1).min(n - 1);
    span(y, h).flat_map(move |y| span(x, w).map(move |x| y * w + x))
}

/// Sobel's derivative to the right and down; the edge is repeated.
fn gradient(plane: &[u8], w: usize) -> Vec<[i16; 2]> {
    let h = plane.len() / w;
    let mut out = vec![[0; 2]; plane.len()];
    for (y, to) in out.chunks_exact_mut(w).enumerate() {
        let row = |y: usize| &plane[y * w..][..w];
        let rows = [row(y.saturating_sub(1)), row(y), row((y + 1).min(h - 1))];
        for (x, t) in to.iter_mut().enumerate() {
            let (l, r) = (x.saturating_sub(1), (x + 1).min(w - 1));
            let at = |row: usize, x: usize| i16::from(rows[row][x]);
            let across = |row| at(row, r) - at(row, l);
            let below = at(2, l) + 2 * at(2, x) + at(2, r);
            *t = [across(0) + 2 * across(1) + across(2), below - at(0, l) - 2 * at(0, x) - at(0, r)];
        }
    }
    out
}

/// Whether the gradient is at its largest along its own direction, taken as one of four.
fn is_crest([dx, dy]: [i16; 2], here: i32, x: i64, y: i64, size: impl Fn(i64, i64) -> i32) -> bool {
    // tan(22.5°) and tan(67.5°) in 15 bits of fraction.
    let (wide, high) = (i64::from(dx.abs()), i64::from(dy.abs()) << 15);
    let flat = wide * 13573;
    if high < flat {
        return here > size(x - 1, y) && here >= size(x + 1, y);
    }
    if high > flat + (wide << 16) {
        return here > size(x, y - 1) && here >= size(x, y + 1);
    }
    let side = if (dx ^ dy) < 0 { -1 } else { 1 };
    here > size(x - side, y - 1) && here > size(x + side, y + 1)
}
