//! An error inside of a fn is shown where it is called and where it stands; its followers stay silent.
use g2_engine::{Model, graph};

mod gates {
    use g2_engine::graph;

    graph! {
        pub fn mixed(a, b) = sigmoid(a) * tanh(b);
    }
}

graph! {
    use gates::mixed;
    pub fn twice(a, b) = mixed(a, b) + mixed(b, a);
    pub model Mixed[batch, hidden] {
        input x: [batch, hidden], y: [hidden, batch];
        loss sum(twice(x, y));
    }
    pub cell Broken[batch] {
        input x: [batch];
        state h: [batch];
        next (x + y)
    }
    pub model Follower[time, batch] {
        input x: [time, batch];
        let s = scan Broken(x);
        loss sum(s.h);
    }
}

fn main() {
    let _ = (Mixed::DEFINITION, Follower::DEFINITION);
}
