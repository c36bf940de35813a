//! What is not the language.
use g2_engine::graph;

graph! {
    struct NotHere;
    fn f(x) = if x { 1 } else { 2 };
    fn g(x) = x +;
    cell C[n] {
        inputs x: [n];
    }
}

fn main() {}
