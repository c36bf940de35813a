//! The shipped cells and models: gradients, agreement of all executors, noise modes.

mod gradients;
mod noise_modes;
