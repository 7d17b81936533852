//! How many tokens, patches and answers a step has, on one rank.

use foveate_trainer::recipe::Recipe;

use super::layout::Layout;
use super::shape::Shape;

/// The numbers of one step on one rank, with answers of a given length.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Prompts.
    pub prompts: f64,
    /// Images, each of which is seen once: questions about one share it.
    pub images: f64,
    /// Answers.
    pub answers: f64,
    /// Tokens of an answer, with what it hears between its turns.
    pub answer: f64,
    /// Tokens of the prompts, images that are shared counted once.
    pub prompt_tokens: f64,
    /// Patches of all images.
    pub patches: f64,
}

impl Counts {
    /// Of a step whose answers have `answer` tokens a turn.
    pub fn of(recipe: &Recipe, shape: &Shape, layout: &Layout, answer: usize) -> Self {
        let prompts = layout.share(recipe.rollout.prompts);
        Self::about(recipe, shape, prompts, answer)
    }

    /// Of the largest pack of an update: `optim.token_budget` tokens, but at least one answer with its prompt.
    pub fn of_pack(recipe: &Recipe, shape: &Shape, layout: &Layout, answer: usize) -> Self {
        let prompts = layout.share(recipe.rollout.prompts).div_ceil(recipe.optim.updates);
        let all = Self::about(recipe, shape, prompts, answer);
        let one = Self::about(recipe, shape, 1, answer);
        let least = one.prompt_tokens + one.answer;
        let budget = (recipe.optim.token_budget as f64).max(least);
        all.scaled((budget / all.tokens()).min(1.0), &one)
    }

    fn about(recipe: &Recipe, shape: &Shape, prompts: usize, answer: usize) -> Self {
        let turns = recipe.rollout.turns.as_ref().map_or(1, |turns| turns.max);
        let images = prompts.div_ceil(recipe.rollout.questions);
        let answers = (prompts * recipe.rollout.group) as f64;
        // Every look between turns is an image of its own, as large as the prompt's.
        let looks = answers * (turns - 1) as f64;
        let heard = (turns - 1) * shape.prompt_tokens();
        Self {
            prompts: prompts as f64,
            images: images as f64 + looks,
            answers,
            answer: (turns * answer + heard) as f64,
            prompt_tokens: (images * shape.image_tokens + prompts * shape.text) as f64,
            patches: (images as f64 + looks) * shape.patches as f64,
        }
    }

    /// A part of it; whatever is cut has at least one image.
    fn scaled(self, part: f64, one: &Self) -> Self {
        Self {
            prompts: self.prompts * part,
            images: (self.images * part).max(one.images.min(self.images)),
            answers: self.answers * part,
            answer: self.answer,
            prompt_tokens: self.prompt_tokens * part,
            patches: (self.patches * part).max(one.patches.min(self.patches)),
        }
    }

    /// Tokens of prompts and answers.
    pub fn tokens(&self) -> f64 {
        self.prompt_tokens + self.answers * self.answer
    }
}
