//! A graph's nodes to instructions, in an order in which they can run.

use super::place::Sink;
use super::view::{BufferId, Value, View};
use super::{Bindings, Buffer, Fusion, Home, Rows, Step, Work};
use crate::error::Error;
use g2_ir::graph::{Node, Phase};
use g2_ir::op::{Op, Type};
use g2_ir::{Graph, LoopOut, NodeId, Program, Sizes};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of one output of a graph.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Nobody reads it.
    Dead,
    /// Wherever it is.
    Anywhere,
    /// It has to be here.
    Write(Value),
    /// It has to be added here.
    Add(Value),
}

/// What surrounds the nodes being lowered.
#[derive(Clone)]
pub(super) struct Context {
    /// Numbers of all symbols.
    pub(super) sizes: Sizes,
    /// The layer of the enclosing stack.
    pub(super) layer: usize,
    /// Number of enclosing scans.
    pub(super) depth: usize,
}

/// One graph on its way.
pub(super) struct Body<'g> {
    pub(super) graph: &'g Graph,
    pub(super) context: Context,
    /// Where each node's value is.
    pub(super) values: Vec<Option<Value>>,
    /// Where it has to be written.
    pub(super) sinks: Vec<Sink>,
    /// The same for results of loops.
    pub(super) loop_sinks: BTreeMap<(NodeId, LoopOut), Value>,
    /// The results of loops that somebody reads.
    pub(super) gets: BTreeSet<(NodeId, LoopOut)>,
    /// Where they are.
    pub(super) results: BTreeMap<(NodeId, LoopOut), Value>,
    /// The region each node belongs to.
    pub(super) region_of: Vec<Option<usize>>,
    pub(super) needed: Vec<bool>,
    pub(super) uses: Vec<usize>,
    done: Vec<bool>,
    pub(super) targets: Vec<Target>,
    /// Whether this is the program's own graph, whose halves run apart.
    pub(super) split: bool,
    phase: Option<Phase>,
    /// Outputs whose node writes them in place.
    pub(super) placed: Vec<bool>,
}

/// The plan being made.
pub(super) struct Lower<'a> {
    pub(super) program: &'a Program,
    pub(super) bindings: &'a Bindings,
    pub(super) fusion: Fusion,
    pub(super) buffers: Vec<Buffer>,
    pub(super) constants: Vec<f64>,
    pub(super) constant_buffer: BufferId,
    pub(super) limits: BTreeMap<BufferId, (usize, String)>,
    /// The list of instructions being written.
    pub(super) steps: Vec<Step>,
    pub(super) scope: usize,
    pub(super) scopes: usize,
}

/// Threads meet after an instruction, unless it and the next are both one thread's.
pub(super) fn set_meetings(steps: &mut [Step], repeats: bool) {
    for i in 0..steps.len() {
        let next = if repeats { (i + 1) % steps.len() } else { i + 1 };
        let next_solo = steps.get(next).is_some_and(|step| step.solo);
        steps[i].meet = !(steps[i].solo && next_solo);
    }
}

impl<'a> Lower<'a> {
    pub(super) fn new_buffer(&mut self, name: &str, elements: usize, home: Home) -> BufferId {
        let id = BufferId(self.buffers.len() as u32);
        self.buffers.push(Buffer { name: name.to_owned(), elements, home, scope: self.scope, life: None });
        id
    }

    /// A new tensor that lives as long as it is used.
    pub(super) fn fresh(&mut self, name: &str, sizes: Vec<usize>) -> View {
        let buffer = self.new_buffer(name, sizes.iter().product(), Home::Arena { offset: 0 });
        View::contiguous(buffer, sizes)
    }

    pub(super) fn defect(&self, message: String) -> Error {
        Error::Program { program: self.program.name.clone(), message }
    }

    /// The numbers of a type's shape: one, or one for each layer.
    pub(super) fn shapes(&self, ty: &Type, context: &Context) -> Result<Vec<Vec<usize>>, Error> {
        let eval = |sizes: &Sizes| {
            ty.shape.eval(sizes).map_err(|message| Error::Size { what: format!("a tensor {}", ty.shape), message })
        };
        match &ty.family {
            None => Ok(vec![eval(&context.sizes)?]),
            Some(stack) => {
                let kind = self.program.stack(stack);
                let kind = kind.ok_or_else(|| self.defect(format!("there is no stack `{stack}`")))?;
                self.bindings.layers(kind, &context.sizes)?.iter().map(eval).collect()
            }
        }
    }

    /// The numbers of a node's shape.
    pub(super) fn shape(&self, body: &Body<'_>, id: NodeId) -> Result<Vec<usize>, Error> {
        let node = body.graph.node(id);
        node.ty
            .shape
            .eval(&body.context.sizes)
            .map_err(|message| Error::Size { what: format!("`{}` {}", label(node), node.ty.shape), message })
    }

    /// A constant's place.
    pub(super) fn constant(&mut self, value: f64) -> View {
        let known = self.constants.iter().position(|c| c.to_bits() == value.to_bits());
        let position = known.unwrap_or_else(|| {
            self.constants.push(value);
            self.constants.len() - 1
        });
        let mut view = View::contiguous(self.constant_buffer, Vec::new());
        view.at.offset = position as isize;
        view
    }

    pub(super) fn push(&mut self, label: &str, work: Work) {
        let solo = is_solo(&work);
        self.steps.push(Step { label: label.to_owned(), work, solo, meet: true });
    }

    pub(super) fn copy(&mut self, label: &str, from: &View, to: &View, add: bool) {
        let rows = Rows::merged(&[from.clone(), to.clone()], 0..0);
        self.push(label, Work::Copy { rows, add });
    }

    pub(super) fn fill(&mut self, label: &str, to: &View, value: f64) {
        if to.elements() > 0 {
            let rows = Rows::merged(std::slice::from_ref(to), 0..0);
            self.push(label, Work::Fill { rows, value });
        }
    }

    /// Lowers a whole graph into the current list; gives each output's value.
    pub(super) fn graph(
        &mut self,
        graph: &Graph,
        args: Vec<Value>,
        targets: Vec<Target>,
        context: Context,
    ) -> Result<Vec<Option<Value>>, Error> {
        let mut body = self.start(graph, args, targets, context, false)?;
        self.emit_phase(&mut body, None)?;
        Ok(graph.outputs.iter().map(|id| body.values[id.index()].clone()).collect())
    }

    pub(super) fn start<'g>(
        &mut self,
        graph: &'g Graph,
        args: Vec<Value>,
        targets: Vec<Target>,
        context: Context,
        split: bool,
    ) -> Result<Body<'g>, Error> {
        let count = graph.nodes.len();
        let mut region_of = vec![None; count];
        if self.fusion == Fusion::Fused {
            for (r, region) in graph.regions.iter().enumerate() {
                region.nodes.iter().for_each(|id| region_of[id.index()] = Some(r));
            }
        }
        let mut values = vec![None; count];
        let mut done = vec![false; count];
        for (id, value) in graph.args.iter().zip(args) {
            values[id.index()] = Some(value);
            done[id.index()] = true;
        }
        let placed = vec![false; targets.len()];
        let mut body = Body {
            graph,
            context,
            values,
            sinks: vec![Sink::Free; count],
            loop_sinks: BTreeMap::new(),
            gets: BTreeSet::new(),
            results: BTreeMap::new(),
            region_of,
            needed: vec![false; count],
            uses: graph.use_counts(),
            done,
            targets,
            placed,
            split,
            phase: None,
        };
        body.mark_needed();
        self.place(&mut body)?;
        Ok(body)
    }

    pub(super) fn emit_phase(&mut self, body: &mut Body<'_>, phase: Option<Phase>) -> Result<(), Error> {
        body.phase = phase;
        // Outputs that are arguments have no node to write them; gradients that forward knows have had no memory yet.
        for k in 0..body.targets.len() {
            let id = body.graph.outputs[k];
            if body.done[id.index()] {
                self.deliver(body, id)?;
            }
        }
        for id in body.graph.ids() {
            if body.needed[id.index()] && phase.is_none_or(|p| body.graph.node(id).phase == p) {
                self.emit(body, id)?;
            }
        }
        Ok(())
    }

    /// Lowers one node, and before it what it needs.
    fn emit(&mut self, body: &mut Body<'_>, id: NodeId) -> Result<(), Error> {
        if body.done[id.index()] {
            return Ok(());
        }
        let graph = body.graph;
        if let Some(r) = body.region_of[id.index()] {
            let region = &graph.regions[r];
            region.nodes.iter().for_each(|n| body.done[n.index()] = true);
            for &input in region.lanes.iter().chain(&region.scalars) {
                self.emit(body, input)?;
            }
            self.region(body, region)?;
            return region.nodes.iter().try_for_each(|&n| self.deliver(body, n));
        }
        body.done[id.index()] = true;
        for &arg in &graph.node(id).args {
            self.emit(body, arg)?;
        }
        let value = self.op(body, id)?;
        body.values[id.index()] = value;
        self.deliver(body, id)
    }

    /// Copies or adds a finished node to the outputs that want it elsewhere.
    fn deliver(&mut self, body: &mut Body<'_>, id: NodeId) -> Result<(), Error> {
        for k in 0..body.targets.len() {
            if body.graph.outputs[k] != id || body.placed[k] {
                continue;
            }
            let (to, add) = match &body.targets[k] {
                Target::Dead | Target::Anywhere => continue,
                Target::Write(to) => (to.clone(), false),
                Target::Add(to) => (to.clone(), true),
            };
            if body.phase == Some(Phase::Forward) && self.is_gradient(&to) {
                continue;
            }
            body.placed[k] = true;
            let name = label(body.graph.node(id));
            let from = self.value(body, id)?;
            for (from, to) in from.views().iter().zip(to.views()) {
                self.copy(&name, from, to, add);
            }
        }
        Ok(())
    }

    pub(super) fn value(&self, body: &Body<'_>, id: NodeId) -> Result<Value, Error> {
        let missing = || self.defect(format!("node {} ({}) has no value", id.0, label(body.graph.node(id))));
        body.values[id.index()].clone().ok_or_else(missing)
    }

    /// The node's tensor.
    pub(super) fn tensor(&self, body: &Body<'_>, id: NodeId) -> Result<View, Error> {
        match self.value(body, id)? {
            Value::Tensor(view) => Ok(view),
            Value::Family(_) => Err(self.defect(format!("node {} is a family, not one tensor", id.0))),
        }
    }
}

impl Body<'_> {
    /// Marks what the wanted outputs are computed from.
    fn mark_needed(&mut self) {
        let graph = self.graph;
        let wanted = self.targets.iter().zip(&graph.outputs).filter(|(t, _)| !matches!(t, Target::Dead));
        let mut waiting: Vec<NodeId> = wanted.map(|(_, &id)| id).collect();
        while let Some(id) = waiting.pop() {
            if std::mem::replace(&mut self.needed[id.index()], true) {
                continue;
            }
            let node = graph.node(id);
            if let Op::Get(out) = &node.op {
                self.gets.insert((node.args[0], *out));
            }
            waiting.extend(&node.args);
            if let Some(r) = self.region_of[id.index()] {
                waiting.extend(&graph.regions[r].nodes);
            }
        }
    }
}

/// What a node is called in listings.
pub(super) fn label(node: &Node) -> String {
    match &node.name {
        Some(name) => format!("{name} = {}", node.op.name()),
        None => node.op.name().to_owned(),
    }
}

/// Below these sizes a second thread costs more than it saves.
fn is_solo(work: &Work) -> bool {
    let elements = |rows: &Rows| rows.count() * rows.len;
    match work {
        Work::Apply(apply) => elements(&apply.rows) < 1024,
        Work::Copy { rows, .. } | Work::Fill { rows, .. } => elements(rows) < 8192,
        Work::Rowwise { rows, .. } => elements(rows) < 1024,
        Work::ScatterAdd { rows, table } => elements(rows) + table.elements() < 8192,
        Work::Sum { kept, summed } => elements(kept) * elements(summed) < 8192,
        Work::Product(p) => p.batch.iter().product::<usize>() * p.m * p.n * p.k < 32_768,
        Work::Pack { k, n, .. } => k * n < 8192,
        Work::Scan { .. } => false,
    }
}
