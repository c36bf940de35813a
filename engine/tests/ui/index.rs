//! Indices where real numbers belong.
use g2_engine::graph;

graph! {
    model Counts[batch] {
        input tokens: index [batch];
        param w: [batch];
        loss sum(w * tokens);
    }
}

fn main() {}
