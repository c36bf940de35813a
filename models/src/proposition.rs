//! Proposition 3.1 of the paper, counted on the kernel that trains.
//!
//! ```text
//! G(a, tau) = sigmoid((a + logit(U)) / tau),  U uniform on (0, 1),  0 < eps < 1/2
//!
//!     sigmoid(a) - tau/4 ln(1/eps)  <=  P(G >= 1 - eps)  <=      sigmoid(a)
//! 1 - sigmoid(a) - tau/4 ln(1/eps)  <=  P(G <= eps)      <=  1 - sigmoid(a)
//! ```
//!
//! The training graph gives no gates away, but its state does. With all weights zero the pre-activations are the biases;
//! from `c = 0` and `tanh(g) = 1` one step leaves `c = i`, from `c = 1` and `g = 0` it leaves `c = f`.

use crate::language_model::LanguageModel;
use anyhow::{Context, Result};

/// How far pre-activations go in both directions.
const REACH: f64 = 5.0;
/// Sequences side by side: gates sampled a unit and step.
const BATCH: usize = 512;
/// `tanh` of this is 1 in f32.
const SATURATED: f32 = 20.0;

/// The distances from 0 and 1 that are counted.
pub const EPSILONS: [f64; 3] = [0.1, 0.05, 0.01];

/// Counts at one pre-activation.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    /// The pre-activation.
    pub a: f64,
    /// Number of gates.
    pub gates: u64,
    /// For each of [`EPSILONS`]: gates of at most it.
    pub low: [u64; EPSILONS.len()],
    /// For each of [`EPSILONS`]: gates of at least 1 minus it.
    pub high: [u64; EPSILONS.len()],
}

/// The bounds of one frequency.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bound {
    /// At least.
    pub lower: f64,
    /// What was counted.
    pub frequency: f64,
    /// At most.
    pub upper: f64,
    /// What it is expected to be.
    pub exact: f64,
    /// Distance of the frequency from that, in standard errors.
    pub deviation: f64,
}

/// All that was counted.
#[derive(Clone, PartialEq, Debug)]
pub struct Proposition {
    /// The temperature.
    pub tau: f64,
    /// Input gates and forget gates, by pre-activation from the lowest on.
    pub points: Vec<Point>,
}

fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

impl Point {
    fn bound(&self, count: u64, p: f64, tau: f64, epsilon: f64, sign: f64) -> Bound {
        let n = self.gates as f64;
        let frequency = count as f64 / n;
        let exact = sigmoid(sign * self.a - tau * (1.0 / epsilon - 1.0).ln());
        let deviation = (frequency - exact).abs() / (exact * (1.0 - exact) / n).sqrt();
        Bound { lower: p - tau / 4.0 * (1.0 / epsilon).ln(), frequency, upper: p, exact, deviation }
    }

    /// Of `P(G >= 1 - eps)`, for the k-th of [`EPSILONS`].
    pub fn high(&self, k: usize, tau: f64) -> Bound {
        self.bound(self.high[k], sigmoid(self.a), tau, EPSILONS[k], 1.0)
    }

    /// Of `P(G <= eps)`, for the k-th of [`EPSILONS`].
    pub fn low(&self, k: usize, tau: f64) -> Bound {
        self.bound(self.low[k], sigmoid(-self.a), tau, EPSILONS[k], -1.0)
    }
}

impl Proposition {
    /// Every frequency with its bounds.
    pub fn bounds(&self) -> impl Iterator<Item = Bound> {
        let both = |point: &Point, k| [point.high(k, self.tau), point.low(k, self.tau)];
        self.points.iter().flat_map(move |point| (0..EPSILONS.len()).flat_map(move |k| both(point, k)))
    }

    /// Number of gates that were sampled.
    pub fn gates(&self) -> u64 {
        self.points.iter().map(|point| point.gates).sum()
    }

    /// Number of frequencies that are outside of their bounds.
    pub fn violations(&self) -> usize {
        self.bounds().filter(|b| b.frequency < b.lower || b.frequency > b.upper).count()
    }

    /// The largest distance of a frequency from its probability, in standard errors.
    pub fn deviation(&self) -> f64 {
        self.bounds().map(|bound| bound.deviation).fold(0.0, f64::max)
    }
}

/// Samples `steps` times 512 gates at each of as many pre-activations as a layer has units, input and forget gates.
///
/// # Errors
/// If the engine cannot run, or the model has no temperature.
pub fn count(model: &LanguageModel, steps: u64) -> Result<Proposition> {
    let tau = model.hyper("tau").context("a model whose gates are sampled has a temperature")?;
    let mut learner = model.learner(BATCH, 1)?;
    let mut points = Vec::new();
    for layer in 0..model.layers() {
        for forget in [false, true] {
            let mut counted = one_kind(&mut learner, layer, forget, steps)?;
            points.append(&mut counted);
        }
    }
    points.sort_by(|p, q| p.a.total_cmp(&q.a));
    Ok(Proposition { tau, points })
}

fn one_kind(
    learner: &mut crate::language_model::Learner,
    layer: usize,
    forget: bool,
    steps: u64,
) -> Result<Vec<Point>> {
    let crate::language_model::Learner { executor, parameters, gradients, .. } = learner;
    parameters.as_mut_slice().fill(0.0);
    let bias = parameters.get_mut(&format!("layers.{layer}.b")).context("every layer has a bias")?;
    let hidden = bias.len() / 4;
    let a: Vec<f32> =
        (0..hidden).map(|unit| (REACH * (2.0 * (unit as f64 + 0.5) / hidden as f64 - 1.0)) as f32).collect();
    // Gate order i, f, g, o.
    let (i, rest) = bias.split_at_mut(hidden);
    let (f, rest) = rest.split_at_mut(hidden);
    if forget { f } else { i }.copy_from_slice(&a);
    rest[..hidden].fill(if forget { 0.0 } else { SATURATED });

    let state = format!("layers.{layer}.c");
    let start = vec![f32::from(u8::from(forget)); BATCH * hidden];
    let zero = [0; EPSILONS.len()];
    let mut points: Vec<Point> =
        a.iter().map(|&a| Point { a: f64::from(a), gates: 0, low: zero, high: zero }).collect();
    for step in 0..steps {
        executor.set_state(&state, &start)?;
        executor.forward(parameters, step)?;
        executor.backward(parameters, gradients)?;
        for gates in executor.state(&state)?.chunks_exact(hidden) {
            for (point, &gate) in points.iter_mut().zip(gates) {
                point.gates += 1;
                for (k, &epsilon) in EPSILONS.iter().enumerate() {
                    point.low[k] += u64::from(f64::from(gate) <= epsilon);
                    point.high[k] += u64::from(f64::from(gate) >= 1.0 - epsilon);
                }
            }
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn counted(change: &str) -> Proposition {
        let text = r#"
            data = { dir = "text", level = "char" }
            model = { layers = 2, embedding = 8, hidden = 20 }
            train = { epochs = 1, batch = 2, steps = 3, lr = 1, seed = 5 }
        "#;
        let config = Config::parse(text, Path::new(""), &[change.to_owned()]).unwrap();
        count(&LanguageModel::new(&config, 11, 1), 40).unwrap()
    }

    #[test]
    fn sampled_gates_keep_within_the_bounds() {
        for tau in ["0.9", "0.5", "1.5"] {
            let proposition = counted(&format!("gates.tau={tau}"));
            assert_eq!(proposition.gates(), 40 * 512 * 20 * 2 * 2);
            assert_eq!(proposition.violations(), 0, "tau = {tau}");
            assert!(proposition.deviation() < 5.0, "tau = {tau}: {}", proposition.deviation());
        }
    }

    #[test]
    fn gates_that_are_not_sampled_do_not() {
        let proposition = counted("gates.training=baseline");
        assert!(proposition.violations() > 50, "{}", proposition.violations());
        assert!(proposition.deviation() > 50.0, "{}", proposition.deviation());
    }
}
