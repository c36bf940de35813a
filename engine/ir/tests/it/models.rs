//! Programs built by hand, and how to run them.

use g2_ir::graph::Output;
use g2_ir::interpret::{Context, Draw, Tensor, Value, interpret};
use g2_ir::op::Type;
use g2_ir::*;
use std::collections::BTreeMap;

pub fn d(name: &str) -> Dim {
    Dim::symbol(name)
}

pub fn shape(dims: &[&Dim]) -> Shape {
    Shape(dims.iter().map(|&d| d.clone()).collect())
}

/// The body of an LSTM step with noise: consts w_x, w_h, b, tau; step x; carries h, c; per-step result i.
pub fn lstm_scan(input: &Dim, hidden: &Dim) -> Loop {
    let mut g = Graph::new();
    let gates = &Dim::number(4) * hidden;
    let batch = d("batch");
    let w_x = g.arg(Type::real(shape(&[&gates, input])));
    let w_h = g.arg(Type::real(shape(&[&gates, hidden])));
    let b = g.arg(Type::real(shape(&[&gates])));
    let tau = g.arg(Type::real(Shape::scalar()));
    let x = g.arg(Type::real(shape(&[&batch, input])));
    let h = g.arg(Type::real(shape(&[&batch, hidden])));
    let c = g.arg(Type::real(shape(&[&batch, hidden])));
    let product = Op::MatMul { ta: false, tb: true, fold: false };
    let from_x = g.op(product.clone(), &[x, w_x]);
    let mask = g.uniform(7, Per::Sequence, shape(&[&gates, hidden]));
    let dropped = g.mul(w_h, mask);
    let from_h = g.op(product, &[h, dropped]);
    let sum = g.add(from_x, from_h);
    let bias = g.op(Op::Broadcast { shape: shape(&[&batch, &gates]), axes: vec![1] }, &[b]);
    let pre = g.add(sum, bias);
    let part = |g: &mut Graph, k: usize| {
        g.op(Op::Slice { axis: 1, start: &Dim::number(k) * hidden, len: hidden.clone() }, &[pre])
    };
    let gate = |g: &mut Graph, a: NodeId, site: u32| {
        let u = g.uniform(site, Per::Step, shape(&[&batch, hidden]));
        let noise = g.map(Map::Logit, &[u]);
        let noisy = g.add(a, noise);
        let tau = g.broadcast_scalar(tau, shape(&[&batch, hidden]));
        let sharp = g.div(noisy, tau);
        g.map(Map::Sigmoid, &[sharp])
    };
    let (a_i, a_f, a_g, a_o) = (part(&mut g, 0), part(&mut g, 1), part(&mut g, 2), part(&mut g, 3));
    let i = gate(&mut g, a_i, 0);
    let f = gate(&mut g, a_f, 1);
    let candidate = g.map(Map::Tanh, &[a_g]);
    let o = g.map(Map::Sigmoid, &[a_o]);
    let kept = g.mul(f, c);
    let new = g.mul(i, candidate);
    let c = g.add(kept, new);
    let squashed = g.map(Map::Tanh, &[c]);
    let h = g.mul(o, squashed);
    g.outputs = vec![h, c, i];
    let kind = LoopKind::Scan { time: d("time") };
    Loop { kind, reversed: false, body: g, consts: 4, steps: 1, carries: 2, ys: 1, accs: 0 }
}

/// A stack of such layers over x, its loss the sum of the squared last states plus a mean of the second state.
pub fn stacked_lstm() -> Program {
    let (input, hidden) = (d("layers.input"), d("layers.hidden"));
    let (time, batch) = (d("time"), d("batch"));
    let gates = &Dim::number(4) * &hidden;
    let mut body = Graph::new();
    let tau = body.arg(Type::real(Shape::scalar()));
    let params = [shape(&[&gates, &input]), shape(&[&gates, &hidden]), shape(&[&gates])];
    let weights: Vec<NodeId> = params.iter().map(|s| body.arg(Type::real(s.clone()))).collect();
    let h0 = body.arg(Type::real(shape(&[&batch, &hidden])));
    let x = body.arg(Type::real(shape(&[&time, &batch, &input])));
    let c0 = body.zeros_like(h0);
    let scan = body.add_loop(lstm_scan(&input, &hidden), vec![weights[0], weights[1], weights[2], tau, x, h0, c0]);
    let h = body.get(scan, LoopOut::After(0));
    let last = body.get(scan, LoopOut::Final(0));
    body.outputs = vec![h, last];
    let kind = LoopKind::Stack {
        name: "layers".into(),
        input: "layers.input".into(),
        hidden: "layers.hidden".into(),
        first: d("width"),
        last: d("features"),
    };
    let stack = Loop { kind, reversed: false, body, consts: 1, steps: 4, carries: 1, ys: 1, accs: 0 };

    let mut g = Graph::new();
    let leaf = |name: &str, kind| Leaf { name: name.into(), kind };
    let mut leaves = vec![leaf("x", LeafKind::Input), leaf("tau", LeafKind::Hyper)];
    let x = g.arg(Type::real(shape(&[&time, &batch, &d("width")])));
    let tau = g.arg(Type::real(Shape::scalar()));
    let mut args = vec![tau];
    for (name, s) in ["w_x", "w_h", "b"].into_iter().zip(params) {
        args.push(g.arg(Type::real(s).each_layer("layers")));
        leaves.push(leaf(&format!("layers.{name}"), LeafKind::Param));
    }
    args.push(g.arg(Type::real(shape(&[&batch, &hidden])).each_layer("layers")));
    leaves.push(leaf("layers.h", LeafKind::State));
    args.push(x);
    let stack = g.add_loop(stack, args);
    let y = g.get(stack, LoopOut::Final(0));
    let next = g.get(stack, LoopOut::Y(0));
    let squared = g.square(y);
    let loss = g.op(Op::Sum { axes: vec![0, 1, 2] }, &[squared]);
    g.outputs = vec![loss, next];
    let outputs = vec![Output::Loss, Output::Next(5)];
    Program { name: "stacked".into(), mode: Mode::Training, graph: g, leaves, outputs }
}

pub fn noise(draw: Draw) -> f64 {
    let mut z = 0x9e37_79b9_7f4a_7c15_u64;
    for word in [draw.layer as u64, draw.time.map_or(99, |t| t as u64), u64::from(draw.site), draw.element as u64] {
        z = (z ^ word.wrapping_mul(0xbf58_476d_1ce4_e5b9)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 29;
    }
    ((z >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// Numbers in (-1, 1), different for each `seed`.
pub fn random(shape: &[usize], seed: u32) -> Tensor {
    let mut element = 0..;
    Tensor::from_fn(shape, |_| {
        let draw = Draw { layer: 1000, time: None, site: seed, element: element.next().unwrap() };
        2.0 * noise(draw) - 1.0
    })
}

pub fn run(program: &Program, args: &[Value], sizes: &Sizes, stacks: &BTreeMap<String, Vec<usize>>) -> Vec<Value> {
    interpret(&program.graph, args, &Context::new(sizes.clone(), stacks.clone(), &noise))
}

fn dot(a: &Value, b: &Value) -> f64 {
    let pair = |a: &Tensor, b: &Tensor| a.data.iter().zip(&b.data).map(|(x, y)| x * y).sum::<f64>();
    match (a, b) {
        (Value::Tensor(a), Value::Tensor(b)) => pair(a, b),
        (Value::Family(a), Value::Family(b)) => a.iter().zip(b).map(|(a, b)| pair(a, b)).sum(),
        _ => panic!("a tensor against a family"),
    }
}

fn moved(value: &Value, by: f64, direction: &Value) -> Value {
    let tensor = |v: &Tensor, d: &Tensor| Tensor {
        shape: v.shape.clone(),
        data: v.data.iter().zip(&d.data).map(|(v, d)| v + by * d).collect(),
    };
    match (value, direction) {
        (Value::Tensor(v), Value::Tensor(d)) => Value::Tensor(tensor(v, d)),
        (Value::Family(v), Value::Family(d)) => Value::Family(v.iter().zip(d).map(|(v, d)| tensor(v, d)).collect()),
        _ => panic!("a tensor against a family"),
    }
}

/// Compiles a training program and compares its gradients, along one random direction, with five-point central
/// differences of its loss, and all its other outputs with those from before compilation.
pub fn check_gradient(program: &Program, args: &[Value], sizes: &Sizes, stacks: &BTreeMap<String, Vec<usize>>) {
    let compiled = compile(program.clone()).unwrap();
    let before = run(program, args, sizes, stacks);
    let after = run(&compiled, args, sizes, stacks);
    for (k, (b, a)) in before.iter().zip(&after).enumerate() {
        let close = dot(&moved(b, -1.0, a), &moved(b, -1.0, a)).sqrt() <= 1e-12 * (1.0 + dot(b, b).sqrt());
        assert!(close, "output {k} changed from {b:?} to {a:?}");
    }
    let mut direction = args.to_vec();
    let mut slope = 0.0;
    let mut params = vec![false; args.len()];
    for (output, gradient) in compiled.outputs.iter().zip(&after) {
        if let Output::Grad(leaf) = *output {
            params[leaf] = true;
            let seed = 500 + leaf as u32;
            direction[leaf] = match &args[leaf] {
                Value::Tensor(t) => Value::Tensor(random(&t.shape, seed)),
                Value::Family(f) => {
                    Value::Family(f.iter().enumerate().map(|(l, t)| random(&t.shape, seed + 50 * l as u32)).collect())
                }
            };
            slope += dot(gradient, &direction[leaf]);
        }
    }
    let loss = program.outputs.iter().position(|o| *o == Output::Loss).unwrap();
    let at = |by: f64| {
        let each = args.iter().zip(&direction).zip(&params);
        let args: Vec<Value> = each.map(|((a, d), &p)| if p { moved(a, by, d) } else { a.clone() }).collect();
        run(program, &args, sizes, stacks)[loss].tensor().data[0]
    };
    // A large step truncates, a small one rounds: a right slope agrees with one of them.
    let differences = [1e-3, 1e-4, 1e-5].map(|h| (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h));
    let error_of = |numeric: f64| (numeric - slope).abs() / (1e-6 + numeric.abs().max(slope.abs()));
    let error = differences.map(error_of).into_iter().fold(f64::INFINITY, f64::min);
    assert!(error <= 1e-6, "slope {slope}, by differences {differences:?}, relative error {error:.1e}\n{compiled}");
}
