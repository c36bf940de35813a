//! The whole program: memory for its arguments and outputs, its two halves, what becomes of its states.

use super::lower::{Body, Context, Lower, Target, set_meetings};
use super::memory::{aligned, allocate};
use super::view::{Address, BufferId, Value, View};
use super::{Bindings, Buffer, Fusion, Home, Plan, Port, Saved, Step};
use super::{family_names, has_gradients, leaf_shapes};
use crate::error::Error;
use crate::parameters::Layout;
use g2_ir::graph::{Output, Phase};
use g2_ir::{LeafKind, Program};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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

impl Lower<'_> {
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
}
