//! Splits of the wrong number of parts.
use g2_engine::graph;

graph! {
    cell Gates[batch, hidden] {
        input x: [batch, 4 * hidden];
        state h: [batch, hidden];
        let [i, f, g] = split(x);
        next (h * i + f * g)
    }
}

fn main() {}
