//! Functions that call themselves.
use g2_engine::graph;

graph! {
    fn even(x) = odd(x - 1);
    fn odd(x) = even(x - 1);
}

fn main() {}
