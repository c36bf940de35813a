//! The language models of `g2-graphs`, bound to a configuration and run by the engine.
//!
//! Legend: T steps, B batch, H units of a layer. Windows, `nll`: `[T, B]`; gates: `[T, B, H]`.

use crate::batches::{Batches, Window};
use crate::checkpoint::tensors::{Tensor, Tensors};
use crate::config::{Cell, Config, Gates, Model, Training};
use crate::evaluate::Score;
use crate::gates::{GateShares, Means, add_means};
use crate::train::{Network, Update};
use anyhow::{Context, Result, ensure};
use g2_engine::cpu::{Executor, Options};
use g2_engine::ir::LeafKind;
use g2_engine::noise::{Key, Stream};
use g2_engine::optim::Sgd;
use g2_engine::plan::Port;
use g2_engine::{Bindings, Compiled, Definition, Fusion, Model as _, Parameters};
use g2_graphs::language_model as lm;
use std::collections::BTreeMap;

/// A definition and all that is needed to run it, but the size of its windows.
pub struct LanguageModel {
    definition: &'static Definition,
    bindings: Bindings,
    layers: usize,
    hypers: BTreeMap<String, f64>,
    init: f64,
    options: Options,
}

impl LanguageModel {
    /// The model that `config` asks for, over `vocab` tokens.
    pub fn new(config: &Config, vocab: usize, threads: usize) -> LanguageModel {
        let Config { data: _, model, gates, train } = config;
        LanguageModel {
            definition: definition(model, gates),
            bindings: Bindings::new()
                .with("vocab", vocab)
                .with("embedding", model.embedding)
                .with("features", model.features())
                .stack("layers", model.widths()),
            layers: model.layers,
            hypers: hypers(model, gates),
            init: model.init,
            options: Options { threads, fusion: Fusion::Fused, seed: train.seed },
        }
    }

    /// To train on windows of these sizes, from first weights that depend on the seed alone.
    ///
    /// # Errors
    /// If the engine cannot run these sizes.
    pub fn learner(&self, batch: usize, steps: usize) -> Result<Learner> {
        let executor = self.executor(self.definition.training, batch, steps)?;
        let mut parameters = Parameters::with_layout(executor.plan().parameters.clone());
        for (k, entry) in parameters.layout().clone().entries().iter().enumerate() {
            if let Some(values) = parameters.get_mut(&entry.name).filter(|_| !is_bias(&entry.name)) {
                fill_uniform(values, self.init, self.options.seed, k as u64);
            }
        }
        let gradients = parameters.zeros_like();
        Ok(Learner { executor, parameters, gradients, targets: Vec::new(), overflowed: None })
    }

    /// Zeros for all parameters.
    ///
    /// # Errors
    /// If the engine cannot lay them out.
    pub fn parameters(&self) -> Result<Parameters<f32>> {
        Ok(Parameters::new(self.program(self.definition.evaluation)?, &self.bindings)?)
    }

    /// To evaluate on windows of these sizes.
    ///
    /// # Errors
    /// If the engine cannot run these sizes.
    pub fn evaluator(&self, batch: usize, steps: usize) -> Result<Evaluator> {
        self.forward_only(self.definition.evaluation, batch, steps)
    }

    /// As [`LanguageModel::evaluator`], with noise and dropout as in training.
    ///
    /// # Errors
    /// If the engine cannot run these sizes.
    pub fn sampler(&self, batch: usize, steps: usize) -> Result<Evaluator> {
        self.forward_only(self.definition.sampling, batch, steps)
    }

    fn forward_only(&self, program: Option<&'static Compiled>, batch: usize, steps: usize) -> Result<Evaluator> {
        let executor = self.executor(program, batch, steps)?;
        Ok(Evaluator { executor, batch, steps, layers: self.layers, targets: Vec::new() })
    }

    fn program(&self, program: Option<&'static Compiled>) -> Result<&'static Compiled> {
        program.with_context(|| format!("{} lacks a graph: a defect", self.definition.name))
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// A hyperparameter, by its name in the graph.
    pub fn hyper(&self, name: &str) -> Option<f64> {
        self.hypers.get(name).copied()
    }

    fn executor(&self, program: Option<&'static Compiled>, batch: usize, steps: usize) -> Result<Executor<f32>> {
        let program = self.program(program)?;
        let bindings = self.bindings.clone().with("batch", batch).with("time", steps);
        let mut executor = Executor::new(program, &bindings, self.options)?;
        for leaf in executor.plan().leaves.clone().iter().filter(|leaf| leaf.kind == Some(LeafKind::Hyper)) {
            let value = self.hypers.get(&leaf.name).with_context(|| format!("nothing sets {}: a defect", leaf.name))?;
            executor.set_hyper(&leaf.name, *value)?;
        }
        Ok(executor)
    }
}

fn definition(model: &Model, gates: &Gates) -> &'static Definition {
    let Cell::Lstm = model.cell;
    let released = gates.noise_p < 1.0;
    match (gates.training, released, model.tie) {
        (Training::Baseline, _, false) => lm::BaselineLm::DEFINITION,
        (Training::Baseline, _, true) => lm::TiedBaselineLm::DEFINITION,
        (Training::Sharpened, _, false) => lm::SharpenedLm::DEFINITION,
        (Training::Sharpened, _, true) => lm::TiedSharpenedLm::DEFINITION,
        (Training::Gumbel, false, false) => lm::G2Lm::DEFINITION,
        (Training::Gumbel, false, true) => lm::TiedG2Lm::DEFINITION,
        (Training::Gumbel, true, false) => lm::NoisyLm::DEFINITION,
        (Training::Gumbel, true, true) => lm::TiedNoisyLm::DEFINITION,
    }
}

/// Values for every hyper that any of the definitions has.
fn hypers(model: &Model, gates: &Gates) -> BTreeMap<String, f64> {
    let dropout = &model.dropout;
    let whole = [
        ("tau", gates.tau),
        ("noise_p", gates.noise_p),
        ("epsilon", gates.epsilon),
        ("p_embed", dropout.embedding),
        ("p_input", dropout.input),
        ("p_output", dropout.output),
        ("p_weight", dropout.weight),
    ];
    // A layer drops its input; the first one's is the embedded text, which `p_input` has dropped.
    let layers = (0..model.layers)
        .map(|layer| (format!("layers.{layer}.p_hidden"), if layer == 0 { 0.0 } else { dropout.hidden }));
    let whole = whole.map(|(name, value)| (name.to_owned(), value));
    whole.into_iter().chain(layers).collect()
}

/// Biases start at zero: the softmax's `bias` and each layer's `b`.
fn is_bias(name: &str) -> bool {
    name == "bias" || name.ends_with(".b")
}

/// Uniform in `+-range`; keyed apart from the noise of any training step.
fn fill_uniform(values: &mut [f32], range: f64, seed: u64, tensor: u64) {
    let key = Key { seed, step: u64::MAX, layer: tensor, time: 0, gate: 0 };
    Stream::new(key.state(), 0).fill(values);
    for value in values {
        *value = range as f32 * (2.0 * *value - 1.0);
    }
}

/// Parameters in training.
pub struct Learner {
    pub(crate) executor: Executor<f32>,
    pub(crate) parameters: Parameters<f32>,
    pub(crate) gradients: Parameters<f32>,
    targets: Vec<u32>,
    /// The first output that was not finite in the last forward run, if its loss was not.
    overflowed: Option<String>,
}

impl Learner {
    /// All parameters.
    pub fn parameters(&self) -> &Parameters<f32> {
        &self.parameters
    }

    /// All parameters.
    pub fn parameters_mut(&mut self) -> &mut Parameters<f32> {
        &mut self.parameters
    }

    fn state_ports(&self) -> impl Iterator<Item = &Port> {
        self.executor.plan().leaves.iter().filter(|port| port.kind == Some(LeafKind::State) && !port.is_index)
    }

    fn output_not_finite(&self) -> Option<String> {
        self.executor.plan().outputs.iter().find_map(|port| {
            let at = self.executor.output(&port.name).ok()?.iter().position(|v| !v.is_finite())?;
            Some(format!("output `{}`, element {at}", port.name))
        })
    }

    /// What the layers carry to the next window, by name.
    ///
    /// # Errors
    /// If the engine does not have it.
    pub fn states(&self) -> Result<Tensors> {
        let state = |port: &Port| -> Result<(String, Tensor)> {
            let data = self.executor.state(&port.name)?.to_vec();
            Ok((port.name.clone(), Tensor { shape: port.view.sizes.clone(), data }))
        };
        self.state_ports().map(state).collect()
    }

    /// Sets what the layers carry.
    ///
    /// # Errors
    /// If these are another model's.
    pub fn set_states(&mut self, states: &Tensors) -> Result<()> {
        for port in self.state_ports().cloned().collect::<Vec<_>>() {
            let state = states.get(&port.name).filter(|state| state.shape == port.view.sizes);
            let state = state
                .with_context(|| format!("there is no `{}` of shape {:?}; restore it", port.name, port.view.sizes))?;
            self.executor.set_state(&port.name, &state.data)?;
        }
        let expected = self.state_ports().count();
        ensure!(states.len() == expected, "{} states, but the layers have {expected}", states.len());
        Ok(())
    }
}

/// The first tensor with an element that is not finite, for example ``gradient of `embed`, element 7``.
fn first_not_finite(what: &str, tensors: &Parameters<f32>) -> Option<String> {
    tensors.iter().find_map(|(entry, values)| {
        let at = values.iter().position(|v| !v.is_finite())?;
        Some(format!("{what} `{}`, element {at}", entry.name))
    })
}

impl Network for Learner {
    fn restart(&mut self) {
        self.executor.reset_states();
    }

    fn learn(&mut self, window: &Window, step: u64, sgd: Sgd) -> Result<Update> {
        self.executor.set_index("tokens", &window.tokens)?;
        self.executor.set_index("targets", window.padded_targets(&mut self.targets))?;
        self.executor.forward(&self.parameters, step)?;
        let loss = f64::from(self.executor.loss());
        self.overflowed = if loss.is_finite() { None } else { self.output_not_finite() };
        self.executor.backward(&self.parameters, &mut self.gradients)?;
        let norm = sgd.step(self.parameters.as_mut_slice(), self.gradients.as_slice());
        Ok(Update { loss, norm })
    }

    fn not_finite(&self) -> Option<String> {
        first_not_finite("parameter", &self.parameters)
            .or_else(|| self.overflowed.clone())
            .or_else(|| first_not_finite("gradient of", &self.gradients))
            .or_else(|| {
                self.state_ports().find_map(|port| {
                    let at = self.executor.state(&port.name).ok()?.iter().position(|v| !v.is_finite())?;
                    Some(format!("state `{}`, element {at}", port.name))
                })
            })
    }
}

/// Runs parameters forward.
pub struct Evaluator {
    executor: Executor<f32>,
    batch: usize,
    steps: usize,
    layers: usize,
    targets: Vec<u32>,
}

impl Evaluator {
    /// Scores a text.
    ///
    /// # Errors
    /// If the text has no two tokens.
    pub fn score(&mut self, parameters: &Parameters<f32>, text: &[u32]) -> Result<Score> {
        let mut score = Score::default();
        self.run(parameters, text, |executor, targets| {
            score.add(executor.output("nll")?, targets);
            Ok(())
        })?;
        Ok(score)
    }

    /// Counts each layer's gates' values over a text.
    ///
    /// # Errors
    /// If the text has no two tokens.
    pub fn gates(&mut self, parameters: &Parameters<f32>, text: &[u32]) -> Result<Vec<GateShares>> {
        let mut shares = vec![GateShares::default(); self.layers];
        self.visit_gates(parameters, text, |layer, [i, f], targets| {
            shares[layer].input.add(i, targets);
            shares[layer].forget.add(f, targets);
        })?;
        Ok(shares)
    }

    /// The mean of each layer's gates at each token of a text but the last.
    ///
    /// # Errors
    /// If the text has no two tokens.
    pub fn means(&mut self, parameters: &Parameters<f32>, text: &[u32]) -> Result<Vec<Means>> {
        let mut means = vec![Means::default(); self.layers];
        self.visit_gates(parameters, text, |layer, [i, f], targets| {
            add_means(&mut means[layer].input, i, targets);
            add_means(&mut means[layer].forget, f, targets);
        })?;
        Ok(means)
    }

    /// Sets the state to zero: a text begins.
    pub fn restart(&mut self) {
        self.executor.reset_states();
    }

    /// Feeds one token where windows are of one place, and writes the scores `[vocab]` of what can follow: the
    /// softmax's input.
    ///
    /// # Errors
    /// If the engine cannot run, or windows are larger.
    pub fn feed(&mut self, parameters: &Parameters<f32>, token: u32, scores: &mut Vec<f32>) -> Result<()> {
        self.executor.set_index("tokens", &[token])?;
        self.executor.set_index("targets", &[0])?;
        self.executor.forward(parameters, 0)?;
        let h = self.executor.state(&format!("layers.{}.h", self.layers - 1))?;
        let get = |name| parameters.get(name).with_context(|| format!("there is no {name}: a defect"));
        let decoder = get("decoder").or_else(|_| get("embed"))?;
        let score = |(row, bias): (&[f32], &f32)| bias + row.iter().zip(h).map(|(w, h)| w * h).sum::<f32>();
        scores.clear();
        scores.extend(decoder.chunks_exact(h.len()).zip(get("bias")?).map(score));
        Ok(())
    }

    /// Input and forget gates `[steps, batch, hidden]` of each layer, window by window.
    fn visit_gates(
        &mut self,
        parameters: &Parameters<f32>,
        text: &[u32],
        mut visit: impl FnMut(usize, [&[f32]; 2], &[u32]),
    ) -> Result<()> {
        let names: Vec<[String; 2]> =
            (0..self.layers).map(|layer| ["i", "f"].map(|gate| format!("layers.{layer}.{gate}"))).collect();
        self.run(parameters, text, |executor, targets| {
            for (layer, [i, f]) in names.iter().enumerate() {
                visit(layer, [executor.output(i)?, executor.output(f)?], targets);
            }
            Ok(())
        })
    }

    /// Runs all windows of a text; `visit` reads each one's outputs.
    fn run(
        &mut self,
        parameters: &Parameters<f32>,
        text: &[u32],
        mut visit: impl FnMut(&Executor<f32>, &[u32]) -> Result<()>,
    ) -> Result<()> {
        let batches = Batches::every(text, self.batch, self.steps)?;
        let mut window = Window::new(batches.places());
        self.executor.reset_states();
        for k in 0..batches.windows() {
            batches.fill(k, &mut window);
            self.executor.set_index("tokens", &window.tokens)?;
            self.executor.set_index("targets", window.padded_targets(&mut self.targets))?;
            self.executor.forward(parameters, k as u64)?;
            visit(&self.executor, &window.targets)?;
        }
        Ok(())
    }
}
