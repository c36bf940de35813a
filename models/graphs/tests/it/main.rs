//! The shipped cells and models: gradients, agreement of all executors, noise modes, training.

mod gradients;
mod noise_modes;
mod training;
