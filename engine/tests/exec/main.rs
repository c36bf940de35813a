//! The plan and the CPU executor against the interpreter.

mod cells;
mod errors;
mod harness;
mod loops;
mod memory;
#[path = "../../ir/tests/it/models.rs"]
#[allow(dead_code, reason = "only its programs are of use here")]
mod models;
mod ops;
mod same_bits;
