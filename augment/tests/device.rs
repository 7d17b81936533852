//! The CUDA kernels, compiled for the CPU through `cuda/shim.h`, beside the CPU path: every corruption of the table and
//! compositions of them, every size and severity here, to one grey level.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_augment::device::{Buffer, Plan, plan};
use foveate_augment::{CORRUPTIONS, Corruption, Dose, Frost, Severity, find, parse};
use image::{Rgb, RgbImage};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The runner, compiled from the kernels as they stand. Any C++ compiler will do; `CXX` names another than `c++`. Where
/// the compiler has them, bounds and undefined behaviour are checked at every access.
fn runner() -> PathBuf {
    let cuda = Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda");
    let to = std::env::temp_dir().join(format!("foveate-augment-runner-{}", std::process::id()));
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    // Without contraction, as the kernels are compiled with -fmad=false.
    let words = ["-O1", "-std=c++17", "-ffp-contract=off", "-o"];
    let checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let compile = |checks: &[&str]| {
        let mut command = Command::new(&compiler);
        command.args(checks).args(words).arg(&to).arg(cuda.join("runner.cpp")).output().unwrap()
    };
    if !compile(&checks).status.success() {
        println!("{compiler} has no sanitizers: bounds are not checked");
        let out = compile(&[]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
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

/// Runs each plan on its picture, one after another in one process.
fn run(runner: &Path, jobs: &[(RgbImage, Plan)]) -> Vec<RgbImage> {
    let mut child = Command::new(runner)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let out = std::thread::scope(|scope| {
        // Beside the reading, or both sides would wait for each other. A runner that stops early says why.
        scope.spawn(move || jobs.iter().try_for_each(|(image, plan)| input.write_all(&written(plan, image))));
        child.wait_with_output().unwrap()
    });
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut bytes = out.stdout.into_iter();
    let picture = |image: &RgbImage, bytes: Vec<u8>| RgbImage::from_raw(image.width(), image.height(), bytes);
    jobs.iter()
        .map(|(image, _)| picture(image, bytes.by_ref().take(image.len()).collect()).unwrap())
        .collect()
}

fn picture(w: u32, h: u32) -> RgbImage {
    RgbImage::from_fn(w, h, |x, y| {
        let n = (x * 31 + y * 17) ^ (x * y);
        Rgb([(x * 4 + y) as u8, (y * 5) as u8, if (x / 9 + y / 6) % 2 == 0 { 30 } else { n as u8 }])
    })
}

const SIZES: [(u32, u32); 5] = [(61, 47), (33, 70), (16, 16), (1, 1), (3, 40)];

/// Severities, each with what a pixel of the constants is and a seed.
fn doses() -> Vec<Dose> {
    let severities = [0.2, 0.4, 0.6, 0.8, 1., 0.13].map(|share| Severity::fraction(share).unwrap());
    let others = [(1., 11), (1., 12), (1., 13), (2.3, 14), (1., u64::MAX), (1.7, 0)];
    let dose = |(severity, (pixel, seed))| Dose { severity, seed, pixel };
    severities.into_iter().zip(others).map(dose).collect()
}

/// How far apart the two are at most, and which doses are more than one grey apart.
fn compare(runner: &Path, corruption: &dyn Corruption, wrong: &mut Vec<String>) -> u8 {
    let cases = SIZES.iter().flat_map(|(w, h)| doses().into_iter().map(move |dose| (picture(*w, *h), dose)));
    let cases: Vec<_> = cases.collect();
    let job = |(image, dose): &(RgbImage, Dose)| {
        (image.clone(), plan(corruption, dose, image.width(), image.height()).unwrap())
    };
    let ours = run(runner, &cases.iter().map(job).collect::<Vec<_>>());
    let mut worst = 0;
    for ((image, dose), ours) in cases.iter().zip(&ours) {
        let theirs = corruption.apply_dose(image, dose);
        let most = ours.iter().zip(theirs.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        worst = worst.max(most);
        if most > 1 {
            wrong.push(format!("{} {:?} {dose:?}: {most}", corruption.name(), image.dimensions()));
        }
    }
    worst
}

#[test]
fn kernels_are_the_cpu_path_to_a_grey_level() {
    let runner = runner();
    let plates = [(20, 30), (50, 13)].map(|(w, h)| picture(w, h)).to_vec();
    let frost = Frost::from_plates(plates).unwrap();
    let composed = [
        "gaussian_blur+jpeg_compression",
        "fog|spatter|contrast",
        "pixelate@2+block_mask@0+brightness",
        "any:c-bar",
    ];
    let composed: Vec<_> = composed.into_iter().map(|spec| parse(spec).unwrap()).collect();
    let all = CORRUPTIONS.iter().copied().chain(composed.iter().map(|c| &**c)).chain([&frost as _]);
    let mut wrong = Vec::new();
    for corruption in all {
        let worst = compare(&runner, corruption, &mut wrong);
        println!("{}: at most {worst} apart", corruption.name());
    }
    std::fs::remove_file(&runner).ok();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_copied_and_no_picture_has_no_plan() {
    let contrast = find("contrast").unwrap();
    let identity = plan(contrast, &Dose::new(Severity::ZERO, 0), 4, 4).unwrap();
    assert_eq!(identity.launches.iter().map(|l| l.kernel).collect::<Vec<_>>(), ["copy"]);
    assert_eq!(plan(contrast, &Dose::new(Severity::LEVELS[0], 0), 0, 4), None);
}

/// Bytes that a plan's launches must read and write at least, were each buffer of each launch moved once.
#[test]
#[ignore = "prints the table of docs/corruptions.md"]
fn bytes_moved() {
    for c in CORRUPTIONS {
        let (w, h) = (1024u32, 1024u32);
        let plan = plan(*c, &Dose::new(Severity::LEVELS[2], 0), w, h).unwrap();
        let size = |b: &i32| match &plan.buffers[*b as usize] {
            Buffer::Picture => 3 * (w * h) as usize,
            Buffer::Scratch(bytes) => *bytes,
            Buffer::Data(bytes) => bytes.len(),
        };
        let used = |kernel: &str, b: &i32| uses(kernel).contains(&(*b as usize));
        let mut moved = 0;
        for launch in &plan.launches {
            let slots = (0..8).filter(|k| launch.buffers[*k as usize] >= 0);
            moved += slots
                .filter(|k| used(launch.kernel, k))
                .map(|k| size(&launch.buffers[k as usize]))
                .sum::<usize>();
        }
        println!(
            "{}: {} launches, {:.1} bytes a pixel",
            c.name(),
            plan.launches.len(),
            moved as f64 / f64::from(w * h)
        );
    }
}

/// The buffers that a kernel's source names.
fn uses(kernel: &str) -> Vec<usize> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources = files.filter(|path| path.extension().is_some_and(|e| e == "cu"));
    let all: String = sources.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let body = all.split(&format!("void {kernel}(Params p)")).nth(1).unwrap();
    let body = body.split("__global__").next().unwrap();
    let named = |k: &usize| {
        [format!("p.b[{k}]"), format!("F32({k})"), format!("I32({k})"), format!("U32({k})")]
            .iter()
            .any(|w| body.contains(w))
    };
    (0..8).filter(named).collect()
}
