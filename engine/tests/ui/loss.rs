//! Losses that are not scalars.
use g2_engine::graph;

graph! {
    model NotAScalar[batch, hidden] {
        input x: [batch, hidden];
        loss square(x);
    }
}

fn main() {}
