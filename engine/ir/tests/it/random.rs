//! Random graphs: their gradients against differences, and all passes against the graph as it was written.

use crate::models::*;
use g2_ir::graph::Output;
use g2_ir::interpret::Value;
use g2_ir::op::Type;
use g2_ir::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One random step: which operation, on which of the values so far.
type Choice = (u8, u16, u16);

/// Values of one graph under construction, all of one shape `[.., batch, 2 * half]`, and its matrix and vector.
struct Pool<'a> {
    g: &'a mut Graph,
    values: Vec<NodeId>,
    matrix: NodeId,
    vector: NodeId,
}

impl Pool<'_> {
    fn pick(&self, k: u16) -> NodeId {
        self.values[k as usize % self.values.len()]
    }

    /// Smooth operations only, and bounded ones: a difference must be able to see the slope.
    fn grow(&mut self, &(op, x, y): &Choice) {
        let (a, b) = (self.pick(x), self.pick(y));
        let g = &mut *self.g;
        let shape = g.shape(a).clone();
        let last = shape.rank() - 1;
        let half = d("half");
        let value = match op % 16 {
            0 => g.add(a, b),
            1 => g.mul(a, b),
            2 => g.map(Map::Sub, &[a, b]),
            3 => g.map(Map::Sigmoid, &[a]),
            4 => g.map(Map::Tanh, &[a]),
            5 => {
                let positive = g.map(Map::Sigmoid, &[a]);
                let root = g.map(Map::Sqrt, &[positive]);
                g.map(Map::Ln, &[root])
            }
            6 => {
                let squashed = g.map(Map::Sigmoid, &[a]);
                g.map(Map::Logit, &[squashed])
            }
            7 => {
                let squashed = g.map(Map::Tanh, &[b]);
                let positive = g.map(Map::Exp, &[squashed]);
                g.div(a, positive)
            }
            8 => {
                let u = g.uniform(u32::from(x % 5), if y % 2 == 0 { Per::Step } else { Per::Sequence }, shape);
                g.mul(a, u)
            }
            9 => {
                let cut = |g: &mut Graph, from: Dim, of| {
                    g.op(Op::Slice { axis: last, start: from, len: half.clone() }, &[of])
                };
                let (left, right) = (cut(g, Dim::number(0), a), cut(g, half.clone(), b));
                g.op(Op::Concat { axis: last }, &[right, left])
            }
            10 => g.op(Op::Reverse { axis: x as usize % (last + 1) }, &[a]),
            11 => {
                let product = g.op(Op::MatMul { ta: false, tb: x % 2 == 0, fold: false }, &[a, self.matrix]);
                g.map(Map::Tanh, &[product])
            }
            12 => {
                let bias = g.op(Op::Broadcast { shape, axes: vec![last] }, &[self.vector]);
                g.add(a, bias)
            }
            13 => g.op(if x % 2 == 0 { Op::Softmax } else { Op::LogSoftmax }, &[a]),
            14 => {
                let sum = g.op(Op::Sum { axes: vec![last] }, &[a]);
                let wide = g.op(Op::Broadcast { shape, axes: (0..last).collect() }, &[sum]);
                g.map(Map::Tanh, &[wide])
            }
            _ => {
                let (rows, two) = (g.shape(a).clone(), Dim::number(2));
                let cut = g.op(Op::Slice { axis: last, start: half.clone(), len: half.clone() }, &[b]);
                let padded = g.op(Op::Pad { axis: last, start: Dim::number(0), len: &two * &half }, &[cut]);
                assert_eq!(*g.shape(padded), rows);
                g.mul(a, padded)
            }
        };
        self.values.push(value);
    }
}

/// A scan over `x [time, batch, 2 half]` whose body is random, and random operations before and behind it.
fn random_program(before: &[Choice], inside: &[Choice], behind: &[Choice], reversed: bool) -> Program {
    let (time, batch, wide) = (d("time"), d("batch"), &Dim::number(2) * &d("half"));
    let mut body = Graph::new();
    let matrix = body.arg(Type::real(shape(&[&wide, &wide])));
    let vector = body.arg(Type::real(shape(&[&wide])));
    let x = body.arg(Type::real(shape(&[&batch, &wide])));
    let carry = body.arg(Type::real(shape(&[&batch, &wide])));
    let values = vec![carry, x];
    let mut pool = Pool { g: &mut body, values, matrix, vector };
    inside.iter().for_each(|choice| pool.grow(choice));
    let (next, each) = (pool.pick(u16::MAX), pool.values[pool.values.len() - 1]);
    let next = body.map(Map::Tanh, &[next]);
    body.outputs = vec![next, each];
    let scan = Loop {
        kind: LoopKind::Scan { time: time.clone() },
        reversed,
        body,
        consts: 2,
        steps: 1,
        carries: 1,
        ys: 1,
        accs: 0,
    };

    let mut g = Graph::new();
    let matrix = g.arg(Type::real(shape(&[&wide, &wide])));
    let vector = g.arg(Type::real(shape(&[&wide])));
    let x = g.arg(Type::real(shape(&[&time, &batch, &wide])));
    let mut pool = Pool { g: &mut g, values: vec![x], matrix, vector };
    before.iter().for_each(|choice| pool.grow(choice));
    let x = pool.values[pool.values.len() - 1];
    let initial = g.op(Op::Sum { axes: vec![0] }, &[x]);
    let initial = g.map(Map::Tanh, &[initial]);
    let id = g.add_loop(scan, vec![matrix, vector, x, initial]);
    let results = [LoopOut::After(0), LoopOut::Y(0)].map(|out| g.get(id, out));
    let last = g.get(id, LoopOut::Final(0));
    let mut pool = Pool { g: &mut g, values: results.to_vec(), matrix, vector };
    behind.iter().for_each(|choice| pool.grow(choice));
    let y = pool.values[pool.values.len() - 1];
    // Everything ends in the loss, each parameter included.
    let parts = [(y, 3), (last, 2), (matrix, 2), (vector, 1)].map(|(value, rank)| {
        let bounded = g.map(Map::Tanh, &[value]);
        g.op(Op::Sum { axes: (0..rank).collect() }, &[bounded])
    });
    let loss = parts.into_iter().reduce(|a, b| g.add(a, b)).expect("four parts");
    g.outputs = vec![loss, y];
    let leaf = |name: &str, kind| Leaf { name: name.into(), kind };
    let leaves = vec![leaf("matrix", LeafKind::Param), leaf("vector", LeafKind::Param), leaf("x", LeafKind::Param)];
    let outputs = vec![Output::Loss, Output::Named("y".into())];
    Program { name: "random".into(), mode: Mode::Training, graph: g, leaves, outputs }
}

fn choices(most: usize) -> impl Strategy<Value = Vec<Choice>> {
    proptest::collection::vec(any::<Choice>(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn gradients_and_passes(
        before in choices(6), inside in choices(10), behind in choices(6), reversed: bool,
        time in 1usize..4, batch in 1usize..3, half in 1usize..3,
    ) {
        let program = random_program(&before, &inside, &behind, reversed);
        let sizes = Sizes::new().with("time", time).with("batch", batch).with("half", half);
        let args = [
            Value::Tensor(random(&[2 * half, 2 * half], 1)),
            Value::Tensor(random(&[2 * half], 2)),
            Value::Tensor(random(&[time, batch, 2 * half], 3)),
        ];
        check_gradient(&program, &args, &sizes, &BTreeMap::new());
    }
}
