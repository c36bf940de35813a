//! Scans and stacks.

use crate::harness::*;
use crate::models::stacked_lstm;
use g2_engine::ir::graph::Output;
use g2_engine::ir::interpret::Value;
use g2_engine::ir::op::{Op, Type};
use g2_engine::ir::*;

fn scan(body: Graph, [consts, steps, carries, ys, accs]: [usize; 5], reversed: bool) -> Loop {
    Loop { kind: LoopKind::Scan { time: d("t") }, reversed, body, consts, steps, carries, ys, accs }
}

/// Two carries that change places, one that stays, a step written twice, sums of several kinds.
fn busy_body() -> (Graph, [usize; 5]) {
    let (row, square) = (shape(&[&d("b"), &d("n")]), shape(&[&d("n"), &d("n")]));
    let mut g = Graph::new();
    let w = g.arg(Type::real(square));
    let x = g.arg(Type::real(row.clone()));
    let [p, q, r] = [0; 3].map(|_| g.arg(Type::real(row.clone())));
    let mixed = g.op(Op::MatMul { ta: false, tb: false, fold: false }, &[p, w]);
    let sum = g.add(mixed, x);
    let new = g.map(Map::Tanh, &[sum]);
    let u = g.uniform(3, Per::Step, row.clone());
    let v = g.uniform(4, Per::Sequence, row);
    let noisy = g.mul(new, u);
    let noisy = g.add(noisy, v);
    let outer = g.op(Op::MatMul { ta: true, tb: false, fold: false }, &[x, new]);
    let flipped = g.op(Op::Transpose, &[outer]);
    let total = g.op(Op::Sum { axes: vec![0] }, &[noisy]);
    // p and q change places through `new`; r stays. The second result is an argument, the third a carry's.
    g.outputs = vec![q, new, r, noisy, x, new, outer, flipped, total];
    (g, [1, 1, 3, 3, 3])
}

fn busy(reversed: bool, wanted: &[LoopOut]) -> Case {
    let mut case = Case::new(&[("t", 5), ("b", 3), ("n", 19)]);
    let w = case.leaf("w", LeafKind::Param, &["n", "n"]);
    let x = case.leaf("x", LeafKind::Param, &["t", "b", "n"]);
    let starts = ["p", "q", "r"].map(|name| case.leaf(name, LeafKind::Param, &["b", "n"]));
    let (body, counts) = busy_body();
    let id = case.g().add_loop(scan(body, counts, reversed), vec![w, x, starts[0], starts[1], starts[2]]);
    let mut losses = Vec::new();
    for &out in wanted {
        let got = case.g().get(id, out);
        case.output(got);
        let rank = case.g().shape(got).rank();
        let g = case.g();
        let squared = g.square(got);
        losses.push(g.op(Op::Sum { axes: (0..rank).collect() }, &[squared]));
    }
    let loss = losses.into_iter().reduce(|a, b| case.g().add(a, b)).unwrap();
    case.program.graph.outputs.push(loss);
    case.program.outputs.push(Output::Loss);
    case
}

const ALL: [LoopOut; 15] = [
    LoopOut::Final(0),
    LoopOut::Final(1),
    LoopOut::Final(2),
    LoopOut::Before(0),
    LoopOut::Before(1),
    LoopOut::Before(2),
    LoopOut::After(0),
    LoopOut::After(1),
    LoopOut::After(2),
    LoopOut::Y(0),
    LoopOut::Y(1),
    LoopOut::Y(2),
    LoopOut::Acc(0),
    LoopOut::Acc(1),
    LoopOut::Acc(2),
];

#[test]
fn every_result_of_a_scan() {
    for reversed in [false, true] {
        busy(reversed, &ALL).check_training();
    }
}

#[test]
fn each_result_of_a_scan_alone() {
    for reversed in [false, true] {
        for out in ALL {
            busy(reversed, &[out]).check_training();
        }
    }
}

#[test]
fn short_scans() {
    for steps in [1, 2] {
        let mut case = busy(false, &ALL);
        case.bindings = case.bindings.with("t", steps);
        case.args[1] = Value::Tensor(random(&[steps, 3, 19], 1));
        case.check_training();
    }
}

#[test]
fn a_scan_of_no_step_gives_its_initial_values_and_zero_sums() {
    let mut case = busy(true, &ALL);
    case.bindings = case.bindings.with("t", 0);
    case.args[1] = Value::Tensor(random(&[0, 3, 19], 1));
    let (mut executor, parameters) = case.executor::<f64>(&[], Case::options(2, g2_engine::Fusion::Unfused));
    let found = case.run(&mut executor, &parameters);
    assert_eq!(found[0], parameters.get("p").unwrap());
    assert_eq!(found[2], parameters.get("r").unwrap());
    assert!(found[3..12].iter().all(Vec::is_empty));
    assert!(found[12..15].iter().flatten().all(|&sum| sum == 0.0));
}

#[test]
fn a_scan_inside_of_a_scan() {
    let mut case = Case::new(&[("t", 4), ("s", 3), ("b", 3), ("n", 19)]);
    let row = shape(&[&d("b"), &d("n")]);
    let mut inner = Graph::new();
    let x = inner.arg(Type::real(row.clone()));
    let h = inner.arg(Type::real(row.clone()));
    let u = inner.uniform(2, Per::Step, row.clone());
    let sum = inner.add(x, h);
    let new = inner.map(Map::Tanh, &[sum]);
    let noisy = inner.mul(new, u);
    inner.outputs = vec![new, noisy];
    let kind = LoopKind::Scan { time: d("s") };
    let inner = Loop { kind, reversed: true, body: inner, consts: 0, steps: 1, carries: 1, ys: 1, accs: 0 };
    let mut outer = Graph::new();
    let xs = outer.arg(Type::real(shape(&[&d("s"), &d("b"), &d("n")])));
    let h = outer.arg(Type::real(row));
    let id = outer.add_loop(inner, vec![xs, h]);
    let results = [LoopOut::Final(0), LoopOut::After(0), LoopOut::Y(0)].map(|out| outer.get(id, out));
    outer.outputs = results.to_vec();
    let x = case.leaf("x", LeafKind::Param, &["t", "s", "b", "n"]);
    let start = case.leaf("start", LeafKind::Param, &["b", "n"]);
    let id = case.g().add_loop(scan(outer, [0, 1, 1, 2, 0], false), vec![x, start]);
    for out in [LoopOut::Final(0), LoopOut::Y(0), LoopOut::Y(1)] {
        let got = case.g().get(id, out);
        case.output(got);
    }
    let last = case.program.graph.outputs[1];
    let loss = case.g().op(Op::Sum { axes: vec![0, 1, 2, 3] }, &[last]);
    case.program.graph.outputs.push(loss);
    case.program.outputs.push(Output::Loss);
    case.check_training();
}

pub fn stacked_case(time: usize, batch: usize, widths: &[usize]) -> Case {
    let mut case = Case::new(&[("time", time), ("batch", batch), ("width", widths[0])]);
    case.bindings = case.bindings.with("features", widths[widths.len() - 1]).stack("layers", &widths[1..]);
    case.program = stacked_lstm();
    let each = |seed: u64, shape: &dyn Fn(usize, usize) -> Vec<usize>| {
        let layers = widths.windows(2).enumerate();
        Value::Family(layers.map(|(l, w)| random(&shape(w[0], w[1]), seed + l as u64)).collect())
    };
    let mut tau = random(&[], 5);
    tau.data[0] = 0.8;
    case.args = vec![
        Value::Tensor(random(&[time, batch, widths[0]], 1)),
        Value::Tensor(tau),
        each(10, &|input, hidden| vec![4 * hidden, input]),
        each(20, &|_, hidden| vec![4 * hidden, hidden]),
        each(30, &|_, hidden| vec![4 * hidden]),
        each(40, &|_, hidden| vec![batch, hidden]),
    ];
    case
}

#[test]
fn a_stack_of_noisy_layers() {
    for widths in [&[4, 5, 3][..], &[7, 3], &[5, 40, 33, 5]] {
        stacked_case(6, 3, widths).check_training();
    }
}

#[test]
fn states_change_places() {
    let mut case = Case::new(&[("b", 3), ("n", 19)]);
    let states = ["p", "q", "r"].map(|name| case.leaf(name, LeafKind::State, &["b", "n"]));
    let fresh = case.g().square(states[0]);
    // p takes q's, q takes p's, r a new value.
    case.program.graph.outputs = vec![states[1], states[0], fresh];
    case.program.outputs = vec![Output::Next(0), Output::Next(1), Output::Next(2)];
    case.check();
}

#[test]
fn states_wait_for_backward() {
    let mut case = stacked_case(4, 3, &[4, 5]);
    case.program = compile(case.program).unwrap();
    let options = Case::options(2, g2_engine::Fusion::Unfused);
    let (mut executor, parameters) = case.executor::<f64>(&[], options);
    let mut gradients = parameters.zeros_like();
    let before = executor.state("layers.0.h").unwrap().to_vec();
    executor.forward(&parameters, STEP).unwrap();
    assert_eq!(executor.state("layers.0.h").unwrap(), before);
    executor.backward(&parameters, &mut gradients).unwrap();
    assert_ne!(executor.state("layers.0.h").unwrap(), before);
    executor.reset_states();
    assert!(executor.state("layers.0.h").unwrap().iter().all(|&h| h == 0.0));
}

#[test]
fn a_stack_inside_of_a_scan_carries_families() {
    // One step of time through all layers: what a decoder does.
    let (input, hidden) = (d("cells.input"), d("cells.hidden"));
    let row = |n: &Dim| Type::real(shape(&[&d("b"), n]));
    let mut cell = Graph::new();
    let w = cell.arg(Type::real(shape(&[&input, &hidden])));
    let h = cell.arg(row(&hidden));
    let x = cell.arg(row(&input));
    let product = cell.op(Op::MatMul { ta: false, tb: false, fold: false }, &[x, w]);
    let sum = cell.add(product, h);
    let u = cell.uniform(1, Per::Step, shape(&[&d("b"), &hidden]));
    let sum = cell.add(sum, u);
    let new = cell.map(Map::Tanh, &[sum]);
    cell.outputs = vec![new, new];
    let kind = LoopKind::Stack {
        name: "cells".into(),
        input: "cells.input".into(),
        hidden: "cells.hidden".into(),
        first: d("n"),
        last: d("out"),
    };
    let stack = Loop { kind, reversed: false, body: cell, consts: 0, steps: 2, carries: 1, ys: 1, accs: 0 };
    let mut step = Graph::new();
    let w = step.arg(Type::real(shape(&[&input, &hidden])).each_layer("cells"));
    let x = step.arg(row(&d("n")));
    let h = step.arg(row(&hidden).each_layer("cells"));
    let id = step.add_loop(stack, vec![w, h, x]);
    let next = step.get(id, LoopOut::Y(0));
    let y = step.get(id, LoopOut::Final(0));
    step.outputs = vec![next, y];

    let mut case = Case::new(&[("t", 4), ("b", 3), ("n", 6), ("out", 5)]);
    case.bindings = case.bindings.stack("cells", [7, 5]);
    let family = |case: &mut Case, name: &str, kind, ty: Type, shapes: &[[usize; 2]]| {
        case.args.push(Value::Family(shapes.iter().enumerate().map(|(l, s)| random(s, 70 + l as u64)).collect()));
        case.program.leaves.push(Leaf { name: name.into(), kind });
        case.g().arg(ty.each_layer("cells"))
    };
    let ty = Type::real(shape(&[&input, &hidden]));
    let w = family(&mut case, "cells.w", LeafKind::Param, ty, &[[6, 7], [7, 5]]);
    let h = family(&mut case, "cells.h", LeafKind::State, row(&hidden), &[[3, 7], [3, 5]]);
    let x = case.input("x", &["t", "b", "n"]);
    let id = case.g().add_loop(scan(step, [1, 1, 1, 1, 0], false), vec![w, x, h]);
    let y = case.g().get(id, LoopOut::Y(0));
    let next = case.g().get(id, LoopOut::Final(0));
    case.output(y);
    case.program.graph.outputs.push(next);
    case.program.outputs.push(Output::Next(1));
    // The interpreter does not carry families; the same steps one by one do.
    let (mut executor, parameters) = case.executor::<f64>(&[], Case::options(2, g2_engine::Fusion::Unfused));
    executor.forward(&parameters, STEP).unwrap();
    let weights = ["cells.0.w", "cells.1.w"].map(|name| parameters.get(name).unwrap());
    let Value::Family(starts) = &case.args[1] else { panic!() };
    let Value::Tensor(x) = &case.args[2] else { panic!() };
    let mut h = [starts[0].data.clone(), starts[1].data.clone()];
    let mut y = Vec::new();
    for t in 0..4 {
        let mut below = x.data[t * 18..(t + 1) * 18].to_vec();
        for (layer, width) in [7, 5].into_iter().enumerate() {
            let inputs = below.len() / 3;
            let cell = |b: usize, j: usize| {
                let key = interpret::Draw { layer, time: Some(t), site: 1, element: b * width + j };
                let dot: f64 = (0..inputs).map(|i| below[b * inputs + i] * weights[layer][i * width + j]).sum();
                (dot + h[layer][b * width + j] + noise(key)).tanh()
            };
            h[layer] = (0..3 * width).map(|e| cell(e / width, e % width)).collect();
            below = h[layer].clone();
        }
        y.extend(below);
    }
    let close = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-13);
    assert!(close(executor.output("out0").unwrap(), &y), "{}", executor.plan());
    assert!(close(executor.state("cells.0.h").unwrap(), &h[0]));
    assert!(close(executor.state("cells.1.h").unwrap(), &h[1]));
}
