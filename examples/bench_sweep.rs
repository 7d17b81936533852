//! How well corrupting and answering overlap: the wall time of a sweep beside that of either alone.
//!
//!     RAYON_NUM_THREADS=1 cargo run --release --example bench_sweep -- MODEL_DIR [SIDE] [QUESTIONS] [TOKENS]
//!
//! Asks about drawn pictures of SIDE pixels, clean and under corruptions. `corrupting` is the sweep with a
//! policy that prepares pictures as the model wants them and answers at once; `model` is the model on prepared
//! pictures. The last column is the sweep's time over the larger of the two.
//!
//! What that ratio can be depends on who shares what. With one thread for each side (`RAYON_NUM_THREADS=1`) on two
//! cores, or with a model elsewhere, the sides do not compete and a perfect overlap is 1. Where both may use every core,
//! either alone fills the machine already, and the best is that no core waits: the CPU time over wall time and cores,
//! which is printed too.
#![allow(clippy::unwrap_used)] // a measurement, not a library

use foveate_augment::Scale;
use foveate_datasets::{OpenOptions, Split, open};
use foveate_eval::Store;
use foveate_eval::policy::{Asked, Demand, Failed, Local, Policy, Reply, Shown};
use foveate_eval::sweep::{Cell, Plan, images, run};
use image::RgbImage;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Prepares pictures as the model does, answers nothing, and may keep what it was asked.
struct Mute<'a> {
    model: &'a Local,
    kept: Option<Mutex<Vec<Asked<<Local as Policy>::Picture>>>>,
}

impl Policy for Mute<'_> {
    type Picture = <Local as Policy>::Picture;
    fn name(&self) -> &str {
        "mute"
    }
    fn sampling(&self) -> String {
        self.model.sampling()
    }
    fn pixels(&self) -> Option<[u64; 2]> {
        self.model.pixels()
    }
    fn resize(&self, picture: &RgbImage) -> foveate_eval::Result<RgbImage> {
        self.model.resize(picture)
    }
    fn prepare(&self, picture: &RgbImage) -> foveate_eval::Result<Shown<Self::Picture>> {
        self.model.prepare(picture)
    }
    fn demand(&self) -> Demand {
        self.model.demand()
    }
    fn answer(
        &self,
        asked: &[Asked<Self::Picture>],
    ) -> foveate_eval::Result<Vec<foveate_eval::Result<Reply, Failed>>> {
        if let Some(kept) = &self.kept {
            kept.lock().unwrap().extend_from_slice(asked);
        }
        Ok(asked.iter().map(|_| Ok(Reply::default())).collect())
    }
}

/// Seconds of a sweep, and the CPU seconds of this process in it.
fn timed<P: Policy>(plan: &Plan, policy: &P) -> (f64, f64) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let tally = run(plan, policy, &mut store, &AtomicBool::new(false), &mut |_| ()).unwrap();
    assert_eq!((tally.asked, tally.failed), (plan.len(), 0));
    (start.elapsed().as_secs_f64(), cpu_seconds() - cpu)
}

fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| words.get(at).map_or(default, |word| word.parse().unwrap());
    let (side, questions, tokens) = (number(1, 448), number(2, 64), number(3, 8));
    let model = Local::open(Path::new(&words[0]), tokens, 0.0).unwrap();
    let task = open("shapes", &OpenOptions { size: Some(side as u32), ..OpenOptions::default() }).unwrap();
    let names = ["gaussian_noise", "motion_blur", "contrast", "jpeg_compression", "fog"].map(str::to_owned);
    let cells = Cell::all(&names, &[1, 3, 5], None).unwrap();
    let images = images(task.as_ref(), Split::Test, Some(questions), 0, (0, 1)).unwrap();
    let plan = Plan { task: task.as_ref(), split: Split::Test, seed: 0, scale: Scale::Native, cells, images };
    let (cores, threads) =
        (std::thread::available_parallelism().map_or(1, usize::from), rayon::current_num_threads());
    println!("{} questions about pictures of {side} x {side}, {tokens} tokens", plan.len());
    println!("{threads} threads to prepare, {threads} to answer, {cores} cores");

    let keeping = Mute { model: &model, kept: Some(Mutex::default()) };
    timed(&plan, &keeping);
    let asked = keeping.kept.unwrap().into_inner().unwrap();
    model.answer(&asked[..1]).unwrap(); // the weights are read
    for round in 0..3 {
        let (corrupting, corrupting_cpu) = timed(&plan, &Mute { model: &model, kept: None });
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let demand = model.demand();
        let mut rest = &asked[..];
        while !rest.is_empty() {
            let mut spent = 0;
            let fits = rest.iter().take_while(|one| {
                spent += one.cost;
                spent <= demand.budget
            });
            let (batch, after) = rest.split_at(fits.count().max(1));
            model.answer(batch).unwrap();
            rest = after;
        }
        let (answering, answering_cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let (whole, whole_cpu) = timed(&plan, &model);
        let ratio = whole / corrupting.max(answering);
        let busy = 100.0 * whole_cpu / (whole * cores as f64);
        println!(
            "round {round}: corrupting {corrupting:.2} s ({corrupting_cpu:.2} CPU), model {answering:.2} s \
             ({answering_cpu:.2} CPU), sweep {whole:.2} s ({whole_cpu:.2} CPU, {busy:.0} % of {cores} cores): {ratio:.2}"
        );
    }
}
