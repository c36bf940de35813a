//! The training loop: truncated back-propagation through time, the state carried from window to window.

use crate::batches::{Batches, Window};
use anyhow::{Result, ensure};
use g2_engine::optim::Sgd;

/// What the loop needs of a network.
pub trait Network {
    /// Sets the state to zero: a text begins.
    fn restart(&mut self);

    /// Loss and gradient of one window, and one update unless the gradient is not finite. Steps key the noise.
    ///
    /// # Errors
    /// If the network cannot run.
    fn learn(&mut self, window: &Window, step: u64, sgd: Sgd) -> Result<Update>;
}

/// What one step found.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Mean negative log-likelihood of the window, before the update.
    pub loss: f64,
    /// The gradient's norm, before clipping.
    pub norm: f64,
}

/// One pass over the text; returns the mean loss. Steps are numbered from `first_step` on, `tick` is called after each.
///
/// # Errors
/// If the loss or the gradient stops being finite.
pub fn epoch(
    network: &mut dyn Network,
    batches: &Batches<'_>,
    sgd: Sgd,
    first_step: u64,
    mut tick: impl FnMut(),
) -> Result<f64> {
    let mut window = Window::new(batches.places());
    let mut total = 0.0;
    network.restart();
    for k in 0..batches.windows() {
        batches.fill(k, &mut window);
        let step = first_step + k as u64;
        let Update { loss, norm } = network.learn(&window, step, sgd)?;
        ensure!(
            loss.is_finite() && norm.is_finite(),
            "step {step}: the loss is {loss} and the gradient's norm {norm}; lower train.lr ({}) or train.clip ({})",
            sgd.lr,
            sgd.clip
        );
        total += loss;
        tick();
    }
    Ok(total / batches.windows() as f64)
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

    #[test]
    fn a_repeating_text_is_learnt() {
        let text: Vec<u32> = (0..1000).map(|k| k % 4).collect();
        let batches = Batches::whole(&text, 5, 10).unwrap();
        let mut network = bigram(4);
        let mut ticks = 0;
        let sgd = Sgd { lr: 5.0, clip: 1.0 };
        let losses: Vec<f64> =
            (0..5).map(|e| epoch(&mut network, &batches, sgd, e * 19, || ticks += 1).unwrap()).collect();
        assert!(losses.is_sorted_by(|a, b| a > b) && losses[4] < 0.05, "{losses:?}");
        assert_eq!((ticks, network.restarts), (5 * 19, 5));
        assert_eq!(network.steps, (0..5 * 19).collect::<Vec<u64>>());
    }

    #[test]
    fn a_loss_that_is_not_finite_stops_and_says_where() {
        let text: Vec<u32> = (0..1000).map(|k| k % 4).collect();
        let batches = Batches::whole(&text, 5, 10).unwrap();
        let sgd = Sgd { lr: 1e30, clip: f64::INFINITY };
        let error = epoch(&mut bigram(4), &batches, sgd, 100, || ()).unwrap_err().to_string();
        assert!(error.starts_with("step 101: the loss is NaN"), "{error}");
        assert!(error.contains("train.lr"), "{error}");
    }
}
