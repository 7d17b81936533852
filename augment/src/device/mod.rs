//! Corruptions as lists of kernel launches: plain data, made from a dose and a picture's size without a GPU. The
//! kernels are in `cuda/`; the feature `cuda` runs a list on a device, the tests run it on the CPU through
//! `cuda/shim.h` and hold it to the table.

use crate::{Dose, random::Key};

mod blur;
mod geometry;
mod noise;
mod weather;

/// What a buffer begins with.
#[derive(Debug, Clone, PartialEq)]
pub enum Buffer {
    /// The picture, `3 w h` bytes, there already.
    Picture,
    /// So many bytes of anything.
    Scratch(usize),
    /// These bytes.
    Data(Vec<u8>),
}

/// One launch of a kernel: `cuda/common.cuh`'s parameter block.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Which of the plan's buffers the kernel's eight are; -1 is none.
    pub buffers: [i32; 8],
    /// The key of the random numbers.
    pub key: u64,
    /// How many threads.
    pub threads: usize,
    /// Width and height of what the kernel works on.
    pub size: (usize, usize),
    /// Whole numbers, as the kernel says.
    pub ints: [i32; 9],
    /// Fractions, as the kernel says.
    pub floats: [f32; 8],
}

/// A corruption of one picture as launches. Buffer 0 is the picture, buffer 1 the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What must be allocated.
    pub buffers: Vec<Buffer>,
    /// What must be run, in order.
    pub launches: Vec<Launch>,
    size: (usize, usize),
}

/// Makes the plan of one corruption.
type Maker = fn(&mut Plan, &Dose);

/// Every corruption that has kernels.
const KERNELS: &[(&str, Maker)] = &[
    ("gaussian_noise", noise::gaussian),
    ("speckle_noise", noise::speckle),
    ("hawkeye_noise", noise::hawkeye),
    ("impulse_noise", noise::impulse),
    ("shot_noise", noise::shot),
    ("block_mask", noise::blocks),
    ("contrast", noise::contrast),
    ("brightness", noise::brightness),
    ("saturate", noise::saturate),
    ("hawkeye_darken", noise::darken),
    ("gaussian_blur", blur::gaussian),
    ("hawkeye_blur", blur::hawkeye),
    ("defocus_blur", blur::defocus),
    ("motion_blur", blur::motion),
    ("zoom_blur", blur::zoom),
    ("glass_blur", blur::glass),
    ("elastic_transform", geometry::elastic),
    ("pixelate", geometry::pixelate),
    ("jpeg_compression", geometry::jpeg),
    ("fog", weather::fog),
    ("snow", weather::snow),
    ("frost", weather::frost),
];

/// The names of the corruptions that have kernels.
pub fn names() -> impl Iterator<Item = &'static str> {
    KERNELS.iter().map(|(name, _)| *name)
}

/// The launches that corrupt a picture of `width` x `height` (at least one pixel); none if the corruption has no
/// kernels or the severity is zero.
#[must_use]
pub fn plan(name: &str, dose: &Dose, width: u32, height: u32) -> Option<Plan> {
    let (_, maker) = KERNELS.iter().find(|(n, _)| *n == name)?;
    if dose.severity.levels() == 0. || width == 0 || height == 0 {
        return None;
    }
    let size = (width as usize, height as usize);
    let result = Buffer::Scratch(3 * size.0 * size.1);
    let mut plan = Plan { buffers: vec![Buffer::Picture, result], launches: Vec::new(), size };
    maker(&mut plan, dose);
    Some(plan)
}

impl Plan {
    fn pixels(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// A new buffer's number.
    fn buffer(&mut self, buffer: Buffer) -> i32 {
        self.buffers.push(buffer);
        self.buffers.len() as i32 - 1
    }

    fn scratch(&mut self, bytes: usize) -> i32 {
        self.buffer(Buffer::Scratch(bytes))
    }

    fn ints(&mut self, values: impl IntoIterator<Item = i32>) -> i32 {
        self.buffer(Buffer::Data(values.into_iter().flat_map(i32::to_le_bytes).collect()))
    }

    fn floats(&mut self, values: impl IntoIterator<Item = f32>) -> i32 {
        self.buffer(Buffer::Data(values.into_iter().flat_map(f32::to_le_bytes).collect()))
    }

    /// A launch over `threads` with the picture and the result as its first buffers, and these after them.
    fn launch(&mut self, kernel: &'static str, threads: usize, others: &[i32]) -> &mut Launch {
        let mut buffers = [-1; 8];
        (buffers[0], buffers[1]) = (0, 1);
        buffers[2..2 + others.len()].copy_from_slice(others);
        let launch =
            Launch { kernel, buffers, key: 0, threads, size: self.size, ints: [0; 9], floats: [0.; 8] };
        let place = self.launches.len();
        self.launches.push(launch);
        &mut self.launches[place]
    }
}

impl Launch {
    fn key(&mut self, key: Key) -> &mut Self {
        self.key = key.bits();
        self
    }

    fn of_ints(&mut self, values: &[i32]) -> &mut Self {
        self.ints[..values.len()].copy_from_slice(values);
        self
    }

    fn of_floats(&mut self, values: &[f32]) -> &mut Self {
        self.floats[..values.len()].copy_from_slice(values);
        self
    }

    fn of_size(&mut self, width: usize, height: usize) -> &mut Self {
        self.size = (width, height);
        self
    }
}
