//! `scan CELL(..)`: binds the cell's dimensions, lifts its leaves and lowers its body to a loop over time.

use super::expr::{dim_of, unknown};
use super::scope::{LeafDraft, LevelKind, Lower, Lowered, ScanResult, Scope, Value};
use crate::ast::*;
use crate::error::{Range, Reported};
use g2_ir::graph::Output;
use g2_ir::op::{DType, Type};
use g2_ir::{Dim, LeafKind, Loop, LoopKind, LoopOut, Map, NodeId, Op, Per, Shape};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The dimensions of a cell as far as they are known.
struct Bound<'c> {
    cell: &'c Cell,
    /// Whether the cell stands in the same invocation, so that errors can point into it.
    local: bool,
    dims: BTreeMap<String, Dim>,
}

impl Bound<'_> {
    /// A declared dimension in the cell's own symbols.
    fn declared(&self, expr: &Expr) -> Lowered<Dim> {
        let known = |name: &str| self.cell.dims.iter().any(|d| d == name).then(|| Dim::symbol(name));
        dim_of(expr, &known).map_err(|_| Reported)
    }

    fn declared_shape(&self, decl: &Decl) -> Lowered<Shape> {
        Ok(Shape(decl.shape.iter().map(|e| self.declared(e)).collect::<Lowered<_>>()?))
    }

    /// Lets each dimension that is a bare symbol stand for what was found in its place, if it is free.
    fn meet(&mut self, declared: &Shape, found: &[Dim]) {
        for (dim, found) in declared.0.iter().zip(found) {
            let symbol = dim.symbols().next().map(str::to_owned);
            if let Some(symbol) = symbol.filter(|s| *dim == Dim::symbol(s.clone())) {
                self.dims.entry(symbol).or_insert_with(|| found.clone());
            }
        }
    }

    fn shape(&self, declared: &Shape) -> Shape {
        declared.substitute(&|name| self.dims.get(name).cloned())
    }
}

/// What a scan reads: a declaration and the value given for it.
struct Given<'c> {
    decl: &'c Decl,
    declared: Shape,
    id: NodeId,
    range: Range,
}

/// A cell's next states, in order, and its named outputs.
type CellResults = (Vec<NodeId>, Vec<(String, NodeId)>);

impl Lower<'_> {
    pub(super) fn scan(&mut self, scope: &mut Scope, scan: &Scan) -> Lowered {
        let name = scan.cell.to_string();
        let given: Vec<Lowered<NodeId>> = scan.arguments.iter().map(|a| self.tensor(scope, &a.value)).collect();
        if self.in_cell() {
            return Err(self.report(scan.range, "a scan stands in a model, not in a cell"));
        }
        let (key, item) = self.item(scope, &name)?;
        // In a template the scan names a parameter; say which cell that is.
        let name = self.units.all[key].name.clone();
        let scan = &Scan { cell: proc_macro2::Ident::new(&name, scan.cell.span()), ..scan.clone() };
        let ItemKind::Cell(cell) = &item.kind else {
            let message = format!("`{name}` is a {}, and scan runs a cell", item.kind.what());
            return Err(self.report(Range::from(&scan.cell), message));
        };
        let given: Vec<NodeId> = given.into_iter().collect::<Lowered<_>>()?;
        let params: Vec<String> = of_kind(cell, DeclKind::Param).map(|d| d.name.to_string()).collect();
        if let Some((param, _)) = scan.drops.iter().find(|(param, _)| params.iter().all(|known| param != known)) {
            let message =
                unknown(&format!("parameter of `{name}`"), &param.to_string(), params.iter().map(String::as_str));
            return Err(self.report(Range::from(param), message));
        }
        let mut bound = Bound { cell, local: self.units.all[key].local, dims: BTreeMap::new() };
        let given = self.match_arguments(scan, &bound, given)?;
        let from = self.initial_values(scope, scan, cell)?;
        let time = self.bind_dims(scope, scan, &mut bound, &given, from.as_deref())?;

        // States before the first step, and leaves.
        let mut shapes = Vec::new();
        let mut states = Vec::new();
        let mut carried = Vec::new();
        for (k, decl) in of_kind(cell, DeclKind::State).enumerate() {
            let shape = bound.shape(&bound.declared_shape(decl)?);
            let initial = match &from {
                Some(values) => values[k].0,
                None if scan.carried.is_some() => {
                    let (leaf, value) = self.lift(scan, &decl.name.to_string(), LeafKind::State, shape.clone())?;
                    carried.push((k, leaf));
                    self.node(&value, scan.range)?
                }
                None => self.graph().full(0.0, shape.clone()),
            };
            shapes.push(shape);
            states.push((decl.name.to_string(), initial));
        }
        let mut body_scope =
            Scope { items: self.units.all[key].scope.clone(), dims: bound.dims.clone(), ..Scope::default() };
        for decl in &cell.decls {
            let name = decl.name.to_string();
            let value = match decl.kind {
                DeclKind::Param => {
                    let shape = bound.shape(&bound.declared_shape(decl)?);
                    let value = self.lift(scan, &name, LeafKind::Param, shape)?.1;
                    self.dropped(scope, scan, &name, value)?
                }
                DeclKind::Hyper => self.hyper(scope, &name, scan.range)?,
                DeclKind::Outer => {
                    let outer = given.iter().find(|g| g.decl.name == decl.name).ok_or(Reported)?;
                    self.value(outer.id)
                }
                DeclKind::Input | DeclKind::State => continue,
            };
            body_scope.bind(name, value);
        }
        let mask = self.mask(scope, scan, &time)?;

        // The body.
        self.push_level(LevelKind::Scan);
        for input in given.iter().filter(|g| g.decl.kind == DeclKind::Input) {
            let ty = Type { shape: bound.shape(&input.declared), ..self.ty_at(self.level() - 1, input.id).clone() };
            let value = self.step(input.id, ty);
            let value = self.value(value);
            self.bind(&mut body_scope, &input.decl.name.to_string(), value);
        }
        let mask = mask.map(|mask| {
            let shape = self.ty_at(self.level() - 1, mask).shape.remove(0);
            self.step(mask, Type::real(shape))
        });
        let mut before = Vec::new();
        for ((name, initial), shape) in states.iter().zip(&shapes) {
            let arg = self.graph().arg(Type::real(shape.clone()));
            let level = self.level();
            self.levels[level].carries.push((*initial, arg));
            before.push(arg);
            let value = self.value(arg);
            self.bind(&mut body_scope, name, value);
        }
        let body = self.inside((key, &name), scan.range, |lower| lower.cell_body(&mut body_scope, cell, &shapes));
        let result = match body {
            Ok((mut next, ys)) => {
                if let Some(mask) = mask {
                    for (next, before) in next.iter_mut().zip(before) {
                        *next = self.masked(mask, *next, before);
                    }
                }
                Ok((next, ys))
            }
            Err(reported) => Err(reported),
        };
        let node = self.close_loop(LoopKind::Scan { time }, scan.reversed, result.as_ref().ok())?;
        let (_, ys) = result?;

        let states = states.iter().enumerate().map(|(k, (name, _))| (name.clone(), LoopOut::After(k)));
        let ys = ys.iter().enumerate().map(|(k, (name, _))| (name.clone(), LoopOut::Y(k)));
        let result = ScanResult { level: self.level(), node, cell: name, fields: states.chain(ys).collect() };
        for (k, leaf) in carried {
            let Value::Node { level, id } = self.scan_result(&result, LoopOut::Final(k)) else { continue };
            match self.stack() {
                Some(_) => self.levels[level].ys.push((id, Output::Next(leaf))),
                None => self.outputs.push((Output::Next(leaf), id)),
            }
        }
        Ok(Value::Scan(Rc::new(result)))
    }

    /// The arguments in the order of the cell's inputs and outers.
    fn match_arguments<'c>(&mut self, scan: &Scan, bound: &Bound<'c>, nodes: Vec<NodeId>) -> Lowered<Vec<Given<'c>>> {
        let cell = bound.cell;
        let slots: Vec<&Decl> = of_kind(cell, DeclKind::Input).chain(of_kind(cell, DeclKind::Outer)).collect();
        let names = || slots.iter().map(|d| d.name.to_string()).collect::<Vec<_>>();
        let mut given: Vec<Option<Given>> = slots.iter().map(|_| None).collect();
        for (k, (argument, id)) in scan.arguments.iter().zip(nodes).enumerate() {
            let slot = match &argument.name {
                Some(name) => slots.iter().position(|d| d.name == *name),
                None => Some(k).filter(|&k| k < slots.len()),
            };
            let Some(slot) = slot.filter(|&s| given[s].is_none()) else {
                let message = format!("`{}` takes ({}); this argument has no place", scan.cell, names().join(", "));
                return Err(self.report(argument.value.range, message));
            };
            let declared = bound.declared_shape(slots[slot])?;
            given[slot] = Some(Given { decl: slots[slot], declared, id, range: argument.value.range });
        }
        let missing: Vec<String> =
            slots.iter().zip(&given).filter(|(_, g)| g.is_none()).map(|(d, _)| format!("`{}`", d.name)).collect();
        if !missing.is_empty() {
            let message = format!("`{}` takes ({}); {} is missing", scan.cell, names().join(", "), missing.join(", "));
            return Err(self.report(scan.range, message));
        }
        Ok(given.into_iter().flatten().collect())
    }

    fn initial_values(&mut self, scope: &mut Scope, scan: &Scan, cell: &Cell) -> Lowered<Option<Vec<(NodeId, Range)>>> {
        let Some((values, range)) = &scan.from else { return Ok(None) };
        if let Some(carried) = scan.carried {
            return Err(
                self.report(carried, "a carried scan begins where the last run ended; leave out `from` or `carried`")
            );
        }
        let count = of_kind(cell, DeclKind::State).count();
        if values.len() != count {
            let message = format!("`{}` has {count} states, found {} initial values", scan.cell, values.len());
            return Err(self.report(*range, message));
        }
        let nodes: Vec<Lowered<_>> = values.iter().map(|v| Ok((self.tensor(scope, v)?, v.range))).collect();
        nodes.into_iter().collect::<Lowered<_>>().map(Some)
    }

    /// Binds the cell's dimensions from what is given and checks it against them; returns the number of steps.
    fn bind_dims(
        &mut self,
        scope: &mut Scope,
        scan: &Scan,
        bound: &mut Bound,
        given: &[Given],
        from: Option<&[(NodeId, Range)]>,
    ) -> Lowered<Dim> {
        let cell = bound.cell;
        let mut time: Option<Dim> = None;
        // (name, what the cell declares, what was found, without time, where)
        let mut pairs: Vec<(&Decl, Shape, Shape, Range)> = Vec::new();
        for g in given {
            let mut found = self.shape(g.id);
            let wants_index = g.decl.index;
            let is_index = self.ty_at(self.level(), g.id).dtype == DType::Index;
            let rank = g.declared.rank() + usize::from(g.decl.kind == DeclKind::Input);
            if found.rank() != rank || wants_index != is_index {
                let lead = if g.decl.kind == DeclKind::Input { "time, " } else { "" };
                let inner = g.declared.to_string();
                let index = if wants_index { "index " } else { "" };
                let wants = format!("{index}[{lead}{}", inner.trim_start_matches('[')).replace(", ]", "]");
                let ty = self.ty_at(self.level(), g.id).clone();
                let message = format!("`{}` of `{}` is scanned as {wants}, found {ty}", g.decl.name, scan.cell);
                self.report(g.range, message);
                return Err(self.report_declaration(bound, g.decl));
            }
            if g.decl.kind == DeclKind::Input {
                let steps = found.0.remove(0);
                if let Some(other) = time.replace(steps.clone()).filter(|other| *other != steps) {
                    let message = format!("the inputs of a scan have one length, found {other} and {steps}");
                    return Err(self.report(g.range, message));
                }
            }
            pairs.push((g.decl, g.declared.clone(), found, g.range));
        }
        for (decl, (id, range)) in of_kind(cell, DeclKind::State).zip(from.unwrap_or_default()) {
            let id = *id;
            let found = self.shape(id);
            let declared = bound.declared_shape(decl)?;
            if found.rank() != declared.rank() {
                let message = format!("state `{}` of `{}` is {declared}, found {found}", decl.name, scan.cell);
                self.report(*range, message);
                return Err(self.report_declaration(bound, decl));
            }
            pairs.push((decl, declared, found, *range));
        }
        let Some(time) = time else {
            return Err(
                self.report(scan.range, format!("`{}` has no input, so the number of steps is not known", scan.cell))
            );
        };
        for (_, declared, found, _) in &pairs {
            bound.meet(declared, &found.0);
        }
        for (name, expr) in &scan.dims {
            let dim = self.dim(scope, expr)?;
            if !cell.dims.contains(name) {
                let known: Vec<String> = cell.dims.iter().map(ToString::to_string).collect();
                let message = unknown(
                    &format!("dimension of `{}`", scan.cell),
                    &name.to_string(),
                    known.iter().map(String::as_str),
                );
                return Err(self.report(Range::from(name), message));
            }
            if let Some(other) = bound.dims.insert(name.to_string(), dim.clone()).filter(|other| *other != dim) {
                let message = format!("`{name}` is {dim} here, but the arguments make it {other}");
                return Err(self.report(expr.range, message));
            }
        }
        for name in &cell.dims {
            let name = name.to_string();
            if bound.dims.contains_key(&name) {
                continue;
            }
            let Some(dim) = scope.dims.get(&name) else {
                let message = format!(
                    "dimension `{name}` of `{0}` is not determined by the arguments; give it: `scan {0}[{name} = ..](..)`",
                    scan.cell
                );
                return Err(self.report(scan.range, message));
            };
            bound.dims.insert(name, dim.clone());
        }
        for (decl, declared, found, range) in pairs {
            let wants = bound.shape(&declared);
            if wants != found {
                let message = format!(
                    "`{}` of `{}` is {declared}, that is {wants} here; found {found}{}",
                    decl.name,
                    scan.cell,
                    if decl.kind == DeclKind::Input { " at each step" } else { "" }
                );
                self.report(range, message);
                return Err(self.report_declaration(bound, decl));
            }
        }
        Ok(time)
    }

    /// Points at what the cell declares, if that is in sight.
    fn report_declaration(&mut self, bound: &Bound, decl: &Decl) -> Reported {
        if !bound.local {
            return Reported;
        }
        self.errors.report(&decl.name, format!("{} `{}` is declared here", decl.kind.keyword(), decl.name))
    }

    /// Declares a leaf of the program for a parameter or state of a scanned cell.
    fn lift(&mut self, scan: &Scan, name: &str, kind: LeafKind, shape: Shape) -> Lowered<(usize, Value)> {
        let local = match &scan.prefix {
            Some(prefix) => format!("{prefix}.{name}"),
            None => name.to_owned(),
        };
        self.leaf(&local, kind, Type::real(shape), scan.range)
    }

    /// A cell's parameter with the scan's weight drop on it, drawn once a sequence outside of the loop.
    fn dropped(&mut self, scope: &mut Scope, scan: &Scan, name: &str, value: Value) -> Lowered {
        let Some((_, p)) = scan.drops.iter().find(|(param, _)| param == name) else { return Ok(value) };
        let probability = self.probability(scope, p)?;
        if !self.training() {
            return Ok(value);
        }
        let id = self.node(&value, p.range)?;
        let shape = self.shape(id);
        let mask = self.keep_mask((probability, p), Per::Sequence, shape)?;
        self.elementwise(Map::Mul, &[(value, p), (mask, p)], p.range)
    }

    /// Declares a leaf; in a stack it is one for each layer.
    pub(super) fn leaf(&mut self, local: &str, kind: LeafKind, ty: Type, range: Range) -> Lowered<(usize, Value)> {
        let stack = self.stack();
        let name = match &stack {
            Some((_, stack)) => format!("{stack}.{local}"),
            None => local.to_owned(),
        };
        if self.leaves.iter().any(|l| l.name == name) {
            let bare = local.rsplit('.').next().unwrap_or(local);
            let message = format!(
                "two leaves of this model are called `{name}`; name this scan's: `scan .. as NAME` makes it `NAME.{bare}`"
            );
            return Err(self.report(range, message));
        }
        let outer = stack.iter().fold(ty.clone(), |ty, (_, stack)| ty.each_layer(stack));
        let node = self.levels[0].graph.arg(outer);
        self.levels[0].graph.name(node, &name);
        self.leaves.push(LeafDraft { name, kind, node });
        let leaf = self.leaves.len() - 1;
        let Some((level, _)) = stack else { return Ok((leaf, Value::Node { level: 0, id: node })) };
        let inner = self.levels[level].graph.arg(ty);
        self.levels[level].graph.name(inner, local);
        self.levels[level].steps.push((node, inner));
        Ok((leaf, Value::Node { level, id: inner }))
    }

    /// The value of a cell's hyper: the scope's of that name, else a leaf of the model, the same for all its cells.
    fn hyper(&mut self, scope: &Scope, name: &str, range: Range) -> Lowered {
        match scope.get(name) {
            Some(Value::Node { level, id }) if self.ty_at(*level, *id).shape.rank() != 0 => {
                let found = self.ty_at(*level, *id).clone();
                Err(self.report(range, format!("hyper `{name}` of the cell is a scalar, but `{name}` here is {found}")))
            }
            Some(Value::Wrong) => Err(Reported),
            Some(value) => Ok(value.clone()),
            None => {
                let known = self.leaves.iter().find(|l| l.name == name && l.kind == LeafKind::Hyper).map(|l| l.node);
                let id = match known {
                    Some(id) => id,
                    None => {
                        let id = self.levels[0].graph.arg(Type::real(Shape::scalar()));
                        self.levels[0].graph.name(id, name);
                        self.leaves.push(LeafDraft { name: name.to_owned(), kind: LeafKind::Hyper, node: id });
                        id
                    }
                };
                Ok(Value::Node { level: 0, id })
            }
        }
    }

    fn mask(&mut self, scope: &mut Scope, scan: &Scan, time: &Dim) -> Lowered<Option<NodeId>> {
        let Some(expr) = &scan.masked else { return Ok(None) };
        let lengths = self.tensor(scope, expr)?;
        let mask = self.op(Op::LengthMask { time: time.clone() }, &[lengths], expr.range)?;
        self.node(&mask, expr.range).map(Some)
    }

    /// An argument of the current body that is a slice of `outer` at each step.
    pub(super) fn step(&mut self, outer: NodeId, ty: Type) -> NodeId {
        let arg = self.graph().arg(ty);
        let level = self.level();
        self.levels[level].steps.push((outer, arg));
        arg
    }

    /// `next` where the mask is 1, else `before`; states that are not per batch row step as they are.
    fn masked(&mut self, mask: NodeId, next: NodeId, before: NodeId) -> NodeId {
        let (rows, shape) = (self.shape(mask).0, self.shape(next));
        if shape.0.first() != rows.first() {
            return next;
        }
        let op = Op::Broadcast { shape: shape.clone(), axes: vec![0] };
        let graph = self.graph();
        let mask = if shape.rank() == 1 { mask } else { graph.op(op, &[mask]) };
        graph.map(Map::Select, &[mask, next, before])
    }

    /// A cell's statements; returns its next states and its outputs.
    pub(super) fn cell_body(&mut self, scope: &mut Scope, cell: &Cell, shapes: &[Shape]) -> Lowered<CellResults> {
        let mut ys = Vec::new();
        for statement in &cell.statements {
            match statement {
                Statement::Let { .. } => self.statement(scope, statement),
                Statement::Output { name, value } => ys.push((name.to_string(), self.output(scope, name, value))),
                Statement::Loss(value) => {
                    self.report(value.range, "a loss belongs to a model");
                }
            }
        }
        let values = match &cell.next {
            Some(next) if next.values.len() != shapes.len() => {
                let message = format!("the cell has {} states, next gives {}", shapes.len(), next.values.len());
                return Err(self.report(next.range, message));
            }
            Some(next) => next.values.as_slice(),
            None if shapes.is_empty() => &[],
            None => return Err(Reported),
        };
        let mut nodes = Vec::new();
        for ((expr, shape), decl) in values.iter().zip(shapes).zip(of_kind(cell, DeclKind::State)) {
            let value = self.expr(scope, expr);
            nodes.push(value.and_then(|value| match &value {
                Value::Node { level, id } if self.ty_at(*level, *id).shape != *shape => {
                    let found = self.ty_at(*level, *id).shape.clone();
                    self.report(expr.range, format!("state `{}` is {shape}, its next value is {found}", decl.name));
                    Err(self.report(&decl.name, format!("state `{}` is declared here", decl.name)))
                }
                _ => self.at(&value, shape, expr.range),
            }));
        }
        let nodes = nodes.into_iter().collect::<Lowered<_>>()?;
        let ys = ys.into_iter().map(|(name, id)| Ok((name, id?))).collect::<Lowered<_>>()?;
        Ok((nodes, ys))
    }

    /// Ends the current body; without results there is no loop.
    fn close_loop(&mut self, kind: LoopKind, reversed: bool, results: Option<&CellResults>) -> Lowered<NodeId> {
        let level = self.levels.pop().ok_or(Reported)?;
        let (next, ys) = results.ok_or(Reported)?;
        let outputs: Vec<NodeId> = next.iter().copied().chain(ys.iter().map(|(_, id)| *id)).collect();
        Ok(self.add_loop(level, kind, reversed, outputs))
    }

    /// Puts a finished body into the current graph.
    pub(super) fn add_loop(
        &mut self,
        level: super::scope::Level,
        kind: LoopKind,
        reversed: bool,
        outputs: Vec<NodeId>,
    ) -> NodeId {
        let groups = [&level.consts, &level.steps, &level.carries];
        let all = || groups.iter().flat_map(|group| group.iter());
        let (outer, inner): (Vec<NodeId>, Vec<NodeId>) = all().copied().unzip();
        let [consts, steps, carries] = groups.map(Vec::len);
        let mut body = level.graph;
        let ys = outputs.len() - carries;
        body.outputs = outputs;
        super::order_args(&mut body, inner);
        self.graph().add_loop(Loop { kind, reversed, body, consts, steps, carries, ys, accs: 0 }, outer)
    }
}

/// The declarations of one kind, in order.
pub(super) fn of_kind(cell: &Cell, kind: DeclKind) -> impl Iterator<Item = &Decl> {
    cell.decls.iter().filter(move |d| d.kind == kind)
}
