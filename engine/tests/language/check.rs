//! How a model is checked: gradients by differences in f64; interpreter, unfused and fused kernels, one thread and two.

use g2_engine::cpu::{Executor, Options};
use g2_engine::ir::graph::Output;
use g2_engine::ir::interpret::{Context, Draw, Tensor, Value, interpret};
use g2_engine::ir::op::DType;
use g2_engine::ir::{LeafKind, Program};
use g2_engine::noise::{self, Key};
use g2_engine::{Bindings, Compiled, Fusion, Parameters};
use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;
use std::collections::BTreeMap;

pub(crate) const SEED: u64 = 11;
pub(crate) const STEP: u64 = 3;

/// A model's arguments by leaf; a family has one tensor a layer.
pub(crate) struct Arguments {
    program: Program,
    bindings: Bindings,
    values: Vec<Value>,
    /// Of each leaf and layer: its name.
    names: Vec<Vec<String>>,
}

/// What one run gave: loss, outputs, gradients, next states, by name.
#[derive(Debug, PartialEq)]
pub(crate) struct Results(pub(crate) BTreeMap<String, Vec<f64>>);

impl Results {
    fn bits(&self) -> BTreeMap<&str, Vec<u64>> {
        self.0.iter().map(|(name, v)| (name.as_str(), v.iter().map(|x| x.to_bits()).collect())).collect()
    }
}

fn numbers(rng: &mut Pcg32, count: usize) -> Vec<f64> {
    (0..count).map(|_| f64::from(rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0).collect()
}

impl Arguments {
    /// Random arguments: reals in (-1, 1), `hypers` as given (others 0.5), indices below `limit`, but
    /// `lengths` up to the number of steps.
    pub(crate) fn random(
        compiled: &Compiled,
        bindings: &Bindings,
        hypers: &[(&str, f64)],
        limit: usize,
        seed: u64,
    ) -> Arguments {
        let program = compiled.decode().expect("the macro's own encoding");
        let mut rng = Pcg32::new(seed, 0xa02b_dbf7_bb3c_0a7);
        let most = bindings.sizes.get("time").unwrap_or(0);
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
                        let limit = if name == "lengths" { most + 1 } else { limit };
                        (0..count).map(|_| f64::from(rng.next_u32() % limit as u32)).collect()
                    }
                    (_, DType::Real) => numbers(&mut rng, count),
                };
                Tensor { shape, data }
            };
            match &ty.family {
                None => {
                    let shape = ty.shape.eval(&bindings.sizes).expect("all dimensions are bound");
                    values.push(Value::Tensor(tensor(&leaf.name, shape)));
                    names.push(vec![leaf.name.clone()]);
                }
                Some(stack) => {
                    let widths = &bindings.stacks[stack];
                    let kind = program.stacks().into_iter().find_map(|kind| match kind {
                        g2_engine::ir::LoopKind::Stack { name, input, hidden, first, .. } if name == stack => {
                            Some((input, hidden, first))
                        }
                        _ => None,
                    });
                    let (input, hidden, first) = kind.expect("a family's stack");
                    let mut width = first.eval(&bindings.sizes).expect("all dimensions are bound");
                    let local = leaf.name.strip_prefix(&format!("{stack}.")).expect("named after its stack");
                    let (mut tensors, mut layer_names) = (Vec::new(), Vec::new());
                    for (layer, &next) in widths.iter().enumerate() {
                        let sizes = bindings.sizes.clone().with(input.clone(), width).with(hidden.clone(), next);
                        width = next;
                        let name = format!("{stack}.{layer}.{local}");
                        let shape = ty.shape.eval(&sizes).expect("all dimensions are bound");
                        tensors.push(tensor(&name, shape));
                        layer_names.push(name);
                    }
                    values.push(Value::Family(tensors));
                    names.push(layer_names);
                }
            }
        }
        Arguments { program, bindings: bindings.clone(), values, names }
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
    pub(crate) fn execute(&self, compiled: &'static Compiled, fusion: Fusion, threads: usize) -> Results {
        let options = Options { threads, fusion, seed: SEED };
        let mut exec = Executor::<f64>::new(compiled, &self.bindings, options).expect("an executor");
        let mut params = Parameters::<f64>::new(compiled, &self.bindings).expect("parameters");
        for (kind, dtype, name, tensor) in self.each() {
            let set = match (kind, dtype) {
                (LeafKind::Param, _) => {
                    params.get_mut(name).expect("a parameter").copy_from_slice(&tensor.data);
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
            set.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let mut grads = Parameters::<f64>::new(compiled, &self.bindings).expect("gradients");
        exec.forward(&params, STEP).expect("forward");
        let mut results = BTreeMap::new();
        for output in &self.program.outputs {
            match output {
                Output::Loss => {
                    results.insert("loss".into(), vec![exec.loss()]);
                }
                Output::Named(name) => {
                    for name in self.family_names(name) {
                        results.insert(format!("output {name}"), exec.output(&name).expect("an output").to_vec());
                    }
                }
                Output::Next(_) | Output::Grad(_) => {}
            }
        }
        let training = self.program.outputs.iter().any(|o| matches!(o, Output::Grad(_)));
        if training {
            exec.backward(&params, &mut grads).expect("backward");
        }
        for (kind, _, name, _) in self.each() {
            if kind == LeafKind::Param && training {
                results.insert(format!("gradient {name}"), grads.get(name).expect("a gradient").to_vec());
            }
            if kind == LeafKind::State {
                results.insert(format!("next {name}"), exec.state(name).expect("a state").to_vec());
            }
        }
        Results(results)
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
    pub(crate) fn interpret(&self) -> Results {
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
        Results(results)
    }

    /// Compares all ways to run; returns what they agree on.
    ///
    /// Fused and unfused kernels and any number of threads must agree in every bit, the interpreter up to rounding.
    pub(crate) fn agree(&self, compiled: &'static Compiled) -> Results {
        let fused = self.execute(compiled, Fusion::Fused, 1);
        for (fusion, threads) in [(Fusion::Fused, 2), (Fusion::Unfused, 1), (Fusion::Unfused, 2)] {
            let other = self.execute(compiled, fusion, threads);
            assert_eq!(fused.bits(), other.bits(), "{fusion:?}, {threads} threads\n{}", self.program);
        }
        let oracle = self.interpret();
        assert_eq!(fused.0.keys().collect::<Vec<_>>(), oracle.0.keys().collect::<Vec<_>>());
        for (name, expected) in &oracle.0 {
            let scale = expected.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
            for (i, (a, b)) in fused.0[name].iter().zip(expected).enumerate() {
                let same = (a - b).abs() <= 1e-10 * scale || (a.is_nan() && b.is_nan());
                assert!(same, "{name}[{i}]: {a} executed, {b} interpreted\n{}", self.program);
            }
        }
        fused
    }

    /// The same arguments with each parameter moved by `by` along `direction`.
    fn moved(&self, by: f64, direction: &BTreeMap<String, Vec<f64>>) -> Arguments {
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
        Arguments {
            values: values.collect(),
            program: self.program.clone(),
            bindings: self.bindings.clone(),
            names: self.names.clone(),
        }
    }

    /// The gradient against differences of the loss along `directions` random directions: relative error at most 1e-6.
    pub(crate) fn check_gradient(&self, compiled: &'static Compiled, directions: u64) {
        let results = self.execute(compiled, Fusion::Fused, 1);
        for seed in 0..directions {
            let mut rng = Pcg32::new(seed, 5);
            let gradients = results.0.iter().filter_map(|(name, g)| Some((name.strip_prefix("gradient ")?, g)));
            let direction: BTreeMap<String, Vec<f64>> =
                gradients.map(|(name, g)| (name.to_owned(), numbers(&mut rng, g.len()))).collect();
            assert!(!direction.is_empty(), "there is no gradient to check");
            let slope: f64 = direction
                .iter()
                .map(|(name, d)| results.0[&format!("gradient {name}")].iter().zip(d).map(|(g, d)| g * d).sum::<f64>())
                .sum();
            let loss = |by: f64| self.moved(by, &direction).execute(compiled, Fusion::Fused, 1).0["loss"][0];
            // A large step truncates, a small one rounds: a right slope agrees with one of them.
            let errors = [1e-3, 1e-4, 1e-5].map(|h| {
                let near = 8.0 * (loss(h) - loss(-h));
                let numeric = (near - (loss(2.0 * h) - loss(-2.0 * h))) / (12.0 * h);
                (numeric - slope).abs() / (1e-9 + numeric.abs().max(slope.abs()))
            });
            let error = errors.into_iter().fold(f64::INFINITY, f64::min);
            assert!(error <= 1e-6, "slope {slope}, relative errors {errors:?}\n{}", self.program);
        }
    }
}
