//! Perplexity: `exp` of the mean negative log-likelihood over exactly the tokens that are predicted.

use crate::batches::NO_TARGET;

/// Negative log-likelihoods, summed.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Score {
    /// Sum, in nats.
    pub nll: f64,
    /// Number of tokens.
    pub tokens: u64,
}

impl Score {
    /// Counts a window's places in order, those without a target left out.
    pub fn add(&mut self, nll: &[f32], targets: &[u32]) {
        for (&nll, &target) in nll.iter().zip(targets) {
            if target != NO_TARGET {
                self.nll += f64::from(nll);
                self.tokens += 1;
            }
        }
    }

    /// `exp(nll / tokens)`
    pub fn perplexity(&self) -> f64 {
        (self.nll / self.tokens as f64).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_without_a_target_do_not_count() {
        let mut score = Score::default();
        score.add(&[2.0_f32.ln(), 8.0_f32.ln(), 99.0], &[0, 5, NO_TARGET]);
        assert_eq!(score.tokens, 2);
        assert!((score.perplexity() - 4.0).abs() < 1e-6);
    }
}
