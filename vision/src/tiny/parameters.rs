//! The tensors of a model: published names and shapes, from its config.
//!
//! Decides nothing: this is the published layout, written down once more, so that a tiny model can be made
//! without building one. A test holds it against transformers' own.

use crate::config::{Config, Family, VisionAct};

/// A tensor to be drawn.
pub(super) struct Parameter {
    /// Published name.
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) role: Role,
}

/// What a tensor does, which decides how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Factor of a norm.
    Gain,
    Bias,
    /// Rows that are looked up.
    Table,
    /// Matrix `[out, in]` or a convolution.
    Linear,
    /// Matrix whose output is added to a residual stream that so many others add to.
    Residual(usize),
    /// Matrix that makes logits.
    Head,
}

/// All tensors, in the order in which data flows.
pub(super) fn parameters(config: &Config) -> Vec<Parameter> {
    let row = config.family.row();
    let mut list = List { prefix: row.vision_prefix.to_owned(), parameters: vec![] };
    vision(config, &mut list);
    list.prefix = row.text_prefix.to_owned();
    text(config, &mut list);
    if !config.text.tied {
        list.prefix.clear();
        let shape = [config.text.vocab_size, config.text.hidden_size];
        list.add("lm_head.weight", &shape, Role::Head);
    }
    list.parameters
}

struct List {
    prefix: String,
    parameters: Vec<Parameter>,
}

impl List {
    fn add(&mut self, name: &str, shape: &[usize], role: Role) {
        let name = format!("{}{name}", self.prefix);
        self.parameters.push(Parameter { name, shape: shape.to_vec(), role });
    }

    /// Weight `[out, in]` and, if asked for, bias.
    fn linear(&mut self, name: &str, [out, input]: [usize; 2], role: Role, bias: bool) {
        self.add(&format!("{name}.weight"), &[out, input], role);
        if bias {
            self.add(&format!("{name}.bias"), &[out], Role::Bias);
        }
    }

    fn norm(&mut self, name: &str, width: usize, bias: bool) {
        self.add(&format!("{name}.weight"), &[width], Role::Gain);
        if bias {
            self.add(&format!("{name}.bias"), &[width], Role::Bias);
        }
    }
}

fn vision(config: &Config, list: &mut List) {
    let v = &config.vision;
    let qwen3 = config.family == Family::Qwen3Vl;
    let patch = [v.hidden_size, v.channels, v.temporal_patch_size, v.patch_size, v.patch_size];
    list.add("patch_embed.proj.weight", &patch, Role::Linear);
    if qwen3 {
        list.add("patch_embed.proj.bias", &patch[..1], Role::Bias);
    }
    if let Some(rows) = v.position_embeddings {
        list.add("pos_embed.weight", &[rows, v.hidden_size], Role::Table);
    }
    for block in 0..v.depth {
        vision_block(config, list, &format!("blocks.{block}"));
    }
    merger(config, list, "merger", v.hidden_size);
    for at in 0..v.deepstack_blocks.len() {
        // These normalise the merged features, the last one the features of a patch.
        let merged = v.hidden_size * v.merge_size * v.merge_size;
        merger(config, list, &format!("deepstack_merger_list.{at}"), merged);
    }
}

fn vision_block(config: &Config, list: &mut List, block: &str) {
    let v = &config.vision;
    let (width, inner) = (v.hidden_size, v.intermediate_size);
    let residual = Role::Residual(2 * v.depth);
    list.norm(&format!("{block}.norm1"), width, !v.rms_norm);
    list.linear(&format!("{block}.attn.qkv"), [3 * width, width], Role::Linear, true);
    list.linear(&format!("{block}.attn.proj"), [width, width], residual, true);
    list.norm(&format!("{block}.norm2"), width, !v.rms_norm);
    let (into, out): (&[&str], &str) = match v.act {
        VisionAct::QuickGelu => (&["fc1"], "fc2"),
        VisionAct::SwiGlu => (&["gate_proj", "up_proj"], "down_proj"),
        VisionAct::GeluTanh => (&["linear_fc1"], "linear_fc2"),
    };
    for name in into {
        list.linear(&format!("{block}.mlp.{name}"), [inner, width], Role::Linear, true);
    }
    list.linear(&format!("{block}.mlp.{out}"), [width, inner], residual, true);
}

fn merger(config: &Config, list: &mut List, name: &str, norm_width: usize) {
    let v = &config.vision;
    let merged = v.hidden_size * v.merge_size * v.merge_size;
    let (norm, first, second) = match config.family {
        Family::Qwen3Vl => ("norm", "linear_fc1", "linear_fc2"),
        _ => ("ln_q", "mlp.0", "mlp.2"),
    };
    list.norm(&format!("{name}.{norm}"), norm_width, !v.rms_norm);
    list.linear(&format!("{name}.{first}"), [merged, merged], Role::Linear, true);
    list.linear(&format!("{name}.{second}"), [v.out_hidden_size, merged], Role::Linear, true);
}

fn text(config: &Config, list: &mut List) {
    let t = &config.text;
    list.add("embed_tokens.weight", &[t.vocab_size, t.hidden_size], Role::Table);
    for layer in 0..t.layers {
        text_layer(config, list, &format!("layers.{layer}"));
    }
    list.norm("norm", t.hidden_size, false);
}

fn text_layer(config: &Config, list: &mut List, layer: &str) {
    let t = &config.text;
    let qwen3 = config.family == Family::Qwen3Vl;
    let (width, inner) = (t.hidden_size, t.intermediate_size);
    let (queries, keys) = (t.heads * t.head_dim, t.kv_heads * t.head_dim);
    let residual = Role::Residual(2 * t.layers);
    list.norm(&format!("{layer}.input_layernorm"), width, false);
    for (name, out) in [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)] {
        list.linear(&format!("{layer}.self_attn.{name}"), [out, width], Role::Linear, !qwen3);
    }
    if qwen3 {
        for name in ["q_norm", "k_norm"] {
            list.norm(&format!("{layer}.self_attn.{name}"), t.head_dim, false);
        }
    }
    list.linear(&format!("{layer}.self_attn.o_proj"), [width, queries], residual, false);
    list.norm(&format!("{layer}.post_attention_layernorm"), width, false);
    for name in ["gate_proj", "up_proj"] {
        list.linear(&format!("{layer}.mlp.{name}"), [inner, width], Role::Linear, false);
    }
    list.linear(&format!("{layer}.mlp.down_proj"), [width, inner], residual, false);
}
