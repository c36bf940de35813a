//! The whole pipeline on a stack of noisy LSTM layers: gradient, hoisting, fusion, encoding, text.

use crate::models::*;
use g2_ir::fuse::regions;
use g2_ir::graph::Output;
use g2_ir::interpret::Value;
use g2_ir::*;
use std::collections::BTreeMap;

fn settings() -> (Sizes, BTreeMap<String, Vec<usize>>, Vec<Value>) {
    let (time, batch, widths) = (3, 2, [4, 5, 3]);
    let sizes = Sizes::new().with("time", time).with("batch", batch).with("width", widths[0]).with("features", 3);
    let stacks = BTreeMap::from([("layers".to_owned(), widths[1..].to_vec())]);
    let each = |seed: u32, shape: &dyn Fn(usize, usize) -> Vec<usize>| {
        let layers = widths.windows(2).enumerate();
        Value::Family(layers.map(|(l, w)| random(&shape(w[0], w[1]), seed + l as u32)).collect())
    };
    let mut tau = random(&[], 5);
    tau.data[0] = 0.8;
    let args = vec![
        Value::Tensor(random(&[time, batch, widths[0]], 1)),
        Value::Tensor(tau),
        each(10, &|input, hidden| vec![4 * hidden, input]),
        each(20, &|_, hidden| vec![4 * hidden, hidden]),
        each(30, &|_, hidden| vec![4 * hidden]),
        each(40, &|_, hidden| vec![batch, hidden]),
    ];
    (sizes, stacks, args)
}

#[test]
fn gradient_of_a_stack_of_noisy_layers() {
    let (sizes, stacks, args) = settings();
    check_gradient(&stacked_lstm(), &args, &sizes, &stacks);
}

/// The scans in a compiled stack: the forward one, then the backward one.
fn scans(program: &Program) -> Vec<Loop> {
    let loops = |g: &Graph| -> Vec<Loop> {
        g.nodes.iter().filter_map(|n| if let Op::Loop(lp) = &n.op { Some((**lp).clone()) } else { None }).collect()
    };
    loops(&program.graph).iter().flat_map(|stack| loops(&stack.body)).collect()
}

fn count(g: &Graph, wanted: impl Fn(&Op) -> bool) -> usize {
    g.nodes.iter().filter(|n| wanted(&n.op)).count()
}

#[test]
fn a_step_is_one_product_and_one_region_each_way() {
    let compiled = compile(stacked_lstm()).unwrap();
    let scans = scans(&compiled);
    assert_eq!(scans.len(), 2);
    for scan in &scans {
        assert_eq!(count(&scan.body, |op| matches!(op, Op::MatMul { .. })), 1, "{}", scan.body);
        assert_eq!(scan.body.regions.len(), 1, "{}", scan.body);
        assert_eq!(scan.accs, 0, "{}", scan.body);
    }
    assert_eq!(scans[0].body.regions[0].noise.len(), 2);
    assert!(scans[1].body.regions[0].noise.is_empty(), "backward must not sample");
    // Saved for backward: i, f, g, o, tanh(c); the states come from their own trajectories.
    assert_eq!(scans[0].ys, 5, "{}", scans[0].body);
    assert_eq!(count(&scans[1].body, |op| matches!(op, Op::Concat { .. })), 1);
    assert_eq!(count(&scans[1].body, |op| matches!(op, Op::Pad { .. })), 0);
}

#[test]
fn weight_noise_leaves_the_scan_and_is_drawn_again() {
    let compiled = compile(stacked_lstm()).unwrap();
    for scan in scans(&compiled) {
        assert_eq!(count(&scan.body, |op| matches!(op, Op::Uniform { per: Per::Sequence, .. })), 0);
    }
    let stacks: Vec<&Graph> = compiled
        .graph
        .nodes
        .iter()
        .filter_map(|n| if let Op::Loop(lp) = &n.op { Some(&lp.body) } else { None })
        .collect();
    assert_eq!(stacks.len(), 2);
    for body in stacks {
        assert_eq!(count(body, |op| matches!(op, Op::Uniform { .. })), 1, "{body}");
    }
}

#[test]
fn kernels_are_numbered_in_order_and_programs_survive_encoding() {
    let compiled = compile(stacked_lstm()).unwrap();
    let numbers: Vec<usize> = regions(&compiled).iter().map(|(_, r)| r.kernel).collect();
    assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
    assert_eq!(Program::decode(&compiled.encode()).unwrap(), compiled);
    assert!(Program::decode(&compiled.encode()[..40]).is_err());
}

#[test]
fn text_and_dot_show_loops_regions_and_gradients() {
    let compiled = compile(stacked_lstm()).unwrap();
    let text = compiled.to_string();
    for part in [
        "stack layers [layers.input -> layers.hidden]",
        "scan over time, reversed",
        "region 0:",
        "gradient of layers.w_h",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let dot = print::dot(&compiled);
    assert!(dot.starts_with("digraph") && dot.contains("cluster_region0") && dot.ends_with("}\n"));
}

#[test]
fn a_parameter_without_influence_is_an_error() {
    let mut program = stacked_lstm();
    let extra = program.graph.arg(op::Type::real(shape(&[&d("batch")])));
    assert_eq!(program.graph.args.last(), Some(&extra));
    program.leaves.push(Leaf { name: "extra".into(), kind: LeafKind::Param });
    assert_eq!(compile(program).unwrap_err(), "grad: parameter `extra` does not influence the loss");
}

/// `c' = tanh(w c + x)` with the sum of `x c` over time; the loss reads every kind of result.
#[test]
fn cotangents_enter_a_loop_through_every_result() {
    let n = d("n");
    let vector = || op::Type::real(shape(&[&n]));
    let mut body = Graph::new();
    let (w, x, c) = (body.arg(vector()), body.arg(vector()), body.arg(vector()));
    let scaled = body.mul(w, c);
    let moved = body.add(scaled, x);
    let next = body.map(Map::Tanh, &[moved]);
    let product = body.mul(x, c);
    body.outputs = vec![next, scaled, product];
    let kind = LoopKind::Scan { time: d("time") };
    let scan = Loop { kind, reversed: false, body, consts: 1, steps: 1, carries: 1, ys: 1, accs: 1 };
    let mut g = Graph::new();
    let (w, c) = (g.arg(vector()), g.arg(vector()));
    let x = g.arg(op::Type::real(shape(&[&d("time"), &n])));
    let id = g.add_loop(scan, vec![w, x, c]);
    let outs =
        [LoopOut::Before(0), LoopOut::After(0), LoopOut::Y(0), LoopOut::Acc(0), LoopOut::Final(0), LoopOut::Final(0)];
    let parts = outs.map(|out| {
        let value = g.get(id, out);
        let squared = g.square(value);
        let axes = (0..g.shape(value).rank()).collect();
        g.op(Op::Sum { axes }, &[squared])
    });
    g.outputs = vec![parts.into_iter().reduce(|a, b| g.add(a, b)).unwrap()];
    let leaves = ["w", "c", "x"].map(|name| Leaf { name: name.into(), kind: LeafKind::Param }).to_vec();
    let program =
        Program { name: "results".into(), mode: Mode::Training, graph: g, leaves, outputs: vec![Output::Loss] };
    let sizes = Sizes::new().with("time", 4).with("n", 3);
    let args = [random(&[3], 1), random(&[3], 2), random(&[4, 3], 3)].map(Value::Tensor);
    check_gradient(&program, &args, &sizes, &BTreeMap::new());
}

#[test]
fn regions_stay_within_what_a_kernel_may_have() {
    let mut g = Graph::new();
    let x = g.arg(op::Type::real(shape(&[&d("n")])));
    let drawn = (0..50).fold(x, |sum, site| {
        let u = g.uniform(site, Per::Step, shape(&[&d("n")]));
        g.add(sum, u)
    });
    g.outputs = vec![drawn];
    let leaves = vec![Leaf { name: "x".into(), kind: LeafKind::Input }];
    let outputs = vec![Output::Named("sum".into())];
    let program = Program { name: "draws".into(), mode: Mode::Sampling, graph: g, leaves, outputs };
    let compiled = compile(program).unwrap();
    let draws: Vec<usize> = compiled.graph.regions.iter().map(|r| r.noise.len()).collect();
    assert!(draws.iter().all(|&n| n <= fuse::MOST_DRAWS) && draws.iter().sum::<usize>() == 50, "{draws:?}");
}
