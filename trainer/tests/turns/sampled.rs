//! Rollouts that a model sampled: scored as they were sampled, turn by turn.

use super::*;

/// Every checkpoint's model answering for itself: of `max` turns, three rollouts of two pictures.
fn sampled(max: usize, test: impl Fn(&LocalPolicy, &Turns, &[Opened<'_>], &Sampling, &str)) {
    let golden =
        &serde_json::from_slice::<Value>(&std::fs::read(golden("turns/talks.json")).unwrap()).unwrap();
    for (name, checkpoint) in golden["checkpoints"].as_object().unwrap() {
        let policy = LocalPolicy::load(&self::golden(&format!("model/checkpoints/{name}"))).unwrap();
        let turns = turns(golden, &checkpoint["frame"], &policy, max);
        let images = vec![Arc::new(synth_rgb(241, 322, 1)), Arc::new(synth_rgb(48, 64, 2))];
        let source = source(golden, images);
        let opened = turns.open(&policy, &source, &[0, 1], |image, _| image.clone()).unwrap();
        let stop_ids = [&policy.generation.eos_token_ids[..], &(0..120).collect::<Vec<u32>>()].concat();
        let tokenizer_size = policy.processor.tokenizer.size();
        let sampling =
            Sampling { max_tokens: 9, temperature: 0.8, stop_ids, tokenizer_size, ..Sampling::default() };
        test(&policy, &turns, &opened, &sampling, name);
    }
}

#[test]
fn the_trainers_log_probabilities_are_the_samplers_in_every_turn() {
    for max in [2, 3] {
        sampled(max, |policy, turns, opened, sampling, name| {
            let episodes = turns.answer(policy, opened, (3, &[5, 6]), sampling).unwrap();
            let groups: Vec<Group> = opened
                .iter()
                .zip(episodes)
                .map(|(opened, all)| group(opened, all.into_iter().map(|e| rollout(e, 0)).collect()))
                .collect();
            let micro = pack(&groups);
            let logp = logp(policy, &micro.pack, 0.8);
            let (mut compared, mut put, mut worst) = (0, 0, 0.0f32);
            for (ours, theirs) in logp.iter().zip(&micro.sampled_n) {
                match theirs.is_nan() {
                    true => put += 1,
                    false => (compared, worst) = (compared + 1, worst.max((ours - theirs).abs())),
                }
            }
            assert!(worst <= 1e-5, "{name}: {worst:e} apart in {max} turns");
            assert!(compared >= 6 * max && put >= 1, "{name}: {compared} compared, {put} put in");
            let rollouts = groups.iter().flat_map(|group| &group.rollouts);
            assert!(rollouts.clone().all(|r| r.heard.len() == max - 1), "{name}");
            assert!(rollouts.into_iter().all(|r| r.ids.len() == r.logp_tempered.len()), "{name}");
        });
    }
}

#[test]
fn a_turn_that_gives_no_gradient_is_not_counted() {
    sampled(2, |policy, turns, opened, sampling, name| {
        let answers = turns.answer(policy, opened, (2, &[5, 6]), sampling).unwrap();
        let mut last = turns.clone();
        last.train = Trained::Last;
        let untrained = |turns: &Turns| -> Vec<bool> {
            let rollouts = answers[0].iter().map(|e| rollout(e.clone(), turns.untrained(&e.heard)));
            pack(&[group(&opened[0], rollouts.collect())]).sequences.counted().to_vec()
        };
        assert!(untrained(turns).iter().all(|counted| *counted), "{name}");
        let want: Vec<bool> =
            answers[0].iter().flat_map(|e| (0..e.ids.len()).map(|at| at >= e.heard[0].after)).collect();
        assert_eq!(untrained(&last), want, "{name}");
    });
}

#[test]
fn a_conversation_is_about_one_picture_and_has_its_turns() {
    let dir = golden("model/checkpoints/qwen2_5_vl");
    let policy = LocalPolicy::load(&dir).unwrap();
    let golden = json!({"question": "?", "task": "?"});
    let source = source(&golden, vec![Arc::new(synth_rgb(48, 64, 1))]);
    let turns = Turns::new(&TurnsRecipe::default(), &policy).unwrap();
    let opened = turns.open(&policy, &source, &[0], |image, _| image.clone()).unwrap().remove(0);
    let one = said(vec![40, 41], Stop::Length);
    for wrong in [1, 3] {
        let error = turns.follow(&policy, &opened, &vec![one.clone(); wrong]).unwrap_err().to_string();
        assert!(error.contains("turns") && error.contains(&wrong.to_string()), "{error}");
    }
    let error = turns.given(&policy, &opened).unwrap_err().to_string();
    assert!(error.contains("meta.targets") && error.contains("p0"), "{error}");
    let unknown = TurnsRecipe { script: "mgp".into(), ..TurnsRecipe::default() };
    assert!(Turns::new(&unknown, &policy).unwrap_err().is_input());
}
