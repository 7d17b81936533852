//! Terms on views: which branch they move, which view and which tokens they are about.

use super::*;

/// The gradients in the clean branch and in the view of a term on leaves of their own.
fn branches(term: &Named, clean: f64, view: f64, correct: bool) -> (Option<f64>, Option<f64>) {
    let leaf = |x: f64| Var::from_tensor(&tensor(&[x])).unwrap();
    let (clean, view) = (leaf(clean), leaf(view));
    let one = 0..1;
    let batch = Batch {
        logp_n: clean.as_tensor().clone(),
        old_n: None,
        advantage_n: tensor(&[0.0]),
        sequences: Sequences::new(vec![one], vec![true], vec![correct]).unwrap(),
        signals: BTreeMap::from([
            (Signal::View("mask".into()), view.as_tensor().clone()),
            (Signal::OldView("mask".into()), tensor(&[-1.0])),
        ]),
    };
    let spec = TermSpec::new(term.clone(), 1.0);
    let objective = Objective::new(&ObjectiveSpec::default(), &[spec]).unwrap();
    let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
    let grads = loss.total.backward().unwrap();
    let grad = |var: &Var| grads.get(var).map(|g| g.to_vec1::<f64>().unwrap()[0]);
    (grad(&clean), grad(&view))
}

#[test]
fn a_view_term_moves_the_branch_that_its_recipe_names() {
    let kl = |through: &str| Named::new("view-kl").with("views", vec!["mask"]).with("through", through);
    let moved = |g: Option<f64>| g.unwrap_or(0.0) != 0.0;
    for (through, clean, view) in [("clean", true, false), ("view", false, true), ("both", true, true)] {
        let (a, b) = branches(&kl(through), -1.0, -1.5, true);
        assert_eq!((moved(a), moved(b)), (clean, view), "{through}");
    }
    // k3 in the view: exp(view - clean) - 1, so the view is drawn towards the clean policy.
    let (_, grad) = branches(&kl("view"), -1.0, -1.5, true);
    assert!((grad.unwrap() - ((-0.5f64).exp() - 1.0)).abs() < 1e-12);
    // The gate, and the cap.
    assert!(!moved(branches(&kl("view").with("scope", "correct"), -1.0, -1.5, false).1));
    assert!(moved(branches(&kl("view").with("scope", "correct"), -1.0, -1.5, true).1));
    assert!(!moved(branches(&kl("view").with("cap", 0.05), -1.0, -1.5, true).1));
}

#[test]
fn the_worst_view_takes_the_gradient() {
    let term = |worst: &str| {
        let views = Named::new("view-kl").with("views", vec!["a", "b"]);
        views.with("through", "view").with("worst", worst)
    };
    let gradients = |worst: &str| {
        let (a, b) = (tensor(&[-1.0, -3.0, -1.1]), tensor(&[-2.0, -1.2, -1.5]));
        let (a, b) = (Var::from_tensor(&a).unwrap(), Var::from_tensor(&b).unwrap());
        let batch = Batch {
            logp_n: tensor(&[-1.0, -1.0, -1.0]),
            old_n: None,
            advantage_n: tensor(&[0.0; 3]),
            sequences: Sequences::whole(vec![0..2, 2..3]).unwrap(),
            signals: BTreeMap::from([
                (Signal::View("a".into()), a.as_tensor().clone()),
                (Signal::View("b".into()), b.as_tensor().clone()),
            ]),
        };
        let spec = TermSpec::new(term(worst), 1.0);
        let objective = Objective::new(&ObjectiveSpec::default(), &[spec]).unwrap();
        let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
        let grads = loss.total.backward().unwrap();
        let moved = |v: &Var| -> Vec<bool> {
            let grad = grads.get(v).map(|g| g.to_vec1::<f64>().unwrap()).unwrap_or_default();
            grad.iter().map(|g| *g != 0.0).collect()
        };
        (moved(&a), moved(&b))
    };
    assert_eq!(gradients("token"), (vec![false, true, false], vec![true, false, true]));
    // By sequence: the first one's mean is larger in a, although b wins a token of it.
    assert_eq!(gradients("sequence"), (vec![false, true, false], vec![false, false, true]));
}

#[test]
fn the_largest_tokens_of_each_answer_are_chosen_as_torch_does() {
    // torch.nanquantile([0, 1, 2, 4], 0.8) is 2.8, of [3, 1] 2.6 (torch 2.15): one token of each.
    let leaf = Var::from_tensor(&tensor(&[0.0, -1.0, -2.0, -4.0, -9.0, -3.0, -1.0])).unwrap();
    let term = Named::new("view-kl").with("views", vec!["mask"]).with("estimator", "k1").with("top_p", 0.2);
    let counted = vec![true, true, true, true, false, true, true];
    let batch = Batch {
        logp_n: tensor(&[0.0; 7]),
        old_n: None,
        advantage_n: tensor(&[0.0; 7]),
        sequences: Sequences::new(vec![0..5, 5..7], counted, vec![true; 2]).unwrap(),
        signals: BTreeMap::from([(Signal::View("mask".into()), leaf.as_tensor().clone())]),
    };
    let value_n = term.build("term", TERMS).unwrap().per_token(&batch).unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(value_n[..4], [0.0, 0.0, 0.0, 4.0]);
    assert_eq!(value_n[5..], [3.0, 0.0]);
    let bad = Named::new("view-kl").with("views", vec!["mask"]).with("top_p", 1.5).build("term", TERMS);
    assert!(bad.unwrap_err().to_string().contains("top_p"));
}

#[test]
fn fidelity_names_what_the_authors_and_the_paper_do() {
    let kl = |fidelity: &str| Named::new("view-kl").with("views", vec!["mask"]).with("fidelity", fidelity);
    let needs = |term: &Named| term.build("term", TERMS).unwrap().needs();
    assert_eq!(needs(&kl("authors")), [Signal::OldView("mask".into())]);
    assert_eq!(needs(&kl("paper")), [Signal::View("mask".into())]);
    // What is said beside it wins.
    assert_eq!(needs(&kl("authors").with("stale", false)), [Signal::View("mask".into())]);
    for (wrong, word) in [
        (kl("authors").with("through", "both"), "stale"),
        (kl("authors").with("estimator", "full"), "full"),
        (kl("papers"), "paper"),
        (kl("paper").with("estimator", "k9"), "full"),
    ] {
        let message = wrong.build("term", TERMS).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn the_metrics_of_a_term_are_over_the_tokens_that_it_is_about() {
    let term = Named::new("view-kl").with("views", vec!["mask"]).with("scope", "correct").with("cap", 0.05);
    let objective = Objective::new(&ObjectiveSpec::default(), &[TermSpec::new(term, 1.0)]).unwrap();
    let batch = whole(&tensor(&LOGP));
    let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
    let spread = loss.spreads[0].1;
    // Counted tokens of the first and the third sequence, 0.3 of their log-probability apart.
    let k3 = |n: usize| {
        let r = 0.3 * LOGP[n];
        r.exp() - r - 1.0
    };
    let all: Vec<f64> = [0, 1, 7].map(|n| k3(n).min(0.05)).to_vec();
    assert_eq!(spread.tokens, 3.0);
    assert!((spread.sum - all.iter().sum::<f64>()).abs() < 1e-12);
    assert_eq!(spread.saturated, all.iter().filter(|v| **v == 0.05).count() as f64);
    assert!((spread.max - 0.05).abs() < 1e-12 && spread.variance() > 0.0);
}
