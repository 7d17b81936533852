//! A model's quality scores brought to the scale of people's by a fitted curve, as image quality papers do before they
//! state PLCC and RMSE. Whoever prints such a number says that it is fitted.

use super::mean;
use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::{Dyn, OMatrix, Owned, U5, Vector5};

/// The curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logistic {
    /// VQEG's monotonic one: `(b1 - b2) / (1 + exp(-(x - b3) / |b4|)) + b2`.
    Four,
    /// Sheikh's: `b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5`.
    Five,
}

/// A curve that was fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// `b1`, `b2`, …
    pub parameters: Vec<f64>,
    /// The curve at each x.
    pub fitted: Vec<f64>,
}

impl Logistic {
    /// The least-squares curve through `(x, y)`, from the usual start (MINPACK's Levenberg-Marquardt, as scipy's
    /// `curve_fit`). `None` where there are fewer points than parameters or the fit does not end.
    pub fn fit(self, x: &[f64], y: &[f64]) -> Option<Fit> {
        let count = if self == Self::Four { 4 } else { 5 };
        if x.len() != y.len() || x.len() < count {
            return None;
        }
        let problem = Problem { curve: self, x, y, b: self.start(x, y)? };
        let (done, report) = LevenbergMarquardt::new().with_patience(1_000).minimize(problem);
        let fitted: Vec<f64> = x.iter().map(|&x| self.at(&done.b, x)).collect();
        let sound = report.termination.was_successful() && fitted.iter().all(|v| v.is_finite());
        sound.then(|| Fit { parameters: done.b.iter().take(count).copied().collect(), fitted })
    }

    fn start(self, x: &[f64], y: &[f64]) -> Option<Vector5<f64>> {
        let (mx, my) = (mean(x)?, mean(y)?);
        let spread = (x.iter().map(|x| (x - mx).powi(2)).sum::<f64>() / x.len() as f64).sqrt();
        let top = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let bottom = y.iter().copied().fold(f64::INFINITY, f64::min);
        (spread > 0.).then(|| match self {
            Self::Four => Vector5::new(top, bottom, mx, spread / 4., 0.),
            Self::Five => Vector5::new(10., 0., my, 0.1, 0.1),
        })
    }

    fn at(self, b: &Vector5<f64>, x: f64) -> f64 {
        match self {
            Self::Four => (b[0] - b[1]) * sigmoid((x - b[2]) / b[3].abs()) + b[1],
            Self::Five => b[0] * (0.5 - sigmoid(-b[1] * (x - b[2]))) + b[3] * x + b[4],
        }
    }

    /// The derivative of [`Logistic::at`] by each parameter.
    fn slope(self, b: &Vector5<f64>, x: f64) -> Vector5<f64> {
        match self {
            Self::Four => {
                let s = sigmoid((x - b[2]) / b[3].abs());
                let steep = (b[0] - b[1]) * s * (1. - s) / b[3].abs();
                Vector5::new(s, 1. - s, -steep, -steep * (x - b[2]) / b[3], 0.)
            }
            Self::Five => {
                let s = sigmoid(-b[1] * (x - b[2]));
                let steep = b[0] * s * (1. - s);
                Vector5::new(0.5 - s, steep * (x - b[2]), -steep * b[1], x, 1.)
            }
        }
    }
}

fn sigmoid(t: f64) -> f64 {
    1. / (1. + (-t).exp())
}

struct Problem<'a> {
    curve: Logistic,
    x: &'a [f64],
    y: &'a [f64],
    b: Vector5<f64>,
}

impl LeastSquaresProblem<f64, Dyn, U5> for Problem<'_> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, U5>;
    type ParameterStorage = Owned<f64, U5>;

    fn set_params(&mut self, b: &Vector5<f64>) {
        self.b = *b;
    }

    fn params(&self) -> Vector5<f64> {
        self.b
    }

    fn residuals(&self) -> Option<nalgebra::DVector<f64>> {
        let values = self.x.iter().zip(self.y).map(|(&x, y)| self.curve.at(&self.b, x) - y);
        Some(nalgebra::DVector::from_iterator(self.x.len(), values))
    }

    fn jacobian(&self) -> Option<OMatrix<f64, Dyn, U5>> {
        let rows: Vec<_> = self.x.iter().map(|&x| self.curve.slope(&self.b, x).transpose()).collect();
        Some(OMatrix::<f64, Dyn, U5>::from_rows(&rows))
    }
}
