//! States that are not given their next value.
use g2_engine::graph;

graph! {
    cell Missing[batch, hidden] {
        input x: [batch, hidden];
        state h: [batch, hidden];
        let h = h + x;
    }
    cell Count[batch, hidden] {
        input x: [batch, hidden];
        state h: [batch, hidden], c: [batch, hidden];
        next (h + c * x)
    }
    cell Shape[batch, hidden] {
        input x: [batch, hidden];
        state h: [batch];
        next (h * x.t)
    }
}

fn main() {}
