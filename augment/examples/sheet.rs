//! A contact sheet of a list of corruptions: `cargo run -p foveate-augment --example sheet -- IMAGE LIST OUT.png`.

use foveate_augment::{Limits, Sheet, list, open, sheet};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [image, name, out] = words.as_slice() else { return Err("usage: sheet IMAGE LIST OUT.png".into()) };
    let picture = open(Path::new(image), &Limits::default())?;
    sheet(&picture.rgb, &list(name)?, &Sheet::default()).save(out)?;
    Ok(())
}
