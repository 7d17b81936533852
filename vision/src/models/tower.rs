//! The vision tower of all families: patches in, one feature row per image token out.
//!
//! N patches of all images in a row, F merged features, d the text model's width.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::family::Naming;
use super::parameter::{Loader, Part};
use super::positions::PatchOrder;
use crate::config::{VisionAct, VisionConfig};
use crate::images::Patches;
use crate::nn::{
    Act, Attention, AttentionBlock, AttentionLayer, Chain, Dims, Layer, Linear, MlpBlock, Mode, Norm,
    PatchEmbed, Segments, Weight,
};
use crate::{Error, Result};

const EPS: f32 = 1e-6;

#[derive(Clone, Debug)]
struct Block {
    attention: AttentionBlock,
    mlp: MlpBlock,
}

/// The tower's weights.
#[derive(Clone, Debug)]
pub(crate) struct Tower {
    config: VisionConfig,
    patch: PatchEmbed,
    position_table: Option<Weight>,
    blocks: Vec<Block>,
    merger: MlpBlock,
    /// Mergers of the blocks in `deepstack_blocks`.
    deepstack: Vec<MlpBlock>,
}

/// What the text model takes of images, in tower order.
#[derive(Debug)]
pub(crate) struct Features {
    /// `[F, d]`
    pub merged: Tensor,
    /// `[F, d]` each, for the first text layers.
    pub deepstack: Vec<Tensor>,
    /// The image-order index of every row.
    pub order: Vec<u32>,
    /// Block outputs `[N, width]`, patch embedding first, where asked for.
    pub trace: Vec<Tensor>,
}

impl Tower {
    pub(crate) fn load(config: &VisionConfig, family: &Naming, loader: &mut Loader) -> Result<Self> {
        let (prefix, width) = (family.vision, config.hidden_size);
        let side = config.patch_size;
        let kernel = [width, config.channels, config.temporal_patch_size, side, side];
        let mut one = |name: String, shape: &[usize]| loader.one(name, shape, Part::Vision);
        let patch = PatchEmbed {
            weight: one(format!("{prefix}patch_embed.proj.weight"), &kernel)?,
            bias: match family.patch_bias {
                true => Some(one(format!("{prefix}patch_embed.proj.bias"), &[width])?),
                false => None,
            },
            positions: None,
        };
        let position_table = match config.position_embeddings {
            Some(places) => Some(one(format!("{prefix}pos_embed.weight"), &[places, width])?),
            None => None,
        };
        let blocks = (0..config.depth).map(|index| Block::load(index, config, family, loader));
        let blocks = blocks.collect::<Result<_>>()?;
        let merger = load_merger("merger", width, config, family, loader)?;
        let merged = width * config.merge_size * config.merge_size;
        let deepstack = (0..config.deepstack_blocks.len())
            .map(|index| {
                load_merger(&format!("deepstack_merger_list.{index}"), merged, config, family, loader)
            })
            .collect::<Result<_>>()?;
        Ok(Self { config: config.clone(), patch, position_table, blocks, merger, deepstack })
    }

    /// Its linear layers, in the order in which they run.
    pub(crate) fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        let blocks = self.blocks.iter_mut();
        let blocks =
            blocks.flat_map(|block| block.attention.linears().into_iter().chain(block.mlp.linears()));
        let mergers = std::iter::once(&mut self.merger).chain(&mut self.deepstack);
        blocks.chain(mergers.flat_map(MlpBlock::linears))
    }

    fn merge_area(&self) -> usize {
        self.config.merge_size * self.config.merge_size
    }

    /// The rows the tower runs: every image's patches in tower order.
    fn rows(&self, images: &[&Patches], order: &PatchOrder) -> Result<Tensor> {
        let dim = self.config.channels * self.config.patch_size * self.config.patch_size;
        if let Some(image) = images.iter().find(|image| image.patch_dim != dim) {
            return Err(Error::input("image", "patch_dim", dim, image.patch_dim));
        }
        let area = self.merge_area() * dim;
        let blocks: Vec<&[f32]> =
            images.iter().flat_map(|image| image.values_np.chunks_exact(area)).collect();
        let mut rows = Vec::with_capacity(order.places.len() * dim);
        for &feature in &order.features {
            rows.extend_from_slice(blocks[feature as usize]);
        }
        Ok(Tensor::from_vec(rows, (order.places.len(), dim), &Device::Cpu)?)
    }

    /// Runs the tower. `trace` keeps every block's output (for tests and tools).
    pub(crate) fn forward(&self, images: &[&Patches], mode: &Mode, trace: bool) -> Result<Features> {
        let grids: Vec<[usize; 3]> = images.iter().map(|image| image.grid_thw).collect();
        let order = PatchOrder::new(&self.config, &grids);
        let device = self.patch.weight.var().device().clone();
        let mut x =
            self.rows(images, &order)?.to_device(&device)?.to_dtype(self.patch.weight.var().dtype())?;
        let lens = |lens: &[usize]| -> Result<Arc<Segments>> {
            let roots: Vec<_> = lens.iter().map(|&len| (len, None)).collect();
            Ok(Arc::new(Segments::new(&roots)?))
        };
        let (windows, whole) = (lens(&order.windows)?, lens(&order.images)?);
        let rotary = order.rotary(&self.config);
        let mut patch = self.patch.clone();
        if let Some(table) = &self.position_table {
            let side = self.config.position_embeddings.unwrap_or(0).isqrt();
            patch.positions = Some((table.clone(), order.taps(side)));
        }
        let heads = self.config.heads;
        let dims = Dims { heads, kv_heads: heads, head_dim: self.config.hidden_size / heads };
        let mut layers: Vec<Box<dyn Layer>> = vec![Box::new(patch)];
        let (mut deepstack, mut traced) = (Vec::new(), Vec::new());
        for (index, block) in self.blocks.iter().enumerate() {
            if trace {
                x = Chain::new(std::mem::take(&mut layers)).apply(&x, mode)?;
                traced.push(x.clone());
            }
            let windowed =
                self.config.window_size.is_some() && !self.config.full_attention_blocks.contains(&index);
            let attention = Attention::new(dims, if windowed { &windows } else { &whole }, false)?;
            let (rotary, weights) = (rotary.clone(), block.attention.in_pass(mode.pass));
            layers.push(Box::new(AttentionLayer { block: weights, attention, rotary, tap: None }));
            layers.push(Box::new(block.mlp.in_pass(mode.pass)));
            if let Some(level) = self.config.deepstack_blocks.iter().position(|&block| block == index) {
                x = Chain::new(std::mem::take(&mut layers)).apply(&x, mode)?;
                deepstack.push((level, self.merge(&x, &self.deepstack[level], mode)?));
            }
        }
        if trace {
            x = Chain::new(std::mem::take(&mut layers)).apply(&x, mode)?;
            traced.push(x.clone());
        }
        layers.push(Box::new(self.merger.in_pass(mode.pass)));
        let merged = Chain::new(layers).apply(&x, mode)?;
        deepstack.sort_by_key(|(level, _)| *level);
        let deepstack = deepstack.into_iter().map(|(_, features)| features).collect();
        Ok(Features { merged, deepstack, order: order.features, trace: traced })
    }

    /// A merger whose norm spans a whole merge block takes a block as one row.
    fn merge(&self, x: &Tensor, merger: &MlpBlock, mode: &Mode) -> Result<Tensor> {
        let x = x.reshape((x.elem_count() / merger.norm.width(), merger.norm.width()))?;
        Ok(Chain::new(vec![Box::new(merger.in_pass(mode.pass))]).apply(&x, mode)?)
    }
}

fn linear(loader: &mut Loader, names: &[String], rows: usize, inner: usize, part: Part) -> Result<Linear> {
    let named = |suffix: &str| -> Vec<_> {
        names.iter().map(|name| (format!("{name}.{suffix}"), rows / names.len())).collect()
    };
    let weight = loader.stacked(&named("weight"), &[inner], part)?;
    Ok(Linear::new(weight, Some(loader.stacked(&named("bias"), &[], part)?)))
}

fn norm(loader: &mut Loader, name: &str, width: usize, rms: bool, part: Part) -> Result<Norm> {
    let weight = loader.one(format!("{name}.weight"), &[width], part)?;
    let bias = match rms {
        true => None,
        false => Some(loader.one(format!("{name}.bias"), &[width], part)?),
    };
    Ok(Norm { weight, bias, eps: EPS })
}

fn load_merger(
    name: &str,
    norm_width: usize,
    config: &VisionConfig,
    family: &Naming,
    loader: &mut Loader,
) -> Result<MlpBlock> {
    let merged = config.hidden_size * config.merge_size * config.merge_size;
    let named = |part: usize| {
        // Deepstack mergers are spelt as the merger of their family.
        format!("{}{name}.{}", family.vision, family.merger[part])
    };
    Ok(MlpBlock {
        norm: norm(loader, &named(0), norm_width, config.rms_norm, Part::Merger)?,
        up: linear(loader, &[named(1)], merged, merged, Part::Merger)?,
        act: Act::GeluErf,
        down: linear(loader, &[named(2)], config.out_hidden_size, merged, Part::Merger)?,
        residual: false,
    })
}

impl Block {
    fn load(index: usize, config: &VisionConfig, family: &Naming, loader: &mut Loader) -> Result<Self> {
        let prefix = format!("{}blocks.{index}.", family.vision);
        let named = |name: &str| format!("{prefix}{name}");
        let (width, inner, part) = (config.hidden_size, config.intermediate_size, Part::Vision);
        let (up_names, down_name) = family.vision_mlp;
        let up_names: Vec<String> = up_names.iter().map(|name| named(&format!("mlp.{name}"))).collect();
        let attention = AttentionBlock {
            norm: norm(loader, &named("norm1"), width, config.rms_norm, part)?,
            qkv: linear(loader, &[named("attn.qkv")], 3 * width, width, part)?,
            head_norms: None,
            out: linear(loader, &[named("attn.proj")], width, width, part)?,
        };
        let mlp = MlpBlock {
            norm: norm(loader, &named("norm2"), width, config.rms_norm, part)?,
            up: linear(loader, &up_names, up_names.len() * inner, width, part)?,
            act: match config.act {
                VisionAct::QuickGelu => Act::QuickGelu,
                VisionAct::SwiGlu => Act::SwiGlu,
                VisionAct::GeluTanh => Act::GeluTanh,
            },
            down: linear(loader, &[named(&format!("mlp.{down_name}"))], width, inner, part)?,
            residual: true,
        };
        Ok(Self { attention, mlp })
    }
}
