//! Linear filters over rows of samples: what stands outside the image, separable kernels, shifted sums.

mod bilinear;
mod border;
mod distance;
mod edges;
mod reduce;
mod separable;

pub(crate) use bilinear::bilinear;
pub(crate) use border::Border;
pub(crate) use distance::{STEPS, distance_to_set};
pub(crate) use edges::canny;
pub(crate) use reduce::{box_resize, box_taps};
pub(crate) use separable::{Kernel, blur_plane, blur_rows, filter_row};
