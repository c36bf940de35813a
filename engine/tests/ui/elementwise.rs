//! Element-wise operands of different shapes.
use g2_engine::graph;

graph! {
    model Sum[batch, input] {
        input x: [batch, input], y: [input, batch];
        loss sum(x + y);
    }
}

fn main() {}
