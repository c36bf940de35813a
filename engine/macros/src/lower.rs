//! Syntax to graphs: names become nodes and shapes are checked; one program for each mode of a model.

pub(crate) mod call;
pub(crate) mod expr;
mod scan;
mod scope;
mod stack;

use crate::ast::*;
use crate::compose::Units;
use crate::error::{Diagnostics, Range, Reported};
use g2_ir::graph::Output;
use g2_ir::op::Type;
use g2_ir::{Dim, Graph, Leaf, LeafKind, Mode, NodeId, Op, Program};
use proc_macro2::Ident;
use scope::{LeafDraft, LevelKind, Lower, Lowered, Scope, Value};

/// A model's programs, those it has.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) training: Option<Program>,
    pub(crate) sampling: Program,
    pub(crate) evaluation: Program,
}

/// Lowers what a unit is, if it is not a fn or a template; the programs of a model.
pub(crate) fn lower_unit(units: &Units, key: &str, errors: &mut Diagnostics) -> Lowered<Option<Programs>> {
    let unit = units.all.get(key).ok_or(Reported)?;
    let item = unit.item.as_ref().ok_or(Reported)?;
    let scope = Scope { items: unit.scope.clone(), ..Scope::default() };
    match &item.kind {
        ItemKind::Fn(_) => Ok(None),
        ItemKind::Cell(cell) => {
            for mode in [Mode::Sampling, Mode::Evaluation] {
                let lower = Lower::new(units, errors, mode, LevelKind::Cell);
                check_cell(lower, scope.clone(), cell)?;
            }
            Ok(None)
        }
        ItemKind::Model(model) if !model.templates.is_empty() => Ok(None),
        ItemKind::Model(model) => lower_modes(units, errors, &item.name, &scope, model, None).map(Some),
        ItemKind::Instance { template, cells, range } => {
            let template_key = scope.items.get(&template.to_string()).ok_or(Reported)?;
            let unit = units.all.get(template_key).ok_or(Reported)?;
            let ItemKind::Model(model) = &unit.item.as_ref().ok_or(Reported)?.kind else {
                return Err(errors.report(template, format!("`{template}` is not a model template")));
            };
            if model.templates.len() != cells.len() {
                let wants: Vec<String> = model.templates.iter().map(ToString::to_string).collect();
                let wants = if wants.is_empty() { "no cells".to_owned() } else { format!("<{}>", wants.join(", ")) };
                return Err(errors.report(*range, format!("`{template}` takes {wants}, found {}", cells.len())));
            }
            let mut inner = Scope { items: unit.scope.clone(), ..Scope::default() };
            for (parameter, cell) in model.templates.iter().zip(cells) {
                let key = scope.items.get(&cell.to_string()).ok_or(Reported)?;
                match &units.all.get(key).and_then(|u| u.item.as_ref()).ok_or(Reported)?.kind {
                    ItemKind::Cell(_) => {}
                    other => return Err(errors.report(cell, format!("`{cell}` is a {}, not a cell", other.what()))),
                }
                inner.items.insert(parameter.to_string(), key.clone());
            }
            let via = (template_key.clone(), template.to_string(), *range);
            lower_modes(units, errors, &item.name, &inner, model, Some(via)).map(Some)
        }
    }
}

fn lower_modes(
    units: &Units,
    errors: &mut Diagnostics,
    name: &Ident,
    scope: &Scope,
    model: &Model,
    via: Option<(String, String, Range)>,
) -> Lowered<Programs> {
    let has_loss = model.statements.iter().any(|s| matches!(s, Statement::Loss(_)));
    let modes =
        [Mode::Training, Mode::Sampling, Mode::Evaluation].into_iter().filter(|m| has_loss || *m != Mode::Training);
    let before = errors.count();
    let mut drafts = Vec::new();
    for mode in modes {
        let mut lower = Lower::new(units, errors, mode, LevelKind::Model);
        lower.via.extend(via.clone());
        drafts.push(lower_model(lower, scope.clone(), model));
    }
    let mut drafts = drafts.into_iter().collect::<Lowered<Vec<_>>>()?;
    if errors.count() > before {
        return Err(Reported);
    }
    align_leaves(&mut drafts, name, errors)?;
    let mut programs = drafts.into_iter().map(|draft| draft.finish(&name.to_string()));
    let training = if has_loss { programs.next() } else { None };
    Ok(Programs { training, sampling: programs.next().ok_or(Reported)?, evaluation: programs.next().ok_or(Reported)? })
}

/// One mode of a model, its leaves in the order in which they were met.
struct Draft {
    mode: Mode,
    graph: Graph,
    leaves: Vec<LeafDraft>,
    outputs: Vec<(Output, NodeId)>,
}

fn lower_model(mut lower: Lower, mut scope: Scope, model: &Model) -> Lowered<Draft> {
    scope.dims = symbols(&model.dims);
    declare(&mut lower, &mut scope, &model.decls);
    let mut loss = None;
    for statement in &model.statements {
        match statement {
            Statement::Let { .. } => lower.statement(&mut scope, statement),
            Statement::Output { name, value } => {
                if let Ok(id) = lower.output(&mut scope, name, value)
                    && lower.mode != Mode::Training
                {
                    lower.outputs.push((Output::Named(name.to_string()), id));
                }
            }
            Statement::Loss(value) => {
                let Ok(id) = lower.expr(&mut scope, value).and_then(|v| lower.real(&v, value.range)) else { continue };
                let shape = lower.shape(id);
                if shape.rank() != 0 {
                    lower.report(
                        value.range,
                        format!("the loss is a scalar, found {shape}; reduce it: `mean(..)` or `sum(..)`"),
                    );
                } else if loss.replace(id).is_some() {
                    lower.report(value.range, "a model has one loss; add the parts up");
                }
            }
        }
    }
    let mut outputs: Vec<(Output, NodeId)> = loss.map(|id| (Output::Loss, id)).into_iter().collect();
    let (next, named): (Vec<_>, Vec<_>) = lower.outputs.drain(..).partition(|(o, _)| matches!(o, Output::Next(_)));
    outputs.extend(named);
    outputs.extend(next);
    let graph = lower.levels.pop().ok_or(Reported)?.graph;
    Ok(Draft { mode: lower.mode, graph, leaves: lower.leaves, outputs })
}

fn symbols(dims: &[Ident]) -> std::collections::BTreeMap<String, Dim> {
    dims.iter().map(|d| (d.to_string(), Dim::symbol(d.to_string()))).collect()
}

/// Makes a leaf of each declaration.
fn declare(lower: &mut Lower, scope: &mut Scope, decls: &[Decl]) {
    for decl in decls {
        let kind = match decl.kind {
            DeclKind::Input | DeclKind::Outer => LeafKind::Input,
            DeclKind::State => LeafKind::State,
            DeclKind::Param => LeafKind::Param,
            DeclKind::Hyper => LeafKind::Hyper,
        };
        let name = decl.name.to_string();
        if decls.iter().filter(|d| d.name == decl.name).count() > 1 {
            scope.bind(name, Value::Wrong); // Which `names` reports.
            continue;
        }
        let value = lower.dims(scope, &decl.shape).and_then(|shape| {
            let ty = if decl.index { Type::index(shape) } else { Type::real(shape) };
            Ok(lower.leaf(&name, kind, ty, Range::from(&decl.name))?.1)
        });
        scope.bind(name, value.unwrap_or(Value::Wrong));
    }
}

/// A cell by itself, its dimensions symbols: what every scan of it will meet.
fn check_cell(mut lower: Lower, mut scope: Scope, cell: &Cell) -> Lowered<()> {
    let before = lower.errors.count();
    scope.dims = symbols(&cell.dims);
    declare(&mut lower, &mut scope, &cell.decls);
    let shapes =
        scan::of_kind(cell, DeclKind::State).map(|d| lower.dims(&scope, &d.shape)).collect::<Lowered<Vec<_>>>()?;
    lower.cell_body(&mut scope, cell, &shapes)?;
    if lower.errors.count() > before { Err(Reported) } else { Ok(()) }
}

/// Gives all modes the same leaves in the same order, also those that one of them has no use for.
fn align_leaves(drafts: &mut [Draft], name: &Ident, errors: &mut Diagnostics) -> Lowered<()> {
    let mut all: Vec<(String, LeafKind, Type)> = Vec::new();
    for draft in &*drafts {
        for leaf in &draft.leaves {
            let ty = draft.graph.ty(leaf.node);
            match all.iter().find(|(n, ..)| *n == leaf.name) {
                None => all.push((leaf.name.clone(), leaf.kind, ty.clone())),
                Some((_, kind, other)) if *kind == leaf.kind && other == ty => {}
                Some(_) => {
                    let message = format!("`{}` is another leaf in training than outside of it", leaf.name);
                    return Err(errors.report(name, message));
                }
            }
        }
    }
    for draft in drafts {
        let old: Vec<String> = draft.leaves.iter().map(|l| l.name.clone()).collect();
        let mut leaves = Vec::new();
        for (name, kind, ty) in &all {
            let known = draft.leaves.iter().find(|l| l.name == *name).map(|l| l.node);
            let node = known.unwrap_or_else(|| {
                let node = draft.graph.arg(ty.clone());
                draft.graph.name(node, name);
                node
            });
            leaves.push(LeafDraft { name: name.clone(), kind: *kind, node });
        }
        draft.leaves = leaves;
        for (output, _) in &mut draft.outputs {
            if let Output::Next(k) = output {
                *k = all.iter().position(|(name, ..)| *name == old[*k]).ok_or(Reported)?;
            }
        }
    }
    Ok(())
}

impl Draft {
    fn finish(mut self, name: &str) -> Program {
        let (outputs, nodes) = self.outputs.into_iter().unzip();
        self.graph.outputs = nodes;
        order_args(&mut self.graph, self.leaves.iter().map(|l| l.node).collect());
        let leaves = self.leaves.into_iter().map(|l| Leaf { name: l.name, kind: l.kind }).collect();
        Program { name: name.to_owned(), mode: self.mode, graph: self.graph, leaves, outputs }
    }
}

/// Makes `args` the graph's arguments, in this order, and its first nodes. All other uses of the graph's ids end here.
fn order_args(graph: &mut Graph, args: Vec<NodeId>) {
    for (k, id) in args.iter().enumerate() {
        graph.nodes[id.index()].op = Op::Arg(k);
    }
    let others = graph.ids().filter(|id| !args.contains(id));
    let order: Vec<NodeId> = args.iter().copied().chain(others).collect();
    graph.args = args;
    graph.reorder(&order);
}
