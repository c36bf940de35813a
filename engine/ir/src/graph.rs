//! Nodes, loops, graphs and programs, and the builder that types every node as it is made.

use crate::dim::{Dim, Shape};
use crate::map::Map;
use crate::op::{DType, Op, Per, Type};
use serde::{Deserialize, Serialize};

/// A node's position in its graph.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct NodeId(pub u32);

impl NodeId {
    /// As an index into `Graph::nodes`.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which half of a training step a node belongs to. Forward runs without backward, never the other way round.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Phase {
    /// Computes the loss, the outputs and the next state.
    #[default]
    Forward,
    /// Computes cotangents.
    Backward,
}

/// One operation, its arguments (always earlier nodes) and the type of its result.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// From which nodes.
    pub args: Vec<NodeId>,
    /// The result's type. A loop's own type is a scalar nobody reads: its results come through `Get`.
    pub ty: Type,
    /// The name it has in the source, if any.
    pub name: Option<String>,
    /// Forward or backward.
    pub phase: Phase,
}

/// What a loop runs over.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum LoopKind {
    /// The steps of time: per-step arguments and results are stacked along a new first axis of this length.
    Scan {
        /// Number of steps.
        time: Dim,
    },
    /// The layers of a stack, whose number and widths are given when the program is bound to numbers: per-step
    /// arguments and results are families, and the carried tensor may change its width from `input` to `hidden`.
    Stack {
        /// The stack's name, by which it is configured.
        name: String,
        /// Symbol of a layer's input width.
        input: String,
        /// Symbol of a layer's output width.
        hidden: String,
        /// Input width of the first layer, in the outer symbols.
        first: Dim,
        /// Output width of the last layer, in the outer symbols.
        last: Dim,
    },
}

/// A loop: `body` run once a step, from the first to the last or (`reversed`) from the last to the first.
///
/// The body's arguments are `consts` (the same at each step), `steps` (one slice a step), `carries` (the previous
/// step's, the first one's given from outside); its outputs are the next carries, `ys` (one slice a step) and `accs`
/// (summed over the steps). The loop's own arguments are the consts, the stacked steps and the initial carries.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Loop {
    /// Time or layers.
    pub kind: LoopKind,
    /// From the last step to the first.
    pub reversed: bool,
    /// One step.
    pub body: Graph,
    /// Number of constant arguments.
    pub consts: usize,
    /// Number of per-step arguments.
    pub steps: usize,
    /// Number of carried values.
    pub carries: usize,
    /// Number of per-step results.
    pub ys: usize,
    /// Number of results summed over the steps.
    pub accs: usize,
}

/// One result of a loop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum LoopOut {
    /// Carry `k` after the last step.
    Final(usize),
    /// Carry `k` as each step found it.
    Before(usize),
    /// Carry `k` as each step left it.
    After(usize),
    /// Per-step result `k`.
    Y(usize),
    /// Summed result `k`.
    Acc(usize),
}

impl Loop {
    /// The body's argument that holds carry `k`.
    pub fn carry_arg(&self, k: usize) -> NodeId {
        self.body.args[self.consts + self.steps + k]
    }

    /// Position of an output in the body's list of outputs.
    pub fn output_index(&self, out: LoopOut) -> usize {
        match out {
            LoopOut::Final(k) | LoopOut::After(k) | LoopOut::Before(k) => k,
            LoopOut::Y(k) => self.carries + k,
            LoopOut::Acc(k) => self.carries + self.ys + k,
        }
    }

    /// Type that a per-step value of the body has outside: stacked along time, or one for each layer.
    pub fn stacked(&self, body: &Type) -> Type {
        match &self.kind {
            LoopKind::Scan { time } => Type { shape: body.shape.insert(0, time.clone()), ..body.clone() },
            LoopKind::Stack { name, .. } => body.clone().each_layer(name),
        }
    }

    /// Type outside of a value that is the same for all steps or comes before the first or after the last: a
    /// stack's own symbols become the widths at its two ends.
    pub fn outer(&self, body: &Type) -> Type {
        match &self.kind {
            LoopKind::Scan { .. } => body.clone(),
            LoopKind::Stack { input, hidden, first, last, .. } => {
                let ends = |symbol: &str| match symbol {
                    s if s == input => Some(first.clone()),
                    s if s == hidden => Some(last.clone()),
                    _ => None,
                };
                Type { shape: body.shape.substitute(&ends), ..body.clone() }
            }
        }
    }

    /// The outer type of one result.
    pub fn out_type(&self, out: LoopOut) -> Type {
        match out {
            LoopOut::Before(k) => self.stacked(&self.body.ty(self.carry_arg(k)).clone()),
            LoopOut::Final(_) | LoopOut::Acc(_) => self.outer(&self.body.output_type(self.output_index(out))),
            LoopOut::After(_) | LoopOut::Y(_) => self.stacked(&self.body.output_type(self.output_index(out))),
        }
    }
}

/// A maximal set of element-wise nodes of one shape that one kernel computes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Region {
    /// Its number among the program's regions: the index of its kernel.
    pub kernel: usize,
    /// The element-wise nodes in it, in order.
    pub nodes: Vec<NodeId>,
    /// What it reads along the innermost axis, one element at a time.
    pub lanes: Vec<NodeId>,
    /// What it reads that is constant along the innermost axis.
    pub scalars: Vec<NodeId>,
    /// Its nodes whose values are used outside of it: what it writes.
    pub outputs: Vec<NodeId>,
    /// Its nodes that draw uniforms.
    pub noise: Vec<NodeId>,
}

/// A list of nodes in an order in which they can run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Graph {
    /// The nodes; each one's arguments stand before it.
    pub nodes: Vec<Node>,
    /// The `Arg` nodes, by position.
    pub args: Vec<NodeId>,
    /// The results.
    pub outputs: Vec<NodeId>,
    /// The fused regions, once `fuse` has found them.
    pub regions: Vec<Region>,
    /// The phase given to nodes made from now on.
    pub building: Phase,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// The node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The node's type.
    pub fn ty(&self, id: NodeId) -> &Type {
        &self.node(id).ty
    }

    /// The node's shape.
    pub fn shape(&self, id: NodeId) -> &Shape {
        &self.node(id).ty.shape
    }

    /// Type of output `k`.
    pub fn output_type(&self, k: usize) -> Type {
        self.ty(self.outputs[k]).clone()
    }

    /// All node ids in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// How many times each node is used, as an argument or an output.
    pub fn use_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.nodes.len()];
        for id in self.nodes.iter().flat_map(|n| &n.args).chain(&self.outputs) {
            counts[id.index()] += 1;
        }
        counts
    }

    /// The number that the node holds everywhere, if it is a constant or a constant repeated.
    pub fn constant(&self, id: NodeId) -> Option<f64> {
        let node = self.node(id);
        match node.op {
            Op::Const(value) => Some(value),
            Op::Broadcast { .. } => self.constant(node.args[0]),
            _ => None,
        }
    }

    fn push(&mut self, op: Op, args: Vec<NodeId>, ty: Type) -> NodeId {
        self.nodes.push(Node { op, args, ty, name: None, phase: self.building });
        NodeId(self.nodes.len() as u32 - 1)
    }

    /// Appends a copy of `node` with other arguments (types are taken over as they are).
    pub fn push_copy(&mut self, node: &Node, args: Vec<NodeId>) -> NodeId {
        self.nodes.push(Node { args, ..node.clone() });
        NodeId(self.nodes.len() as u32 - 1)
    }

    /// Keeps the nodes listed in `order`, in that order; every argument and output must be among them.
    pub fn reorder(&mut self, order: &[NodeId]) {
        let mut map = vec![None; self.nodes.len()];
        for (new, old) in order.iter().enumerate() {
            map[old.index()] = Some(NodeId(new as u32));
        }
        let moved = |id: NodeId| map[id.index()].expect("reorder drops a node that is still used");
        let nodes = order.iter().map(|&old| {
            let node = self.node(old);
            Node { args: node.args.iter().map(|&a| moved(a)).collect(), ..node.clone() }
        });
        self.nodes = nodes.collect();
        self.args = self.args.iter().map(|&id| moved(id)).collect();
        self.outputs = self.outputs.iter().map(|&id| moved(id)).collect();
    }

    /// A new argument of the graph.
    pub fn arg(&mut self, ty: Type) -> NodeId {
        let id = self.push(Op::Arg(self.args.len()), Vec::new(), ty);
        self.args.push(id);
        id
    }

    /// A node by its operation's own shape rule.
    ///
    /// # Errors
    /// As [`Op::result`].
    pub fn try_op(&mut self, op: Op, args: &[NodeId]) -> Result<NodeId, String> {
        let types: Vec<&Type> = args.iter().map(|&id| self.ty(id)).collect();
        let ty = op.result(&types)?;
        Ok(self.push(op, args.to_vec(), ty))
    }

    /// As [`Graph::try_op`], for nodes whose arguments a pass has made to fit.
    ///
    /// # Panics
    /// If they do not fit: a defect of that pass.
    pub fn op(&mut self, op: Op, args: &[NodeId]) -> NodeId {
        self.try_op(op, args).unwrap_or_else(|error| panic!("a pass built an ill-typed node: {error}"))
    }

    /// A loop over its arguments.
    pub fn add_loop(&mut self, lp: Loop, args: Vec<NodeId>) -> NodeId {
        self.push(Op::Loop(Box::new(lp)), args, Type::real(Shape::scalar()))
    }

    /// The loop at `id`.
    ///
    /// # Panics
    /// If the node is none.
    pub fn loop_at(&self, id: NodeId) -> &Loop {
        match &self.node(id).op {
            Op::Loop(lp) => lp,
            other => panic!("node {} is {}, not a loop", id.0, other.name()),
        }
    }

    /// One result of the loop at `id`.
    pub fn get(&mut self, id: NodeId, out: LoopOut) -> NodeId {
        let ty = self.loop_at(id).out_type(out);
        self.push(Op::Get(out), vec![id], ty)
    }

    /// Gives the node a name, if it has none.
    pub fn name(&mut self, id: NodeId, name: &str) {
        self.nodes[id.index()].name.get_or_insert_with(|| name.to_owned());
    }

    /// An element-wise primitive.
    pub fn map(&mut self, map: Map, args: &[NodeId]) -> NodeId {
        self.op(Op::Map(map), args)
    }

    /// `a + b`
    pub fn add(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.map(Map::Add, &[a, b])
    }

    /// `a * b`
    pub fn mul(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.map(Map::Mul, &[a, b])
    }

    /// `a / b`
    pub fn div(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.map(Map::Div, &[a, b])
    }

    /// `-a`
    pub fn neg(&mut self, a: NodeId) -> NodeId {
        self.map(Map::Neg, &[a])
    }

    /// `a * a`
    pub fn square(&mut self, a: NodeId) -> NodeId {
        self.map(Map::Square, &[a])
    }

    /// 1 where `a > b`, else 0
    pub fn greater(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.map(Map::Greater, &[a, b])
    }

    /// `1 - a`
    pub fn one_minus(&mut self, a: NodeId) -> NodeId {
        let one = self.full_like(1.0, a);
        self.map(Map::Sub, &[one, a])
    }

    /// Zeros of the shape of `a`.
    pub fn zeros_like(&mut self, a: NodeId) -> NodeId {
        self.full_like(0.0, a)
    }

    /// `value` in the shape of `a`.
    pub fn full_like(&mut self, value: f64, a: NodeId) -> NodeId {
        let shape = self.shape(a).clone();
        self.full(value, shape)
    }

    /// `value` in `shape`.
    pub fn full(&mut self, value: f64, shape: Shape) -> NodeId {
        let scalar = self.op(Op::Const(value), &[]);
        self.broadcast_scalar(scalar, shape)
    }

    /// The scalar `a` in `shape`.
    pub fn broadcast_scalar(&mut self, a: NodeId, shape: Shape) -> NodeId {
        if shape.rank() == 0 { a } else { self.op(Op::Broadcast { shape, axes: Vec::new() }, &[a]) }
    }

    /// Uniforms of `shape` drawn at `site`.
    pub fn uniform(&mut self, site: u32, per: Per, shape: Shape) -> NodeId {
        self.op(Op::Uniform { site, per, shape }, &[])
    }
}

/// What a program's argument is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum LeafKind {
    /// Data, new at each run.
    Input,
    /// Trained; backward gives its gradient.
    Param,
    /// Kept from run to run: written by `next`.
    State,
    /// A scalar that the caller sets (temperature, dropout probabilities).
    Hyper,
}

/// One argument of a program; its type is that of the graph's argument of the same position.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Leaf {
    /// Its name; a family's is `stack.name` and each layer's is `stack.LAYER.name`.
    pub name: String,
    /// What it is.
    pub kind: LeafKind,
}

/// What a program's output is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// The scalar to be made small.
    Loss,
    /// The next value of the state that is leaf `.0`.
    Next(usize),
    /// A named result.
    Named(String),
    /// The gradient of the parameter that is leaf `.0`.
    Grad(usize),
}

/// Which of a definition's graphs this is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Mode {
    /// Noise and dropout on; forward, loss and gradients. Named outputs are left out.
    Training,
    /// Noise and dropout on; forward only, with named outputs.
    Sampling,
    /// Noise and dropout off; forward only, with named outputs.
    Evaluation,
}

/// A whole graph with the meaning of its arguments and outputs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Program {
    /// The item's name in the source.
    pub name: String,
    /// Which graph of the item this is.
    pub mode: Mode,
    /// The nodes.
    pub graph: Graph,
    /// The graph's arguments, by position.
    pub leaves: Vec<Leaf>,
    /// The graph's outputs, by position.
    pub outputs: Vec<Output>,
}

impl Program {
    /// Type of leaf `k`.
    pub fn leaf_type(&self, k: usize) -> &Type {
        self.graph.ty(self.graph.args[k])
    }

    /// Whether leaf `k` holds indices.
    pub fn leaf_is_index(&self, k: usize) -> bool {
        self.leaf_type(k).dtype == DType::Index
    }

    /// As the bytes that the macro puts into the binary.
    ///
    /// # Panics
    /// Never: every part of a program can be written.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a program can always be encoded")
    }

    /// From the bytes that [`Program::encode`] gave.
    ///
    /// # Errors
    /// If the bytes are not a program of this version.
    pub fn decode(bytes: &[u8]) -> Result<Program, String> {
        postcard::from_bytes(bytes).map_err(|error| format!("not an encoded program of this version: {error}"))
    }

    /// The stack called `name`, wherever in the loops it stands.
    pub fn stack(&self, name: &str) -> Option<&LoopKind> {
        fn find<'a>(graph: &'a Graph, wanted: &str) -> Option<&'a LoopKind> {
            graph.nodes.iter().find_map(|node| match &node.op {
                Op::Loop(lp) => match &lp.kind {
                    LoopKind::Stack { name, .. } if name == wanted => Some(&lp.kind),
                    _ => find(&lp.body, wanted),
                },
                _ => None,
            })
        }
        find(&self.graph, name)
    }
}
