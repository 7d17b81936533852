//! The CUDA kernels, compiled for the CPU through `cuda/shim.h`, beside the CPU path: every corruption that has
//! kernels, every size and severity here, to one grey level.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_augment::device::{Buffer, Plan, names, plan};
use foveate_augment::{Dose, Severity, find};
use image::{Rgb, RgbImage};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The runner, compiled from the kernels as they stand. Any C++ compiler will do; `CXX` names another than `c++`.
fn runner() -> PathBuf {
    let cuda = Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda");
    let to = std::env::temp_dir().join(format!("foveate-augment-runner-{}", std::process::id()));
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    // Without contraction, as the kernels are compiled with -fmad=false.
    let words = ["-O2", "-std=c++17", "-ffp-contract=off", "-o"];
    let out = Command::new(compiler).args(words).arg(&to).arg(cuda.join("runner.cpp")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    to
}

/// A plan as the runner reads it.
fn written(plan: &Plan, image: &RgbImage) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((plan.buffers.len() as u32).to_le_bytes());
    for buffer in &plan.buffers {
        let bytes = match buffer {
            Buffer::Picture => image.as_raw().clone(),
            // Not zeros: a kernel must not count on them.
            Buffer::Scratch(bytes) => vec![0xa5; *bytes],
            Buffer::Data(bytes) => bytes.clone(),
        };
        out.extend((bytes.len() as u64).to_le_bytes());
        out.extend(bytes);
    }
    out.extend((plan.launches.len() as u32).to_le_bytes());
    for launch in &plan.launches {
        out.extend((launch.kernel.len() as u32).to_le_bytes());
        out.extend(launch.kernel.bytes());
        out.extend(launch.buffers.iter().flat_map(|b| b.to_le_bytes()));
        out.extend(launch.key.to_le_bytes());
        let sizes = [launch.threads, launch.size.0, launch.size.1];
        out.extend(sizes.iter().flat_map(|n| (*n as i32).to_le_bytes()));
        out.extend(launch.ints.iter().flat_map(|v| v.to_le_bytes()));
        out.extend(launch.floats.iter().flat_map(|v| v.to_le_bytes()));
    }
    out
}

fn run(runner: &Path, plan: &Plan, image: &RgbImage) -> RgbImage {
    let mut child = Command::new(runner)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&written(plan, image)).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    RgbImage::from_raw(image.width(), image.height(), out.stdout).unwrap()
}

fn picture(w: u32, h: u32) -> RgbImage {
    RgbImage::from_fn(w, h, |x, y| {
        let n = (x * 31 + y * 17) ^ (x * y);
        Rgb([(x * 4 + y) as u8, (y * 5) as u8, if (x / 9 + y / 6) % 2 == 0 { 30 } else { n as u8 }])
    })
}

#[test]
fn kernels_are_the_cpu_path_to_a_grey_level() {
    let runner = runner();
    let severities =
        [Severity::LEVELS[0], Severity::LEVELS[2], Severity::LEVELS[4], Severity::fraction(0.13).unwrap()];
    let mut wrong = Vec::new();
    for name in names() {
        let (mut worst, mut apart, mut all) = (0, 0, 0);
        for (w, h) in [(61, 47), (33, 70), (16, 16), (1, 1), (3, 40)] {
            for (severity, pixel) in severities.into_iter().zip([1., 1., 1., 1.7]) {
                let (image, dose) = (picture(w, h), Dose { severity, seed: 11, pixel });
                let theirs = find(name).unwrap().apply_dose(&image, &dose);
                let ours = run(&runner, &plan(name, &dose, w, h).unwrap(), &image);
                let differences: Vec<u8> =
                    ours.iter().zip(theirs.iter()).map(|(a, b)| a.abs_diff(*b)).collect();
                let most = differences.iter().copied().max().unwrap();
                apart += differences.iter().filter(|d| **d > 0).count();
                all += differences.len();
                worst = worst.max(most);
                if most > 1 {
                    wrong.push(format!("{name} {w}x{h} {severity:?} pixel {pixel}: {most}"));
                }
            }
        }
        println!("{name}: at most {worst} apart, {apart} of {all} elements differ");
    }
    std::fs::remove_file(&runner).ok();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_has_no_kernels_has_no_plan() {
    let dose = |severity| Dose::new(severity, 0);
    assert_eq!(plan("nothing", &dose(Severity::LEVELS[0]), 4, 4), None);
    assert_eq!(plan("contrast", &dose(Severity::ZERO), 4, 4), None);
    assert!(names().all(|n| find(n).is_ok()));
}
