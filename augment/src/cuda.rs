//! Runs plans on an NVIDIA GPU: the kernels are compiled by NVRTC when a device is opened, pictures stay on the device
//! until they are asked back. The one place of this crate with `unsafe`.
//!
//! Nothing of CUDA is linked: driver and NVRTC are looked for when a device is opened.

use crate::device::{Buffer, Launch, Plan, plan};
use crate::{Corruption, Dose};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, DriverError, LaunchConfig,
    PushKernelArg,
};
use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};
use image::RgbImage;
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;

/// The kernels and what they include, in the order that one file of them has.
const SOURCES: [&str; 11] = [
    include_str!("../cuda/math.cuh"),
    include_str!("../cuda/common.cuh"),
    include_str!("../cuda/noise.cu"),
    include_str!("../cuda/colour.cu"),
    include_str!("../cuda/blur.cu"),
    include_str!("../cuda/geometry.cu"),
    include_str!("../cuda/weather.cu"),
    include_str!("../cuda/scan.cu"),
    include_str!("../cuda/spatter.cu"),
    include_str!("../cuda/cbar.cu"),
    include_str!("../cuda/spectrum.cu"),
];

/// Threads of a block.
const BLOCK: u32 = 256;

/// Why the GPU did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No driver or no such device.
    #[error("no CUDA device {ordinal}: {reason}")]
    Device {
        /// Which was asked for.
        ordinal: usize,
        /// What the driver said.
        reason: String,
    },
    /// No NVRTC.
    #[error("NVRTC's library (libnvrtc) is not there")]
    NoCompiler,
    /// The kernels do not compile.
    #[error("the kernels do not compile: {0:?}")]
    Compile(#[from] CompileError),
    /// A call of the driver failed.
    #[error("CUDA: {0:?}")]
    Driver(#[from] DriverError),
    /// The corruption has no kernels.
    #[error("`{name}` has no kernels for a GPU")]
    NoKernels {
        /// Which.
        name: String,
    },
    /// As many doses as pictures are needed.
    #[error("{pictures} pictures but {doses} doses")]
    Doses {
        /// Pictures of the batch.
        pictures: usize,
        /// Doses given.
        doses: usize,
    },
}

/// A GPU with the kernels on it.
#[derive(Debug)]
pub struct Device {
    stream: Arc<CudaStream>,
    kernels: BTreeMap<String, CudaFunction>,
}

/// Pictures on a device, of any sizes.
#[derive(Debug)]
pub struct Batch {
    pictures: Vec<Picture>,
}

/// One picture on a device: interleaved RGB bytes, row after row.
#[derive(Debug)]
pub struct Picture {
    /// `3 width height` bytes.
    pub pixels: CudaSlice<u8>,
    /// Width and height.
    pub size: (u32, u32),
}

/// `cuda/common.cuh`'s parameter block.
#[repr(C)]
struct Params {
    buffers: [u64; 8],
    key: u64,
    threads: i32,
    width: i32,
    height: i32,
    ints: [i32; 9],
    floats: [f32; 12],
}

// SAFETY: plain numbers in C's layout, the same fields in the same order as the kernels' own block.
#[allow(unsafe_code)]
unsafe impl DeviceRepr for Params {}

/// The kernels as PTX, by NVRTC; needs no GPU.
///
/// # Errors
/// NVRTC's library is not there, or does not take the kernels.
pub fn compile() -> Result<Ptx, Error> {
    // Contraction would change draws in their last bit; see cuda/common.cuh.
    let options = CompileOptions { fmad: Some(false), ..CompileOptions::default() };
    // Without the library cudarc panics instead of telling.
    Ok(catch_unwind(|| compile_ptx_with_opts(source(), options)).map_err(|_| Error::NoCompiler)??)
}

/// All kernels as one source: NVRTC has no folder to include from.
fn source() -> String {
    let line = |line: &&str| !line.starts_with("#include") && !line.starts_with("#pragma once");
    let lines = SOURCES.iter().flat_map(|source| source.lines().filter(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The names of the kernels of a source.
fn names(source: &str) -> impl Iterator<Item = &str> {
    source.split("__global__ void ").skip(1).filter_map(|rest| rest.split('(').next())
}

impl Device {
    /// Opens a GPU and compiles the kernels for it.
    ///
    /// # Errors
    /// No driver, NVRTC or device of that number, or kernels that do not compile.
    pub fn new(ordinal: usize) -> Result<Self, Error> {
        let missing = |reason: String| Error::Device { ordinal, reason };
        // Without the driver's library, too.
        let context = catch_unwind(|| CudaContext::new(ordinal));
        let context =
            context.map_err(|_| missing("the driver's library (libcuda) is not there".to_owned()))?;
        let context = context.map_err(|error| missing(format!("{error:?}")))?;
        let module = context.load_module(compile()?)?;
        let kernel = |name: &str| Ok((name.to_owned(), module.load_function(name)?));
        let kernels = names(&source()).map(kernel).collect::<Result<_, Error>>()?;
        Ok(Self { stream: context.new_stream()?, kernels })
    }

    /// The stream that all work of this device is put on, for others to wait for or to go on with.
    #[must_use]
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Copies pictures to the device.
    ///
    /// # Errors
    /// The driver's.
    pub fn upload(&self, images: &[RgbImage]) -> Result<Batch, Error> {
        let one = |image: &RgbImage| {
            Ok(Picture { pixels: self.stream.clone_htod(image.as_raw())?, size: image.dimensions() })
        };
        Ok(Batch { pictures: images.iter().map(one).collect::<Result<_, Error>>()? })
    }

    /// Corrupts each picture at its dose; the results stay on the device. Returns when all is put on the stream.
    ///
    /// # Errors
    /// Another number of doses than of pictures, a corruption without kernels, or the driver's.
    pub fn apply(&self, corruption: &dyn Corruption, batch: &Batch, doses: &[Dose]) -> Result<Batch, Error> {
        if batch.pictures.len() != doses.len() {
            return Err(Error::Doses { pictures: batch.pictures.len(), doses: doses.len() });
        }
        let one = |(picture, dose): (&Picture, &Dose)| self.corrupted(corruption, picture, dose);
        let pictures = batch.pictures.iter().zip(doses).map(one).collect::<Result<_, _>>()?;
        Ok(Batch { pictures })
    }

    fn corrupted(&self, by: &dyn Corruption, picture: &Picture, dose: &Dose) -> Result<Picture, Error> {
        let (width, height) = picture.size;
        let pixels = if width == 0 || height == 0 {
            picture.pixels.try_clone()?
        } else {
            let plan = plan(by, dose, width, height);
            let plan = plan.ok_or_else(|| Error::NoKernels { name: by.name().to_owned() })?;
            self.run(&plan, &picture.pixels)?
        };
        Ok(Picture { pixels, size: picture.size })
    }

    /// Runs a plan's launches on a picture; the result.
    fn run(&self, plan: &Plan, picture: &CudaSlice<u8>) -> Result<CudaSlice<u8>, Error> {
        let mut buffers =
            plan.buffers.iter().map(|buffer| self.buffer(buffer)).collect::<Result<Vec<_>, _>>()?;
        let address = |buffer: &Option<CudaSlice<u8>>| {
            let slice = buffer.as_ref().unwrap_or(picture);
            // All work on these is put on this one stream, in order.
            slice.device_ptr(&self.stream).0
        };
        let addresses: Vec<u64> = buffers.iter().map(address).collect();
        for launch in &plan.launches {
            self.launch(launch, &addresses)?;
        }
        match buffers.swap_remove(1) {
            Some(result) => Ok(result),
            None => Ok(picture.try_clone()?),
        }
    }

    /// Memory for a buffer; none for the picture, which is there.
    #[allow(unsafe_code)]
    fn buffer(&self, buffer: &Buffer) -> Result<Option<CudaSlice<u8>>, Error> {
        match buffer {
            Buffer::Picture => Ok(None),
            Buffer::Data(bytes) => Ok(Some(self.stream.clone_htod(bytes)?)),
            // SAFETY: any bytes are bytes, and no kernel reads one that no kernel before it wrote (the tests run them
            // on memory full of garbage).
            Buffer::Scratch(bytes) => Ok(Some(unsafe { self.stream.alloc::<u8>(*bytes)? })),
        }
    }

    #[allow(unsafe_code)]
    fn launch(&self, launch: &Launch, addresses: &[u64]) -> Result<(), Error> {
        let address = |buffer: i32| usize::try_from(buffer).ok().and_then(|at| addresses.get(at).copied());
        let params = Params {
            buffers: launch.buffers.map(|buffer| address(buffer).unwrap_or(0)),
            key: launch.key,
            threads: launch.threads as i32,
            width: launch.size.0 as i32,
            height: launch.size.1 as i32,
            ints: launch.ints,
            floats: launch.floats,
        };
        let Some(kernel) = self.kernels.get(launch.kernel) else {
            return Err(Error::NoKernels { name: launch.kernel.to_owned() });
        };
        let blocks = (launch.threads as u32).div_ceil(BLOCK).max(1);
        let shape = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (BLOCK, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the block is the one argument of every kernel. The plan's buffers are as large as its kernels need
        // (tests/device.rs runs every plan under bounds), and live until the stream has gone past them: memory is
        // freed in the order of the stream.
        unsafe { self.stream.launch_builder(kernel).arg(&params).launch(shape)? };
        Ok(())
    }

    /// Copies a batch back, waiting for it.
    ///
    /// # Errors
    /// The driver's.
    pub fn download(&self, batch: &Batch) -> Result<Vec<RgbImage>, Error> {
        let one = |picture: &Picture| {
            let bytes = self.stream.clone_dtoh(&picture.pixels)?;
            Ok(RgbImage::from_raw(picture.size.0, picture.size.1, bytes).unwrap_or_default())
        };
        batch.pictures.iter().map(one).collect()
    }
}

impl Batch {
    /// The pictures, in the order of the upload.
    #[must_use]
    pub fn pictures(&self) -> &[Picture] {
        &self.pictures
    }
}
