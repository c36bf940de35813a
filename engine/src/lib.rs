//! `g2-engine`: what a graph is and how it runs.
//!
//! The device-safe core (`real`, `noise`) is `no_std`: the same source becomes CPU and GPU code.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod noise;
pub mod real;
