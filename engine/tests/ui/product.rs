//! Products whose shapes do not fit.
use g2_engine::graph;

graph! {
    cell Rnn[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden];
        param w: [hidden, input];
        next (tanh(x @ w + h))
    }
}

fn main() {}
