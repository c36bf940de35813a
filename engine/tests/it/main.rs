//! Integration tests of the engine: math core, noise, composition, compile errors, a crate outside of the workspace.

mod compose;
mod noise;
mod outside;
mod real;
mod ui;
