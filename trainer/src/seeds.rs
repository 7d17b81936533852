//! Every random draw of a run: a function of (run seed, purpose, step, sample, index).
//!
//! There is no generator that is carried along, so nothing but the step needs to be saved for a run to
//! go on as if it had never stopped, and no draw depends on how many came before it.

/// What a draw is for. The numbers are part of every run's identity: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The order in which samples are visited.
    Order = 1,
    /// The tokens of a rollout.
    Rollout = 2,
    /// The corruption of a training image.
    View = 3,
    /// The corruption of an evaluated image.
    Evaluation = 4,
    /// The weights of a model made here.
    Weights = 5,
    /// The choice of warm-up questions.
    WarmUp = 6,
    /// Whether a sample's answer is shown in the warm-up.
    Shown = 7,
    /// Which samples are dropped for balance.
    Balance = 8,
}

/// The seed of one draw.
pub fn seed(run: u64, purpose: Purpose, step: u64, sample: u64, index: u64) -> u64 {
    // The sum keeps equal neighbours (run 1, purpose 1) from cancelling each other.
    let add = |h: u64, word: u64| mix(h.wrapping_add(0x632b_e59b_d9b4_e019) ^ mix(word));
    [purpose as u64, step, sample, index].into_iter().fold(mix(run), add)
}

/// A permutation of `0..n` that only `seed` decides (Fisher-Yates).
pub fn permutation(seed: u64, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        // Lemire's multiplication: the bias is under 2^-40 for any data set.
        let draw = (u128::from(mix(seed ^ mix(i as u64))) * (i as u128 + 1)) >> 64;
        order.swap(i, draw as usize);
    }
    order
}

/// The finaliser of SplitMix64.
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_coordinate_matters() {
        let mut seen = HashSet::new();
        for run in 0..4 {
            for purpose in [Purpose::Order, Purpose::Rollout, Purpose::View] {
                for step in 0..4 {
                    for sample in 0..4 {
                        for index in 0..4 {
                            assert!(seen.insert(seed(run, purpose, step, sample, index)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_seed_is_the_same_on_every_machine_and_version() {
        // SplitMix64's published first output for state 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(seed(7, Purpose::Rollout, 1, 2, 3), seed(7, Purpose::Rollout, 1, 2, 3));
    }

    #[test]
    fn permutations_are_permutations_and_differ() {
        let (a, b) = (permutation(1, 1000), permutation(2, 1000));
        assert_ne!(a, b);
        assert_eq!(a.iter().collect::<HashSet<_>>().len(), 1000);
        let fixed = a.iter().enumerate().filter(|(i, x)| i == *x).count();
        assert!(fixed < 10, "{fixed} of 1000 stayed in place");
        assert!(permutation(3, 0).is_empty());
    }
}
