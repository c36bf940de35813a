//! cpu
pub mod kernel;
pub mod primitives;
pub mod simd;
pub mod storage;
