//! Corruptions as lists of kernel launches: plain data, made from a dose and a picture's size without a GPU. The
//! kernels are in `cuda/`; the feature `cuda` runs a list on a device, the tests run it on the CPU through
//! `cuda/shim.h` and hold it to the table.

use crate::random::Key;
use crate::{Corruption, Dose, Severity};

pub(crate) mod blur;
pub(crate) mod cbar;
pub(crate) mod degrade;
pub(crate) mod geometry;
pub(crate) mod noise;
pub(crate) mod scan;
pub(crate) mod spatter;
pub(crate) mod spectrum;
pub(crate) mod weather;

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
    pub floats: [f32; 12],
}

/// A corruption of one picture as launches. Buffer 0 is the picture, buffer 1 the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What must be allocated.
    pub buffers: Vec<Buffer>,
    /// What must be run, in order.
    pub launches: Vec<Launch>,
    size: (usize, usize),
    /// The buffers that the step at hand reads the picture from and writes its result to.
    from: i32,
    to: i32,
}

/// The launches that corrupt a picture of `width` x `height` (at least one pixel); none if the corruption has no
/// kernels.
#[must_use]
pub fn plan(corruption: &dyn Corruption, dose: &Dose, width: u32, height: u32) -> Option<Plan> {
    if width == 0 || height == 0 {
        return None;
    }
    let size = (width as usize, height as usize);
    let buffers = vec![Buffer::Picture, Buffer::Scratch(3 * size.0 * size.1)];
    let mut plan = Plan { buffers, launches: Vec::new(), size, from: 0, to: 1 };
    plan.add(corruption, dose).then_some(plan)
}

impl Plan {
    /// Adds a corruption of what the step at hand reads; false if it has no kernels.
    pub fn add(&mut self, corruption: &dyn Corruption, dose: &Dose) -> bool {
        if dose.severity == Severity::ZERO {
            self.copy();
            return true;
        }
        corruption.kernels(self, dose)
    }

    /// So many steps one after another, each reading what the last one wrote; false if one of them has no kernels.
    pub(crate) fn chain(&mut self, steps: usize, mut step: impl FnMut(&mut Self, usize) -> bool) -> bool {
        let (first, last) = (self.from, self.to);
        if steps == 0 {
            self.copy();
        }
        let mut all = true;
        for i in 0..steps {
            self.to = if i + 1 == steps { last } else { self.scratch(3 * self.pixels()) };
            all &= step(self, i);
            self.from = self.to;
        }
        (self.from, self.to) = (first, last);
        all
    }

    fn copy(&mut self) {
        let threads = 3 * self.pixels();
        self.launch("copy", threads, &[]);
    }

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

    fn data(&mut self, bytes: Vec<u8>) -> i32 {
        self.buffer(Buffer::Data(bytes))
    }

    fn ints(&mut self, values: impl IntoIterator<Item = i32>) -> i32 {
        self.data(values.into_iter().flat_map(i32::to_le_bytes).collect())
    }

    fn floats(&mut self, values: impl IntoIterator<Item = f32>) -> i32 {
        self.data(values.into_iter().flat_map(f32::to_le_bytes).collect())
    }

    /// A launch over `threads` with the picture and the result as its first buffers, and these after them.
    fn launch(&mut self, kernel: &'static str, threads: usize, others: &[i32]) -> &mut Launch {
        let mut buffers = [-1; 8];
        (buffers[0], buffers[1]) = (self.from, self.to);
        buffers[2..2 + others.len()].copy_from_slice(others);
        let launch =
            Launch { kernel, buffers, key: 0, threads, size: self.size, ints: [0; 9], floats: [0.; 12] };
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

    /// Other buffers than the step's to read the picture from and write the result to.
    fn between(&mut self, from: i32, to: i32) -> &mut Self {
        (self.buffers[0], self.buffers[1]) = (from, to);
        self
    }
}
