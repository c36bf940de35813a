//! The passes, checked against the interpreter.

mod compile;
mod models;
mod random;
