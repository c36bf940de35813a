//! How a model is checked: gradients against differences in f64; interpreter, unfused and fused kernels, one thread and
//! two, against each other.
//!
//! ```
//! # use g2_engine::{Bindings, Model, check::Trial, graph};
//! graph! {
//!     /// A sharp hinge.
//!     pub model Hinge[n] { param a: [n]; loss sum(sigmoid((a + logit(uniform())) / 0.9)); }
//! }
//! let trial = Trial::random(Hinge::DEFINITION.training.unwrap(), &Bindings::new().with("n", 7), &[], 1, 0)?;
//! trial.agree()?;
//! assert!(trial.gradient_error(3)? < 1e-6);
//! # Ok::<(), String>(())
//! ```

use crate::cpu::{Executor, Options};
use crate::noise::{self, Key};
use crate::{Bindings, Compiled, Fusion, Parameters};
use g2_ir::graph::Output;
use g2_ir::interpret::{Context, Draw, Tensor, Value, interpret};
use g2_ir::op::DType;
use g2_ir::{LeafKind, LoopKind, Program};
use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;
use std::collections::BTreeMap;

/// Seed and step of all runs of a trial: the same noise in each.
const SEED: u64 = 11;
const STEP: u64 = 3;

/// One graph of a model with random arguments in f64.
pub struct Trial<'c> {
    compiled: &'c Compiled,
    program: Program,
    bindings: Bindings,
    /// By leaf; a family has one tensor a layer.
    values: Vec<Value>,
    /// Of each leaf and layer: its name.
    names: Vec<Vec<String>>,
}

/// What one run gave, by name: `loss`, `output NAME`, `gradient NAME`, `next NAME`.
pub type Results = BTreeMap<String, Vec<f64>>;

fn bits(results: &Results) -> BTreeMap<&str, Vec<u64>> {
    results.iter().map(|(name, v)| (name.as_str(), v.iter().map(|x| x.to_bits()).collect())).collect()
}

/// Uniform on (-1, 1).
fn numbers(rng: &mut Pcg32, count: usize) -> Vec<f64> {
    (0..count).map(|_| f64::from(rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0).collect()
}

impl<'c> Trial<'c> {
    /// Random arguments: reals in (-1, 1), `hypers` as given (others 0.5), indices below `limit`, but `lengths` up to
    /// the number of steps (`time`).
    ///
    /// # Errors
    /// If a dimension is not bound, or a stack's widths do not fit.
    pub fn random(
        compiled: &'c Compiled,
        bindings: &Bindings,
        hypers: &[(&str, f64)],
        limit: usize,
        seed: u64,
    ) -> Result<Trial<'c>, String> {
        let program = compiled.decode().map_err(text)?;
        let mut rng = Pcg32::new(seed, 0);
        let steps = bindings.sizes.get("time").unwrap_or(0);
        let (mut values, mut names) = (Vec::new(), Vec::new());
        for (k, leaf) in program.leaves.iter().enumerate() {
            let ty = program.leaf_type(k);
            let mut tensor = |name: &str, shape: Vec<usize>| {
                let count = shape.iter().product();
                let data = match (leaf.kind, ty.dtype) {
                    (LeafKind::Hyper, _) => {
                        let given = hypers.iter().find(|(hyper, _)| name == *hyper);
                        vec![given.map_or(0.5, |&(_, value)| value); count]
                    }
                    (_, DType::Index) => {
                        let limit = if name == "lengths" { steps + 1 } else { limit };
                        (0..count).map(|_| f64::from(rng.next_u32() % limit.max(1) as u32)).collect()
                    }
                    (_, DType::Real) => numbers(&mut rng, count),
                };
                Tensor { shape, data }
            };
            let Some(stack) = &ty.family else {
                values.push(Value::Tensor(tensor(&leaf.name, ty.shape.eval(&bindings.sizes)?)));
                names.push(vec![leaf.name.clone()]);
                continue;
            };
            let Some(LoopKind::Stack { input, hidden, first, .. }) = program.stack(stack) else {
                return Err(format!("there is no stack `{stack}`"));
            };
            let widths = bindings.stacks.get(stack).ok_or_else(|| format!("stack `{stack}` is not bound"))?;
            let mut width = first.eval(&bindings.sizes)?;
            let local = leaf.name.strip_prefix(&format!("{stack}.")).unwrap_or(&leaf.name);
            let (mut tensors, mut layer_names) = (Vec::new(), Vec::new());
            for (layer, &next) in widths.iter().enumerate() {
                let sizes = bindings.sizes.clone().with(input.clone(), width).with(hidden.clone(), next);
                width = next;
                let name = format!("{stack}.{layer}.{local}");
                tensors.push(tensor(&name, ty.shape.eval(&sizes)?));
                layer_names.push(name);
            }
            values.push(Value::Family(tensors));
            names.push(layer_names);
        }
        Ok(Trial { compiled, program, bindings: bindings.clone(), values, names })
    }

    fn each(&self) -> impl Iterator<Item = (LeafKind, DType, &str, &Tensor)> {
        self.program.leaves.iter().enumerate().flat_map(move |(k, leaf)| {
            let tensors: Vec<&Tensor> = match &self.values[k] {
                Value::Tensor(tensor) => vec![tensor],
                Value::Family(tensors) => tensors.iter().collect(),
            };
            let dtype = self.program.leaf_type(k).dtype;
            self.names[k].iter().zip(tensors).map(move |(name, t)| (leaf.kind, dtype, name.as_str(), t))
        })
    }

    /// One forward (and, in training, backward) run of the executor in f64.
    ///
    /// # Errors
    /// The executor's.
    pub fn execute(&self, fusion: Fusion, threads: usize) -> Result<Results, String> {
        let options = Options { threads, fusion, seed: SEED };
        let mut exec = Executor::<f64>::new(self.compiled, &self.bindings, options).map_err(text)?;
        let mut params = Parameters::<f64>::new(self.compiled, &self.bindings).map_err(text)?;
        for (kind, dtype, name, tensor) in self.each() {
            let set = match (kind, dtype) {
                (LeafKind::Param, _) => {
                    params.get_mut(name).expect("a parameter of this program").copy_from_slice(&tensor.data);
                    Ok(())
                }
                (LeafKind::Hyper, _) => exec.set_hyper(name, tensor.data[0]),
                (LeafKind::State, _) => exec.set_state(name, &tensor.data),
                (LeafKind::Input, DType::Real) => exec.set_input(name, &tensor.data),
                (LeafKind::Input, DType::Index) => {
                    let ids: Vec<u32> = tensor.data.iter().map(|&id| id as u32).collect();
                    exec.set_index(name, &ids)
                }
            };
            set.map_err(text)?;
        }
        let mut grads = Parameters::<f64>::new(self.compiled, &self.bindings).map_err(text)?;
        exec.forward(&params, STEP).map_err(text)?;
        let mut results = BTreeMap::new();
        for output in &self.program.outputs {
            match output {
                Output::Loss => {
                    results.insert("loss".into(), vec![exec.loss()]);
                }
                Output::Named(name) => {
                    for name in self.family_names(name) {
                        results.insert(format!("output {name}"), exec.output(&name).map_err(text)?.to_vec());
                    }
                }
                Output::Next(_) | Output::Grad(_) => {}
            }
        }
        let training = self.program.outputs.iter().any(|o| matches!(o, Output::Grad(_)));
        if training {
            exec.backward(&params, &mut grads).map_err(text)?;
        }
        for (kind, _, name, _) in self.each() {
            if kind == LeafKind::Param && training {
                results
                    .insert(format!("gradient {name}"), grads.get(name).expect("a parameter of this program").to_vec());
            }
            if kind == LeafKind::State {
                results.insert(format!("next {name}"), exec.state(name).map_err(text)?.to_vec());
            }
        }
        Ok(results)
    }

    /// The names of a leaf or output of each layer, or its own.
    fn family_names(&self, name: &str) -> Vec<String> {
        for (stack, widths) in &self.bindings.stacks {
            if let Some(local) = name.strip_prefix(&format!("{stack}.")) {
                return (0..widths.len()).map(|layer| format!("{stack}.{layer}.{local}")).collect();
            }
        }
        vec![name.to_owned()]
    }

    /// The same by the interpreter.
    pub fn interpret(&self) -> Results {
        let noise = |draw: Draw| {
            let time = draw.time.map_or(u64::MAX, |t| t as u64);
            let key = Key { seed: SEED, step: STEP, layer: draw.layer as u64, time, gate: u64::from(draw.site) };
            noise::uniform_at::<f64>(key.state(), draw.element as u64)
        };
        let context = Context::new(self.bindings.sizes.clone(), self.bindings.stacks.clone(), &noise);
        let outputs = interpret(&self.program.graph, &self.values, &context);
        let mut results = BTreeMap::new();
        for (output, value) in self.program.outputs.iter().zip(outputs) {
            let (prefix, names) = match output {
                Output::Loss => ("", vec!["loss".to_owned()]),
                Output::Named(name) => ("output ", self.family_names(name)),
                Output::Next(leaf) => ("next ", self.names[*leaf].clone()),
                Output::Grad(leaf) => ("gradient ", self.names[*leaf].clone()),
            };
            let tensors = match value {
                Value::Tensor(tensor) => vec![tensor],
                Value::Family(tensors) => tensors,
            };
            results.extend(names.iter().zip(tensors).map(|(name, t)| (format!("{prefix}{name}"), t.data)));
        }
        results
    }

    /// Compares all ways to run; returns what they agree on. Fused and unfused kernels and any number of threads must
    /// agree in every bit, the interpreter up to rounding: within 1e-10 of a tensor's largest element.
    ///
    /// # Errors
    /// The executor's, or the first element on which two ways differ.
    pub fn agree(&self) -> Result<Results, String> {
        let fused = self.execute(Fusion::Fused, 1)?;
        for (fusion, threads) in [(Fusion::Fused, 2), (Fusion::Unfused, 1), (Fusion::Unfused, 2)] {
            let other = self.execute(fusion, threads)?;
            if bits(&fused) != bits(&other) {
                let name = fused.keys().find(|name| bits(&fused)[name.as_str()] != bits(&other)[name.as_str()]);
                let name = name.map_or("a result", String::as_str);
                return Err(format!(
                    "{name}: {fusion:?} on {threads} threads differs from fused on one\n{}",
                    self.program
                ));
            }
        }
        for (name, expected) in self.interpret() {
            let Some(found) = fused.get(&name) else { return Err(format!("{name} was not computed")) };
            let scale = expected.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
            for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                let same = (a - b).abs() <= 1e-10 * scale || (a.is_nan() && b.is_nan());
                if !same {
                    return Err(format!("{name}[{i}]: {a} executed, {b} interpreted\n{}", self.program));
                }
            }
        }
        Ok(fused)
    }

    /// The same arguments with each parameter moved by `by` along `direction`.
    fn moved(&self, by: f64, direction: &BTreeMap<String, Vec<f64>>) -> Trial<'c> {
        let values = self.values.iter().zip(&self.names).zip(&self.program.leaves).map(|((value, names), leaf)| {
            let shift = |tensor: &Tensor, name: &str| {
                let data = match direction.get(name) {
                    Some(d) if leaf.kind == LeafKind::Param => {
                        tensor.data.iter().zip(d).map(|(x, d)| x + by * d).collect()
                    }
                    _ => tensor.data.clone(),
                };
                Tensor { shape: tensor.shape.clone(), data }
            };
            match value {
                Value::Tensor(tensor) => Value::Tensor(shift(tensor, &names[0])),
                Value::Family(each) => Value::Family(each.iter().zip(names).map(|(t, n)| shift(t, n)).collect()),
            }
        });
        Trial {
            compiled: self.compiled,
            values: values.collect(),
            program: self.program.clone(),
            bindings: self.bindings.clone(),
            names: self.names.clone(),
        }
    }

    /// The largest relative error of the gradient against differences of the loss, along random directions.
    ///
    /// # Errors
    /// The executor's, or that the program has no gradient.
    pub fn gradient_error(&self, directions: u64) -> Result<f64, String> {
        let results = self.execute(Fusion::Fused, 1)?;
        let gradients: Vec<(&str, &Vec<f64>)> =
            results.iter().filter_map(|(name, g)| Some((name.strip_prefix("gradient ")?, g))).collect();
        if gradients.is_empty() {
            return Err(format!("{} ({:?}) has no gradient", self.program.name, self.program.mode));
        }
        let mut worst = 0.0_f64;
        for seed in 0..directions {
            let mut rng = Pcg32::new(seed, 5);
            let direction: BTreeMap<String, Vec<f64>> =
                gradients.iter().map(|(name, g)| ((*name).to_owned(), numbers(&mut rng, g.len()))).collect();
            let along =
                |(name, g): &(&str, &Vec<f64>)| g.iter().zip(&direction[*name]).map(|(g, d)| g * d).sum::<f64>();
            let slope: f64 = gradients.iter().map(along).sum();
            let loss = |by: f64| self.moved(by, &direction).execute(Fusion::Fused, 1).map(|results| results["loss"][0]);
            // A large step truncates, a small one rounds: a right slope agrees with one of them.
            let mut best = f64::INFINITY;
            for h in [1e-3, 1e-4, 1e-5, 1e-6] {
                let near = 8.0 * (loss(h)? - loss(-h)?);
                let numeric = (near - (loss(2.0 * h)? - loss(-2.0 * h)?)) / (12.0 * h);
                best = best.min((numeric - slope).abs() / (1e-9 + numeric.abs().max(slope.abs())));
            }
            worst = worst.max(best);
        }
        Ok(worst)
    }
}

fn text(error: crate::Error) -> String {
    error.to_string()
}
