//! Imports of what is no graph item.
use g2_engine::graph;

mod shapes {
    pub struct Cell;
}

graph! {
    use shapes::Cell;
    fn f(x) = x;
}

fn main() {}
