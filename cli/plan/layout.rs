//! Over what a step is spread, and how numbers are kept there.

use super::kinds::Kind;

/// One process, or one process a GPU.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Processes.
    pub ranks: usize,
    /// Bytes of a weight, and of a number in between.
    pub number: f64,
    /// Bytes of the f32 master of a trained weight, where the weight itself is smaller.
    pub master: f64,
    /// What is sharded over the ranks: 0 nothing, 1 moments and masters, 2 gradients too.
    pub zero: u8,
    /// Bytes before anything is read: code, libraries, contexts.
    pub base: f64,
    /// The kind of GPU, where its speed is known.
    pub kind: Option<&'static Kind>,
}

/// Code, libraries, tokenizer and thread stacks, as measured with models of a few megabytes.
const PROCESS: f64 = 28.0 * MIB;
/// A CUDA context with its libraries' workspaces and NCCL's buffers.
const CONTEXT: f64 = 1536.0 * MIB;
const MIB: f64 = 1048576.0;

impl Layout {
    /// One process in f32.
    pub fn cpu() -> Self {
        Self { ranks: 1, number: 4.0, master: 0.0, zero: 0, base: PROCESS, kind: None }
    }

    /// One process a GPU: bf16 with f32 masters.
    pub fn gpus(ranks: usize, zero: u8, kind: Option<&'static Kind>) -> Self {
        Self { ranks, number: 2.0, master: 4.0, zero, base: CONTEXT, kind }
    }

    /// Whether this is the estimate for GPUs.
    pub fn on_gpus(&self) -> bool {
        self.master > 0.0
    }

    /// Of something that is sharded from stage `stage` on.
    pub fn shard(&self, bytes: f64, stage: u8) -> f64 {
        if self.zero >= stage { bytes / self.ranks as f64 } else { bytes }
    }

    /// A rank's part of `count` prompts.
    pub fn share(&self, count: usize) -> usize {
        count.div_ceil(self.ranks)
    }

    /// In words.
    pub fn name(&self) -> String {
        if !self.on_gpus() {
            return "the CPU, f32".into();
        }
        let kind = self.kind.map_or(String::new(), |kind| format!("{} ", kind.name));
        let zero = if self.ranks > 1 { format!(", ZeRO {}", self.zero) } else { String::new() };
        format!("{} {kind}GPU(s), bf16 with f32 masters{zero} (an estimate: not run on a GPU)", self.ranks)
    }
}
