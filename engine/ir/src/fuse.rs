//! Fusion: every maximal element-wise region becomes one kernel.
//!
//! A region is a set of element-wise nodes of one shape and one phase such that no value leaves it and comes back: it
//! can run as one loop over its elements. What it reads from outside is a lane (one element after the other along
//! the innermost axis) or a scalar (constant along it); repeated constants are written into the kernel itself.

use crate::graph::{Graph, Loop, Node, NodeId, Program, Region};
use crate::op::Op;
use std::collections::BTreeSet;

/// Most values that one kernel reads and writes.
pub const MOST_OPERANDS: usize = 96;

/// Most places that draw uniforms in one kernel.
pub const MOST_DRAWS: usize = 32;

/// Finds the regions of the program's graph and of all loop bodies in it, numbers them and puts the nodes of each
/// graph into an order in which every region runs as one unit.
pub fn fuse(mut program: Program) -> Program {
    let mut kernels = 0;
    program.graph = fuse_graph(&program.graph, &mut kernels);
    program
}

/// The program's regions with the graphs they are in, in the order of their kernels.
pub fn regions(program: &Program) -> Vec<(&Graph, &Region)> {
    fn collect<'a>(g: &'a Graph, found: &mut Vec<(&'a Graph, &'a Region)>) {
        found.extend(g.regions.iter().map(|region| (g, region)));
        for node in &g.nodes {
            if let Op::Loop(lp) = &node.op {
                collect(&lp.body, found);
            }
        }
    }
    let mut found = Vec::new();
    collect(&program.graph, &mut found);
    found.sort_by_key(|(_, region)| region.kernel);
    found
}

fn fuse_graph(g: &Graph, kernels: &mut usize) -> Graph {
    let groups = group(g);
    let (mut new, members) = by_group(g, &groups);
    for nodes in members {
        new.regions.push(region(&new, nodes, *kernels));
        *kernels += 1;
    }
    for node in &mut new.nodes {
        if let Op::Loop(lp) = &mut node.op {
            **lp = Loop { body: fuse_graph(&lp.body, kernels), ..(**lp).clone() };
        }
    }
    new
}

/// A set of nodes by number.
#[derive(Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Bits {
        Bits(vec![0; count.div_ceil(64)])
    }

    fn insert(&mut self, k: usize) {
        self.0[k / 64] |= 1 << (k % 64);
    }

    fn contains(&self, k: usize) -> bool {
        self.0[k / 64] >> (k % 64) & 1 == 1
    }

    fn meets(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    fn add(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }
}

/// For each node the group it belongs to, named by its first member; other nodes are groups of their own.
fn group(g: &Graph) -> Vec<usize> {
    let count = g.nodes.len();
    let mut group: Vec<usize> = (0..count).collect();
    // ancestors[i]: every node that node i is computed from.
    let mut ancestors: Vec<Bits> = Vec::with_capacity(count);
    for (i, node) in g.nodes.iter().enumerate() {
        let mut all = Bits::new(count);
        for arg in &node.args {
            all.insert(arg.index());
            all.add(&ancestors[arg.index()]);
        }
        ancestors.push(all);
        if !node.op.is_elementwise() {
            continue;
        }
        for arg in &node.args {
            let (mine, theirs) = (group[i], group[arg.index()]);
            if mine != theirs
                && fits(node, g.node(*arg))
                && is_small(g, &group, mine, theirs)
                && may_merge(&group, &ancestors, mine, theirs)
            {
                let (first, second) = (mine.min(theirs), mine.max(theirs));
                group.iter_mut().filter(|member| **member == second).for_each(|member| *member = first);
            }
        }
    }
    group
}

fn fits(a: &Node, b: &Node) -> bool {
    b.op.is_elementwise() && a.ty == b.ty && a.phase == b.phase
}

/// Whether two groups together stay within what one kernel may have.
fn is_small(g: &Graph, group: &[usize], a: usize, b: usize) -> bool {
    let inside = |id: NodeId| group[id.index()] == a || group[id.index()] == b;
    let members: Vec<NodeId> = g.ids().filter(|&id| inside(id)).collect();
    let draws = members.iter().filter(|&&id| matches!(g.node(id).op, Op::Uniform { .. })).count();
    let read: BTreeSet<NodeId> =
        members.iter().flat_map(|&id| &g.node(id).args).copied().filter(|&arg| !inside(arg)).collect();
    let used: BTreeSet<NodeId> = g
        .ids()
        .filter(|&id| !inside(id))
        .flat_map(|id| &g.node(id).args)
        .chain(&g.outputs)
        .copied()
        .filter(|&id| inside(id))
        .collect();
    draws <= MOST_DRAWS && read.len() + used.len() <= MOST_OPERANDS
}

/// Whether two groups can run as one: no group besides them is computed from one and needed by the other.
fn may_merge(group: &[usize], ancestors: &[Bits], a: usize, b: usize) -> bool {
    let known = ancestors.len();
    let inside = |i: usize| group[i] == a || group[i] == b;
    let mut reached = Bits::new(group.len());
    (0..known).filter(|&i| inside(i)).for_each(|i| reached.insert(i));
    // Groups that read from inside, directly or through other groups: a group runs as one, so all of it waits.
    let mut below = Bits::new(group.len());
    loop {
        let found = (0..known).find(|&i| !inside(i) && !below.contains(i) && ancestors[i].meets(&reached));
        let Some(found) = found else { break };
        for i in (0..known).filter(|&i| group[i] == group[found]) {
            below.insert(i);
            reached.insert(i);
        }
    }
    (0..known).filter(|&i| inside(i)).all(|i| !ancestors[i].meets(&below))
}

/// The graph with each group's nodes side by side, and the members of the element-wise groups.
fn by_group(g: &Graph, group: &[usize]) -> (Graph, Vec<Vec<NodeId>>) {
    let members = |name: usize| g.ids().filter(move |id| group[id.index()] == name);
    let mut order: Vec<NodeId> = Vec::with_capacity(g.nodes.len());
    let mut done = vec![false; g.nodes.len()];
    fn place(g: &Graph, group: &[usize], name: usize, done: &mut [bool], order: &mut Vec<NodeId>) {
        let members: Vec<NodeId> = g.ids().filter(|id| group[id.index()] == name).collect();
        if done[members[0].index()] {
            return;
        }
        // Marked first: within a group its members read each other.
        members.iter().for_each(|id| done[id.index()] = true);
        for id in &members {
            for arg in &g.node(*id).args {
                if group[arg.index()] != name {
                    place(g, group, group[arg.index()], done, order);
                }
            }
        }
        order.extend(members);
    }
    for phase in [crate::graph::Phase::Forward, crate::graph::Phase::Backward] {
        for id in g.ids().filter(|id| g.node(*id).phase == phase) {
            place(g, group, group[id.index()], &mut done, &mut order);
        }
    }
    let mut new = g.clone();
    new.reorder(&order);
    let mut position = vec![NodeId(0); g.nodes.len()];
    for (new_id, old_id) in order.iter().enumerate() {
        position[old_id.index()] = NodeId(new_id as u32);
    }
    let mut regions: Vec<Vec<NodeId>> = g
        .ids()
        .filter(|id| g.node(*id).op.is_elementwise() && group[id.index()] == id.index())
        .map(|id| members(id.index()).map(|m| position[m.index()]).collect())
        .collect();
    regions.sort();
    (new, regions)
}

fn region(g: &Graph, nodes: Vec<NodeId>, kernel: usize) -> Region {
    let inside: BTreeSet<NodeId> = nodes.iter().copied().collect();
    let rank = g.shape(nodes[0]).rank();
    let (mut lanes, mut scalars) = (Vec::new(), Vec::new());
    for &arg in nodes.iter().flat_map(|id| &g.node(*id).args) {
        if inside.contains(&arg) || g.constant(arg).is_some() {
            continue;
        }
        let list = if rank > 0 && constant_along_last(g, arg) { &mut scalars } else { &mut lanes };
        if !list.contains(&arg) {
            list.push(arg);
        }
    }
    let used_outside: BTreeSet<NodeId> = g
        .ids()
        .filter(|id| !inside.contains(id))
        .flat_map(|id| g.node(id).args.iter().copied())
        .chain(g.outputs.iter().copied())
        .collect();
    let outputs = nodes.iter().copied().filter(|id| used_outside.contains(id)).collect();
    let noise = nodes.iter().copied().filter(|id| matches!(g.node(*id).op, Op::Uniform { .. })).collect();
    Region { kernel, nodes, lanes, scalars, outputs, noise }
}

/// Whether the value is a repetition along its last axis.
fn constant_along_last(g: &Graph, id: NodeId) -> bool {
    match &g.node(id).op {
        Op::Broadcast { shape, axes } => axes.last() != Some(&(shape.rank() - 1)),
        _ => false,
    }
}
