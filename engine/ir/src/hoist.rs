//! What does not depend on time leaves the scan.
//!
//! Before differentiation `hoist` takes out of each scan what depends on its constants alone, and the products that
//! depend on its per-step arguments but on no carry: these become one large product over all steps. After it, `sink`
//! turns the sums over time of products (the weights' gradients) into one large product behind the scan.

use crate::graph::{Graph, Loop, LoopKind, LoopOut, NodeId, Program};
use crate::op::{Op, Per};
use crate::{Dim, Map};
use std::collections::{BTreeMap, BTreeSet};

/// Moves time-independent work before the scans of `program`.
pub fn hoist(mut program: Program) -> Program {
    program.graph = each_loop(&program.graph, &|g, lp, args| hoist_loop(g, lp, args));
    program
}

/// Moves sums over time of products behind the scans of `program`.
pub fn sink(mut program: Program) -> Program {
    program.graph = each_loop(&program.graph, &|g, lp, args| {
        let (lp, streams) = stream_sums(lp);
        let id = g.add_loop(lp, args);
        let sums = streams.into_iter().map(|(k, sum)| (LoopOut::Acc(k), sum.build(g, id))).collect();
        (id, sums)
    });
    program
}

/// Puts one loop with its arguments into a graph; returns it and the results that are now computed otherwise.
type Place<'a> = &'a dyn Fn(&mut Graph, Loop, Vec<NodeId>) -> (NodeId, BTreeMap<LoopOut, NodeId>);

/// Rebuilds a graph, innermost loops first, with every scan placed by `place`.
fn each_loop(old: &Graph, place: Place<'_>) -> Graph {
    let mut new = Graph::new();
    let mut map: Vec<NodeId> = Vec::with_capacity(old.nodes.len());
    let mut replaced: BTreeMap<(NodeId, LoopOut), NodeId> = BTreeMap::new();
    for id in old.ids() {
        let node = old.node(id);
        let args: Vec<NodeId> = node.args.iter().map(|a| map[a.index()]).collect();
        new.building = node.phase;
        let moved = match &node.op {
            Op::Loop(lp) => {
                let lp = Loop { body: each_loop(&lp.body, place), ..(**lp).clone() };
                match lp.kind {
                    LoopKind::Scan { .. } => {
                        let (placed, results) = place(&mut new, lp, args);
                        replaced.extend(results.into_iter().map(|(out, result)| ((id, out), result)));
                        placed
                    }
                    LoopKind::Stack { .. } => new.add_loop(lp, args),
                }
            }
            Op::Get(out) => match replaced.get(&(node.args[0], *out)) {
                Some(&result) => result,
                None => new.push_copy(node, args),
            },
            _ => new.push_copy(node, args),
        };
        if let Op::Arg(_) = node.op {
            new.args.push(moved);
        }
        map.push(moved);
    }
    new.building = old.building;
    new.outputs = old.outputs.iter().map(|id| map[id.index()]).collect();
    new
}

/// What a value of a scan's body depends on, apart from scalars.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depends {
    /// Scalars and constants only: cheap enough to stay.
    Nothing,
    /// What is the same at each step.
    Consts,
    /// The step's own arguments as well.
    Steps,
    /// A carry or fresh noise.
    Carries,
}

fn dependence(lp: &Loop) -> Vec<Depends> {
    let mut depends = vec![Depends::Nothing; lp.body.nodes.len()];
    for id in lp.body.ids() {
        let node = lp.body.node(id);
        let of_args = node.args.iter().map(|a| depends[a.index()]).max().unwrap_or(Depends::Nothing);
        depends[id.index()] = match &node.op {
            Op::Arg(k) if *k < lp.consts && node.ty.shape.rank() == 0 => Depends::Nothing,
            Op::Arg(k) if *k < lp.consts => Depends::Consts,
            Op::Arg(k) if *k < lp.consts + lp.steps => Depends::Steps,
            Op::Arg(_) | Op::Loop(_) | Op::Uniform { per: Per::Step, .. } => Depends::Carries,
            Op::Uniform { per: Per::Sequence, .. } => Depends::Consts,
            _ => of_args,
        };
    }
    depends
}

fn hoist_loop(g: &mut Graph, mut lp: Loop, mut args: Vec<NodeId>) -> (NodeId, BTreeMap<LoopOut, NodeId>) {
    let LoopKind::Scan { time } = lp.kind.clone() else { unreachable!("only scans are placed") };
    let depends = dependence(&lp);
    let body = &lp.body;
    let mut moved: BTreeSet<NodeId> = BTreeSet::new();
    for id in body.ids() {
        let node = body.node(id);
        match depends[id.index()] {
            Depends::Consts if !node.op.is_view() && !matches!(node.op, Op::Arg(_)) => {
                needed(body, id, &mut moved);
            }
            Depends::Steps if matches!(node.op, Op::MatMul { .. }) => {
                let mut all = BTreeSet::new();
                needed(body, id, &mut all);
                if all.iter().all(|&id| lifts(body, id, &depends)) {
                    moved.extend(all);
                }
            }
            _ => {}
        }
    }
    // The moved nodes outside, stacked along time where they depend on it.
    let mut outside: BTreeMap<NodeId, NodeId> = lp.body.args.iter().copied().zip(args.iter().copied()).collect();
    for &id in &moved {
        let node = body.node(id);
        let new = match depends[id.index()] {
            Depends::Steps => {
                let stacked = |&a: &NodeId| (outside[&a], depends[a.index()] == Depends::Steps);
                let lifted: Vec<(NodeId, bool)> = node.args.iter().map(stacked).collect();
                lift(g, &node.op, &lifted, &time)
            }
            _ => {
                let args: Vec<NodeId> = node.args.iter().map(|a| outside[a]).collect();
                g.op(node.op.clone(), &args)
            }
        };
        if let Some(name) = &node.name {
            g.name(new, name);
        }
        outside.insert(id, new);
    }
    // What the rest of the body still reads of them comes in as arguments.
    let read: BTreeSet<NodeId> = body
        .ids()
        .filter(|id| !moved.contains(id))
        .flat_map(|id| body.node(id).args.clone())
        .chain(body.outputs.iter().copied())
        .filter(|id| moved.contains(id) && !matches!(body.node(*id).op, Op::Const(_) | Op::Size(_)))
        .collect();
    let (steps, consts): (Vec<NodeId>, Vec<NodeId>) = read.iter().partition(|id| depends[id.index()] == Depends::Steps);
    let mut new = Graph::new();
    let mut map: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    let (own_consts, rest) = body.args.split_at(lp.consts);
    let (own_steps, carries) = rest.split_at(lp.steps);
    let order: Vec<NodeId> = [own_consts, &consts, own_steps, &steps, carries].concat();
    for &id in &order {
        map.insert(id, new.arg(body.ty(id).clone()));
    }
    let carry_args = args.split_off(lp.consts + lp.steps);
    let step_args = args.split_off(lp.consts);
    args.extend(consts.iter().map(|id| outside[id]));
    args.extend(step_args);
    args.extend(steps.iter().map(|id| outside[id]));
    args.extend(carry_args);
    for id in body.ids() {
        if map.contains_key(&id) {
            continue;
        }
        let node = body.node(id);
        let constant = matches!(node.op, Op::Const(_) | Op::Size(_));
        if moved.contains(&id) && !constant {
            continue;
        }
        // A body node may read a moved one only through `read`, so every argument it needs is mapped.
        let node_args = node.args.iter().map(|a| map[a]).collect();
        map.insert(id, new.push_copy(node, node_args));
    }
    new.outputs = body.outputs.iter().map(|id| map[id]).collect();
    lp.consts += consts.len();
    lp.steps += steps.len();
    lp.body = new;
    (g.add_loop(lp, args), BTreeMap::new())
}

/// `id` and all that it is computed from, arguments of the body excepted.
fn needed(body: &Graph, id: NodeId, all: &mut BTreeSet<NodeId>) {
    if !matches!(body.node(id).op, Op::Arg(_)) && all.insert(id) {
        body.node(id).args.iter().for_each(|&a| needed(body, a, all));
    }
}

/// Whether `lift` knows this node.
fn lifts(body: &Graph, id: NodeId, depends: &[Depends]) -> bool {
    let node = body.node(id);
    let steps = |k: usize| depends[node.args[k].index()] == Depends::Steps;
    let rank = |k: usize| body.shape(node.args[k]).rank();
    match &node.op {
        _ if depends[id.index()] != Depends::Steps => true,
        Op::MatMul { fold, .. } => {
            let shared = match (steps(0), steps(1)) {
                (true, true) => rank(0) == rank(1),
                (true, false) => rank(1) == 2,
                (false, _) => rank(0) == 2,
            };
            !fold && shared
        }
        Op::Gather => !steps(0) && steps(1),
        Op::Softmax | Op::LogSoftmax | Op::CrossEntropy | Op::Pick => (0..node.args.len()).all(steps),
        Op::Map(_) | Op::Concat { .. } | Op::Sum { .. } | Op::Pad { .. } => true,
        op => op.is_view(),
    }
}

/// `op` over all steps at once: stacked arguments have time as their first axis, the others are repeated along it
/// where the operation needs one shape.
fn lift(g: &mut Graph, op: &Op, args: &[(NodeId, bool)], time: &Dim) -> NodeId {
    let after = |axes: &[usize]| axes.iter().map(|a| a + 1).collect::<Vec<_>>();
    let repeat = |g: &mut Graph, &(id, stacked): &(NodeId, bool)| {
        if stacked {
            return id;
        }
        let shape = g.shape(id).insert(0, time.clone());
        let axes = (1..shape.rank()).collect();
        g.op(Op::Broadcast { shape, axes }, &[id])
    };
    let same = |g: &mut Graph| args.iter().map(|arg| repeat(g, arg)).collect::<Vec<_>>();
    let plain: Vec<NodeId> = args.iter().map(|&(id, _)| id).collect();
    match op {
        Op::Map(_) => {
            let args = same(g);
            g.op(op.clone(), &args)
        }
        Op::Concat { axis } => {
            let args = same(g);
            g.op(Op::Concat { axis: axis + 1 }, &args)
        }
        Op::Broadcast { shape, axes } => {
            let axes = std::iter::once(0).chain(after(axes)).collect();
            g.op(Op::Broadcast { shape: shape.insert(0, time.clone()), axes }, &plain)
        }
        Op::Slice { axis, start, len } => {
            g.op(Op::Slice { axis: axis + 1, start: start.clone(), len: len.clone() }, &plain)
        }
        Op::Pad { axis, start, len } => {
            g.op(Op::Pad { axis: axis + 1, start: start.clone(), len: len.clone() }, &plain)
        }
        Op::Reverse { axis } => g.op(Op::Reverse { axis: axis + 1 }, &plain),
        Op::Insert { axis } => g.op(Op::Insert { axis: axis + 1 }, &plain),
        Op::Remove { axis } => g.op(Op::Remove { axis: axis + 1 }, &plain),
        Op::Sum { axes } => g.op(Op::Sum { axes: after(axes) }, &plain),
        _ => g.op(op.clone(), &plain),
    }
}

/// A sum over all steps, computed behind the scan from per-step results.
enum StreamSum {
    /// `sum over steps of op(..)`: `op` sums over the new first axis too; each argument is a per-step result.
    Op(Op, Vec<LoopOut>),
    /// The sum of two.
    Add(Box<StreamSum>, Box<StreamSum>),
}

impl StreamSum {
    fn build(self, g: &mut Graph, scan: NodeId) -> NodeId {
        match self {
            StreamSum::Op(op, args) => {
                let args: Vec<NodeId> = args.into_iter().map(|out| g.get(scan, out)).collect();
                g.op(op, &args)
            }
            StreamSum::Add(a, b) => {
                let (a, b) = (a.build(g, scan), b.build(g, scan));
                g.map(Map::Add, &[a, b])
            }
        }
    }
}

/// The loop with per-step results added for those of its sums that can be taken behind it, and how to take them.
fn stream_sums(mut lp: Loop) -> (Loop, Vec<(usize, StreamSum)>) {
    let sums: Vec<NodeId> = lp.body.outputs[lp.carries + lp.ys..].to_vec();
    let mut streams = Vec::new();
    for (k, sum) in sums.into_iter().enumerate() {
        if can_stream(&lp.body, sum) {
            streams.push((k, stream(&mut lp, sum)));
        }
    }
    (lp, streams)
}

fn can_stream(body: &Graph, id: NodeId) -> bool {
    let node = body.node(id);
    match &node.op {
        Op::MatMul { fold, .. } => *fold || node.args.iter().all(|&a| body.shape(a).rank() == 2),
        Op::Sum { .. } => true,
        Op::Map(Map::Add) => node.args.iter().all(|&a| can_stream(body, a)),
        _ => false,
    }
}

fn stream(lp: &mut Loop, id: NodeId) -> StreamSum {
    let node = lp.body.node(id).clone();
    let op = match node.op {
        Op::MatMul { ta, tb, .. } => Op::MatMul { ta, tb, fold: true },
        Op::Sum { axes } => Op::Sum { axes: std::iter::once(0).chain(axes.iter().map(|a| a + 1)).collect() },
        _ => {
            let mut part = |k: usize| Box::new(stream(lp, node.args[k]));
            return StreamSum::Add(part(0), part(1));
        }
    };
    let per_step = node.args.iter().map(|&arg| step_result(lp, arg)).collect();
    StreamSum::Op(op, per_step)
}

/// The per-step result that holds body value `id`, added if there is none.
fn step_result(lp: &mut Loop, id: NodeId) -> LoopOut {
    let ys = &lp.body.outputs[lp.carries..lp.carries + lp.ys];
    let k = ys.iter().position(|&y| y == id).unwrap_or_else(|| {
        lp.body.outputs.insert(lp.carries + lp.ys, id);
        lp.ys += 1;
        lp.ys - 1
    });
    LoopOut::Y(k)
}
