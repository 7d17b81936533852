//! The size a picture is resized to: sides in whole merge blocks, area between two bounds.
//!
//! Equal to `smart_resize` of transformers (models/qwen2_vl/image_processing_qwen2_vl.py), not to the one of
//! `qwen_vl_utils`, which clamps each side before it looks at the area and so differs for thin pictures.

/// Widest ratio of the sides; transformers refuses more.
pub(super) const MAX_ASPECT: f64 = 200.0;

/// Sides `(height, width)` after resizing, multiples of `factor`; `None` where a side would vanish or the
/// aspect ratio is over [`MAX_ASPECT`]. Bounds are areas in pixels.
pub(super) fn smart_resize(
    (height, width): (usize, usize),
    factor: usize,
    min_pixels: u64,
    max_pixels: u64,
) -> Option<(usize, usize)> {
    if height == 0 || width == 0 || factor == 0 {
        return None;
    }
    let (h, w, f) = (height as f64, width as f64, factor as f64);
    let (low, high) = (min_pixels as f64, max_pixels as f64);
    if h.max(w) / h.min(w) > MAX_ASPECT {
        return None;
    }
    // Python's round goes to even at one half: 70 / 28 = 2.5 gives 2.
    let mut h_bar = (h / f).round_ties_even() * f;
    let mut w_bar = (w / f).round_ties_even() * f;
    if h_bar * w_bar > high {
        let beta = ((h * w) / high).sqrt();
        h_bar = f.max((h / beta / f).floor() * f);
        w_bar = f.max((w / beta / f).floor() * f);
    } else if h_bar * w_bar < low {
        let beta = (low / (h * w)).sqrt();
        h_bar = (h * beta / f).ceil() * f;
        w_bar = (w * beta / f).ceil() * f;
    }
    (h_bar > 0.0 && w_bar > 0.0).then_some((h_bar as usize, w_bar as usize))
}
