//! The eight questions about one image of `shapes`, no two alike.

use crate::synth::draw::{permutation, pick};
use crate::synth::drawn::Question;
use crate::synth::figures::{COLOURS, Object, SHAPES, Scene};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Questions about one image.
pub(super) const PER_IMAGE: usize = 8;

/// Asks [`PER_IMAGE`] questions.
pub(super) fn ask(scene: &Scene, rng: &mut ChaCha8Rng) -> Vec<Question> {
    let order = permutation(rng, scene.objects.len());
    let mut places: Vec<_> = order.iter().flat_map(|&i| [horizontal(scene, i), vertical(scene, i)]).collect();
    let second_place = places.swap_remove(rng.random_range(1..places.len()));
    let first_place = places.swap_remove(0);
    let (second_colour, second_shape) = match order.get(1) {
        Some(&i) => (colour(scene, i), shape(scene, i)),
        None => (exists(scene, rng, Attribute::Colour), exists(scene, rng, Attribute::Shape)),
    };
    let relation = match order.get(..2) {
        Some(&[a, b]) => relation(scene, rng, a, b),
        _ => exists_pair(scene, rng),
    };
    let all: Vec<_> = (0..scene.objects.len()).collect();
    let count = question("count", "How many shapes are there?".into(), &all.len().to_string(), &all);
    let (first_colour, first_shape) = (colour(scene, order[0]), shape(scene, order[0]));
    vec![first_colour, first_shape, first_place, count, relation, second_colour, second_shape, second_place]
}

/// `targets` are the objects it is about (indices into the scene).
fn question(family: &'static str, text: String, answer: &str, targets: &[usize]) -> Question {
    Question::new(family, text, answer).with("targets", targets.to_vec())
}

fn colour(scene: &Scene, i: usize) -> Question {
    let object = &scene.objects[i];
    question("color", format!("What color is the {}?", object.shape_name()), object.colour_name(), &[i])
}

fn shape(scene: &Scene, i: usize) -> Question {
    let object = &scene.objects[i];
    question("shape", format!("What shape is {}?", object.colour_name()), object.shape_name(), &[i])
}

fn horizontal(scene: &Scene, i: usize) -> Question {
    let object = &scene.objects[i];
    let text = format!("Is the {} shape on the left or right?", object.colour_name());
    question("place", text, ["left", "right"][object.cell.0], &[i])
}

fn vertical(scene: &Scene, i: usize) -> Question {
    let object = &scene.objects[i];
    let text = format!("Is the {} shape at the top or bottom?", object.colour_name());
    question("place", text, ["top", "bottom"][object.cell.1], &[i])
}

/// Which of two objects comes first along an axis on which they differ; yes and no are equally likely.
fn relation(scene: &Scene, rng: &mut ChaCha8Rng, a: usize, b: usize) -> Question {
    let (a, b) = if rng.random_bool(0.5) { (a, b) } else { (b, a) };
    let at = |i: usize| &scene.objects[i];
    let differ = |axis: fn(&Object) -> usize| axis(at(a)) != axis(at(b));
    let column: fn(&Object) -> usize = |o| o.cell.0;
    let row: fn(&Object) -> usize = |o| o.cell.1;
    let sideways = differ(column) && (!differ(row) || rng.random_bool(0.5));
    let (words, axis) = if sideways { ("left of", column) } else { ("above", row) };
    let text = format!("Is the {} {words} the {}?", at(a).shape_name(), at(b).shape_name());
    question("relation", text, yes(axis(at(a)) < axis(at(b))), &[a, b])
}

enum Attribute {
    Colour,
    Shape,
}

/// Whether something of a colour or a shape is there; yes and no are equally likely.
fn exists(scene: &Scene, rng: &mut ChaCha8Rng, attribute: Attribute) -> Question {
    let present = rng.random_bool(0.5);
    let (of, count): (fn(&Object) -> usize, _) = match attribute {
        Attribute::Colour => (|o| o.colour, COLOURS.len()),
        Attribute::Shape => (|o| o.shape, SHAPES.len()),
    };
    let found = |value: usize| scene.objects.iter().any(|o| of(o) == value);
    let values: Vec<_> = (0..count).filter(|&v| found(v) == present).collect();
    let value = *pick(rng, &values);
    let text = match attribute {
        Attribute::Colour => format!("Is there a {} shape?", COLOURS[value].0),
        Attribute::Shape => format!("Is there a {}?", SHAPES[value].0),
    };
    let targets: Vec<_> = (0..scene.objects.len()).filter(|&i| of(&scene.objects[i]) == value).collect();
    question("exists", text, yes(present), &targets)
}

/// Whether a colour and a shape meet in one object; "no" changes one of the two.
fn exists_pair(scene: &Scene, rng: &mut ChaCha8Rng) -> Question {
    let object = &scene.objects[0];
    let (mut colour, mut shape) = (object.colour, object.shape);
    let present = rng.random_bool(0.5);
    if !present && rng.random_bool(0.5) {
        colour = (colour + rng.random_range(1..COLOURS.len())) % COLOURS.len();
    } else if !present {
        shape = (shape + rng.random_range(1..SHAPES.len())) % SHAPES.len();
    }
    let text = format!("Is there a {} {}?", COLOURS[colour].0, SHAPES[shape].0);
    question("exists", text, yes(present), if present { &[0] } else { &[] })
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
