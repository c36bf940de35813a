//! The training loop: truncated back-propagation through time, the state carried from window to window.

use crate::batches::{Batches, Window};
use anyhow::{Result, bail};
use g2_engine::optim::Sgd;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// What the loop needs of a network.
pub trait Network {
    /// Sets the state to zero: a text begins.
    fn restart(&mut self);

    /// Loss and gradient of one window, and one update unless the gradient is not finite. Steps key the noise.
    ///
    /// # Errors
    /// If the network cannot run.
    fn learn(&mut self, window: &Window, step: u64, sgd: Sgd) -> Result<Update>;

    /// The first tensor that has an element which is not finite, in words.
    fn not_finite(&self) -> Option<String> {
        None
    }
}

/// Where a run stands: with the parameters and the states, all that the loop carries.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The epoch that is going on, counted from 1; one more than there are when all is done.
    pub epoch: usize,
    /// Windows of it that are done.
    pub window: usize,
    /// The sum of their losses.
    pub loss: f64,
    /// How much of that has been recorded.
    pub recorded: f64,
    /// And for how many windows.
    pub recorded_windows: usize,
    /// The validation perplexity after the last epoch that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_perplexity: Option<f64>,
    /// The lowest so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
}

/// The best epoch.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Its number.
    pub epoch: usize,
    /// After it.
    pub valid_perplexity: f64,
}

impl Default for Position {
    fn default() -> Position {
        Position {
            epoch: 1,
            window: 0,
            loss: 0.0,
            recorded: 0.0,
            recorded_windows: 0,
            valid_perplexity: None,
            best: None,
        }
    }
}

impl Position {
    /// Whether training can get there.
    pub fn is_possible(&self) -> bool {
        self.epoch >= 1 && self.recorded_windows <= self.window && self.loss.is_finite() && self.recorded.is_finite()
    }

    /// Steps that are done.
    pub fn steps(&self, windows: usize) -> u64 {
        (self.epoch as u64 - 1) * windows as u64 + self.window as u64
    }

    /// The mean loss of the windows since the last time, now recorded.
    pub fn record(&mut self) -> f64 {
        let mean = (self.loss - self.recorded) / (self.window - self.recorded_windows) as f64;
        (self.recorded, self.recorded_windows) = (self.loss, self.window);
        mean
    }

    /// An epoch is over.
    pub fn finish_epoch(&mut self, valid_perplexity: f64) {
        let best = self.best.filter(|best| best.valid_perplexity <= valid_perplexity);
        let best = best.unwrap_or(Best { epoch: self.epoch, valid_perplexity });
        let valid_perplexity = Some(valid_perplexity);
        *self = Position { epoch: self.epoch + 1, valid_perplexity, best: Some(best), ..Position::default() };
    }
}

/// What one step found.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Mean negative log-likelihood of the window, before the update.
    pub loss: f64,
    /// The gradient's norm, before clipping.
    pub norm: f64,
}

/// The rest of a pass over the text; returns the mean loss of the whole pass, or what `after` broke off with. `after` is
/// called after each step.
///
/// # Errors
/// If the loss or the gradient stops being finite, or as `after`.
pub fn epoch<N: Network, B>(
    network: &mut N,
    batches: &Batches<'_>,
    sgd: Sgd,
    position: &mut Position,
    mut after: impl FnMut(&N, &mut Position, Update) -> Result<ControlFlow<B>>,
) -> Result<ControlFlow<B, f64>> {
    let mut window = Window::new(batches.places());
    if position.window == 0 {
        network.restart();
    }
    while position.window < batches.windows() {
        batches.fill(position.window, &mut window);
        let step = position.steps(batches.windows());
        let update = network.learn(&window, step, sgd)?;
        let Update { loss, norm } = update;
        if !(loss.is_finite() && norm.is_finite()) {
            let first = network.not_finite().unwrap_or_else(|| "`loss`, the mean over the window".to_owned());
            bail!(
                "step {step}: the loss is {loss} and the gradient's norm {norm}; the first tensor that is not finite: \
                 {first}; lower train.lr ({}) or train.clip ({})",
                sgd.lr,
                sgd.clip
            );
        }
        position.loss += loss;
        position.window += 1;
        if let ControlFlow::Break(why) = after(network, position, update)? {
            return Ok(ControlFlow::Break(why));
        }
    }
    Ok(ControlFlow::Continue(position.loss / batches.windows() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores for the next token given the last one alone; counts what is called.
    struct Bigram {
        vocab: usize,
        scores: Vec<f32>,
        steps: Vec<u64>,
        restarts: usize,
    }

    impl Network for Bigram {
        fn restart(&mut self) {
            self.restarts += 1;
        }

        fn learn(&mut self, window: &Window, step: u64, sgd: Sgd) -> Result<Update> {
            self.steps.push(step);
            let mut grads = vec![0.0; self.scores.len()];
            let (mut loss, n) = (0.0, window.tokens.len() as f32);
            for (&token, &target) in window.tokens.iter().zip(&window.targets) {
                let row = token as usize * self.vocab..(token as usize + 1) * self.vocab;
                let sum: f32 = self.scores[row.clone()].iter().map(|s| s.exp()).sum();
                for (next, k) in row.enumerate() {
                    let p = self.scores[k].exp() / sum;
                    grads[k] += (p - f32::from(u8::from(next == target as usize))) / n;
                    if next == target as usize {
                        loss -= f64::from(p.ln() / n);
                    }
                }
            }
            let norm = sgd.step(&mut self.scores, &grads);
            Ok(Update { loss, norm })
        }
    }

    fn bigram(vocab: usize) -> Bigram {
        Bigram { vocab, scores: vec![0.0; vocab * vocab], steps: Vec::new(), restarts: 0 }
    }

    /// The mean loss of a whole epoch.
    fn epoch(network: &mut Bigram, batches: &Batches<'_>, sgd: Sgd, number: usize) -> Result<f64> {
        let mut position = Position { epoch: number, ..Position::default() };
        let flow = super::epoch(network, batches, sgd, &mut position, |_, _, _| Ok(ControlFlow::<()>::Continue(())))?;
        Ok(flow.continue_value().unwrap())
    }

    #[test]
    fn a_repeating_text_is_learnt() {
        let text: Vec<u32> = (0..1000).map(|k| k % 4).collect();
        let batches = Batches::whole(&text, 5, 10).unwrap();
        let mut network = bigram(4);
        let sgd = Sgd { lr: 5.0, clip: 1.0 };
        let losses: Vec<f64> = (1..=5).map(|number| epoch(&mut network, &batches, sgd, number).unwrap()).collect();
        assert!(losses.is_sorted_by(|a, b| a > b) && losses[4] < 0.05, "{losses:?}");
        assert_eq!(network.restarts, 5);
        assert_eq!(network.steps, (0..5 * 19).collect::<Vec<u64>>());
    }

    #[test]
    fn an_epoch_goes_on_where_it_was_broken_off() {
        let text: Vec<u32> = (0..1000).map(|k| k % 4).collect();
        let batches = Batches::whole(&text, 5, 10).unwrap();
        let sgd = Sgd { lr: 5.0, clip: 1.0 };
        let (mut whole, mut parts) = (bigram(4), bigram(4));
        let expected = epoch(&mut whole, &batches, sgd, 1).unwrap();

        let mut position = Position::default();
        let mut recorded = Vec::new();
        let found = loop {
            let flow = super::epoch(&mut parts, &batches, sgd, &mut position, |_, position, _| {
                if position.window % 7 != 0 {
                    return Ok(ControlFlow::Continue(()));
                }
                recorded.push(position.record());
                Ok(ControlFlow::Break(()))
            });
            if let ControlFlow::Continue(loss) = flow.unwrap() {
                break loss;
            }
        };
        assert_eq!((found.to_bits(), &parts.scores), (expected.to_bits(), &whole.scores));
        assert_eq!((parts.restarts, parts.steps), (1, whole.steps));
        assert_eq!(recorded.len(), 2);
        let rest = position.record() * 5.0;
        assert!((recorded.iter().sum::<f64>() * 7.0 + rest - expected * 19.0).abs() < 1e-9);
    }

    #[test]
    fn the_best_epoch_is_the_first_of_the_lowest_perplexity() {
        let mut position = Position::default();
        for (k, perplexity) in [9.0, 7.0, 8.0, 7.0].into_iter().enumerate() {
            position.finish_epoch(perplexity);
            assert_eq!((position.epoch, position.valid_perplexity), (k + 2, Some(perplexity)));
        }
        assert_eq!(position.best, Some(Best { epoch: 2, valid_perplexity: 7.0 }));
    }

    #[test]
    fn a_loss_that_is_not_finite_stops_and_says_where() {
        let text: Vec<u32> = (0..1000).map(|k| k % 4).collect();
        let batches = Batches::whole(&text, 5, 10).unwrap();
        let sgd = Sgd { lr: 1e30, clip: f64::INFINITY };
        let error = epoch(&mut bigram(4), &batches, sgd, 6).unwrap_err().to_string();
        assert!(error.starts_with("step 96: the loss is NaN"), "{error}");
        assert!(error.contains("train.lr") && error.contains("`loss`"), "{error}");
    }
}
