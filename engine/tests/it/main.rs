//! Integration tests of the engine's device-safe core.

mod noise;
mod real;
mod ui;
