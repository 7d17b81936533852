//! The laws of ranks over the links that every build has, and what becomes of ranks that die or disagree.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

mod support;

use foveate_ranks::{Collective, Error, One, Place, Settings, tcp::Tcp, threads};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

fn settings(deadline: u64) -> Settings {
    let seconds = Duration::from_secs;
    Settings { engine: "tcp".into(), deadline: seconds(deadline), join: seconds(10) }
}

type Maker = fn(usize, u64) -> Vec<Box<dyn Collective>>;

const LINKS: [(&str, Maker); 2] = [("threads", over_threads), ("tcp", over_tcp)];

fn over_threads(size: usize, deadline: u64) -> Vec<Box<dyn Collective>> {
    let group = threads::group(size, Duration::from_secs(deadline));
    group.into_iter().map(|rank| Box::new(rank) as Box<dyn Collective>).collect()
}

fn over_tcp(size: usize, deadline: u64) -> Vec<Box<dyn Collective>> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let places = (1..size).map(|_| Place::Guest("127.0.0.1".into(), port));
    let places: Vec<_> = std::iter::once(Place::Host(listener)).chain(places).collect();
    // Something that is no rank knocks first and is let go.
    let stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    drop(stranger);
    std::thread::scope(|scope| {
        let meet = |(rank, place)| scope.spawn(move || Tcp::meet((rank, size), place, &settings(deadline)));
        let all: Vec<_> = places.into_iter().enumerate().map(meet).collect();
        all.into_iter().map(|rank| Box::new(rank.join().unwrap().unwrap()) as Box<dyn Collective>).collect()
    })
}

/// Runs `each` on every rank in a thread of its own; what they come to.
fn together<T: Send>(
    ranks: Vec<Box<dyn Collective>>,
    each: impl Fn(Box<dyn Collective>) -> T + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let each = &each;
        let all: Vec<_> = ranks.into_iter().map(|rank| scope.spawn(move || each(rank))).collect();
        all.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

#[test]
fn the_laws_hold_over_every_link() {
    support::hold(&One);
    for (name, make) in LINKS {
        for size in [1, 2, 3, 5] {
            eprintln!("{name}, {size} ranks");
            together(make(size, 20), |rank| support::hold(rank.as_ref()));
        }
    }
}

#[test]
fn what_ends_or_fails_ends_the_others_by_name() {
    for (name, make) in LINKS {
        // Rank 1 fails with an error that it tells.
        let ends = together(make(3, 20), |rank| {
            if rank.rank() == 1 {
                rank.abort("a row is broken");
                return None;
            }
            rank.barrier().err()
        });
        let expected = Error::Failed { rank: 1, why: "a row is broken".into() };
        assert_eq!(ends, [Some(expected.clone()), None, Some(expected)], "{name}");
        // Rank 1 ends without a word.
        let clock = Instant::now();
        let ends = together(make(3, 20), |rank| {
            if rank.rank() == 1 {
                return None;
            }
            rank.all_reduce(&mut vec![1.0; 100_000]).err()
        });
        for end in [&ends[0], &ends[2]] {
            assert!(matches!(end, Some(Error::Lost { rank: 1, .. })), "{name}: {ends:?}");
        }
        assert!(clock.elapsed() < Duration::from_secs(10), "{name}: {:?}", clock.elapsed());
        // After that nothing works, and at once.
        let ends = together(make(2, 20), |rank| {
            if rank.rank() == 1 {
                rank.abort("enough");
            }
            let _ = rank.barrier();
            rank.barrier().err()
        });
        assert!(
            ends.iter().all(|end| matches!(end, Some(Error::Failed { rank: 1, .. }))),
            "{name}: {ends:?}"
        );
    }
}

#[test]
fn a_rank_that_does_not_come_is_named_within_the_deadline() {
    for (name, make) in LINKS {
        let clock = Instant::now();
        let ends = together(make(2, 1), |rank| {
            if rank.rank() == 1 {
                std::thread::sleep(Duration::from_secs(3));
                return None;
            }
            rank.all_gather(&mut [0.0; 2], &[0..1, 1..2]).err()
        });
        let message = ends[0].as_ref().unwrap().to_string();
        assert_eq!(message, "rank 1 did not come to `all-gather` within 1 s (ranks.deadline_s)", "{name}");
        assert!(clock.elapsed() < Duration::from_secs(8), "{name}");
    }
}

#[test]
fn ranks_that_do_not_do_the_same_are_told_apart() {
    for (name, make) in LINKS {
        let ends = together(make(2, 5), |rank| {
            let mut values = vec![0.0; 4 + 4 * rank.rank()];
            rank.all_reduce(&mut values).err()
        });
        let wrong = |end: &Option<Error>| matches!(end, Some(Error::Mismatch { .. }));
        assert!(ends.iter().any(wrong), "{name}: {ends:?}");
    }
}

#[test]
fn ranks_that_never_came_are_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let patience = Settings { join: Duration::from_secs(1), ..settings(1) };
    let error = Tcp::meet((0, 3), Place::Host(listener), &patience).unwrap_err();
    assert!(matches!(&error, Error::Join { missing, size: 3, .. } if *missing == [1, 2]), "{error}");
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = Tcp::meet((1, 3), Place::Guest("127.0.0.1".into(), nowhere), &patience).unwrap_err();
    assert!(matches!(&error, Error::Join { missing, .. } if *missing == [0]), "{error}");
}

#[test]
fn ranks_of_another_size_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::scope(|scope| {
        let host = scope.spawn(|| Tcp::meet((0, 2), Place::Host(listener), &settings(5)).err());
        let guest = Tcp::meet((1, 3), Place::Guest("127.0.0.1".into(), port), &settings(5)).err();
        let host = host.join().unwrap();
        assert!(matches!(&host, Some(Error::Mismatch { rank: 1, .. })), "{host:?}");
        assert!(guest.is_some());
    });
}

#[test]
fn an_engine_that_is_not_there_is_named() {
    let launch = foveate_ranks::launch::detect(|name| {
        let env = [("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1")];
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
    });
    let launch = launch.unwrap();
    let error = |engine: &str| {
        let settings = Settings { engine: engine.into(), ..settings(1) };
        foveate_ranks::join(launch.as_ref(), &settings).unwrap_err()
    };
    assert!(error("carrier-pigeon").to_string().contains("one of auto, tcp, mpi, nccl"));
    #[cfg(not(feature = "mpi"))]
    assert!(error("mpi").to_string().contains("--features mpi") && error("mpi").is_input());
    #[cfg(not(feature = "nccl"))]
    assert!(error("nccl").to_string().contains("--features nccl"));
}
