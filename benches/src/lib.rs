//! `g2-benches`: what is timed, ready to run, and the proof that two ways to run it are equal.

use g2_engine::cpu::{Executor, Options};
use g2_engine::{Bindings, Definition, Error, Fusion, Parameters};

/// The sizes of one recurrent layer: steps, batch, input width, hidden width.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Time steps.
    pub time: usize,
    /// Sequences.
    pub batch: usize,
    /// Input width.
    pub input: usize,
    /// Hidden width.
    pub hidden: usize,
}

impl Shape {
    /// Multiply-adds, counted as two, of the products of one LSTM layer's forward half; backward has twice as many.
    pub fn forward_flops(self) -> u64 {
        2 * (self.time * self.batch * (self.input + self.hidden) * 4 * self.hidden) as u64
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "T{} B{} I{} H{}", self.time, self.batch, self.input, self.hidden)
    }
}

/// One layer with random weights and inputs, ready to run in training mode.
pub struct Layer {
    exec: Executor<f32>,
    parameters: Parameters<f32>,
    gradients: Parameters<f32>,
}

impl Layer {
    /// Builds the layer that `definition` (an item of `g2_graphs::layer`) describes.
    ///
    /// # Errors
    /// The engine's.
    ///
    /// # Panics
    /// If the definition cannot be trained.
    pub fn new(definition: &Definition, shape: Shape, fusion: Fusion, threads: usize) -> Result<Layer, Error> {
        let training = definition.training.expect("layers have a loss");
        let Shape { time, batch, input, hidden } = shape;
        let sizes = [("time", time), ("batch", batch), ("input", input), ("hidden", hidden)];
        let bindings = sizes.into_iter().fold(Bindings::new(), |bindings, (name, size)| bindings.with(name, size));
        let mut exec = Executor::new(training, &bindings, Options { threads, fusion, seed: 1 })?;
        let mut parameters = Parameters::new(training, &bindings)?;
        let mut state = 1_u32;
        let mut random = |scale: f32| {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            (state >> 8) as f32 / (1 << 23) as f32 * scale - scale
        };
        let x: Vec<f32> = (0..time * batch * input).map(|_| random(1.7)).collect();
        exec.set_input("x", &x)?;
        parameters.as_mut_slice().iter_mut().for_each(|p| *p = random(0.03));
        for leaf in training.decode()?.leaves {
            match leaf.name.as_str() {
                "tau" => exec.set_hyper("tau", 0.9)?,
                "noise_p" => exec.set_hyper("noise_p", 0.2)?,
                "epsilon" => exec.set_hyper("epsilon", 1e-3)?,
                _ => {}
            }
        }
        let gradients = parameters.zeros_like();
        Ok(Layer { exec, parameters, gradients })
    }

    /// The forward half of a training step.
    ///
    /// # Panics
    /// If the engine refuses, which it cannot: everything is set.
    pub fn forward(&mut self) {
        self.exec.forward(&self.parameters, 0).expect("all inputs are set");
    }

    /// A training step without the update.
    ///
    /// # Panics
    /// As [`Layer::forward`].
    pub fn forward_backward(&mut self) {
        self.forward();
        self.exec.backward(&self.parameters, &mut self.gradients).expect("forward has run");
    }

    /// Asserts that one training step gives the same bits here and there.
    ///
    /// # Panics
    /// If it does not.
    pub fn assert_equal(&mut self, other: &mut Layer) {
        self.forward_backward();
        other.forward_backward();
        assert_eq!(self.exec.loss().to_bits(), other.exec.loss().to_bits(), "the losses differ");
        let bits = |layer: &Layer| layer.gradients.as_slice().iter().map(|g| g.to_bits()).collect::<Vec<_>>();
        assert!(bits(self) == bits(other), "the gradients differ");
    }
}
