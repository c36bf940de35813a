//! The plan and the CPU executor against the interpreter.

mod errors;
mod harness;
mod loops;
mod memory;
mod ops;
mod same_bits;
