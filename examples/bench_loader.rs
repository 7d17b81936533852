//! Times the loader: JPEG files -> pixels -> resized -> patches, ahead of whoever takes them.
//!
//!     bench_loader ROWS.jsonl THREADS ROUNDS MAX_PIXELS
//!
//! ROWS names pictures as `prep import` takes them. Every round takes all of them once, in a shuffled order;
//! one line of JSON a round, in pictures per second. `benches/peers/loader.py` makes the files and runs this
//! beside transformers' torchvision processor. The allocator is that of `foveate`; with
//! `MIMALLOC_PURGE_DELAY=-1` it keeps freed pages, as `foveate` does.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use foveate_datasets::load::{Cursor, Mixture, Part, Prefetch};
use foveate_datasets::{DataOptions, Split, Task, open_data};
use foveate_vision::images::ImageProcessor;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [rows, threads, rounds, max_pixels] = args.as_slice() else {
        return Err("usage: bench_loader ROWS.jsonl THREADS ROUNDS MAX_PIXELS".into());
    };
    let threads = threads.parse()?;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let processor = ImageProcessor {
        patch_size: 14,
        temporal_patch_size: 2,
        merge_size: 2,
        min_pixels: 3136,
        max_pixels: max_pixels.parse()?,
        mean: [0.48145466, 0.4578275, 0.40821073],
        std: [0.26862954, 0.261_302_6, 0.275_777_1],
    };
    let options = DataOptions { train: Some(rows.clone()), ..DataOptions::default() };
    let task: Arc<dyn Task> = open_data(&options)?.into();
    let count = task.len(Split::Train);
    let mixture = Mixture::new(vec![Part { task: task.clone(), weight: 1.0 }], Split::Train, 0, false)?;
    let mut cursor = Cursor::default();
    for _ in 0..rounds.parse()? {
        let draws: Vec<_> = (0..count).map(|_| mixture.next(&mut cursor)).collect();
        let (task, processor) = (task.clone(), processor.clone());
        let start = Instant::now();
        let loader = Prefetch::new(draws.into_iter(), 2 * threads, move |draw| {
            let sample = task.sample(Split::Train, draw.indices.start).map_err(|e| e.to_string())?;
            let picture = sample.images[0].decode().map_err(|e| e.to_string())?;
            processor.patches(&picture).map_err(|e| e.to_string())
        });
        let (mut patches, mut grid) = (0, [0; 3]);
        for loaded in loader {
            let loaded = loaded??;
            grid = loaded.grid_thw;
            patches += grid.iter().product::<usize>();
        }
        let rate = count as f64 / start.elapsed().as_secs_f64();
        println!(r#"{{"pictures":{rate:.2},"patches":{patches},"grid":{grid:?}}}"#);
    }
    Ok(())
}
