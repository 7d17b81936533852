//! Another order of options, from a seed and the question's id alone.

use crate::Sample;
use crate::grade::choice::letter;
use crate::synth::draw;
use crate::task::ORDER;
use crate::{Split, formats};

/// Shuffles the options of `sample` but for the last `fixed`; the answer follows, and `meta` keeps the order.
pub(super) fn shuffle(sample: &mut Sample, fixed: usize, seed: u64) {
    let count = sample.choices.len();
    if count < 2 {
        return;
    }
    let number = draw::fnv(sample.id.as_bytes()) as usize;
    let mut rng = draw::stream(seed, "option order", Split::Test, number);
    let mut order = draw::permutation(&mut rng, count.saturating_sub(fixed));
    order.extend(order.len()..count);
    let moved = |old: &str| {
        let place = (0..count).find(|&i| letter(i).to_string() == old)?;
        order.iter().position(|&from| from == place).map(|to| letter(to).to_string())
    };
    // An answer that is an option's text stays what it is.
    sample.answer = moved(&sample.answer).unwrap_or_else(|| sample.answer.clone());
    sample.choices = order.iter().map(|&from| sample.choices[from].clone()).collect();
    sample.meta.shift_remove(formats::AS_WRITTEN);
    sample.meta.insert(ORDER.into(), order.into());
}
