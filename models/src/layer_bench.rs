//! One recurrent layer, ready to be timed, and how it is timed.

use crate::registry;
use anyhow::{Context, Result};
use clap::Args;
use g2_engine::cpu::{Executor, Options};
use g2_engine::ir::LeafKind;
use g2_engine::{Bindings, Definition, Fusion, Parameters};
use serde::Serialize;
use std::time::{Duration, Instant};

/// The sizes of one recurrent layer: steps, batch, input width, hidden width.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
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

/// One layer with random weights and inputs, in training mode.
pub struct Layer {
    exec: Executor<f32>,
    parameters: Parameters<f32>,
    gradients: Parameters<f32>,
}

impl Layer {
    /// Builds the layer that `definition` (an item of `g2_graphs::layer`) describes.
    ///
    /// # Errors
    /// The engine's, and if the definition cannot be trained.
    pub fn new(definition: &Definition, shape: Shape, fusion: Fusion, threads: usize) -> Result<Layer> {
        let training = definition.training.with_context(|| format!("{} has no loss", definition.name))?;
        let Shape { time, batch, input, hidden } = shape;
        let sizes = [("time", time), ("batch", batch), ("input", input), ("hidden", hidden)];
        let bindings = sizes.into_iter().fold(Bindings::new(), |bindings, (name, size)| bindings.with(name, size));
        let mut exec = Executor::new(training, &bindings, Options { threads, fusion, seed: 1 })?;
        let mut parameters = Parameters::with_layout(exec.plan().parameters.clone());
        let mut state = 1_u32;
        let mut random = |scale: f32| {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            (state >> 8) as f32 / (1 << 23) as f32 * scale - scale
        };
        let x: Vec<f32> = (0..time * batch * input).map(|_| random(1.7)).collect();
        exec.set_input("x", &x)?;
        parameters.as_mut_slice().iter_mut().for_each(|p| *p = random(0.03));
        for leaf in exec.plan().leaves.clone().iter().filter(|leaf| leaf.kind == Some(LeafKind::Hyper)) {
            let value = match leaf.name.as_str() {
                "tau" => 0.9,
                "noise_p" => 0.2,
                "epsilon" => 1e-3,
                other => anyhow::bail!("nothing sets {other}: a defect"),
            };
            exec.set_hyper(&leaf.name, value)?;
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

    /// Times both, after a warm-up, for about two seconds but at least [`FEWEST_RUNS`] times.
    pub fn time(&mut self) -> Timing {
        const WARM_UP: Duration = Duration::from_millis(300);
        const MEASURE: Duration = Duration::from_secs(2);
        let start = Instant::now();
        self.forward_backward();
        while start.elapsed() < WARM_UP {
            self.forward_backward();
        }
        // Forward and backward halves of the same runs: both medians see the same disturbances.
        let (mut forward, mut both) = (Vec::new(), Vec::new());
        let start = Instant::now();
        while start.elapsed() < MEASURE || both.len() < FEWEST_RUNS {
            let begin = Instant::now();
            self.forward();
            let middle = begin.elapsed();
            self.exec.backward(&self.parameters, &mut self.gradients).expect("forward has run");
            forward.push(milliseconds(middle));
            both.push(milliseconds(begin.elapsed()));
        }
        Timing { runs: both.len(), forward_ms: median(&mut forward), forward_backward_ms: median(&mut both) }
    }
}

/// `g2lstm bench layer`
#[derive(Args, Debug)]
pub struct Arguments {
    /// A cell, for example Lstm, SharpenedLstm, G2Lstm or NoisyLstm.
    #[arg(long)]
    cell: String,
    /// Time steps.
    #[arg(long, value_parser = size)]
    steps: usize,
    /// Sequences.
    #[arg(long, value_parser = size)]
    batch: usize,
    /// Input width.
    #[arg(long, value_parser = size)]
    input: usize,
    /// Hidden width.
    #[arg(long, value_parser = size)]
    hidden: usize,
    /// One kernel for each primitive instead of fused ones.
    #[arg(long)]
    unfused: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

fn size(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=1 << 20).contains(n)).ok_or_else(|| "give a number from 1 to 2^20".to_owned())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Json<'a> {
    cell: &'a str,
    #[serde(flatten)]
    shape: Shape,
    fused: bool,
    threads: usize,
    #[serde(flatten)]
    timing: Timing,
}

impl Arguments {
    /// Times the layer; gives what is to be printed.
    ///
    /// # Errors
    /// If there is no such cell, or the engine cannot run these sizes.
    pub fn run(&self, threads: usize) -> Result<String> {
        let &Arguments { ref cell, steps: time, batch, input, hidden, unfused, json } = self;
        let definition = registry::layer(cell)?;
        let shape = Shape { time, batch, input, hidden };
        let fusion = if unfused { Fusion::Unfused } else { Fusion::Fused };
        let timing = Layer::new(definition, shape, fusion, threads)?.time();
        let cell = registry::cell_of(definition);
        if json {
            return Ok(serde_json::to_string(&Json { cell, shape, fused: !unfused, threads, timing })? + "\n");
        }
        let Timing { runs, forward_ms, forward_backward_ms } = timing;
        let speed = |times, ms| times as f64 * shape.forward_flops() as f64 / ms / 1e6;
        Ok(format!(
            "{cell}, {shape}, {}, {threads} threads, median of {runs} runs\n\
             forward             {forward_ms:10.3} ms  {:8.1} GFLOP/s\n\
             forward + backward  {forward_backward_ms:10.3} ms  {:8.1} GFLOP/s\n",
            if unfused { "unfused" } else { "fused" },
            speed(1, forward_ms),
            speed(3, forward_backward_ms),
        ))
    }
}

/// Runs that [`Layer::time`] takes the median of, at the least.
pub const FEWEST_RUNS: usize = 11;

/// What [`Layer::time`] has measured.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Timing {
    /// Number of runs.
    pub runs: usize,
    /// Median of the forward half of a training step, noise and what backward needs included.
    pub forward_ms: f64,
    /// Median of both halves.
    pub forward_backward_ms: f64,
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The mean of the two in the middle, if there are two.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    f64::midpoint(values[(n - 1) / 2], values[n / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::LAYERS;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn every_layer_runs_and_fusion_and_threads_do_not_matter() {
        let shape = Shape { time: 3, batch: 5, input: 7, hidden: 9 };
        for definition in LAYERS {
            let mut fused = Layer::new(definition, shape, Fusion::Fused, 2).unwrap();
            fused.assert_equal(&mut Layer::new(definition, shape, Fusion::Unfused, 1).unwrap());
        }
    }
}
