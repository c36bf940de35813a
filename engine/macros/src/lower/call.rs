//! The builtin functions, one table, and calls.

use super::expr::unknown;
use super::scope::{Lower, Lowered, Scope, Value};
use crate::ast::*;
use crate::error::{Range, Reported};
use g2_ir::op::DType;
use g2_ir::{Dim, LoopOut, Map, NodeId, Op, Per, Shape};

/// What an argument of a builtin is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Takes {
    Value,
    Dim,
    /// `[dim, ..]`
    Dims,
}

/// A builtin function.
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    /// How it is written, for errors.
    pub(crate) signature: &'static str,
    /// Its positional arguments.
    pub(crate) takes: &'static [Takes],
    /// How many of them may be left out.
    optional: usize,
    /// Whether the last one may be repeated.
    repeats: bool,
    /// Whether it takes `axis = ` (also `axes = `, for reductions).
    axis: bool,
    lower: fn(&mut Lower, &mut Scope, &Call, Option<usize>) -> Lowered,
}

use Takes::{Dim as D, Dims as S, Value as V};

#[rustfmt::skip]
pub(crate) static BUILTINS: &[Builtin] = &[
    Builtin { name: "uniform", signature: "uniform() or uniform([batch, hidden])", takes: &[S], optional: 1, repeats: false, axis: false, lower: |l, s, c, _| uniform(l, s, c, Per::Step) },
    Builtin { name: "locked_uniform", signature: "locked_uniform() or locked_uniform([batch, hidden])", takes: &[S], optional: 1, repeats: false, axis: false, lower: |l, s, c, _| uniform(l, s, c, Per::Sequence) },
    Builtin { name: "size", signature: "size(dim)", takes: &[D], optional: 0, repeats: false, axis: false, lower: size },
    Builtin { name: "split", signature: "split(x, axis = -1) or split(x, [d1, d2], axis = -1)", takes: &[V, S], optional: 1, repeats: false, axis: true, lower: split },
    Builtin { name: "concat", signature: "concat(a, b, .., axis = -1)", takes: &[V], optional: 0, repeats: true, axis: true, lower: concat },
    Builtin { name: "slice", signature: "slice(x, start, len, axis = -1)", takes: &[V, D, D], optional: 0, repeats: false, axis: true, lower: slice },
    Builtin { name: "reverse", signature: "reverse(x, axis = 0)", takes: &[V], optional: 0, repeats: false, axis: true, lower: reverse },
    Builtin { name: "broadcast", signature: "broadcast(x, [time, batch, hidden])", takes: &[V, S], optional: 0, repeats: false, axis: false, lower: broadcast },
    Builtin { name: "sum", signature: "sum(x), sum(x, axis = 0) or sum(x, axes = [0, 1])", takes: &[V], optional: 0, repeats: false, axis: true, lower: |l, s, c, _| Ok(reduce(l, s, c)?.0) },
    Builtin { name: "mean", signature: "mean(x), mean(x, axis = 0) or mean(x, axes = [0, 1])", takes: &[V], optional: 0, repeats: false, axis: true, lower: mean },
    Builtin { name: "embedding", signature: "embedding(table, ids)", takes: &[V, V], optional: 0, repeats: false, axis: false, lower: |l, s, c, _| plain(l, s, c, Op::Gather) },
    Builtin { name: "softmax", signature: "softmax(x) or softmax(x, mask)", takes: &[V, V], optional: 1, repeats: false, axis: false, lower: softmax },
    Builtin { name: "log_softmax", signature: "log_softmax(x)", takes: &[V], optional: 0, repeats: false, axis: false, lower: |l, s, c, _| plain(l, s, c, Op::LogSoftmax) },
    Builtin { name: "cross_entropy", signature: "cross_entropy(logits, ids)", takes: &[V, V], optional: 0, repeats: false, axis: false, lower: |l, s, c, _| plain(l, s, c, Op::CrossEntropy) },
    Builtin { name: "pick", signature: "pick(x, ids)", takes: &[V, V], optional: 0, repeats: false, axis: false, lower: |l, s, c, _| plain(l, s, c, Op::Pick) },
    Builtin { name: "length_mask", signature: "length_mask(lengths, time)", takes: &[V, D], optional: 0, repeats: false, axis: false, lower: length_mask },
    Builtin { name: "insert", signature: "insert(x, axis = 0)", takes: &[V], optional: 0, repeats: false, axis: true, lower: insert },
    Builtin { name: "remove", signature: "remove(x, axis = 0)", takes: &[V], optional: 0, repeats: false, axis: true, lower: remove },
    Builtin { name: "last", signature: "last(s.h), for a state h of a scan s", takes: &[V], optional: 0, repeats: false, axis: false, lower: last },
    Builtin { name: "dropout", signature: "dropout(x, p)", takes: &[V, V], optional: 0, repeats: false, axis: false, lower: |l, s, c, _| dropout(l, s, c, Per::Step, Drops::Elements) },
    Builtin { name: "locked_dropout", signature: "locked_dropout(x, p)", takes: &[V, V], optional: 0, repeats: false, axis: false, lower: |l, s, c, _| {
        let drops = if l.in_cell() { Drops::Elements } else { Drops::EachStepAlike };
        dropout(l, s, c, Per::Sequence, drops)
    } },
    Builtin { name: "embedding_dropout", signature: "embedding_dropout(table, ids, p)", takes: &[V, V, V], optional: 0, repeats: false, axis: false, lower: |l, s, c, _| embedding_dropout(l, s, c) },
    Builtin { name: "weight_drop", signature: "weight_drop(w, p)", takes: &[V, V], optional: 0, repeats: false, axis: false, lower: |l, s, c, _| dropout(l, s, c, Per::Sequence, Drops::Elements) },
];

/// Names that a call may have besides those of `fn` items.
pub(crate) fn builtin_names<'n>() -> impl Iterator<Item = &'n str> {
    BUILTINS.iter().map(|b| b.name).chain(Map::ALL.into_iter().map(|m| m.row().name))
}

/// What the positional arguments of a builtin are, or what is wrong with how many or which there are.
pub(crate) fn check_builtin(call: &Call) -> Option<Result<Vec<Takes>, String>> {
    let name = call.name.to_string();
    let positional = call.arguments.iter().filter(|a| a.name.is_none()).count();
    let Some(builtin) = BUILTINS.iter().find(|b| name == b.name) else {
        let arity = Map::named(&name)?.row().arity;
        let fits = positional == arity && positional == call.arguments.len();
        let plural = if arity == 1 { "" } else { "s" };
        let found = call.arguments.len();
        return Some(if fits {
            Ok(vec![V; arity])
        } else {
            Err(format!("`{name}` takes {arity} argument{plural}, found {found}"))
        });
    };
    let known =
        call.arguments.iter().filter_map(|a| a.name.as_ref()).all(|n| builtin.axis && (n == "axis" || n == "axes"));
    let count = builtin.takes.len();
    let enough = (count - builtin.optional..=count).contains(&positional) || (builtin.repeats && positional >= count);
    if !(known && enough) {
        return Some(Err(format!("this is written {}", builtin.signature)));
    }
    Some(Ok((0..positional).map(|k| builtin.takes[k.min(count - 1)]).collect()))
}

/// A call; `parts` is the number of names that take its result apart.
pub(super) fn lower_call(lower: &mut Lower, scope: &mut Scope, call: &Call, parts: Option<usize>) -> Lowered {
    let name = call.name.to_string();
    if scope.items.contains_key(&name) {
        return lower_fn(lower, scope, call);
    }
    match check_builtin(call) {
        Some(Ok(_)) => {}
        Some(Err(message)) => return Err(lower.report(call.range, message)),
        None => {
            let known = builtin_names().chain(scope.items.keys().map(String::as_str));
            let message = unknown("primitive or fn", &name, known);
            return Err(lower.report(Range::from(&call.name), message));
        }
    }
    if let Some(builtin) = BUILTINS.iter().find(|b| name == b.name) {
        return (builtin.lower)(lower, scope, call, parts);
    }
    let map = Map::named(&name).ok_or(Reported)?;
    let values: Vec<Lowered> = call.arguments.iter().map(|a| lower.expr(scope, &a.value)).collect();
    let values: Vec<Value> = values.into_iter().collect::<Lowered<_>>()?;
    let args: Vec<(Value, &Expr)> = values.into_iter().zip(call.arguments.iter().map(|a| &a.value)).collect();
    lower.elementwise(map, &args, call.range)
}

fn lower_fn(lower: &mut Lower, scope: &mut Scope, call: &Call) -> Lowered {
    let name = call.name.to_string();
    let values: Vec<Lowered> = call.arguments.iter().map(|a| lower.expr(scope, &a.value)).collect();
    let (key, item) = lower.item(scope, &name)?;
    let ItemKind::Fn(function) = &item.kind else {
        let message = format!(
            "`{name}` is a {}; only a fn can be called, and a cell is scanned: `scan Cell(x)`",
            item.kind.what()
        );
        return Err(lower.report(Range::from(&call.name), message));
    };
    if let Some(message) = fn_arity(&name, function, call) {
        return Err(lower.report(call.range, message));
    }
    let mut inner = Scope { items: lower.units.all[key].scope.clone(), ..Scope::default() };
    for (parameter, value) in function.parameters.iter().zip(values) {
        inner.bind(parameter.to_string(), value?);
    }
    lower.inside((key, &name), call.range, |lower| lower.expr(&mut inner, &function.body))
}

/// What is wrong with the number of arguments.
pub(crate) fn fn_arity(name: &str, function: &Function, call: &Call) -> Option<String> {
    let (wants, found) = (function.parameters.len(), call.arguments.len());
    if let Some(named) = call.arguments.iter().find_map(|a| a.name.as_ref()) {
        return Some(format!("a fn takes its arguments by position, found `{named} = `"));
    }
    let parameters: Vec<String> = function.parameters.iter().map(ToString::to_string).collect();
    (wants != found).then(|| format!("`{name}({})` takes {wants} arguments, found {found}", parameters.join(", ")))
}

// What the builtins share.

fn positional(call: &Call, k: usize) -> Lowered<&Expr> {
    call.arguments.iter().filter(|a| a.name.is_none()).nth(k).map(|a| &a.value).ok_or(Reported)
}

fn real(lower: &mut Lower, scope: &mut Scope, call: &Call, k: usize) -> Lowered<NodeId> {
    let expr = positional(call, k)?;
    let value = lower.expr(scope, expr)?;
    lower.real(&value, expr.range)
}

fn elements(lower: &mut Lower, expr: &Expr) -> Lowered<Vec<Expr>> {
    match &expr.kind {
        ExprKind::List(values) => Ok(values.clone()),
        _ => Err(lower.report(expr.range, "expected a list: `[a, b]`")),
    }
}

fn integer(lower: &mut Lower, expr: &Expr) -> Lowered<i64> {
    let value = match &expr.kind {
        ExprKind::Number(value) => Some(*value),
        ExprKind::Negate(of) => {
            if let ExprKind::Number(value) = of.kind {
                Some(-value)
            } else {
                None
            }
        }
        _ => None,
    };
    match value.filter(|v| v.fract() == 0.0) {
        Some(value) => Ok(value as i64),
        None => Err(lower.report(expr.range, "an axis is a whole number: 0 is the first, -1 the last")),
    }
}

/// The axis `expr` of `rank`, where negative ones count from the end.
fn to_axis(lower: &mut Lower, expr: &Expr, shape: &Shape, rank: usize) -> Lowered<usize> {
    let value = integer(lower, expr)?;
    let axis = if value < 0 { value + rank as i64 } else { value };
    match usize::try_from(axis).ok().filter(|&a| a < rank) {
        Some(axis) => Ok(axis),
        None => Err(lower.report(expr.range, format!("{shape} has no axis {value}"))),
    }
}

fn axis(lower: &mut Lower, call: &Call, shape: &Shape, rank: usize, default: i64) -> Lowered<usize> {
    match call.arguments.iter().find(|a| a.name.is_some()) {
        Some(argument) => to_axis(lower, &argument.value, shape, rank),
        None if rank == 0 => Err(lower.report(call.range, "a scalar has no axes")),
        None => Ok(if default < 0 { rank - 1 } else { default as usize }),
    }
}

fn plain(lower: &mut Lower, scope: &mut Scope, call: &Call, op: Op) -> Lowered {
    let nodes: Vec<Lowered<NodeId>> = call.arguments.iter().map(|a| lower.tensor(scope, &a.value)).collect();
    let nodes: Vec<NodeId> = nodes.into_iter().collect::<Lowered<_>>()?;
    lower.op(op, &nodes, call.range)
}

// The builtins.

fn uniform(lower: &mut Lower, scope: &mut Scope, call: &Call, per: Per) -> Lowered {
    match call.arguments.first() {
        None => Ok(lower.uniform(per)),
        Some(argument) => {
            let dims = elements(lower, &argument.value)?;
            let shape = lower.dims(scope, &dims)?;
            Ok(lower.uniform_of(per, shape))
        }
    }
}

fn size(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let dim = lower.dim(scope, positional(call, 0)?)?;
    lower.op(Op::Size(dim), &[], call.range)
}

fn split(lower: &mut Lower, scope: &mut Scope, call: &Call, parts: Option<usize>) -> Lowered {
    let x = lower.tensor(scope, positional(call, 0)?)?;
    let shape = lower.shape(x);
    let axis = axis(lower, call, &shape, shape.rank(), -1)?;
    let whole = shape.0[axis].clone();
    let lens: Vec<Dim> = match (positional(call, 1), parts) {
        (Ok(sizes), _) => {
            let sizes = elements(lower, sizes)?;
            let lens = lower.dims(scope, &sizes)?.0;
            let total = lens.iter().fold(Dim::number(0), |sum, len| &sum + len);
            if total != whole {
                return Err(
                    lower.report(call.range, format!("the parts sum to {total}, axis {axis} of {shape} is {whole}"))
                );
            }
            lens
        }
        (Err(_), Some(parts)) => match whole.divide(parts) {
            Some(len) => vec![len; parts],
            None => {
                let message = format!(
                    "split into {parts} needs a dimension that {parts} divides, found {whole} (axis {axis} of {shape})"
                );
                return Err(lower.report(call.range, message));
            }
        },
        (Err(_), None) => {
            let message = "split takes the number of its parts from the pattern: `let [a, b] = split(x);`, or their sizes: `split(x, [d1, d2])`";
            return Err(lower.report(call.range, message));
        }
    };
    let mut start = Dim::number(0);
    let mut values = Vec::new();
    for len in lens {
        values.push(lower.op(Op::Slice { axis, start: start.clone(), len: len.clone() }, &[x], call.range)?);
        start = &start + &len;
    }
    Ok(Value::List(values))
}

fn concat(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let exprs: Vec<&Expr> = call.arguments.iter().filter(|a| a.name.is_none()).map(|a| &a.value).collect();
    let nodes: Vec<Lowered<NodeId>> = exprs.iter().map(|e| lower.tensor(scope, e)).collect();
    let nodes: Vec<NodeId> = nodes.into_iter().collect::<Lowered<_>>()?;
    let shape = lower.shape(nodes[0]);
    let axis = axis(lower, call, &shape, shape.rank(), -1)?;
    lower.op(Op::Concat { axis }, &nodes, call.range)
}

fn slice(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let x = lower.tensor(scope, positional(call, 0)?)?;
    let start = lower.dim(scope, positional(call, 1)?)?;
    let len = lower.dim(scope, positional(call, 2)?)?;
    let shape = lower.shape(x);
    let axis = axis(lower, call, &shape, shape.rank(), -1)?;
    if let (Some(end), Some(whole)) = ((&start + &len).as_number(), shape.0[axis].as_number())
        && end > whole
    {
        return Err(lower.report(call.range, format!("this ends at {end}, past the end of axis {axis} of {shape}")));
    }
    lower.op(Op::Slice { axis, start, len }, &[x], call.range)
}

fn reverse(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let x = lower.tensor(scope, positional(call, 0)?)?;
    let shape = lower.shape(x);
    let axis = axis(lower, call, &shape, shape.rank(), 0)?;
    lower.op(Op::Reverse { axis }, &[x], call.range)
}

/// The dims of `x` as a subsequence of the shape, matched from the right.
fn broadcast(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let dims = elements(lower, positional(call, 1)?)?;
    let target = lower.dims(scope, &dims)?;
    let expr = positional(call, 0)?;
    let value = lower.expr(scope, expr)?;
    if let Value::Number(_) | Value::Flexible(_) = value {
        let id = lower.at(&value, &target, expr.range)?;
        return Ok(lower.value(id));
    }
    let x = lower.real(&value, expr.range)?;
    let shape = lower.shape(x);
    let mut axes = Vec::new();
    let mut end = target.rank();
    for dim in shape.0.iter().rev() {
        match target.0[..end].iter().rposition(|d| d == dim) {
            Some(axis) => {
                axes.push(axis);
                end = axis;
            }
            None => {
                let message = format!(
                    "broadcast to {target} needs the dimensions of {} among those of the target, in order",
                    super::scope::named(expr, &shape)
                );
                return Err(lower.report(call.range, message));
            }
        }
    }
    axes.reverse();
    lower.op(Op::Broadcast { shape: target, axes }, &[x], call.range)
}

/// The sum, and the shape of what was summed away.
fn reduce(lower: &mut Lower, scope: &mut Scope, call: &Call) -> Lowered<(Value, Shape)> {
    let x = real(lower, scope, call, 0)?;
    let shape = lower.shape(x);
    let mut axes: Vec<usize> = match call.arguments.iter().find(|a| a.name.is_some()) {
        None => (0..shape.rank()).collect(),
        Some(argument) => {
            let exprs = if let ExprKind::List(list) = &argument.value.kind {
                list.as_slice()
            } else {
                std::slice::from_ref(&argument.value)
            };
            let axes: Vec<Lowered<usize>> = exprs.iter().map(|e| to_axis(lower, e, &shape, shape.rank())).collect();
            axes.into_iter().collect::<Lowered<_>>()?
        }
    };
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(lower.report(call.range, format!("{} names an axis twice", call.name)));
    }
    let gone = Shape(axes.iter().map(|&a| shape.0[a].clone()).collect());
    if axes.is_empty() {
        return Ok((lower.value(x), gone));
    }
    Ok((lower.op(Op::Sum { axes }, &[x], call.range)?, gone))
}

fn mean(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let (sum, gone) = reduce(lower, scope, call)?;
    let count = gone.0.iter().fold(Dim::number(1), |product, dim| &product * dim);
    let count = lower.op(Op::Size(count), &[], call.range)?;
    let expr = positional(call, 0)?;
    lower.elementwise(Map::Div, &[(sum, expr), (count, expr)], call.range)
}

fn softmax(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let x = real(lower, scope, call, 0)?;
    let mut args = vec![x];
    if let Ok(expr) = positional(call, 1) {
        let mask = lower.expr(scope, expr)?;
        let shape = lower.shape(x);
        args.push(lower.at(&mask, &shape, expr.range)?);
    }
    lower.op(Op::Softmax, &args, call.range)
}

fn length_mask(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let lengths = lower.tensor(scope, positional(call, 0)?)?;
    let time = lower.dim(scope, positional(call, 1)?)?;
    lower.op(Op::LengthMask { time }, &[lengths], call.range)
}

fn insert(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let x = real(lower, scope, call, 0)?;
    let shape = lower.shape(x);
    let axis = axis(lower, call, &shape, shape.rank() + 1, 0)?;
    lower.op(Op::Insert { axis }, &[x], call.range)
}

fn remove(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let x = real(lower, scope, call, 0)?;
    let shape = lower.shape(x);
    let axis = axis(lower, call, &shape, shape.rank(), 0)?;
    lower.op(Op::Remove { axis }, &[x], call.range)
}

fn last(lower: &mut Lower, scope: &mut Scope, call: &Call, _: Option<usize>) -> Lowered {
    let expr = positional(call, 0)?;
    if let ExprKind::Field(of, name) = &expr.kind
        && let Value::Scan(scan) = lower.expr(scope, of)?
    {
        let field = scan.fields.iter().find(|(field, _)| name == field);
        match field {
            Some((_, LoopOut::After(k))) => return Ok(lower.scan_result(&scan, LoopOut::Final(*k))),
            Some(_) => {}
            None => {
                lower.expr(scope, expr)?;
            }
        }
    }
    Err(lower.report(
        expr.range,
        "last takes a state of a scan: `last(s.h)`; an output is sliced: `slice(y, time - 1, 1, axis = 0)`",
    ))
}

/// Which elements a dropout drops together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drops {
    /// Each its own.
    Elements,
    /// The same ones at each step of the first axis.
    EachStepAlike,
}

fn dropout(lower: &mut Lower, scope: &mut Scope, call: &Call, per: Per, drops: Drops) -> Lowered {
    let (expr, p) = (positional(call, 0)?, positional(call, 1)?);
    let (x, probability) = (real(lower, scope, call, 0), lower.probability(scope, p));
    let (x, probability) = (x?, probability?);
    let shape = lower.shape(x);
    let mask_shape = match drops {
        Drops::Elements => shape,
        Drops::EachStepAlike if shape.rank() > 0 => shape.remove(0),
        Drops::EachStepAlike => {
            return Err(lower.report(expr.range, format!("{} needs [time, ..], found {shape}", call.name)));
        }
    };
    if !lower.training() {
        return Ok(lower.value(x));
    }
    let mask = lower.keep_mask((probability, p), per, mask_shape)?;
    lower.elementwise(Map::Mul, &[(lower.value(x), expr), (mask, expr)], call.range)
}

/// `embedding(table, ids)` with whole rows of the table dropped. Only the rows that are looked up are touched.
fn embedding_dropout(lower: &mut Lower, scope: &mut Scope, call: &Call) -> Lowered {
    let p = positional(call, 2)?;
    let (table, ids) = (real(lower, scope, call, 0), lower.tensor(scope, positional(call, 1)?));
    let (table, ids, probability) = (table?, ids?, lower.probability(scope, p)?);
    let rows = lower.op(Op::Gather, &[table, ids], call.range)?;
    if !lower.training() {
        return Ok(rows);
    }
    let rows_shape = {
        let id = lower.node(&rows, call.range)?;
        lower.shape(id)
    };
    let axis = rows_shape.rank() - 1;
    let table_rows = Shape(vec![lower.shape(table).0[0].clone()]);
    let mask = lower.keep_mask((probability, p), Per::Sequence, table_rows)?;
    let mask = lower.node(&mask, call.range)?;
    let mask = lower.op(Op::Insert { axis: 1 }, &[mask], call.range)?;
    let mask = lower.node(&mask, call.range)?;
    let mask = lower.op(Op::Gather, &[mask, ids], call.range)?;
    let mask = lower.node(&mask, call.range)?;
    let mask = lower.op(Op::Remove { axis }, &[mask], call.range)?;
    let mask = lower.node(&mask, call.range)?;
    let mask = lower.op(Op::Broadcast { shape: rows_shape, axes: (0..axis).collect() }, &[mask], call.range)?;
    let table = positional(call, 0)?;
    lower.elementwise(Map::Mul, &[(rows, table), (mask, table)], call.range)
}

impl Lower<'_> {
    /// A dropout probability: a scalar.
    pub(super) fn probability(&mut self, scope: &mut Scope, p: &Expr) -> Lowered {
        let value = self.expr(scope, p)?;
        if let Value::Node { level, id } = &value
            && (self.ty_at(*level, *id).shape.rank() != 0 || self.ty_at(*level, *id).dtype == DType::Index)
        {
            let found = self.ty_at(*level, *id).shape.clone();
            return Err(self.report(p.range, format!("a dropout probability is a scalar, found {found}")));
        }
        Ok(value)
    }

    /// 0 with the probability `p`, else `1 / (1 - p)`.
    pub(super) fn keep_mask(&mut self, (p, expr): (Value, &Expr), per: Per, shape: Shape) -> Lowered {
        let keep = self.elementwise(Map::Sub, &[(Value::Number(1.0), expr), (p, expr)], expr.range)?;
        let scale = self.elementwise(Map::Div, &[(Value::Number(1.0), expr), (keep.clone(), expr)], expr.range)?;
        let drawn = self.uniform_of(per, shape);
        let kept = self.elementwise(Map::Less, &[(drawn, expr), (keep, expr)], expr.range)?;
        self.elementwise(Map::Select, &[(kept, expr), (scale, expr), (Value::Number(0.0), expr)], expr.range)
    }
}
