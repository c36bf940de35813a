//! The whole pipeline on a stack of noisy LSTM layers: gradient, hoisting, fusion, encoding, text.

use crate::models::*;
use g2_ir::fuse::regions;
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
