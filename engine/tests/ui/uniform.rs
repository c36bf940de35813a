//! Noise without a shape.
use g2_engine::graph;

graph! {
    fn noise(scale) = scale * logit(uniform());
    model Noise[batch] {
        input x: [batch];
        loss sum(noise(2)) + sum(x);
    }
}

fn main() {}
