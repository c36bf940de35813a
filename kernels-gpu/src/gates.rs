//! Gates: how a pre-activation becomes a number in (0, 1), in training and in evaluation.
//!
//! All of them are plain sigmoids in evaluation, but `sharpened_gate`, which is sharpened there too.

use g2_engine::graph;

graph! {
    /// Gumbel sigmoid (Li et al. 2018, Section 3.2): `sigmoid((a + logit(U)) / tau)`, `U` uniform on (0, 1).
    pub fn gumbel_sigmoid(a, tau) = sigmoid((a + logit(uniform())) / tau);

    /// The paper's gate: sampled in training, the plain sigmoid in evaluation.
    pub fn gumbel_gate(a, tau) = if training { gumbel_sigmoid(a, tau) } else { sigmoid(a) };

    /// The paper's baseline with a low temperature, in training and in evaluation alike.
    pub fn sharpened_gate(a, tau) = sigmoid(a / tau);

    /// `ln((u + epsilon) / (1 + epsilon - u))`: the logistic noise of the authors' code, finite for epsilon > 0.
    pub fn bounded_logit(u, epsilon) = ln(u + epsilon) - ln((1 + epsilon) - u);

    /// The gate of the authors' code: an element is perturbed with probability `noise_p` and divided by `tau` in any
    /// case; noise and choice are fresh at every step (`new_U_B`).
    pub fn noisy_gate(a, tau, noise_p, epsilon) = if training {
        sigmoid((a + (uniform() < noise_p) * bounded_logit(uniform(), epsilon)) / tau)
    } else {
        sigmoid(a)
    };

    /// As `noisy_gate`, with the elements to perturb chosen once a sequence (`new_U`).
    pub fn noisy_gate_locked_choice(a, tau, noise_p, epsilon) = if training {
        sigmoid((a + (locked_uniform() < noise_p) * bounded_logit(uniform(), epsilon)) / tau)
    } else {
        sigmoid(a)
    };

    /// As `noisy_gate`, with both the choice and the noise drawn once a sequence (`no_new`).
    pub fn noisy_gate_locked(a, tau, noise_p, epsilon) = if training {
        sigmoid((a + (locked_uniform() < noise_p) * bounded_logit(locked_uniform(), epsilon)) / tau)
    } else {
        sigmoid(a)
    };
}
