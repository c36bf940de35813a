//! The shipped cells.
//!
//! All share one layout: `x [batch, input]`, states `h, c [batch, hidden]`, one bias, gate order i, f, g, o. They give
//! their gates `i`, `f` and `o` as per-step results.

use g2_engine::graph;

graph! {
    use crate::gates::{gumbel_gate, noisy_gate, noisy_gate_locked, noisy_gate_locked_choice, sharpened_gate};

    /// All four pre-activations: `W_x x + W_h h + b`.
    fn pre_activations(x, h, w_x, w_h, b) = x @ w_x.t + h @ w_h.t + b;

    /// The next states from the gates and the candidate's pre-activation: `c' = f c + i tanh(g)`, `h' = o tanh(c')`.
    fn update(i, f, g, o, c) = {
        let c = f * c + i * tanh(g);
        [o * tanh(c), c]
    };

    /// LSTM (Eqns 2-7).
    pub cell Lstm[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden], c: [batch, hidden];
        param w_x: [4 * hidden, input], w_h: [4 * hidden, hidden], b: [4 * hidden];

        let [i, f, g, o] = split(pre_activations(x, h, w_x, w_h, b));
        let i = sigmoid(i);
        let f = sigmoid(f);
        let o = sigmoid(o);
        let [h, c] = update(i, f, g, o, c);
        output i, f, o;
        next (h, c)
    }

    /// LSTM with input and forget gates sharpened by `tau`, in training and in evaluation.
    pub cell SharpenedLstm[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden], c: [batch, hidden];
        param w_x: [4 * hidden, input], w_h: [4 * hidden, hidden], b: [4 * hidden];
        hyper tau;

        let [i, f, g, o] = split(pre_activations(x, h, w_x, w_h, b));
        let i = sharpened_gate(i, tau);
        let f = sharpened_gate(f, tau);
        let o = sigmoid(o);
        let [h, c] = update(i, f, g, o, c);
        output i, f, o;
        next (h, c)
    }

    /// Gumbel-Gate LSTM (Eqns 11-16): input and forget gates are sampled in training.
    pub cell G2Lstm[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden], c: [batch, hidden];
        param w_x: [4 * hidden, input], w_h: [4 * hidden, hidden], b: [4 * hidden];
        hyper tau;

        let [i, f, g, o] = split(pre_activations(x, h, w_x, w_h, b));
        let i = gumbel_gate(i, tau);
        let f = gumbel_gate(f, tau);
        let o = sigmoid(o);
        let [h, c] = update(i, f, g, o, c);
        output i, f, o;
        next (h, c)
    }

    /// As `G2Lstm` with the output gate sampled too: the ablation of Section 3.2.
    pub cell G2OutputLstm[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden], c: [batch, hidden];
        param w_x: [4 * hidden, input], w_h: [4 * hidden, hidden], b: [4 * hidden];
        hyper tau;

        let [i, f, g, o] = split(pre_activations(x, h, w_x, w_h, b));
        let i = gumbel_gate(i, tau);
        let f = gumbel_gate(f, tau);
        let o = gumbel_gate(o, tau);
        let [h, c] = update(i, f, g, o, c);
        output i, f, o;
        next (h, c)
    }

    /// The authors' released cell: an element of i or f is perturbed with probability `noise_p`.
    pub cell NoisyLstm[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden], c: [batch, hidden];
        param w_x: [4 * hidden, input], w_h: [4 * hidden, hidden], b: [4 * hidden];
        hyper tau, noise_p, epsilon;

        let [i, f, g, o] = split(pre_activations(x, h, w_x, w_h, b));
        let i = noisy_gate(i, tau, noise_p, epsilon);
        let f = noisy_gate(f, tau, noise_p, epsilon);
        let o = sigmoid(o);
        let [h, c] = update(i, f, g, o, c);
        output i, f, o;
        next (h, c)
    }

    /// As `NoisyLstm`, the perturbed elements chosen once a sequence.
    pub cell NoisyLockedChoiceLstm[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden], c: [batch, hidden];
        param w_x: [4 * hidden, input], w_h: [4 * hidden, hidden], b: [4 * hidden];
        hyper tau, noise_p, epsilon;

        let [i, f, g, o] = split(pre_activations(x, h, w_x, w_h, b));
        let i = noisy_gate_locked_choice(i, tau, noise_p, epsilon);
        let f = noisy_gate_locked_choice(f, tau, noise_p, epsilon);
        let o = sigmoid(o);
        let [h, c] = update(i, f, g, o, c);
        output i, f, o;
        next (h, c)
    }

    /// As `NoisyLstm`, choice and noise drawn once a sequence.
    pub cell NoisyLockedLstm[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden], c: [batch, hidden];
        param w_x: [4 * hidden, input], w_h: [4 * hidden, hidden], b: [4 * hidden];
        hyper tau, noise_p, epsilon;

        let [i, f, g, o] = split(pre_activations(x, h, w_x, w_h, b));
        let i = noisy_gate_locked(i, tau, noise_p, epsilon);
        let f = noisy_gate_locked(f, tau, noise_p, epsilon);
        let o = sigmoid(o);
        let [h, c] = update(i, f, g, o, c);
        output i, f, o;
        next (h, c)
    }
}
