//! Integration tests of the engine's device-safe core.

mod compose;
mod noise;
mod outside;
mod real;
mod ui;
