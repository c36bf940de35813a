//! Parameters and inputs that are never used.
use g2_engine::graph;

graph! {
    model Forgetful[batch, hidden] {
        input x: [batch, hidden], y: [batch, hidden];
        param w: [hidden];
        loss sum(x);
    }
}

fn main() {}
