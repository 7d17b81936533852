//! Linear filters over rows of samples: what stands outside the image, separable kernels, shifted sums.

mod border;
mod reduce;
mod separable;

pub(crate) use border::Border;
pub(crate) use reduce::box_reduce;
pub(crate) use separable::{Kernel, blur_plane, blur_rows, filter_row};
