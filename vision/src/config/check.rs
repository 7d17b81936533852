//! Whether the sizes of a config fit each other.
//!
//! Decides what the models may rely on without asking again. Knows nothing of spellings: fields are
//! named as the published files name them.

use super::{Config, Family};
use crate::{Error, Result};

pub(super) fn sizes(config: &Config, place: &str) -> Result<()> {
    let fit = |holds: bool, field: &str, expected: String, found: String| {
        if holds { Ok(()) } else { Err(Error::input(place, field, expected, found)) }
    };
    text(config, &fit)?;
    vision(config, &fit)?;
    tokens(config, &fit)
}

type Fit<'a> = &'a dyn Fn(bool, &str, String, String) -> Result<()>;

fn text(config: &Config, fit: Fit) -> Result<()> {
    let t = &config.text;
    fit(
        t.heads.is_multiple_of(t.kv_heads),
        "num_attention_heads",
        format!("a multiple of num_key_value_heads ({})", t.kv_heads),
        t.heads.to_string(),
    )?;
    fit(t.head_dim.is_multiple_of(2), "head_dim", "even".into(), t.head_dim.to_string())?;
    fit(
        t.mrope_section.iter().sum::<usize>() == t.head_dim / 2,
        "mrope_section",
        format!("three numbers with the sum {} (half of head_dim {})", t.head_dim / 2, t.head_dim),
        format!("{:?}", t.mrope_section),
    )
}

fn vision(config: &Config, fit: Fit) -> Result<()> {
    let (v, t) = (&config.vision, &config.text);
    let out = match config.family {
        Family::Qwen2Vl => "vision_config.hidden_size",
        _ => "vision_config.out_hidden_size",
    };
    let text_width = format!("{} (hidden_size of the text model)", t.hidden_size);
    fit(v.out_hidden_size == t.hidden_size, out, text_width, v.out_hidden_size.to_string())?;
    // The rotary angles of rows and of columns each take a quarter of a head.
    fit(
        v.hidden_size.is_multiple_of(4 * v.heads),
        "vision_config.hidden_size",
        format!("a multiple of 4 * num_heads ({})", 4 * v.heads),
        v.hidden_size.to_string(),
    )?;
    let block = v.patch_size * v.merge_size;
    let window = v.window_size.unwrap_or(block);
    fit(
        window.is_multiple_of(block),
        "vision_config.window_size",
        format!("a multiple of patch_size * spatial_merge_size ({block})"),
        window.to_string(),
    )?;
    blocks("vision_config.fullatt_block_indexes", &v.full_attention_blocks, v.depth, fit)?;
    let deepstack = "vision_config.deepstack_visual_indexes";
    blocks(deepstack, &v.deepstack_blocks, v.depth, fit)?;
    fit(
        v.deepstack_blocks.len() <= t.layers,
        deepstack,
        format!("at most {} blocks, one a text layer", t.layers),
        v.deepstack_blocks.len().to_string(),
    )?;
    let rows = v.position_embeddings.unwrap_or(1);
    fit(
        rows.isqrt().pow(2) == rows,
        "vision_config.num_position_embeddings",
        "a square number".into(),
        rows.to_string(),
    )
}

/// Block numbers are below the depth, and ascend: a list's place is also its merger's place.
fn blocks(field: &str, blocks: &[usize], depth: usize, fit: Fit) -> Result<()> {
    let ascending = blocks.windows(2).all(|pair| pair[0] < pair[1]);
    let below = blocks.last().is_none_or(|last| *last < depth);
    fit(ascending && below, field, format!("ascending and below the depth ({depth})"), format!("{blocks:?}"))
}

fn tokens(config: &Config, fit: Fit) -> Result<()> {
    let named = [
        ("image_token_id", config.image_token_id),
        ("video_token_id", config.video_token_id),
        ("vision_start_token_id", config.vision_start_token_id),
        ("vision_end_token_id", config.vision_end_token_id),
    ];
    let vocab = config.text.vocab_size;
    for (name, id) in named {
        fit((id as usize) < vocab, name, format!("below vocab_size ({vocab})"), id.to_string())?;
    }
    Ok(())
}
