//! Values, the graphs under construction, and the names in scope.

use crate::ast::{Expr, Item};
use crate::compose::Units;
use crate::error::{Diagnostics, Range, Reported};
use g2_ir::graph::Output;
use g2_ir::op::{DType, Type};
use g2_ir::{Dim, Graph, LeafKind, LoopOut, Map, Mode, NodeId, Op, Per, Shape};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub(crate) type Lowered<T = Value> = Result<T, Reported>;

/// What an expression means while the graph is built.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A number: takes any shape.
    Number(f64),
    /// A node of the graph at `level`.
    Node {
        level: usize,
        id: NodeId,
    },
    /// Uniforms and what is computed from them and scalars alone: takes the shape of what it meets.
    Flexible(Rc<Flexible>),
    /// A scan, whose states and outputs are read as fields.
    Scan(Rc<ScanResult>),
    List(Vec<Value>),
    /// Wrong, and reported.
    Wrong,
}

#[derive(Debug)]
pub(crate) struct Flexible {
    kind: FlexibleKind,
    /// The nodes made of it: (graph, shape, node).
    made: RefCell<Vec<(usize, Shape, NodeId)>>,
}

#[derive(Debug)]
enum FlexibleKind {
    Uniform { site: u32, per: Per },
    Map(Map, Vec<Value>),
}

#[derive(Debug)]
pub(crate) struct ScanResult {
    pub(crate) level: usize,
    pub(crate) node: NodeId,
    pub(crate) cell: String,
    pub(crate) fields: Vec<(String, LoopOut)>,
}

/// A graph under construction.
pub(crate) struct Level {
    /// No other level of this program has it.
    serial: usize,
    pub(crate) kind: LevelKind,
    pub(crate) graph: Graph,
    /// (node outside, argument inside)
    pub(crate) consts: Vec<(NodeId, NodeId)>,
    /// (node outside, argument inside)
    pub(crate) steps: Vec<(NodeId, NodeId)>,
    /// (node outside, argument inside)
    pub(crate) carries: Vec<(NodeId, NodeId)>,
    /// Results a step of a stack, and what each is outside.
    pub(crate) ys: Vec<(NodeId, Output)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum LevelKind {
    Model,
    /// A cell checked by itself.
    Cell,
    Scan,
    Stack(String),
}

/// An argument of the program, wherever it was declared.
pub(crate) struct LeafDraft {
    pub(crate) name: String,
    pub(crate) kind: LeafKind,
    pub(crate) node: NodeId,
}

/// Names an item's expressions can use.
#[derive(Clone, Default, Debug)]
pub(crate) struct Scope {
    /// The innermost last.
    pub(crate) names: Vec<(String, Value)>,
    /// Dimension names and what they are in the program.
    pub(crate) dims: BTreeMap<String, Dim>,
    /// Items: name to key.
    pub(crate) items: BTreeMap<String, String>,
}

/// The program under construction.
pub(crate) struct Lower<'a> {
    pub(crate) units: &'a Units,
    pub(crate) errors: &'a mut Diagnostics,
    pub(crate) mode: Mode,
    pub(crate) levels: Vec<Level>,
    pub(crate) leaves: Vec<LeafDraft>,
    pub(crate) outputs: Vec<(Output, NodeId)>,
    /// The items whose bodies are being lowered: key, name, and where the outer one asks for it.
    pub(crate) via: Vec<(String, String, Range)>,
    sites: u32,
    serials: usize,
}

/// Most operations of one graph: fns that call fns grow fast.
const MOST_NODES: usize = 2000;

impl<'a> Lower<'a> {
    pub(crate) fn new(units: &'a Units, errors: &'a mut Diagnostics, mode: Mode, kind: LevelKind) -> Lower<'a> {
        let mut lower = Lower {
            units,
            errors,
            mode,
            levels: Vec::new(),
            leaves: Vec::new(),
            outputs: Vec::new(),
            via: Vec::new(),
            sites: 0,
            serials: 0,
        };
        lower.push_level(kind);
        lower
    }

    /// Reports at the expression; where that stands in another item, at what asked for the item too.
    pub(crate) fn report(&mut self, range: impl Into<Range>, message: impl Into<String>) -> Reported {
        let (range, message) = (range.into(), message.into());
        let Some((_, name, asked)) = self.via.first() else { return self.errors.report(range, message) };
        self.errors.report(*asked, format!("in `{name}`: {message}"));
        let inside = self.via.last().and_then(|(key, ..)| self.units.all.get(key));
        if inside.is_some_and(|unit| unit.local) {
            self.errors.report(range, message);
        }
        Reported
    }

    pub(crate) fn training(&self) -> bool {
        self.mode != Mode::Evaluation
    }

    /// The item that `name` means in `scope`, with its key. Says nothing if that item is wrong.
    pub(crate) fn item(&self, scope: &Scope, name: &str) -> Lowered<(&'a str, &'a Item)> {
        let key = scope.items.get(name).ok_or(Reported)?;
        let (key, unit) = self.units.all.get_key_value(key).ok_or(Reported)?;
        unit.item.as_ref().map(|item| (key.as_str(), item)).ok_or(Reported)
    }

    /// Lowers an item's body for something that asks for it at `range`.
    pub(crate) fn inside<T>(
        &mut self,
        (key, name): (&str, &str),
        range: Range,
        lower: impl FnOnce(&mut Self) -> Lowered<T>,
    ) -> Lowered<T> {
        if self.via.iter().any(|(k, ..)| k == key) {
            return Err(Reported); // Recursion, which `names` reports.
        }
        if self.graph().nodes.len() > MOST_NODES {
            let message = format!("this model is more than {MOST_NODES} operations when its fns are written out");
            return Err(self.report(range, message));
        }
        self.via.push((key.to_owned(), name.to_owned(), range));
        let result = lower(self);
        self.via.pop();
        result
    }

    // Levels.

    pub(crate) fn push_level(&mut self, kind: LevelKind) {
        self.serials += 1;
        let (consts, steps, carries, ys) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        self.levels.push(Level { serial: self.serials, kind, graph: Graph::new(), consts, steps, carries, ys });
    }

    pub(crate) fn level(&self) -> usize {
        self.levels.len() - 1
    }

    pub(crate) fn graph(&mut self) -> &mut Graph {
        let level = self.level();
        &mut self.levels[level].graph
    }

    pub(crate) fn in_cell(&self) -> bool {
        self.levels.iter().any(|l| matches!(l.kind, LevelKind::Scan | LevelKind::Cell))
    }

    /// The stack whose body is being lowered: its level and its name.
    pub(crate) fn stack(&self) -> Option<(usize, String)> {
        self.levels.iter().enumerate().find_map(|(i, l)| match &l.kind {
            LevelKind::Stack(name) => Some((i, name.clone())),
            LevelKind::Model | LevelKind::Cell | LevelKind::Scan => None,
        })
    }

    pub(crate) fn value(&self, id: NodeId) -> Value {
        Value::Node { level: self.level(), id }
    }

    pub(crate) fn ty_at(&self, level: usize, id: NodeId) -> &Type {
        self.levels[level].graph.ty(id)
    }

    pub(crate) fn shape(&self, id: NodeId) -> Shape {
        self.ty_at(self.level(), id).shape.clone()
    }

    /// The node of an outer graph as a node of the current one.
    pub(crate) fn here(&mut self, level: usize, id: NodeId) -> NodeId {
        (level + 1..self.levels.len()).fold(id, |id, into| self.capture(into, id))
    }

    fn capture(&mut self, into: usize, outer: NodeId) -> NodeId {
        let (below, above) = self.levels.split_at_mut(into);
        let (from, to) = (&below[into - 1].graph, &mut above[0]);
        // Not among `to.steps`: what is read step by step may be read whole as well.
        if let Some((_, inner)) = to.consts.iter().find(|(o, _)| *o == outer) {
            return *inner;
        }
        // Constants are made again, so that kernels inside see their values.
        let node = from.node(outer);
        let constant = match (&node.op, node.args.as_slice()) {
            (Op::Const(_) | Op::Size(_), _) => Some(outer),
            (Op::Broadcast { .. }, [of]) => Some(*of),
            _ => None,
        };
        if let Some(Op::Const(value)) = constant.map(|id| &from.node(id).op) {
            return to.graph.full(*value, node.ty.shape.clone());
        }
        if let Op::Size(_) = &node.op {
            return to.graph.op(node.op.clone(), &[]);
        }
        let inner = to.graph.arg(node.ty.clone());
        if let Some(name) = &node.name {
            to.graph.name(inner, name);
        }
        to.consts.push((outer, inner));
        inner
    }

    // Values.

    pub(crate) fn next_site(&mut self) -> u32 {
        self.sites += 1;
        self.sites - 1
    }

    pub(crate) fn uniform(&mut self, per: Per) -> Value {
        let site = self.next_site();
        flexible(FlexibleKind::Uniform { site, per })
    }

    pub(crate) fn uniform_of(&mut self, per: Per, shape: Shape) -> Value {
        let site = self.next_site();
        let id = self.graph().uniform(site, per, shape);
        self.value(id)
    }

    /// The value as a node of the current graph.
    pub(crate) fn node(&mut self, value: &Value, range: Range) -> Lowered<NodeId> {
        match value {
            Value::Number(number) => Ok(self.graph().op(Op::Const(*number), &[])),
            Value::Node { level, id } => Ok(self.here(*level, *id)),
            Value::Flexible(_) => Err(self.report(
                range,
                "this is drawn by uniform() and meets nothing that has a shape; write the shape: \
                 `uniform([batch, hidden])`",
            )),
            Value::Scan(scan) => {
                let fields: Vec<String> = scan.fields.iter().map(|(name, _)| format!("`.{name}`")).collect();
                let message =
                    format!("this is a scan of `{}`; read one of its results: {}", scan.cell, fields.join(", "));
                Err(self.report(range, message))
            }
            Value::List(values) => {
                Err(self.report(range, format!("expected one tensor, found a list of {}", values.len())))
            }
            Value::Wrong => Err(Reported),
        }
    }

    /// As [`Lower::node`], for values that take part in arithmetic.
    pub(crate) fn real(&mut self, value: &Value, range: Range) -> Lowered<NodeId> {
        let id = self.node(value, range)?;
        if self.ty_at(self.level(), id).dtype == DType::Index {
            let ty = self.ty_at(self.level(), id).clone();
            let message = format!(
                "found {ty}, which holds indices: they select and have no gradient, so they take no part in arithmetic; \
                 use them in `embedding`, `pick` or `cross_entropy`"
            );
            return Err(self.report(range, message));
        }
        Ok(id)
    }

    /// The value broadcast to `shape`, whose suffix its own shape is.
    pub(crate) fn at(&mut self, value: &Value, shape: &Shape, range: Range) -> Lowered<NodeId> {
        match value {
            Value::Number(number) => Ok(self.graph().full(*number, shape.clone())),
            Value::Flexible(flexible) => self.make(flexible, shape, range),
            Value::Node { .. } | Value::Scan(_) | Value::List(_) | Value::Wrong => {
                let id = self.real(value, range)?;
                let found = self.shape(id);
                if found == *shape {
                    return Ok(id);
                }
                if found.rank() < shape.rank() && shape.0.ends_with(&found.0) {
                    let axes = (shape.rank() - found.rank()..shape.rank()).collect();
                    return Ok(self.graph().op(Op::Broadcast { shape: shape.clone(), axes }, &[id]));
                }
                Err(self.report(range, format!("expected {shape}, found {found}")))
            }
        }
    }

    fn make(&mut self, flexible: &Flexible, shape: &Shape, range: Range) -> Lowered<NodeId> {
        let serial = self.levels[self.level()].serial;
        let known = flexible.made.borrow().iter().find(|(s, found, _)| *s == serial && found == shape).map(|m| m.2);
        if let Some(id) = known {
            return Ok(id);
        }
        // What an outer graph has drawn is the same draw in here.
        for level in (0..self.level()).rev() {
            let serial = self.levels[level].serial;
            let known = flexible.made.borrow().iter().find(|(s, found, _)| *s == serial && found == shape).map(|m| m.2);
            if let Some(id) = known {
                return Ok(self.here(level, id));
            }
        }
        let id = match &flexible.kind {
            FlexibleKind::Uniform { .. } if !flexible.made.borrow().is_empty() && self.made_elsewhere(flexible) => {
                let message = "one uniform() is drawn in a stack and used outside of it; write its shape where it is \
                               bound: `uniform([batch, hidden])`";
                return Err(self.report(range, message));
            }
            FlexibleKind::Uniform { site, per } => {
                let other = flexible.made.borrow().first().map(|(_, other, _)| other.clone());
                if let Some(other) = other.filter(|other| other != shape) {
                    let message = format!(
                        "one uniform() meets both {other} and {shape}; write the shape it shall have: \
                         `uniform([batch, hidden])`"
                    );
                    return Err(self.report(range, message));
                }
                self.graph().uniform(*site, *per, shape.clone())
            }
            FlexibleKind::Map(map, args) => {
                let args: Vec<NodeId> = args.iter().map(|a| self.at(a, shape, range)).collect::<Lowered<_>>()?;
                self.graph().map(*map, &args)
            }
        };
        flexible.made.borrow_mut().push((serial, shape.clone(), id));
        Ok(id)
    }

    /// Whether a graph that is not around this one has drawn it.
    fn made_elsewhere(&self, flexible: &Flexible) -> bool {
        let around = |serial| self.levels.iter().any(|level| level.serial == serial);
        flexible.made.borrow().iter().any(|(serial, _, _)| !around(*serial))
    }

    /// An element-wise primitive; `texts` name the operands in errors.
    pub(crate) fn elementwise(&mut self, map: Map, args: &[(Value, &Expr)], range: Range) -> Lowered {
        let numbers: Option<Vec<f64>> =
            args.iter().map(|(v, _)| if let Value::Number(n) = v { Some(*n) } else { None }).collect();
        if let Some(numbers) = numbers {
            return Ok(Value::Number((map.row().value)(&numbers)));
        }
        let mut shapes: Vec<(Shape, &Expr)> = Vec::new();
        let mut is_flexible = false;
        let mut values = Vec::new();
        for (value, expr) in args {
            match value {
                Value::Number(_) => values.push(value.clone()),
                Value::Flexible(_) => {
                    is_flexible = true;
                    values.push(value.clone());
                }
                Value::Node { .. } | Value::Scan(_) | Value::List(_) | Value::Wrong => {
                    let id = self.real(value, expr.range)?;
                    shapes.push((self.shape(id), expr));
                    values.push(self.value(id));
                }
            }
        }
        if is_flexible && shapes.iter().all(|(s, _)| s.rank() == 0) {
            return Ok(flexible(FlexibleKind::Map(map, values)));
        }
        let target = shapes.iter().map(|(s, _)| s).max_by_key(|s| s.rank()).cloned().unwrap_or_default();
        if shapes.iter().any(|(s, _)| !target.0.ends_with(&s.0)) {
            let found: Vec<String> = shapes.iter().map(|(s, e)| named(e, s)).collect();
            let message = format!(
                "{} needs operands of one shape (a scalar or a suffix of the shape will do), found {}; spread one out \
                 with `broadcast(x, [..])`",
                symbol(map),
                found.join(" and ")
            );
            return Err(self.report(range, message));
        }
        let mut nodes = Vec::new();
        for value in &values {
            nodes.push(self.at(value, &target, range)?);
        }
        let id = self.graph().map(map, &nodes);
        Ok(self.value(id))
    }

    /// An operation with a shape rule of its own, on nodes of the current graph.
    pub(crate) fn op(&mut self, op: Op, args: &[NodeId], range: Range) -> Lowered {
        match self.graph().try_op(op, args) {
            Ok(id) => Ok(self.value(id)),
            Err(message) => Err(self.report(range, message)),
        }
    }
}

fn flexible(kind: FlexibleKind) -> Value {
    Value::Flexible(Rc::new(Flexible { kind, made: RefCell::default() }))
}

/// `` `x`: [batch, input] ``, or the shape alone of what has no short text.
pub(crate) fn named(expr: &Expr, shape: &Shape) -> String {
    match expr.text() {
        Some(text) => format!("{text}: {shape}"),
        None => shape.to_string(),
    }
}

fn symbol(map: Map) -> &'static str {
    match map {
        Map::Add => "`+`",
        Map::Sub => "`-`",
        Map::Mul => "`*`",
        Map::Div => "`/`",
        Map::Less => "`<`",
        Map::Greater => "`>`",
        _ => map.row().name,
    }
}

impl Scope {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.names.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    pub(crate) fn bind(&mut self, name: impl Into<String>, value: Value) {
        self.names.push((name.into(), value));
    }
}
