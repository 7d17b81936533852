//! `parity CHECKPOINT REFERENCE`: compares foveate with a dump of transformers and prints the table.
//!
//! REFERENCE is a folder as `tests/golden/model/ref/*`. Exits with 1 if anything is out of tolerance.

use std::path::Path;

#[path = "../tests/support/parity.rs"]
mod parity;

fn main() -> parity::Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(checkpoint), Some(reference)) = (arguments.next(), arguments.next()) else {
        return Err("usage: parity CHECKPOINT REFERENCE".into());
    };
    let table = parity::compare(Path::new(&checkpoint), Path::new(&reference))?;
    for (quantity, difference, tolerance) in &table.0 {
        let verdict = if difference <= tolerance { "ok" } else { "FAILED" };
        println!("{quantity:<34} {difference:>10.2e}  <= {tolerance:<8.0e} {verdict}");
    }
    match table.0.iter().all(|(_, difference, tolerance)| difference <= tolerance) {
        true => Ok(()),
        false => Err("out of tolerance".into()),
    }
}
