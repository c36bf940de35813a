//! Shapes that broadcasting cannot bring together.
use g2_engine::graph;

graph! {
    model Spread[time, batch, hidden] {
        input x: [batch, hidden];
        loss sum(broadcast(x, [time, hidden, batch]));
    }
}

fn main() {}
