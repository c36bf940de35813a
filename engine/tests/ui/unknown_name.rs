//! Names that are not known, and the nearest ones that are.
use g2_engine::graph;

graph! {
    fn scaled(alpha, x) = alpah * x;
    fn squashed(x) = sigmiod(x);
    cell Copy[batch, hidden] {
        input x: [bach, hidden];
        state h: [batch, hidden];
        next (x + h)
    }
}

fn main() {}
