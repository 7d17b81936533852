//! From rewards to credits: advantages, group weights, what a term takes off a reward.

use super::*;

#[test]
fn a_term_in_the_reward_is_a_sum_over_each_answer_and_not_in_the_loss() {
    let spec = TermSpec { place: Place::Reward, ..TermSpec::new(kl1(), 0.5) };
    let again: TermSpec = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();
    assert_eq!(spec, again);
    let objective = Objective::new(&ObjectiveSpec::default(), &[spec]).unwrap();
    assert!(objective.needs().is_empty() && objective.has_penalties());
    assert_eq!(objective.reward_needs(), [Signal::Reference]);
    let batch = whole(&tensor(&LOGP));
    let penalty_s = objective.penalties(&batch).unwrap();
    for (penalty, range) in penalty_s.iter().zip(&RANGES) {
        let counted = range.clone().filter(|&n| COUNTED[n]);
        let expected: f64 = counted.map(|n| 0.5 * (LOGP[n] - REFERENCE[n])).sum();
        assert!((penalty - expected).abs() < 1e-12, "{penalty}, expected {expected}");
    }
    assert_eq!(objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap().parts.len(), 1);
    let bad = serde_json::json!({"name": "reference-kl", "place": "reward", "reduction": "token-mean"});
    let message = serde_json::from_value::<TermSpec>(bad).unwrap_err().to_string();
    assert!(message.contains("reduction"), "{message}");
}

fn kl1() -> Named {
    Named::new("reference-kl").with("estimator", "k1")
}

#[test]
fn advantages_are_finite_ordered_and_silent_without_variance() {
    let group = |rewards: &[f64]| rewards.iter().map(|&r| Outcome::of_reward(r)).collect::<Vec<_>>();
    for row in ADVANTAGES {
        let advantage = Named::new(row.name).build("advantage", ADVANTAGES).unwrap();
        let groups = [
            group(&[1.0, 0.0, f64::NAN, 0.5]),
            group(&[0.3, 0.3, 0.3]),
            group(&[1.0]),
            group(&[f64::NAN, f64::NAN]),
            group(&[0.1 + 0.2, 0.3]),
            vec![],
        ];
        let found = advantage.of(&groups);
        let shape = |all: &[Vec<f64>]| all.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(shape(&found), vec![4, 3, 1, 2, 2, 0], "{}", row.name);
        assert!(found.iter().flatten().all(|a| a.is_finite()), "{}: {found:?}", row.name);
        assert_eq!(found[0][2], 0.0, "{}: a rollout that could not be scored has credit", row.name);
        assert!(found[0][0] > found[0][1], "{}: {found:?}", row.name);
        if row.name != "reinforce-pp" {
            let zeros = found[1..].iter().flatten().all(|a| *a == 0.0);
            assert!(zeros, "{}: credit without variance: {found:?}", row.name);
        }
    }
}

#[test]
fn a_group_of_scattered_scores_counts_less() {
    let weight = Named::new("score-uncertainty").build("group_weight", GROUP_WEIGHTS).unwrap();
    let group = |values: &[f64]| {
        values.iter().map(|&value| Outcome { value, ..Outcome::of_reward(0.0) }).collect::<Vec<_>>()
    };
    // Population variance 4 is the largest on 1 to 5; 7 is read as 5; fewer than two scores count in full.
    for (values, u) in [
        (&[1.0, 5.0][..], 1.0),
        (&[3.0, 3.0, 3.0], 0.0),
        (&[1.0, 7.0, f64::NAN], 1.0),
        (&[2.0, 4.0], 0.25),
        (&[2.0, f64::NAN], 0.0),
        (&[], 0.0),
    ] {
        assert!((weight.of(&group(values)) - (-0.2f64 * u).exp()).abs() < 1e-12, "{values:?}");
    }
    let spec = ObjectiveSpec {
        group_weight: Some(Named::new("score-uncertainty")),
        advantage: Named::new("group-mean"),
        ..Default::default()
    };
    let outcomes = [(1.0, 1.0), (5.0, 0.0)].map(|(value, r)| Outcome { value, ..Outcome::of_reward(r) });
    let credits = Objective::new(&spec, &[]).unwrap().advantages(&[outcomes.to_vec()]);
    assert!((credits[0][0] - 0.5 * (-0.2f64).exp()).abs() < 1e-12, "{credits:?}");
}

#[test]
fn one_success_in_five_has_the_known_credit() {
    let advantage = Named::new("group-z").build("advantage", ADVANTAGES).unwrap();
    let found = advantage.of(&[[1., 0., 0., 0., 0.].map(Outcome::of_reward).to_vec()]);
    assert!((found[0][0] - 1.789).abs() < 1e-3 && (found[0][1] + 0.447).abs() < 1e-3, "{found:?}");
}
