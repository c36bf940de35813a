//! Rewrites that keep every value (but the sign of a zero that a zero is added to): repeated work is done once, what nothing uses goes, in loops too, sums of pads
//! become concatenations, and, for fusion, slices move to their sources.

use crate::graph::{Graph, Loop, LoopOut, Node, NodeId, Phase, Program};
use crate::op::Op;
use crate::{Dim, Map};
use std::collections::{BTreeSet, HashMap};

/// Simplifies the program's graph and all loop bodies in it, until nothing changes.
pub fn simplify(mut program: Program) -> Program {
    program.graph = simplify_graph(&program.graph, false);
    program
}

/// As [`simplify`], and moves slices before the element-wise nodes that only slices use, so that these join the regions
/// of what reads the slices. After differentiation, where it would take sums apart.
pub fn simplify_and_move_slices(mut program: Program) -> Program {
    program.graph = simplify_graph(&program.graph, true);
    program
}

fn simplify_graph(g: &Graph, move_slices: bool) -> Graph {
    let mut before = prune(g);
    loop {
        let after = prune(&rewrite(&before, move_slices));
        if after == before {
            return after;
        }
        before = after;
    }
}

/// One pass of local rewrites over all nodes, each in terms of its rewritten arguments.
fn rewrite(old: &Graph, move_slices: bool) -> Graph {
    let only_sliced = only_sliced(old);
    let mut new = Rewriter { g: Graph::new(), pushable: BTreeSet::new() };
    let mut map: Vec<NodeId> = Vec::with_capacity(old.nodes.len());
    for id in old.ids() {
        let node = old.node(id);
        let args: Vec<NodeId> = node.args.iter().map(|a| map[a.index()]).collect();
        new.g.building = node.phase;
        let moved = match &node.op {
            Op::Arg(_) => new.g.arg(node.ty.clone()),
            Op::Loop(lp) => {
                new.g.add_loop(Loop { body: simplify_graph(&lp.body, move_slices), ..(**lp).clone() }, args)
            }
            op => new.make(op.clone(), &args),
        };
        if let Some(name) = &node.name {
            new.g.name(moved, name);
        }
        if move_slices && only_sliced[id.index()] {
            new.pushable.insert(moved);
        }
        map.push(moved);
    }
    new.g.building = Phase::Forward;
    new.g.outputs = old.outputs.iter().map(|id| map[id.index()]).collect();
    new.g
}

/// For each node, whether slices are all that uses it.
fn only_sliced(g: &Graph) -> Vec<bool> {
    let mut only = vec![true; g.nodes.len()];
    for node in g.nodes.iter().filter(|n| !matches!(n.op, Op::Slice { .. })) {
        node.args.iter().for_each(|a| only[a.index()] = false);
    }
    g.outputs.iter().for_each(|id| only[id.index()] = false);
    only
}

struct Rewriter {
    g: Graph,
    /// Nodes that a slice may be computed before of.
    pushable: BTreeSet<NodeId>,
}

impl Rewriter {
    /// The node for `op` of `args`: a simpler one, an equal one that is there already, or a new one.
    fn make(&mut self, op: Op, args: &[NodeId]) -> NodeId {
        if let Some(simpler) = self.simpler(&op, args) {
            return simpler;
        }
        let phase = self.g.building;
        let same = |n: &Node| n.phase == phase && n.args == args && n.op == op;
        if let Some(position) = self.g.nodes.iter().position(same) {
            return NodeId(position as u32);
        }
        match op {
            Op::Get(out) => self.g.get(args[0], out),
            op => self.g.op(op, args),
        }
    }

    fn simpler(&mut self, op: &Op, args: &[NodeId]) -> Option<NodeId> {
        match op {
            Op::Slice { axis, start, len } => self.slice(*axis, start, len, args[0]),
            Op::Broadcast { shape, axes } => {
                if self.g.shape(args[0]) == shape {
                    return Some(args[0]);
                }
                let inner = self.g.node(args[0]).clone();
                if let Op::Broadcast { axes: inner_axes, .. } = inner.op {
                    let axes = inner_axes.iter().map(|&a| axes[a]).collect();
                    return Some(self.make(Op::Broadcast { shape: shape.clone(), axes }, &inner.args));
                }
                None
            }
            Op::Map(Map::Add) => match (self.g.constant(args[0]), self.g.constant(args[1])) {
                (Some(0.0), _) => Some(args[1]),
                (_, Some(0.0)) => Some(args[0]),
                _ => self.concat_of_pads(args),
            },
            Op::Map(Map::Mul) => match (self.g.constant(args[0]), self.g.constant(args[1])) {
                (Some(1.0), _) => Some(args[1]),
                (_, Some(1.0)) => Some(args[0]),
                _ => None,
            },
            Op::Map(Map::Div) if self.g.constant(args[1]) == Some(1.0) => Some(args[0]),
            Op::Map(Map::Neg) => {
                let inner = self.g.node(args[0]);
                (inner.op == Op::Map(Map::Neg)).then(|| inner.args[0])
            }
            Op::Sum { axes } if axes.is_empty() => Some(args[0]),
            Op::Concat { .. } if args.len() == 1 => Some(args[0]),
            Op::Reverse { .. } | Op::Transpose => {
                let inner = self.g.node(args[0]);
                (inner.op == *op).then(|| inner.args[0])
            }
            &Op::MatMul { ta, tb, fold } => {
                let flipped = |g: &Graph, id: NodeId| {
                    let node = g.node(id);
                    if node.op == Op::Transpose { (true, node.args[0]) } else { (false, id) }
                };
                let ((fa, a), (fb, b)) = (flipped(&self.g, args[0]), flipped(&self.g, args[1]));
                (fa || fb).then(|| self.make(Op::MatMul { ta: ta ^ fa, tb: tb ^ fb, fold }, &[a, b]))
            }
            _ => None,
        }
    }

    fn slice(&mut self, axis: usize, start: &Dim, len: &Dim, of: NodeId) -> Option<NodeId> {
        if start.is_zero() && *len == self.g.shape(of).0[axis] {
            return Some(of);
        }
        let source = self.g.node(of).clone();
        let cut = |this: &mut Self, axis: usize, id: NodeId| {
            this.make(Op::Slice { axis, start: start.clone(), len: len.clone() }, &[id])
        };
        match source.op {
            Op::Slice { axis: inner, start: offset, .. } if inner == axis => {
                let start = &offset + start;
                Some(self.make(Op::Slice { axis, start, len: len.clone() }, &source.args))
            }
            Op::Broadcast { shape, axes } if self.pushable.contains(&of) => {
                let arg = match axes.iter().position(|&a| a == axis) {
                    Some(inner) => cut(self, inner, source.args[0]),
                    None => source.args[0],
                };
                Some(self.make(Op::Broadcast { shape: shape.with(axis, len.clone()), axes }, &[arg]))
            }
            Op::Map(map) if self.pushable.contains(&of) => {
                let args: Vec<NodeId> = source.args.iter().map(|&a| cut(self, axis, a)).collect();
                Some(self.make(Op::Map(map), &args))
            }
            Op::Concat { axis: joined } if joined == axis => {
                let mut begin = Dim::number(0);
                for part in source.args {
                    let length = self.g.shape(part).0[axis].clone();
                    if begin == *start && length == *len {
                        return Some(part);
                    }
                    begin = &begin + &length;
                }
                None
            }
            _ => None,
        }
    }

    /// `a + b` as a concatenation, if all their terms are pads that tile one axis.
    fn concat_of_pads(&mut self, args: &[NodeId]) -> Option<NodeId> {
        let mut terms = args.to_vec();
        let mut pads = Vec::new();
        while let Some(id) = terms.pop() {
            let node = self.g.node(id);
            match &node.op {
                Op::Map(Map::Add) => terms.extend(&node.args),
                Op::Pad { axis, start, len } => pads.push((*axis, start.clone(), len.clone(), node.args[0])),
                _ => return None,
            }
        }
        let (axis, _, total, _) = pads[0].clone();
        let mut end = Dim::number(0);
        let mut parts = Vec::new();
        while end != total {
            let next = pads.iter().position(|(a, start, _, _)| *a == axis && *start == end)?;
            let (_, _, _, part) = pads.swap_remove(next);
            end = &end + &self.g.shape(part).0[axis];
            parts.push(part);
        }
        pads.is_empty().then(|| self.make(Op::Concat { axis }, &parts))
    }
}

/// Drops nodes that no output needs, and from loops the results, arguments and body nodes that nothing needs. Carries
/// and a graph's own arguments stay.
fn prune(g: &Graph) -> Graph {
    let mut live = vec![false; g.nodes.len()];
    g.outputs.iter().chain(&g.args).for_each(|id| live[id.index()] = true);
    let mut wanted: HashMap<NodeId, BTreeSet<usize>> = HashMap::new();
    let mut pruned: HashMap<NodeId, Pruned> = HashMap::new();
    for id in g.ids().rev() {
        if !live[id.index()] {
            continue;
        }
        let node = g.node(id);
        match &node.op {
            Op::Loop(lp) => {
                let loop_pruned = prune_loop(lp, &wanted.remove(&id).unwrap_or_default());
                loop_pruned.args.iter().for_each(|&k| live[node.args[k].index()] = true);
                pruned.insert(id, loop_pruned);
            }
            Op::Get(out) => {
                live[node.args[0].index()] = true;
                wanted.entry(node.args[0]).or_default().insert(g.loop_at(node.args[0]).output_index(*out));
            }
            _ => node.args.iter().for_each(|a| live[a.index()] = true),
        }
    }
    let mut new = Graph::new();
    let mut map: Vec<Option<NodeId>> = vec![None; g.nodes.len()];
    for id in g.ids().filter(|id| live[id.index()]) {
        let mut node = g.node(id).clone();
        if let Some(p) = pruned.get(&id) {
            node.args = p.args.iter().map(|&k| node.args[k]).collect();
            node.op = Op::Loop(Box::new(p.lp.clone()));
        }
        if let Op::Get(out) = &mut node.op {
            *out = pruned[&node.args[0]].renumber(*out);
        }
        let args = node.args.iter().map(|a| map[a.index()].expect("a live node's arguments are live")).collect();
        let copy = new.push_copy(&node, args);
        if let Op::Arg(_) = node.op {
            new.args.push(copy);
        }
        map[id.index()] = Some(copy);
    }
    new.outputs = g.outputs.iter().map(|id| map[id.index()].expect("outputs are live")).collect();
    new
}

struct Pruned {
    lp: Loop,
    /// Positions of the arguments that stay.
    args: Vec<usize>,
    /// Positions of the per-step results and of the sums that stay.
    ys: Vec<usize>,
    accs: Vec<usize>,
}

impl Pruned {
    fn renumber(&self, out: LoopOut) -> LoopOut {
        let position = |kept: &[usize], k| kept.iter().position(|&j| j == k).expect("a result that is used stays");
        match out {
            LoopOut::Y(k) => LoopOut::Y(position(&self.ys, k)),
            LoopOut::Acc(k) => LoopOut::Acc(position(&self.accs, k)),
            other => other,
        }
    }
}

fn prune_loop(lp: &Loop, wanted: &BTreeSet<usize>) -> Pruned {
    let kept = |count: usize, first: usize| (0..count).filter(|k| wanted.contains(&(first + k))).collect::<Vec<_>>();
    let ys = kept(lp.ys, lp.carries);
    let accs = kept(lp.accs, lp.carries + lp.ys);
    let mut body = lp.body.clone();
    let indices = (0..lp.carries).chain(ys.iter().map(|k| lp.carries + k));
    let indices = indices.chain(accs.iter().map(|k| lp.carries + lp.ys + k));
    body.outputs = indices.map(|k| lp.body.outputs[k]).collect();
    let mut body = prune(&body);

    let used = body.use_counts();
    let fixed = lp.consts + lp.steps;
    let args: Vec<usize> = (0..body.args.len()).filter(|&k| k >= fixed || used[body.args[k].index()] > 0).collect();
    let kept_args: Vec<NodeId> = args.iter().map(|&k| body.args[k]).collect();
    let order: Vec<NodeId> =
        body.ids().filter(|id| !matches!(body.node(*id).op, Op::Arg(_)) || kept_args.contains(id)).collect();
    body.args = kept_args;
    for (position, id) in body.args.clone().into_iter().enumerate() {
        body.nodes[id.index()].op = Op::Arg(position);
    }
    body.reorder(&order);
    let lp = Loop {
        consts: args.iter().filter(|&&k| k < lp.consts).count(),
        steps: args.iter().filter(|&&k| (lp.consts..fixed).contains(&k)).count(),
        ys: ys.len(),
        accs: accs.len(),
        body,
        ..lp.clone()
    };
    Pruned { lp, args, ys, accs }
}
