//! Any policy with its eyes shut: every picture is grey. What it scores is what the text gives away.

use super::{Asked, Demand, Failed, Policy, Reply, Shown};
use crate::Result;
use image::{Rgb, RgbImage};

/// The middle of the range.
const GREY: Rgb<u8> = Rgb([128; 3]);

/// A policy that sees grey pictures of the right size.
#[derive(Clone, Debug)]
pub struct TextOnly<P> {
    inner: P,
    name: String,
}

impl<P: Policy> TextOnly<P> {
    /// Shuts the eyes of `inner`.
    pub fn new(inner: P) -> Self {
        let name = format!("{} (text only)", inner.name());
        Self { inner, name }
    }
}

fn grey(picture: &RgbImage) -> RgbImage {
    RgbImage::from_pixel(picture.width(), picture.height(), GREY)
}

impl<P: Policy> Policy for TextOnly<P> {
    type Picture = P::Picture;

    fn name(&self) -> &str {
        &self.name
    }

    fn sampling(&self) -> String {
        self.inner.sampling()
    }

    fn pixels(&self) -> Option<[u64; 2]> {
        self.inner.pixels()
    }

    fn resize(&self, picture: &RgbImage) -> Result<RgbImage> {
        self.inner.resize(&grey(picture))
    }

    fn prepare(&self, picture: &RgbImage) -> Result<Shown<P::Picture>> {
        self.inner.prepare(&grey(picture))
    }

    fn demand(&self) -> Demand {
        self.inner.demand()
    }

    fn answer(&self, asked: &[Asked<P::Picture>]) -> Result<Vec<Result<Reply, Failed>>> {
        self.inner.answer(asked)
    }
}
