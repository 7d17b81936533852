//! Writes a tiny model: `tiny qwen2_vl|qwen2_5_vl|qwen3_vl|quickstart OUT`.

use std::path::Path;

use foveate_vision::config::FAMILIES;
use foveate_vision::tiny::{self, TinySpec};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, out] = arguments.as_slice() else {
        return Err("usage: tiny qwen2_vl|qwen2_5_vl|qwen3_vl|quickstart OUT".into());
    };
    let family = FAMILIES.iter().find(|row| row.model_type == name).map(|row| row.family);
    let spec = match family {
        Some(family) => TinySpec::laws(family),
        None if name == "quickstart" => TinySpec::quickstart(),
        None => return Err(format!("`{name}` is not a tiny model").into()),
    };
    tiny::write(Path::new(out), &spec)?;
    Ok(())
}
