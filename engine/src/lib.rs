//! `g2-engine`: what a graph is and how it runs.
//!
//! The device-safe core (`real`, `noise`, `region`) is `no_std` on a GPU: the same source becomes CPU and GPU code.
//! The rest is the host's: a definition's static description is bound to sizes by `plan` and run by `cpu`.
#![cfg_attr(target_arch = "nvptx64", no_std, feature(core_float_math))]

// What `graph!` expands to says `::g2_engine`, also in here.
extern crate self as g2_engine;

pub mod noise;
pub mod real;
pub mod region;

#[cfg(not(target_arch = "nvptx64"))]
pub mod check;
#[cfg(not(target_arch = "nvptx64"))]
pub mod cpu;
#[cfg(not(target_arch = "nvptx64"))]
pub mod definition;
#[cfg(not(target_arch = "nvptx64"))]
pub mod error;
#[cfg(not(target_arch = "nvptx64"))]
pub mod optim;
#[cfg(not(target_arch = "nvptx64"))]
pub mod parameters;
#[cfg(not(target_arch = "nvptx64"))]
pub mod plan;

pub use g2_macros::{__import, graph};
pub use real::Real;
pub use region::Region;

#[cfg(not(target_arch = "nvptx64"))]
pub use {
    cpu::kernel::Kernel,
    definition::{Compiled, Definition, Model},
    error::Error,
    g2_ir as ir,
    parameters::Parameters,
    plan::{Bindings, Fusion, Plan},
};
