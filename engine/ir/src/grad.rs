//! Reverse-mode differentiation: cotangents flow from the loss to the parameters, also through loops.
//!
//! The cotangent of a loop is the same loop run the other way: its body is the cotangent of the body, its carries are
//! the cotangents of the carries, and what the forward body computed and backward needs comes in as per-step
//! arguments. Nothing random is stored: a mask is drawn again from its key.

use crate::graph::{Graph, LeafKind, Loop, LoopOut, Mode, NodeId, Output, Phase, Program};
use crate::op::{DType, Op, Type};
use crate::{Dim, Map, Shape};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Adds the gradients of all parameters to a training program; any other program stays as it is.
///
/// # Errors
/// If there is no loss, or a parameter does not influence it.
pub fn grad(mut program: Program) -> Result<Program, String> {
    if program.mode != Mode::Training {
        return Ok(program);
    }
    let loss = program.outputs.iter().position(|o| *o == Output::Loss).ok_or("a training program needs a loss")?;
    let loss = program.graph.outputs[loss];
    let g = &mut program.graph;
    let active_args: Vec<bool> = program.leaves.iter().map(|leaf| leaf.kind == LeafKind::Param).collect();
    let active = activity(g, &active_args);

    g.building = Phase::Backward;
    let seed = g.full(1.0, Shape::scalar());
    let cotangents = backprop(g, &active, [(loss, seed)]);
    for (k, leaf) in program.leaves.iter().enumerate().filter(|(_, leaf)| leaf.kind == LeafKind::Param) {
        let Some(&ct) = cotangents.get(&g.args[k]) else {
            return Err(format!("parameter `{}` does not influence the loss", leaf.name));
        };
        g.outputs.push(ct);
        program.outputs.push(Output::Grad(k));
    }
    g.building = Phase::Forward;
    redraw(g);
    forward_first(g);
    Ok(program)
}

/// For each node, whether its value depends smoothly on an active argument.
fn activity(g: &Graph, active_args: &[bool]) -> Vec<bool> {
    let mut active = vec![false; g.nodes.len()];
    for id in g.ids() {
        let node = g.node(id);
        active[id.index()] = match &node.op {
            Op::Arg(k) => active_args[*k] && node.ty.dtype == DType::Real,
            Op::Get(out) => {
                let lp = g.loop_at(node.args[0]);
                let outer: Vec<bool> = g.node(node.args[0]).args.iter().map(|a| active[a.index()]).collect();
                let body = loop_activity(lp, &outer);
                match out {
                    LoopOut::Before(k) => body[lp.carry_arg(*k).index()],
                    out => body[lp.body.outputs[lp.output_index(*out)].index()],
                }
            }
            op => node.args.iter().enumerate().any(|(k, a)| active[a.index()] && is_smooth(op, k)),
        };
    }
    active
}

/// Activity of a loop's body, its carries taken to the fixed point.
fn loop_activity(lp: &Loop, outer_args: &[bool]) -> Vec<bool> {
    let mut args = outer_args.to_vec();
    loop {
        let active = activity(&lp.body, &args);
        let mut changed = false;
        for k in 0..lp.carries {
            let carry = &mut args[lp.consts + lp.steps + k];
            let next = active[lp.body.outputs[k].index()];
            changed |= next && !*carry;
            *carry |= next;
        }
        if !changed {
            return active;
        }
    }
}

/// Whether the result varies smoothly with argument `k`.
fn is_smooth(op: &Op, k: usize) -> bool {
    match op {
        Op::Map(Map::Greater | Map::Less) | Op::LengthMask { .. } => false,
        Op::Map(Map::Select) => k > 0,
        Op::Gather | Op::Pick | Op::CrossEntropy | Op::Softmax => k == 0,
        Op::ScatterAdd { .. } | Op::PickGrad { .. } => k == 1,
        // `CrossEntropyGrad` is made by this pass, which runs once.
        Op::Arg(_) | Op::Const(_) | Op::Size(_) | Op::Uniform { .. } | Op::CrossEntropyGrad => false,
        Op::Map(_)
        | Op::Broadcast { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Reverse { .. }
        | Op::Transpose
        | Op::Insert { .. }
        | Op::Remove { .. }
        | Op::Concat { .. }
        | Op::Sum { .. }
        | Op::MatMul { .. }
        | Op::LogSoftmax
        | Op::Loop(_)
        | Op::Get(_) => true,
    }
}

type Cotangents = HashMap<NodeId, NodeId>;

fn accumulate(g: &mut Graph, cotangents: &mut Cotangents, id: NodeId, ct: NodeId) {
    let sum = match cotangents.get(&id) {
        Some(&before) => g.add(before, ct),
        None => ct,
    };
    cotangents.insert(id, sum);
}

/// Appends the nodes that carry the `seeds` back, and returns the cotangent of every active node they reach.
fn backprop(g: &mut Graph, active: &[bool], seeds: impl IntoIterator<Item = (NodeId, NodeId)>) -> Cotangents {
    let mut cotangents = Cotangents::new();
    let mut loop_results: BTreeMap<NodeId, Vec<(LoopOut, NodeId)>> = BTreeMap::new();
    for (id, ct) in seeds {
        accumulate(g, &mut cotangents, id, ct);
    }
    for id in (0..active.len() as u32).rev().map(NodeId) {
        let node = g.node(id);
        if let Op::Loop(_) = node.op {
            if let Some(results) = loop_results.remove(&id) {
                let outer_active: Vec<bool> = node.args.iter().map(|a| active[a.index()]).collect();
                for (arg, ct) in loop_vjp(g, id, &outer_active, results) {
                    accumulate(g, &mut cotangents, arg, ct);
                }
            }
            continue;
        }
        let (true, Some(&ct)) = (active[id.index()], cotangents.get(&id)) else {
            continue;
        };
        if let Op::Get(out) = node.op {
            let results = loop_results.entry(node.args[0]).or_default();
            match results.iter().position(|(other, _)| *other == out) {
                Some(k) => results[k].1 = g.add(results[k].1, ct),
                None => results.push((out, ct)),
            }
            continue;
        }
        for (k, arg) in node.args.clone().into_iter().enumerate() {
            if active[arg.index()]
                && let Some(ct_arg) = vjp(g, id, k, ct)
            {
                accumulate(g, &mut cotangents, arg, ct_arg);
            }
        }
    }
    cotangents
}

/// The cotangent of argument `k` of node `id`, whose own cotangent is `ct`.
fn vjp(g: &mut Graph, id: NodeId, k: usize, ct: NodeId) -> Option<NodeId> {
    let Graph { nodes, .. } = g;
    let (op, args) = (nodes[id.index()].op.clone(), nodes[id.index()].args.clone());
    let shape = g.shape(args[k]).clone();
    let last = |s: &Shape| s.rank() - 1;
    let kept = |axes: &[usize], rank: usize| (0..rank).filter(|a| !axes.contains(a)).collect::<Vec<_>>();
    let op_ct = match op {
        Op::Map(map) => return (map.row().vjp)(g, k, &args, id, ct),
        Op::Broadcast { shape: wide, axes } => Op::Sum { axes: kept(&axes, wide.rank()) },
        Op::Slice { axis, start, .. } => Op::Pad { axis, start, len: shape.0[axis].clone() },
        Op::Pad { axis, start, .. } => Op::Slice { axis, start, len: shape.0[axis].clone() },
        Op::Reverse { axis } => Op::Reverse { axis },
        Op::Transpose => Op::Transpose,
        Op::Insert { axis } => Op::Remove { axis },
        Op::Remove { axis } => Op::Insert { axis },
        Op::Concat { axis } => {
            let start = args[..k].iter().fold(Dim::number(0), |sum, &a| &sum + &g.shape(a).0[axis]);
            Op::Slice { axis, start, len: shape.0[axis].clone() }
        }
        Op::Sum { axes } => Op::Broadcast { axes: kept(&axes, shape.rank()), shape },
        Op::MatMul { ta, tb, fold } => return Some(matmul_vjp(g, &args, (ta, tb, fold), k, ct)),
        Op::Gather => {
            return Some(g.op(Op::ScatterAdd { rows: shape.0[0].clone() }, &[args[1], ct]));
        }
        Op::ScatterAdd { .. } => return Some(g.op(Op::Gather, &[ct, args[0]])),
        Op::Pick => {
            let len = shape.0[last(&shape)].clone();
            return Some(g.op(Op::PickGrad { len }, &[args[1], ct]));
        }
        Op::PickGrad { .. } => return Some(g.op(Op::Pick, &[ct, args[0]])),
        // d softmax = y (ct - sum(ct y))
        Op::Softmax => {
            let weighted = g.mul(ct, id);
            let mean = row_sum(g, weighted);
            let centred = g.map(Map::Sub, &[ct, mean]);
            return Some(g.mul(id, centred));
        }
        // d log_softmax = ct - exp(y) sum(ct)
        Op::LogSoftmax => {
            let total = row_sum(g, ct);
            let softmax = g.map(Map::Exp, &[id]);
            let spread = g.mul(softmax, total);
            return Some(g.map(Map::Sub, &[ct, spread]));
        }
        Op::CrossEntropy => return Some(g.op(Op::CrossEntropyGrad, &[args[0], args[1], ct])),
        Op::CrossEntropyGrad
        | Op::Arg(_)
        | Op::Const(_)
        | Op::Size(_)
        | Op::Uniform { .. }
        | Op::LengthMask { .. }
        | Op::Loop(_)
        | Op::Get(_) => return None,
    };
    Some(g.op(op_ct, &[ct]))
}

/// The sum over the last axis, repeated along it.
fn row_sum(g: &mut Graph, x: NodeId) -> NodeId {
    let shape = g.shape(x).clone();
    let last = shape.rank() - 1;
    let sum = g.op(Op::Sum { axes: vec![last] }, &[x]);
    g.op(Op::Broadcast { shape, axes: (0..last).collect() }, &[sum])
}

/// With `C = A B`: `dA = dC B^T`, `dB = A^T dC`, each transposed as its operand is stored, and summed over leading axes
/// that the operand does not have.
fn matmul_vjp(g: &mut Graph, x: &[NodeId], (ta, tb, fold): (bool, bool, bool), k: usize, ct: NodeId) -> NodeId {
    let (a, b) = (x[0], x[1]);
    let fold = !fold && g.shape(x[k]).rank() == 2 && g.shape(ct).rank() > 2;
    let product = |ta, tb| Op::MatMul { ta, tb, fold };
    match (k, ta, tb) {
        (0, false, _) => g.op(product(false, !tb), &[ct, b]),
        (0, true, _) => g.op(product(tb, true), &[b, ct]),
        (_, _, false) => g.op(product(!ta, false), &[a, ct]),
        (_, _, true) => g.op(product(true, ta), &[ct, a]),
    }
}

/// Where a value that backward needs comes from.
enum Source {
    /// The body's constant argument of this position.
    Const(usize),
    /// A per-step value, as the outer node that holds all steps.
    Step(NodeId),
}

/// Cotangents of the arguments of the loop at `id`, given those of its results. The loop in `g` is replaced by one
/// that also gives the per-step values which backward needs.
fn loop_vjp(
    g: &mut Graph,
    id: NodeId,
    outer_active: &[bool],
    results: Vec<(LoopOut, NodeId)>,
) -> Vec<(NodeId, NodeId)> {
    let lp = g.loop_at(id).clone();
    let outer_args = g.node(id).args.clone();
    let active = loop_activity(&lp, outer_active);
    let is_active = |body_id: NodeId| active[body_id.index()];
    let outer_ct = |out: LoopOut| results.iter().find(|(o, _)| *o == out).map(|&(_, ct)| ct);

    // The body and, behind it, its cotangent. Carries' cotangents come in as carries, per-step results' as steps, sums'
    // as constants.
    let mut joint = lp.body.clone();
    joint.building = Phase::Backward;
    let carries: Vec<usize> = (0..lp.carries).filter(|&k| is_active(lp.carry_arg(k))).collect();
    let carry_cts: Vec<NodeId> = carries.iter().map(|&k| joint.arg(lp.body.output_type(k))).collect();
    let mut seeds: Vec<(NodeId, NodeId)> =
        carries.iter().zip(&carry_cts).map(|(&k, &ct)| (lp.body.outputs[k], ct)).collect();
    let mut step_cts: Vec<(NodeId, NodeId)> = Vec::new();
    let mut const_cts: Vec<(NodeId, NodeId)> = Vec::new();
    for &(out, ct) in &results {
        let value = match out {
            LoopOut::Final(_) => continue, // A carry's initial cotangent, below.
            LoopOut::Before(k) => lp.carry_arg(k),
            LoopOut::After(_) | LoopOut::Y(_) | LoopOut::Acc(_) => lp.body.outputs[lp.output_index(out)],
        };
        let arg = joint.arg(lp.body.ty(value).clone());
        seeds.push((value, arg));
        let list = if let LoopOut::Acc(_) = out { &mut const_cts } else { &mut step_cts };
        list.push((arg, ct));
    }
    let body_cts = backprop(&mut joint, &active, seeds);

    // What backward computes: next carries' cotangents, then those of steps, then those of constants.
    let next_cts: Vec<NodeId> = carries
        .iter()
        .map(|&k| {
            let carry = lp.carry_arg(k);
            body_cts.get(&carry).copied().unwrap_or_else(|| joint.zeros_like(carry))
        })
        .collect();
    let reached = |range: std::ops::Range<usize>| -> Vec<(usize, NodeId)> {
        let found = range.map(|k| (k, body_cts.get(&lp.body.args[k]).copied()));
        found.filter_map(|(k, ct)| Some((k, ct.filter(|_| outer_active[k])?))).collect()
    };
    let step_results = reached(lp.consts..lp.consts + lp.steps);
    let const_results = reached(0..lp.consts);
    let backward_outputs: Vec<NodeId> =
        next_cts.iter().copied().chain(step_results.iter().chain(&const_results).map(|&(_, ct)| ct)).collect();

    // The forward values that cross over: redrawn or looked at anew if that is free, else imported.
    let own_args: BTreeSet<NodeId> =
        carry_cts.iter().copied().chain(const_cts.iter().chain(&step_cts).map(|&(arg, _)| arg)).collect();
    let (copied, imported) = cross(&joint, &backward_outputs, &own_args);

    // The forward body gives what has to be saved, and takes its old place.
    let mut forward = lp.clone();
    forward.body = copy_forward(&joint);
    let mut saved: HashMap<NodeId, LoopOut> = HashMap::new();
    for &value in &imported {
        if let Op::Arg(_) = joint.node(value).op {
            continue;
        }
        let out = match joint.outputs.iter().position(|&o| o == value) {
            Some(k) if k < lp.carries => LoopOut::After(k),
            Some(k) => LoopOut::Y(k - lp.carries),
            None => {
                forward.body.outputs.push(forward_position(&joint, value));
                forward.ys += 1;
                LoopOut::Y(forward.ys - 1)
            }
        };
        saved.insert(value, out);
    }
    g.nodes[id.index()].op = Op::Loop(Box::new(forward));

    let building = std::mem::replace(&mut g.building, Phase::Forward);
    let sources: Vec<Source> = imported
        .iter()
        .map(|value| match joint.node(*value).op {
            Op::Arg(k) if k < lp.consts => Source::Const(k),
            Op::Arg(k) if k < lp.consts + lp.steps => Source::Step(outer_args[k]),
            Op::Arg(k) => Source::Step(g.get(id, LoopOut::Before(k - lp.consts - lp.steps))),
            _ => Source::Step(g.get(id, saved[value])),
        })
        .collect();
    g.building = building;

    // The backward loop.
    let mut body = Graph::new();
    let mut map: HashMap<NodeId, NodeId> = HashMap::new();
    let mut args = Vec::new();
    let mut counts = (0, 0);
    for (&value, source) in imported.iter().zip(&sources) {
        if let Source::Const(k) = source {
            map.insert(value, body.arg(joint.ty(value).clone()));
            args.push(outer_args[*k]);
            counts.0 += 1;
        }
    }
    for &(arg, ct) in &const_cts {
        map.insert(arg, body.arg(joint.ty(arg).clone()));
        args.push(ct);
        counts.0 += 1;
    }
    for (&value, source) in imported.iter().zip(&sources) {
        if let Source::Step(outer) = source {
            map.insert(value, body.arg(joint.ty(value).clone()));
            args.push(*outer);
            counts.1 += 1;
        }
    }
    for &(arg, ct) in &step_cts {
        map.insert(arg, body.arg(joint.ty(arg).clone()));
        args.push(ct);
        counts.1 += 1;
    }
    for (&k, &ct) in carries.iter().zip(&carry_cts) {
        map.insert(ct, body.arg(joint.ty(ct).clone()));
        let outer_type = lp.outer(&lp.body.output_type(k));
        let init = outer_ct(LoopOut::Final(k)).unwrap_or_else(|| g.full(0.0, outer_type.shape));
        args.push(init);
    }
    for value in copied {
        let node = joint.node(value);
        let node_args = node.args.iter().map(|a| map[a]).collect();
        let copy = body.push_copy(node, node_args);
        body.nodes[copy.index()].phase = Phase::Forward;
        map.insert(value, copy);
    }
    body.outputs = backward_outputs.iter().map(|ct| map[ct]).collect();
    let backward = Loop {
        kind: lp.kind.clone(),
        reversed: !lp.reversed,
        body,
        consts: counts.0,
        steps: counts.1,
        carries: carries.len(),
        ys: step_results.len(),
        accs: const_results.len(),
    };
    let backward = g.add_loop(backward, args);

    let mut cts = Vec::new();
    for (j, &k) in carries.iter().enumerate() {
        let outer = lp.consts + lp.steps + k;
        if outer_active[outer] {
            cts.push((outer_args[outer], g.get(backward, LoopOut::Final(j))));
        }
    }
    for (j, (k, _)) in step_results.into_iter().enumerate() {
        cts.push((outer_args[k], g.get(backward, LoopOut::Y(j))));
    }
    for (j, (k, _)) in const_results.into_iter().enumerate() {
        cts.push((outer_args[k], g.get(backward, LoopOut::Acc(j))));
    }
    cts
}

/// Splits what `outputs` need into the nodes to copy into the backward body and the forward values to import; both in
/// the order of the joint graph. `own_args` are the backward body's own arguments.
fn cross(joint: &Graph, outputs: &[NodeId], own_args: &BTreeSet<NodeId>) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
    let redrawn = redrawable(joint);
    let mut copied = BTreeSet::new();
    let mut imported = BTreeSet::new();
    let mut work = outputs.to_vec();
    while let Some(id) = work.pop() {
        let node = joint.node(id);
        if own_args.contains(&id) || copied.contains(&id) || imported.contains(&id) {
            continue;
        }
        let free = redrawn[id.index()] || looks_at_argument(joint, id) || is_repetition(&node.op);
        let is_arg = matches!(node.op, Op::Arg(_));
        if !is_arg && (node.phase == Phase::Backward || free) {
            copied.insert(id);
            work.extend(&node.args);
        } else {
            imported.insert(id);
        }
    }
    (copied, imported)
}

/// Views whose argument is never larger than their result.
fn is_repetition(op: &Op) -> bool {
    op.is_view() && !matches!(op, Op::Slice { .. })
}

/// Whether the node is an argument seen through views only.
fn looks_at_argument(g: &Graph, id: NodeId) -> bool {
    let node = g.node(id);
    matches!(node.op, Op::Arg(_)) || (node.op.is_view() && looks_at_argument(g, node.args[0]))
}

/// For each node, whether it is made of noise, constants and scalar arguments alone, so that drawing it again costs
/// less than keeping it.
fn redrawable(g: &Graph) -> Vec<bool> {
    let mut redrawn = vec![false; g.nodes.len()];
    for id in g.ids() {
        let node = g.node(id);
        redrawn[id.index()] = match &node.op {
            Op::Const(_) | Op::Size(_) | Op::Uniform { .. } => true,
            Op::Arg(_) => node.ty == Type::real(Shape::scalar()),
            Op::Map(_) | Op::Broadcast { .. } => node.args.iter().all(|a| redrawn[a.index()]),
            _ => false,
        };
    }
    redrawn
}

/// The forward half of a joint body.
fn copy_forward(joint: &Graph) -> Graph {
    let mut forward = Graph::new();
    let mut map: HashMap<NodeId, NodeId> = HashMap::new();
    for id in joint.ids().filter(|&id| joint.node(id).phase == Phase::Forward) {
        let args = joint.node(id).args.iter().map(|a| map[a]).collect();
        let copy = forward.push_copy(joint.node(id), args);
        if let Op::Arg(_) = joint.node(id).op {
            forward.args.push(copy);
        }
        map.insert(id, copy);
    }
    forward.outputs = joint.outputs.iter().map(|id| map[id]).collect();
    forward
}

/// The place that forward node `id` of the joint body has in its forward half.
fn forward_position(joint: &Graph, id: NodeId) -> NodeId {
    NodeId(joint.nodes[..id.index()].iter().filter(|n| n.phase == Phase::Forward).count() as u32)
}

/// Lets backward draw masks again from their keys instead of reading what forward drew.
fn redraw(g: &mut Graph) {
    let redrawn = redrawable(g);
    let crossing = |g: &Graph, id: NodeId| {
        redrawn.get(id.index()) == Some(&true)
            && g.node(id).phase == Phase::Forward
            && matches!(g.node(id).op, Op::Map(_) | Op::Uniform { .. } | Op::Broadcast { .. })
    };
    // Copies go to the end; `order` puts each before its reader again.
    let mut copies: HashMap<NodeId, NodeId> = HashMap::new();
    fn copy(
        g: &mut Graph,
        id: NodeId,
        copies: &mut HashMap<NodeId, NodeId>,
        crossing: &dyn Fn(&Graph, NodeId) -> bool,
    ) -> NodeId {
        if !crossing(g, id) {
            return id;
        }
        if let Some(&done) = copies.get(&id) {
            return done;
        }
        let node = g.node(id).clone();
        let args = node.args.iter().map(|&a| copy(g, a, copies, crossing)).collect();
        let new = g.push_copy(&node, args);
        g.nodes[new.index()].phase = Phase::Backward;
        copies.insert(id, new);
        new
    }
    for id in g.ids().filter(|id| g.node(*id).phase == Phase::Backward).collect::<Vec<_>>() {
        for k in 0..g.node(id).args.len() {
            let arg = g.node(id).args[k];
            let new = copy(g, arg, &mut copies, &crossing);
            g.nodes[id.index()].args[k] = new;
        }
    }
}

/// Reorders the nodes: each after its arguments, all of forward before all of backward.
fn forward_first(g: &mut Graph) {
    fn visit(g: &Graph, id: NodeId, order: &mut Vec<NodeId>, seen: &mut [bool]) {
        if std::mem::replace(&mut seen[id.index()], true) {
            return;
        }
        for &arg in &g.node(id).args {
            visit(g, arg, order, seen);
        }
        order.push(id);
    }
    let mut order = Vec::new();
    let mut seen = vec![false; g.nodes.len()];
    for phase in [Phase::Forward, Phase::Backward] {
        for id in g.ids().filter(|&id| g.node(id).phase == phase) {
            visit(g, id, &mut order, &mut seen);
        }
    }
    g.reorder(&order);
}
