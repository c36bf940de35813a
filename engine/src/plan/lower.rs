//! A graph's nodes to instructions, in an order in which they can run.

use super::memory::{aligned, allocate};
use super::place::Sink;
use super::view::{Address, BufferId, Value, View};
use super::{Bindings, Buffer, Fusion, Home, Plan, Port, Rows, Saved, Step, Work};
use super::{family_names, has_gradients, leaf_shapes};
use crate::error::Error;
use crate::parameters::Layout;
use g2_ir::graph::{Node, Output, Phase};
use g2_ir::op::{Op, Type};
use g2_ir::{Graph, LeafKind, LoopOut, NodeId, Program, Sizes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    constants: Vec<f64>,
    constant_buffer: BufferId,
    pub(super) limits: BTreeMap<BufferId, (usize, String)>,
    /// The list of instructions being written.
    pub(super) steps: Vec<Step>,
    pub(super) scope: usize,
    pub(super) scopes: usize,
}

pub(super) fn plan(program: &Program, bindings: &Bindings, fusion: Fusion) -> Result<Plan, Error> {
    let layout = Arc::new(Layout::new(program, bindings)?);
    let mut lower = Lower {
        program,
        bindings,
        fusion,
        buffers: Vec::new(),
        constants: Vec::new(),
        constant_buffer: BufferId(0),
        limits: BTreeMap::new(),
        steps: Vec::new(),
        scope: 0,
        scopes: 0,
    };
    lower.constant_buffer = lower.new_buffer("constants", 0, Home::Kept { offset: 0 });

    // Arguments and outputs have memory of their own.
    let mut leaves = Vec::new();
    let mut args = Vec::new();
    let mut index_total = 0;
    for (k, leaf) in program.leaves.iter().enumerate() {
        let found = leaf_shapes(program, k, bindings)?;
        let names = family_names(&leaf.name, found.family.as_deref(), found.shapes.len());
        let mut views = Vec::new();
        for (name, shape) in names.iter().zip(&found.shapes) {
            let elements = shape.iter().product();
            let home = match leaf.kind {
                LeafKind::Param => Home::Parameter { offset: layout.offset(name) },
                LeafKind::Input | LeafKind::State | LeafKind::Hyper if program.leaf_is_index(k) => {
                    index_total += elements;
                    Home::Index { offset: index_total - elements }
                }
                LeafKind::Input | LeafKind::State | LeafKind::Hyper => Home::Kept { offset: 0 },
            };
            let buffer = lower.new_buffer(name, elements, home);
            let view = View::contiguous(buffer, shape.clone());
            if leaf.kind != LeafKind::Param {
                leaves.push(Port {
                    name: name.clone(),
                    kind: Some(leaf.kind),
                    view: view.clone(),
                    limit: None,
                    is_index: program.leaf_is_index(k),
                });
            }
            views.push(view);
        }
        args.push(if found.family.is_some() { Value::Family(views) } else { Value::Tensor(views.remove(0)) });
    }
    let context = Context { sizes: bindings.sizes.clone(), layer: 0, depth: 0 };
    let mut outputs = Vec::new();
    let mut loss = None;
    let mut targets = Vec::new();
    for (output, &node) in program.outputs.iter().zip(&program.graph.outputs) {
        let shapes = lower.shapes(program.graph.ty(node), &context)?;
        let stack = program.graph.ty(node).family.as_deref();
        let family = stack.is_some();
        let value = |views: Vec<View>| match family {
            true => Value::Family(views),
            false => Value::Tensor(views[0].clone()),
        };
        targets.push(match output {
            Output::Loss => {
                let buffer = lower.new_buffer("loss", 1, Home::Kept { offset: 0 });
                loss = Some(View::contiguous(buffer, Vec::new()));
                Target::Write(Value::Tensor(View::contiguous(buffer, Vec::new())))
            }
            Output::Next(_) => Target::Anywhere,
            Output::Named(name) => {
                let names = family_names(name, stack, shapes.len());
                let mut views = Vec::new();
                for (name, shape) in names.iter().zip(&shapes) {
                    let buffer = lower.new_buffer(name, shape.iter().product(), Home::Kept { offset: 0 });
                    let view = View::contiguous(buffer, shape.clone());
                    outputs.push(Port {
                        name: name.clone(),
                        kind: None,
                        view: view.clone(),
                        limit: None,
                        is_index: false,
                    });
                    views.push(view);
                }
                Target::Write(value(views))
            }
            Output::Grad(leaf) => {
                let views = args[*leaf].views().iter().map(|v| lower.gradient(v)).collect();
                Target::Write(value(views))
            }
        });
    }

    let mut body = lower.start(&program.graph, args.clone(), targets, context, true)?;
    lower.emit_phase(&mut body, Some(Phase::Forward))?;
    let mut forward = std::mem::take(&mut lower.steps);
    if has_gradients(&program.outputs) {
        lower.clear_missing_gradients(&args);
    }
    lower.emit_phase(&mut body, Some(Phase::Backward))?;
    let mut backward = std::mem::take(&mut lower.steps);
    lower.commit(&body, &args)?;
    let mut commit = std::mem::take(&mut lower.steps);

    [&mut forward, &mut backward, &mut commit].into_iter().for_each(|list| set_meetings(list, false));
    let Lower { mut buffers, constants, constant_buffer, limits, .. } = lower;
    buffers[constant_buffer.index()].elements = constants.len();
    let kept = keep(&mut buffers);
    let all: Vec<&Step> = forward.iter().chain(&backward).chain(&commit).collect();
    let arena = allocate(&mut buffers, 0, &all, |offset| Home::Arena { offset: kept + offset });
    let saved = saved(&buffers, forward.len(), &backward);
    for port in &mut leaves {
        port.limit = limits.get(&port.view.at.buffer).cloned();
    }
    Ok(Plan {
        name: program.name.clone(),
        mode: program.mode,
        fusion,
        buffers,
        constants,
        constant_buffer,
        leaves,
        outputs,
        loss,
        forward,
        backward,
        commit,
        memory: kept + arena,
        kept,
        indices: index_total,
        saved,
        parameters: layout,
    })
}

/// One after the other what is kept; returns the size.
fn keep(buffers: &mut [Buffer]) -> usize {
    let mut total = 0;
    for buffer in buffers {
        if let Home::Kept { offset } = &mut buffer.home {
            *offset = total;
            total += aligned(buffer.elements);
        }
    }
    total
}

/// What forward leaves in the arena for backward.
fn saved(buffers: &[Buffer], forward: usize, backward: &[Step]) -> Vec<Saved> {
    let mut read = BTreeSet::new();
    for step in backward {
        step.work.each_address(&mut |at: &Address| {
            read.insert(at.buffer);
        });
    }
    let lives = |id: &BufferId| {
        let buffer = &buffers[id.index()];
        matches!(buffer.home, Home::Arena { .. }) && buffer.life.is_some_and(|(first, _)| first < forward)
    };
    let mut saved: Vec<Saved> = read
        .into_iter()
        .filter(lives)
        .map(|buffer| Saved { buffer, elements: buffers[buffer.index()].elements })
        .collect();
    saved.sort_by_key(|s| (std::cmp::Reverse(s.elements), s.buffer));
    saved
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

    /// The gradient's memory, which is laid out as the parameters are.
    fn gradient(&mut self, parameter: &View) -> View {
        let buffer = &self.buffers[parameter.at.buffer.index()];
        let Home::Parameter { offset } = buffer.home else {
            unreachable!("the verifier lets only parameters have gradients");
        };
        let name = format!("d {}", buffer.name);
        let elements = buffer.elements;
        let buffer = self.new_buffer(&name, elements, Home::Gradient { offset });
        View::contiguous(buffer, parameter.sizes.clone())
    }

    fn clear_missing_gradients(&mut self, args: &[Value]) {
        let given: BTreeSet<usize> = self
            .program
            .outputs
            .iter()
            .filter_map(|output| match output {
                Output::Grad(leaf) => Some(*leaf),
                Output::Loss | Output::Next(_) | Output::Named(_) => None,
            })
            .collect();
        for (k, leaf) in self.program.leaves.iter().enumerate() {
            if leaf.kind == LeafKind::Param && !given.contains(&k) {
                for view in args[k].views() {
                    let to = self.gradient(view);
                    self.fill(&format!("d {}", leaf.name), &to, 0.0);
                }
            }
        }
    }

    /// Next states to states, through copies where one state becomes another.
    fn commit(&mut self, body: &Body<'_>, args: &[Value]) -> Result<(), Error> {
        let mut copies = Vec::new();
        for (output, node) in self.program.outputs.iter().zip(&body.graph.outputs) {
            let Output::Next(leaf) = output else { continue };
            let name = &self.program.leaves[*leaf].name;
            let next =
                body.values[node.index()].clone().ok_or_else(|| self.defect(format!("next `{name}` has no value")))?;
            for (from, to) in next.views().iter().zip(args[*leaf].views()) {
                if from == to {
                    continue;
                }
                let mut from = from.clone();
                if matches!(self.buffers[from.at.buffer.index()].home, Home::Kept { .. }) {
                    let copy = self.fresh(name, from.sizes.clone());
                    self.copy(name, &from, &copy, false);
                    from = copy;
                }
                copies.push((name.clone(), from, to.clone()));
            }
        }
        for (name, from, to) in copies {
            self.copy(&format!("next {name}"), &from, &to, false);
        }
        Ok(())
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
                let kind = self.program.graph.nodes.iter().find_map(|node| stack_kind(node, stack));
                let kind = kind.ok_or_else(|| self.defect(format!("there is no stack `{stack}`")))?;
                self.bindings.layers(&kind, &context.sizes)?.iter().map(eval).collect()
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

    fn start<'g>(
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

    fn emit_phase(&mut self, body: &mut Body<'_>, phase: Option<Phase>) -> Result<(), Error> {
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

fn stack_kind(node: &Node, stack: &str) -> Option<g2_ir::LoopKind> {
    let Op::Loop(lp) = &node.op else { return None };
    match &lp.kind {
        kind @ g2_ir::LoopKind::Stack { name, .. } if name == stack => Some(kind.clone()),
        _ => lp.body.nodes.iter().find_map(|node| stack_kind(node, stack)),
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
