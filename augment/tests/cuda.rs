//! The kernels on a GPU beside the CPU path. Needs a device (but for the first two):
//! `cargo test --release -p foveate-augment --features cuda -- --ignored cuda`.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_augment::cuda::{Device, Error, compile};
use foveate_augment::{CORRUPTIONS, Dose, Severity, find, parse};
use image::{Rgb, RgbImage};

fn picture(w: u32, h: u32) -> RgbImage {
    RgbImage::from_fn(w, h, |x, y| {
        let n = (x * 31 + y * 17) ^ (x * y);
        Rgb([(x * 4 + y) as u8, (y * 5) as u8, if (x / 9 + y / 6) % 2 == 0 { 30 } else { n as u8 }])
    })
}

#[test]
fn cuda_without_such_a_device_is_an_error() {
    assert!(matches!(Device::new(4096), Err(Error::Device { ordinal: 4096, .. })));
}

#[test]
#[ignore = "needs libnvrtc"]
fn cuda_kernels_compile_by_nvrtc() {
    compile().unwrap();
}

#[test]
#[ignore = "needs a GPU"]
fn cuda_is_the_cpu_path_to_a_grey_level() {
    let device = Device::new(0).unwrap();
    let sizes = [(61, 47), (33, 70), (16, 16), (1, 1), (3, 40), (640, 480)];
    let images = sizes.map(|(w, h)| picture(w, h));
    let batch = device.upload(&images).unwrap();
    let composed = parse("fog+jpeg_compression").unwrap();
    let mut wrong = Vec::new();
    for corruption in CORRUPTIONS.iter().copied().chain([&*composed]) {
        for (share, pixel) in [(0.2, 1.), (0.6, 1.), (1., 1.), (0.13, 1.7)] {
            let severity = Severity::fraction(share).unwrap();
            let doses = [0, 1, 2, 3, 4, 5].map(|seed| Dose { severity, seed, pixel });
            let out = device.download(&device.apply(corruption, &batch, &doses).unwrap()).unwrap();
            for ((ours, image), dose) in out.iter().zip(&images).zip(&doses) {
                let theirs = corruption.apply_dose(image, dose);
                let most = ours.iter().zip(theirs.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                if most > 1 {
                    wrong.push(format!("{} {:?} {dose:?}: {most}", corruption.name(), image.dimensions()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "needs a GPU"]
fn cuda_results_stay_on_the_device_and_can_be_corrupted_again() {
    let device = Device::new(0).unwrap();
    let images = [picture(50, 40), picture(20, 90)];
    let doses = [1, 2].map(|seed| Dose::new(Severity::LEVELS[2], seed));
    let (noise, blur) = (find("impulse_noise").unwrap(), find("gaussian_blur").unwrap());
    let once = device.apply(noise, &device.upload(&images).unwrap(), &doses).unwrap();
    assert_eq!(once.pictures()[1].size, (20, 90));
    let twice = device.download(&device.apply(blur, &once, &doses).unwrap()).unwrap();
    for ((ours, image), dose) in twice.iter().zip(&images).zip(&doses) {
        let theirs = blur.apply_dose(&noise.apply_dose(image, dose), dose);
        assert!(ours.iter().zip(theirs.iter()).all(|(a, b)| a.abs_diff(*b) <= 1));
    }
    assert!(matches!(device.apply(blur, &once, &doses[..1]), Err(Error::Doses { pictures: 2, doses: 1 })));
}
