//! The language end to end: models written in `graph!`, run by the executor, checked against the interpreter.

mod primitives;
mod random;
mod random_models;
mod random_source;
