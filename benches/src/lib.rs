//! `g2-benches`: Criterion benchmarks of what [`g2_models::layer_bench`] builds; `g2lstm bench layer` times one at a time.

pub use g2_models::layer_bench::{Layer, Shape};
