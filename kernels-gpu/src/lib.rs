//! `g2-kernels`: the shipped cells, each an item of the language, and the gates they are made of.
//!
//! Import them into a `graph!` of your own: `use g2_kernels::cells::G2Lstm;`.
#![cfg_attr(target_arch = "nvptx64", no_std)]

pub mod cells;
pub mod gates;
