//! Optimizers: one pass over the flat slices of parameters and gradients.

use crate::real::Real;

/// Stochastic gradient descent with clipping by the global norm:
/// `p -= lr * g * min(1, clip / |g|)`, `|g|` over all parameters together.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// The largest norm that a gradient keeps; infinite for no clipping.
    pub clip: f64,
}

impl Sgd {
    /// One update; returns the gradient's norm before clipping. If that is not finite, nothing is changed.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn step<T: Real>(&self, params: &mut [T], grads: &[T]) -> f64 {
        assert_eq!(params.len(), grads.len(), "one gradient for each parameter");
        let norm = norm(grads);
        if norm.is_finite() {
            let rate = T::from_f64(self.lr * (self.clip / norm).min(1.0));
            for (p, &g) in params.iter_mut().zip(grads) {
                *p = *p - rate * g;
            }
        }
        norm
    }
}

/// Euclidean norm, summed in f64 in an order that depends on the length alone.
pub fn norm<T: Real>(values: &[T]) -> f64 {
    const LANES: usize = 16;
    let square = |v: T| v.to_f64() * v.to_f64();
    let mut sums = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, &v) in sums.iter_mut().zip(chunk) {
            *sum += square(v);
        }
    }
    let rest: f64 = rest.iter().map(|&v| square(v)).sum();
    (sums.iter().sum::<f64>() + rest).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_gradients_are_taken_as_they_are() {
        let mut params = [1.0, 2.0];
        let norm = Sgd { lr: 0.5, clip: 5.0 }.step(&mut params, &[3.0, -4.0]);
        assert_eq!((norm, params), (5.0, [-0.5, 4.0]));
    }

    #[test]
    fn large_gradients_are_scaled_to_the_clip() {
        let mut params = vec![0.0; 100];
        let norm = Sgd { lr: 1.0, clip: 0.25 }.step(&mut params, &[2.0; 100]);
        assert_eq!(norm, 20.0);
        assert!((super::norm(&params) - 0.25).abs() < 1e-7);
    }

    #[test]
    fn a_zero_gradient_changes_nothing() {
        let mut params = [1.0];
        assert_eq!(Sgd { lr: 1.0, clip: 0.0 }.step(&mut params, &[0.0]), 0.0);
        assert_eq!(params, [1.0]);
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let mut params = [1.0, 2.0];
        assert!(!Sgd { lr: 1.0, clip: 1.0 }.step(&mut params, &[f32::NAN, 1.0]).is_finite());
        assert!(!Sgd { lr: 1.0, clip: 1.0 }.step(&mut params, &[f32::INFINITY, 1.0]).is_finite());
        assert_eq!(params, [1.0, 2.0]);
    }

    #[test]
    fn large_values_do_not_overflow_the_norm() {
        assert_eq!(norm(&[1e30_f32; 4]), 2.0 * f64::from(1e30_f32));
    }
}
