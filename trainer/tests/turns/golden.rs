//! Scripted rollouts against transformers (tests/golden/turns/make.py), and against a few that were worked by
//! hand (by_hand.py beside it).

use super::*;

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(golden(name)).unwrap()).unwrap()
}

#[test]
fn a_scripted_rollout_is_what_transformers_makes_of_it() {
    let golden = read("turns/talks.json");
    for (name, checkpoint) in golden["checkpoints"].as_object().unwrap() {
        scripted(&golden, name, checkpoint);
    }
}

#[test]
fn a_scripted_rollout_is_the_one_worked_by_hand() {
    let golden = read("turns/by_hand.json");
    scripted(&golden, golden["checkpoint"].as_str().unwrap(), &golden);
    assert_eq!(golden["talks"].as_object().unwrap().len(), 4);
}

/// The conversations of one checkpoint.
fn scripted(golden: &Value, name: &str, checkpoint: &Value) {
    let policy = LocalPolicy::load(&self::golden(&format!("model/checkpoints/{name}"))).unwrap();
    let turns = turns(golden, &checkpoint["frame"], &policy, 2);
    for (case, want) in checkpoint["talks"].as_object().unwrap() {
        let place = format!("{name} {case}");
        let size = ids(&want["size"]);
        let source = source(golden, vec![Arc::new(synth_rgb(size[0], size[1], 5))]);
        let opened = turns.open(&policy, &source, &[0], |image, _| image.clone()).unwrap().remove(0);
        assert_eq!(opened.prompt.input_ids, ids(&want["prompt"]), "{place}: prompt");
        let cut = want["ending"] == "cut";
        let replies = [
            said(ids(&want["said"]), if cut { Stop::Length } else { Stop::Stop }),
            said(ids(&want["answer"]), Stop::Stop),
        ];
        let episode = turns.follow(&policy, &opened, &replies).unwrap();
        let rollout = check(&policy, &opened, episode, &replies, want, &place);
        if !want["pack"].is_null() {
            let pack = pack(&[group(&opened, vec![rollout])]).pack;
            let segments: Vec<_> = pack.segments.iter().map(|s| json!([s.start, s.len, s.parent])).collect();
            let laid = json!({
                "ids": pack.ids_t, "segments": segments, "predictors": pack.predictors_n,
                "targets": pack.targets_n,
            });
            assert_eq!(laid, want["pack"], "{place}: pack");
        }
    }
}

/// One scripted rollout: box, crop, tokens, mask, positions, pack, log-probabilities.
fn check(
    policy: &LocalPolicy,
    opened: &Opened<'_>,
    episode: Episode,
    replies: &[Generated],
    want: &Value,
    place: &str,
) -> Rollout {
    let heard = &episode.heard[0];
    match &heard.region {
        Ok(region) => {
            assert_eq!(region.original.to_vec(), ids(&want["crop"]), "{place}: crop");
            let size = ids(&want["size"]);
            let part = foveate_vision::grounding::crop(&synth_rgb(size[0], size[1], 5), region);
            assert_eq!(Value::from(fnv1a(part.as_raw())), want["crop_rgb"], "{place}: pixels");
            let patches = policy.processor.images.patches(&part).unwrap();
            assert_eq!(patches, *heard.prompt.images[0], "{place}: patches");
        }
        Err(refusal) => {
            assert_eq!(refusal.name(), want["refused"], "{place}");
            assert!(Arc::ptr_eq(&heard.prompt.images[0], &opened.prompt.images[0]), "{place}: seen twice");
        }
    }
    assert_eq!(episode.finished, want["ending"] != "cut" || heard.region.is_ok(), "{place}");
    // What was sampled stays; only a closing token may be put in, and it has no sampler's log-probability.
    let one = heard.after;
    let put = episode.logp_tempered[one - 1].is_nan();
    assert_eq!(episode.ids[..one - 1], replies[0].ids[..one - 1], "{place}");
    assert_eq!(episode.logp_tempered[..one - 1], replies[0].logp_tempered[..one - 1], "{place}");
    assert_eq!(put, replies[0].ids.get(one - 1) != episode.ids.get(one - 1), "{place}");
    assert_eq!(episode.ids[one..], replies[1].ids, "{place}");

    let rollout = rollout(episode, 0);
    let continuation = rollout.continuation();
    assert_eq!(continuation.ids, ids(&want["ids"]), "{place}: ids");
    let runs: Vec<Vec<usize>> = continuation.scored.iter().map(|run| vec![run.start, run.end]).collect();
    assert_eq!(Value::from(runs), want["scored"], "{place}: mask");
    let grids: Vec<_> = opened.prompt.images.iter().chain(&continuation.images).map(|i| i.grid_thw).collect();
    assert_eq!(
        Value::from(grids.iter().map(|g| Value::from(g.to_vec())).collect::<Vec<_>>()),
        want["grids"],
        "{place}"
    );

    let pack = pack(&[group(opened, vec![rollout.clone()])]).pack;
    let all = [&opened.prompt.input_ids[..], &continuation.ids].concat();
    let n = all.len() - 1;
    assert_eq!(pack.ids_t, all[..n], "{place}: the last token does not run");
    let segments: Vec<_> = pack.segments.iter().map(|s| (s.start, s.len, s.parent)).collect();
    let begin = opened.prompt.input_ids.len();
    assert_eq!(segments, [(0, begin, None), (begin, n - begin, Some(0))], "{place}: segments");
    let scored: Vec<usize> = continuation.scored.iter().cloned().flatten().map(|at| begin + at).collect();
    let predictors: Vec<usize> = pack.predictors_n.iter().map(|&p| p as usize + 1).collect();
    assert_eq!(predictors, scored, "{place}: each token is predicted by the one before");
    assert_eq!(pack.targets_n, rollout.ids, "{place}: targets");
    let positions = policy.model.trace(&pack).unwrap().positions;
    let want_positions = want["positions"].as_array().unwrap();
    for (at, (found, want)) in positions.iter().zip(want_positions).enumerate() {
        assert_eq!(found.to_vec(), ids(want), "{place}: position of token {at}");
    }
    if let Some(list) = want["logp"].as_array() {
        let want: Vec<f32> = list.iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let gap = closest(&logp(policy, &pack, 1.0), &want);
        assert!(gap < 2e-4, "{place}: {gap} from transformers");
    }
    rollout
}
