//! What must hold for ranks over every link. Every expected number is arithmetic on what the ranks put in.

use foveate_ranks::{Collective, even_parts};

/// What rank `rank` puts in at `i`: sums of these depend on their order.
pub fn value(rank: usize, i: usize) -> f32 {
    ((i * 37 + rank * 101) as f32 * 0.123).sin() * [1e6, 1.0, 1e-3, 3e4, 7.0][rank % 5]
}

fn mine(ranks: &dyn Collective, len: usize) -> Vec<f32> {
    (0..len).map(|i| value(ranks.rank(), i)).collect()
}

/// The sum over ranks in their order.
fn sum(size: usize, i: usize) -> f32 {
    (1..size).fold(value(0, i), |sum, rank| sum + value(rank, i))
}

/// All laws, on one rank among others.
pub fn hold(ranks: &dyn Collective) {
    let (rank, size) = (ranks.rank(), ranks.size());
    // From nothing to more than sockets hold.
    for len in [0, 1, 7, 4096, 300_001] {
        let mut values = mine(ranks, len);
        ranks.all_reduce(&mut values).unwrap();
        let wrong = (0..len).find(|&i| values[i].to_bits() != sum(size, i).to_bits());
        assert_eq!(wrong, None, "a sum of {len} values is not the one in order");
        sums_of_parts(ranks, len);
    }
    let mut counts = [rank as f64 + 0.25, 1.0];
    ranks.all_reduce_f64(&mut counts).unwrap();
    let ordered = (0..size).map(|r| r as f64 + 0.25).sum::<f64>();
    assert_eq!(counts, [ordered, size as f64]);
    let said = ranks.all_gather_bytes(&vec![rank as u8; 3 * rank]).unwrap();
    assert_eq!(said, (0..size).map(|r| vec![r as u8; 3 * r]).collect::<Vec<_>>());
    for root in 0..size {
        let word = if rank == root { format!("of {root}").into_bytes() } else { vec![] };
        assert_eq!(ranks.broadcast(word, root).unwrap(), format!("of {root}").into_bytes());
    }
    ranks.barrier().unwrap();
}

/// Uneven and empty parts: all for the last rank, by squares, evenly.
fn sums_of_parts(ranks: &dyn Collective, len: usize) {
    let (rank, size) = (ranks.rank(), ranks.size());
    let last = (0..size).map(|r| if r + 1 < size { 0..0 } else { 0..len }).collect::<Vec<_>>();
    let cut = |r: usize| len * r * r / (size * size);
    let squares = (0..size).map(|r| cut(r)..cut(r + 1)).collect::<Vec<_>>();
    for parts in [last, squares, even_parts(len, size)] {
        let mut values = mine(ranks, len);
        ranks.reduce_scatter(&mut values, &parts).unwrap();
        let own = parts[rank].clone();
        assert!(own.clone().all(|i| values[i].to_bits() == sum(size, i).to_bits()), "{parts:?}");
        let mut gathered = values.clone();
        ranks.all_gather(&mut gathered, &parts).unwrap();
        let whole = |values: &[f32]| parts.iter().cloned().flatten().all(|i| values[i] == sum(size, i));
        assert!(whole(&gathered), "{parts:?}");
        let mut rooted = values.clone();
        ranks.gather(&mut rooted, &parts, size - 1).unwrap();
        assert!(rank + 1 < size || whole(&rooted), "{parts:?}");
    }
}
