//! `g2-graphs`: whole models as items of the language.
#![cfg_attr(target_arch = "nvptx64", no_std)]

pub mod language_model;
pub mod layer;

/// The README's model compiles and trains.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
