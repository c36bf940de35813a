//! A program, its arguments, and its results by the interpreter and by the executor.

use g2_engine::cpu::{Element, Executor, Options};
use g2_engine::ir::graph::Output;
use g2_engine::ir::interpret::{Context, Draw, Tensor, Value, interpret};
use g2_engine::ir::op::Type;
use g2_engine::ir::*;
use g2_engine::noise::{Key, uniform_at};
use g2_engine::{Bindings, Fusion, Kernel, Parameters};
use std::collections::BTreeMap;

pub const SEED: u64 = 11;
pub const STEP: u64 = 5;

pub fn d(name: &str) -> Dim {
    Dim::symbol(name)
}

pub fn shape(dims: &[&Dim]) -> Shape {
    Shape(dims.iter().map(|&d| d.clone()).collect())
}

/// The engine's own noise, as the interpreter asks for it.
pub fn noise(draw: Draw) -> f64 {
    let time = draw.time.map_or(u64::MAX, |time| time as u64);
    let key = Key { seed: SEED, step: STEP, layer: draw.layer as u64, time, gate: u64::from(draw.site) };
    uniform_at(key.state(), draw.element as u64)
}

/// Numbers in (-1, 1), different for each `seed`.
pub fn random(shape: &[usize], seed: u64) -> Tensor {
    let state = Key { seed, step: 0, layer: 0, time: 0, gate: 99 }.state();
    let mut element = 0..;
    Tensor::from_fn(shape, |_| 2.0 * uniform_at::<f64>(state, element.next().unwrap_or(0)) - 1.0)
}

/// A program under construction, with the values of its arguments.
#[derive(Clone)]
pub struct Case {
    pub program: Program,
    pub args: Vec<Value>,
    pub bindings: Bindings,
}

impl Case {
    pub fn new(sizes: &[(&str, usize)]) -> Case {
        let program = Program {
            name: "case".into(),
            mode: Mode::Evaluation,
            graph: Graph::new(),
            leaves: Vec::new(),
            outputs: Vec::new(),
        };
        let mut bindings = Bindings::new();
        for &(name, size) in sizes {
            bindings = bindings.with(name, size);
        }
        Case { program, args: Vec::new(), bindings }
    }

    /// A leaf of these dimensions with random values.
    pub fn leaf(&mut self, name: &str, kind: LeafKind, dims: &[&str]) -> NodeId {
        let shape = Shape(dims.iter().map(|name| d(name)).collect());
        let numbers = shape.eval(&self.bindings.sizes).unwrap();
        self.args.push(Value::Tensor(random(&numbers, self.args.len() as u64)));
        self.program.leaves.push(Leaf { name: name.into(), kind });
        self.program.graph.arg(Type::real(shape))
    }

    pub fn input(&mut self, name: &str, dims: &[&str]) -> NodeId {
        self.leaf(name, LeafKind::Input, dims)
    }

    /// Random indices below `limit`.
    pub fn indices(&mut self, name: &str, dims: &[&str], limit: usize) -> NodeId {
        let shape = Shape(dims.iter().map(|name| d(name)).collect());
        let numbers = shape.eval(&self.bindings.sizes).unwrap();
        let mut values = random(&numbers, 1000 + self.args.len() as u64);
        values.data.iter_mut().for_each(|x| *x = ((*x + 1.0) / 2.0 * limit as f64).floor());
        self.args.push(Value::Tensor(values));
        self.program.leaves.push(Leaf { name: name.into(), kind: LeafKind::Input });
        self.program.graph.arg(Type::index(shape))
    }

    pub fn g(&mut self) -> &mut Graph {
        &mut self.program.graph
    }

    pub fn output(&mut self, node: NodeId) {
        let name = format!("out{}", self.program.outputs.len());
        self.program.outputs.push(Output::Named(name));
        self.program.graph.outputs.push(node);
    }

    pub fn outputs(&mut self, nodes: &[NodeId]) {
        nodes.iter().for_each(|&node| self.output(node));
    }

    /// The interpreter's results.
    pub fn interpreted(&self) -> Vec<Value> {
        let stacks: BTreeMap<_, _> = self.bindings.stacks.clone();
        let context = Context::new(self.bindings.sizes.clone(), stacks, &noise);
        interpret(&self.program.graph, &self.args, &context)
    }

    pub fn options(threads: usize, fusion: Fusion) -> Options {
        Options { threads, fusion, seed: SEED }
    }

    /// An executor with this case's arguments set, and its parameters.
    pub fn executor<T: Element>(&self, kernels: &'static [Kernel], options: Options) -> (Executor<T>, Parameters<T>) {
        let mut executor = Executor::of_program(&self.program, kernels, &self.bindings, options).unwrap();
        let mut parameters = Parameters::of_program(&self.program, &self.bindings).unwrap();
        for ((leaf, &node), value) in self.program.leaves.iter().zip(&self.program.graph.args).zip(&self.args) {
            let ty = self.program.graph.ty(node);
            for (name, tensor) in members(&leaf.name, ty.family.as_deref(), value) {
                let real: Vec<T> = tensor.data.iter().map(|&x| T::from_f64(x)).collect();
                match leaf.kind {
                    LeafKind::Param => parameters.get_mut(&name).unwrap().copy_from_slice(&real),
                    LeafKind::Hyper => executor.set_hyper(&name, tensor.data[0]).unwrap(),
                    LeafKind::State => executor.set_state(&name, &real).unwrap(),
                    LeafKind::Input if self.program.graph.ty(node).dtype == op::DType::Index => {
                        let indices: Vec<u32> = tensor.data.iter().map(|&x| x as u32).collect();
                        executor.set_index(&name, &indices).unwrap();
                    }
                    LeafKind::Input => executor.set_input(&name, &real).unwrap(),
                }
            }
        }
        (executor, parameters)
    }

    /// Runs the whole program once; gives every output's elements, in order, a family's members one after another.
    pub fn run<T: Element>(&self, executor: &mut Executor<T>, parameters: &Parameters<T>) -> Vec<Vec<T>> {
        let mut gradients = parameters.zeros_like();
        // What was there before must not matter.
        gradients.as_mut_slice().fill(T::from_f64(7.0));
        executor.forward(parameters, STEP).unwrap();
        let named: Vec<Option<Vec<T>>> = self
            .program
            .outputs
            .iter()
            .map(|output| match output {
                Output::Loss => Some(vec![executor.loss()]),
                Output::Named(name) => {
                    let names = executor.plan().outputs.iter().map(|port| port.name.clone());
                    let own = names.filter(|port| port == name || same_family(port, name));
                    Some(own.flat_map(|name| executor.output(&name).unwrap().to_vec()).collect())
                }
                Output::Next(_) | Output::Grad(_) => None,
            })
            .collect();
        if executor.plan().trains() {
            executor.backward(parameters, &mut gradients).unwrap();
        }
        let outputs = self.program.outputs.iter().zip(named).enumerate();
        outputs
            .map(|(k, (output, named))| {
                let ty = self.program.graph.ty(self.program.graph.outputs[k]);
                let leaf = |leaf: usize| {
                    let name = &self.program.leaves[leaf].name;
                    let names = members(name, ty.family.as_deref(), &self.args[leaf]);
                    names.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
                };
                match output {
                    Output::Loss | Output::Named(_) => named.unwrap(),
                    Output::Next(k) => {
                        leaf(*k).iter().flat_map(|name| executor.state(name).unwrap().to_vec()).collect()
                    }
                    Output::Grad(k) => leaf(*k).iter().flat_map(|name| gradients.get(name).unwrap().to_vec()).collect(),
                }
            })
            .collect()
    }

    /// Runs in f64 with these kernels and asserts that every output is the interpreter's.
    pub fn check_with(&self, kernels: &'static [Kernel], fusion: Fusion) {
        let expected = self.interpreted();
        for threads in [1, 3] {
            let (mut executor, parameters) = self.executor::<f64>(kernels, Case::options(threads, fusion));
            let found = self.run(&mut executor, &parameters);
            for (k, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let expected = elements(expected);
                assert_eq!(found.len(), expected.len(), "length of output {k}");
                let scale = expected.iter().fold(1.0, |scale: f64, x| scale.max(x.abs()));
                for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let close = (found - expected).abs() <= 1e-11 * scale || (found.is_nan() && expected.is_nan());
                    let output = &self.program.outputs[k];
                    assert!(
                        close,
                        "{output:?}[{i}] with {threads} threads: found {found}, expected {expected}\n{}\n{}",
                        self.program.graph,
                        executor.plan()
                    );
                }
            }
        }
    }

    /// The same, one kernel for each node.
    pub fn check(&self) {
        verify::verify_program(&self.program).unwrap();
        self.check_with(&[], Fusion::Unfused);
    }

    /// Checks the program as it is, and after all passes with gradients.
    pub fn check_training(&self) {
        let mut training = self.clone();
        training.program.mode = Mode::Training;
        training.program = compile(training.program).unwrap();
        training.check();
        // Without hoisting, sums over time stay in their scans.
        training.program = grad::grad(self.program.clone()).unwrap();
        training.check();
        self.check();
    }
}

/// Names and tensors of a leaf's members.
pub fn members<'a>(name: &str, family: Option<&str>, value: &'a Value) -> Vec<(String, &'a Tensor)> {
    match (value, family.and_then(|stack| name.strip_prefix(stack)?.strip_prefix('.')), family) {
        (Value::Family(tensors), Some(rest), Some(stack)) => {
            tensors.iter().enumerate().map(|(l, t)| (format!("{stack}.{l}.{rest}"), t)).collect()
        }
        (Value::Tensor(tensor), _, _) => vec![(name.to_owned(), tensor)],
        _ => panic!("{name} is no family of {family:?}"),
    }
}

fn same_family(port: &str, name: &str) -> bool {
    match name.split_once('.') {
        Some((stack, rest)) => {
            let middle = port.strip_prefix(stack).and_then(|p| p.strip_suffix(rest));
            middle.is_some_and(|m| m.trim_matches('.').parse::<usize>().is_ok())
        }
        None => false,
    }
}

fn elements(value: &Value) -> Vec<f64> {
    match value {
        Value::Tensor(tensor) => tensor.data.clone(),
        Value::Family(tensors) => tensors.iter().flat_map(|t| t.data.clone()).collect(),
    }
}
