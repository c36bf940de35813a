//! Names declared twice.
use g2_engine::graph;

graph! {
    fn f(x, x) = x;
    fn g(x) = x;
    fn g(y) = y;
    model M[n] {
        input x: [n];
        param x: [n];
        loss sum(x);
    }
}

fn main() {}
