//! What must hold for every task that draws its own data; a new one is tested by being in the table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_datasets::{OpenOptions, Outcome, Sample, Split, TASKS, Task, open};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

fn drawn(seed: u64) -> Vec<Box<dyn Task>> {
    // Small pictures, where the task has them: laws do not depend on the size.
    let sized = |size| OpenOptions { seed, size: Some(size), ..OpenOptions::default() };
    let open = |name| open(name, &sized(112)).or_else(|_| open(name, &sized(224))).unwrap();
    TASKS.iter().filter(|t| !t.needs_data).map(|t| open(t.name)).collect()
}

fn samples(task: &dyn Task, split: Split, n: usize) -> Vec<Sample> {
    (0..n.min(task.len(split))).map(|i| task.sample(split, i).unwrap()).collect()
}

fn pixels(sample: &Sample) -> Vec<u8> {
    sample.images.iter().flat_map(|i| i.decode().unwrap().as_raw().clone()).collect()
}

#[test]
fn names_are_unique_and_documented() {
    let names: HashSet<_> = TASKS.iter().map(|t| t.name).collect();
    assert_eq!(names.len(), TASKS.len());
    for entry in TASKS {
        assert!(entry.summary.len() > 10, "{}", entry.name);
    }
    let error = open("shaeps", &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("shaeps") && error.contains("shapes"), "{error}");
}

#[test]
fn a_sample_depends_on_seed_split_and_index_alone() {
    for (task, other) in drawn(3).iter().zip(drawn(4)) {
        let again =
            &drawn(3)[TASKS.iter().filter(|t| !t.needs_data).position(|t| t.name == task.name()).unwrap()];
        for i in [5, 0, 17] {
            let (a, b) = (task.sample(Split::Train, i).unwrap(), again.sample(Split::Train, i).unwrap());
            assert_eq!((&a.id, &a.problem, &a.answer, &a.meta), (&b.id, &b.problem, &b.answer, &b.meta));
            assert_eq!(pixels(&a), pixels(&b), "{}", a.id);
            assert_ne!(pixels(&a), pixels(&other.sample(Split::Train, i).unwrap()), "{}", a.id);
        }
        let end = task.len(Split::Test);
        let error = task.sample(Split::Test, end).unwrap_err().to_string();
        assert!(error.contains(&end.to_string()), "{error}");
    }
}

#[test]
fn train_and_test_share_no_image_even_across_seeds() {
    for (task, other) in drawn(0).iter().zip(drawn(1)) {
        let set = |t: &dyn Task, split| samples(t, split, 160).iter().map(pixels).collect::<HashSet<_>>();
        let train = set(task.as_ref(), Split::Train);
        assert!(train.len() > 10, "{}: {} images", task.name(), train.len());
        assert!(train.is_disjoint(&set(task.as_ref(), Split::Test)), "{}", task.name());
        assert!(train.is_disjoint(&set(other.as_ref(), Split::Test)), "{}", task.name());
    }
}

#[test]
fn questions_about_one_image_lie_side_by_side_and_differ() {
    for task in drawn(0) {
        let all = samples(task.as_ref(), Split::Test, 64);
        let mut seen = HashMap::new();
        for (i, sample) in all.iter().enumerate() {
            let image = task.image_of(Split::Test, i);
            let (last, first_pixels) = seen.entry(image).or_insert_with(|| (i, pixels(sample)));
            assert!(i - *last <= 1, "{}: sample {i} lies apart from its image's others", task.name());
            *last = i;
            assert_eq!(&pixels(sample), first_pixels, "{}", sample.id);
        }
        let asked: HashSet<_> =
            all.iter().enumerate().map(|(i, s)| (task.image_of(Split::Test, i), s.problem.clone())).collect();
        assert_eq!(asked.len(), all.len(), "{}: a question is asked twice of one image", task.name());
        let ids: HashSet<_> = all.iter().map(|s| &s.id).collect();
        assert_eq!(ids.len(), all.len(), "{}", task.name());
    }
}

#[test]
fn the_answer_is_right_and_another_samples_answer_is_not() {
    for task in drawn(0) {
        let all = samples(task.as_ref(), Split::Test, 200);
        let mut wrong = 0;
        for (a, b) in all.iter().zip(&all[1..]) {
            let right = task.grade(a, &a.answer);
            assert_eq!((right.outcome, right.score), (Outcome::Right, 1.), "{}: {}", a.id, a.answer);
            let tagged = format!("<think>perhaps {}</think><answer>{}</answer>", b.answer, a.answer);
            assert_eq!(task.grade(a, &tagged).outcome, Outcome::Right, "{}", a.id);
            for none in ["", "   ", "<think>hm", "?!"] {
                assert_eq!(task.grade(a, none).outcome, Outcome::Unparsed, "{}: {none:?}", a.id);
            }
            wrong += usize::from(task.grade(a, &b.answer).outcome == Outcome::Wrong);
        }
        assert!(wrong > 50, "{}: only {wrong}", task.name());
    }
}

/// How often each answer was given to each text in training.
type Habits = HashMap<String, HashMap<String, usize>>;

/// Questions with their answers: of several pictures at once, the pictures themselves dropped.
fn asked(task: &dyn Task, split: Split, n: usize) -> Vec<Sample> {
    let pictureless = |i| Sample { images: vec![], ..task.sample(split, i).unwrap() };
    (0..n).into_par_iter().with_min_len(64).map(pictureless).collect()
}

fn habits(task: &dyn Task, train: usize) -> Habits {
    let mut counts = Habits::new();
    for s in asked(task, Split::Train, train) {
        *counts.entry(s.problem).or_default().entry(s.answer).or_default() += 1;
    }
    counts
}

/// The accuracy on the test split of saying what was most often right for the same text.
fn text_only_accuracy(task: &dyn Task, habits: &Habits, tests: &[Sample]) -> f64 {
    let best = |problem: &str| {
        let answers = habits.get(problem)?;
        answers.iter().max_by_key(|(answer, n)| (**n, *answer)).map(|(answer, _)| answer.clone())
    };
    let right =
        tests.iter().filter(|s| best(&s.problem).is_some_and(|a| task.grade(s, &a).score == 1.)).count();
    right as f64 / tests.len() as f64
}

/// The accuracy of any answer that the same text ever had, each as likely as another. That two answers that are not
/// the same word are not both right is another test's matter; grading each of thousands would take minutes.
fn guessing_accuracy(habits: &Habits, tests: &[Sample]) -> f64 {
    let share = |s: &Sample| {
        let answers = habits.get(&s.problem)?;
        Some(f64::from(u8::from(answers.contains_key(&s.answer))) / answers.len() as f64)
    };
    tests.iter().filter_map(share).sum::<f64>() / tests.len() as f64
}

#[test]
fn without_sight_a_policy_scores_what_is_stated() {
    for task in drawn(11) {
        let Some(chance) = task.chance() else { panic!("{} states no chance", task.name()) };
        let habits = habits(task.as_ref(), 6_000);
        let tests = asked(task.as_ref(), Split::Test, 2_000);
        // Four standard errors of 2,000 answers.
        let near = |what: &str, got: f64, want: f32| {
            let name = task.name();
            assert!((got - f64::from(want)).abs() < 0.045, "{name} {what}: {got:.3}, stated {want:.3}");
        };
        near("from text alone", text_only_accuracy(task.as_ref(), &habits, &tests), chance.text_only);
        near("guessing", guessing_accuracy(&habits, &tests), chance.guess);
        assert!(chance.guess <= chance.text_only + 1e-6, "{}", task.name());
    }
}
