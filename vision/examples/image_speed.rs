//! Times JPEG bytes -> patches, by stage: `image_speed DIR THREADS ROUNDS MAX_PIXELS`.
//!
//! DIR holds `*.jpg`. Pictures run side by side on THREADS threads, and so does the work inside each. Every
//! round decodes, resizes and cuts all of them; one line of JSON a round, in pictures per second.
//! `benches/peers/images.py` makes the pictures and runs this beside transformers' processor.

use std::{error::Error, path::Path, time::Instant};

use foveate_vision::images::{ImageProcessor, Limits, decode};
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, threads, rounds, max_pixels] = args.as_slice() else {
        return Err("usage: image_speed DIR THREADS ROUNDS MAX_PIXELS".into());
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let processor = ImageProcessor {
        patch_size: 14,
        temporal_patch_size: 2,
        merge_size: 2,
        min_pixels: 3136,
        max_pixels: max_pixels.parse()?,
        mean: [0.48145466, 0.4578275, 0.40821073],
        std: [0.26862954, 0.261_302_6, 0.275_777_1],
    };
    let files = read(Path::new(dir))?;
    let limits = Limits::default();
    let rate = |start: Instant| files.len() as f64 / start.elapsed().as_secs_f64();
    for _ in 0..rounds.parse()? {
        let start = Instant::now();
        let pictures = each(&files, |bytes| decode(bytes, "jpeg", &limits))?;
        let decoded = rate(start);
        let start = Instant::now();
        each(&pictures, |picture| processor.resize(picture))?;
        let resized = rate(start);
        let start = Instant::now();
        each(&pictures, |picture| processor.patches(picture))?;
        let resized_and_cut = rate(start);
        drop(pictures);
        let start = Instant::now();
        let patches = each(&files, |bytes| processor.patches(&decode(bytes, "jpeg", &limits)?))?;
        let whole = rate(start);
        let grid = patches[0].grid_thw;
        println!(
            r#"{{"decode":{decoded:.2},"resize":{resized:.2},"resize_and_cut":{resized_and_cut:.2},"whole":{whole:.2},"grid":{grid:?}}}"#
        );
    }
    Ok(())
}

fn read(dir: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let paths =
        std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.iter().filter(|path| path.extension().is_some_and(|end| end == "jpg")).map(std::fs::read).collect()
}

fn each<A: Sync, B: Send>(
    items: &[A],
    work: impl Fn(&A) -> foveate_vision::Result<B> + Sync + Send,
) -> foveate_vision::Result<Vec<B>> {
    items.par_iter().map(work).collect()
}
