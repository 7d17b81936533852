//! Kinds of GPUs: what their makers say of them.
//!
//! Memory is what `nvidia-smi` shows. Arithmetic is dense (not sparse), with sums in f32. A link is what one GPU sends
//! to its neighbours in one machine, in one direction.

/// A kind.
#[derive(Debug)]
pub struct Kind {
    /// On the command line.
    pub name: &'static str,
    /// GiB.
    pub memory: f64,
    /// bf16 operations a second.
    pub bf16: f64,
    /// f32 operations a second, without tensor cores.
    pub f32: f64,
    /// Bytes a second from and to its memory.
    pub bandwidth: f64,
    /// Bytes a second to other GPUs of the machine.
    pub link: f64,
}

const TERA: f64 = 1e12;
const GIGA: f64 = 1e9;

/// GPUs in one machine; more of them talk through [`NETWORK`].
pub const MACHINE: usize = 8;

/// Bytes a second of one GPU's share of the network between machines: 400 Gbit/s.
pub const NETWORK: f64 = 50.0 * GIGA;

/// One line a kind.
const fn kind(name: &'static str, memory: f64, tera: [f64; 2], bandwidth: f64, link: f64) -> Kind {
    let [bf16, f32] = [tera[0] * TERA, tera[1] * TERA];
    Kind { name, memory, bf16, f32, bandwidth: bandwidth * GIGA, link: link * GIGA }
}

/// Every kind that a command line can name.
pub const KINDS: &[Kind] = &[
    kind("rtx4090", 24.0, [165.2, 82.6], 1008.0, 32.0),
    kind("l20", 45.0, [119.5, 59.8], 864.0, 32.0),
    kind("l40s", 45.0, [362.0, 91.6], 864.0, 32.0),
    kind("a100-40", 40.0, [312.0, 19.5], 1555.0, 300.0),
    kind("a100", 80.0, [312.0, 19.5], 2039.0, 300.0),
    kind("h800", 79.6, [989.4, 66.9], 3350.0, 200.0),
    kind("h100", 79.6, [989.4, 66.9], 3350.0, 450.0),
    kind("h200", 140.4, [989.4, 66.9], 4800.0, 450.0),
    kind("b200", 179.0, [2250.0, 75.0], 8000.0, 900.0),
];

/// The kind called `name`.
pub fn named(name: &str) -> Result<&'static Kind, String> {
    let known = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| format!("should be one of {}", known()))
}
