//! Expressions and statements.

use super::call;
use super::scope::{LevelKind, Lower, Lowered, Scope, Value, named};
use crate::ast::*;
use crate::error::{Range, Reported, suggestion};
use g2_ir::{Dim, LoopOut, Map, Op, Shape};

impl Lower<'_> {
    pub(crate) fn expr(&mut self, scope: &mut Scope, expr: &Expr) -> Lowered {
        match &expr.kind {
            ExprKind::Number(value) => Ok(Value::Number(*value)),
            ExprKind::Name(name) => match scope.get(&name.to_string()) {
                Some(Value::Wrong) => Err(Reported),
                Some(value) => Ok(value.clone()),
                None => {
                    let message = unknown("name", &name.to_string(), scope.names.iter().map(|(n, _)| n.as_str()));
                    Err(self.report(expr.range, message))
                }
            },
            ExprKind::List(values) => {
                let values: Vec<Lowered> = values.iter().map(|v| self.expr(scope, v)).collect();
                Ok(Value::List(values.into_iter().collect::<Lowered<_>>()?))
            }
            ExprKind::Negate(of) => {
                let value = self.expr(scope, of)?;
                self.elementwise(Map::Neg, &[(value, of)], expr.range)
            }
            ExprKind::Binary(Operator::MatMul, a, b) => self.matmul(scope, a, b, expr.range),
            ExprKind::Binary(operator, a, b) => {
                let map = match operator {
                    Operator::Add => Map::Add,
                    Operator::Sub => Map::Sub,
                    Operator::Mul => Map::Mul,
                    Operator::Div | Operator::MatMul => Map::Div,
                    Operator::Less => Map::Less,
                    Operator::Greater => Map::Greater,
                };
                // Both sides are looked at before either's error ends this, so that both report.
                let (left, right) = (self.expr(scope, a), self.expr(scope, b));
                self.elementwise(map, &[(left?, a), (right?, b)], expr.range)
            }
            ExprKind::Field(of, name) => self.field(scope, of, name, expr.range),
            ExprKind::Call(call) => call::lower_call(self, scope, call, None),
            ExprKind::Block(statements, result) => {
                let depth = scope.names.len();
                for statement in statements {
                    self.statement(scope, statement);
                }
                let value = self.expr(scope, result);
                scope.names.truncate(depth);
                value
            }
            ExprKind::IfTraining(yes, no) => {
                let taken = if self.training() { yes } else { no };
                self.expr(scope, taken)
            }
            ExprKind::Scan(scan) => self.scan(scope, scan),
            ExprKind::Stack(stack) => self.lower_stack(scope, stack),
        }
    }

    /// An expression as a node of the current graph.
    pub(crate) fn tensor(&mut self, scope: &mut Scope, expr: &Expr) -> Lowered<g2_ir::NodeId> {
        let value = self.expr(scope, expr)?;
        self.node(&value, expr.range)
    }

    /// The node of an output, which is from then on called by its name.
    pub(crate) fn output(
        &mut self,
        scope: &mut Scope,
        name: &proc_macro2::Ident,
        value: &Expr,
    ) -> Lowered<g2_ir::NodeId> {
        let id = self.expr(scope, value).and_then(|found| self.real(&found, value.range));
        let value = id.map_or(Value::Wrong, |id| self.value(id));
        self.bind(scope, &name.to_string(), value);
        id
    }

    /// A statement of a block: `let`. The others belong to items and are lowered there.
    pub(crate) fn statement(&mut self, scope: &mut Scope, statement: &Statement) {
        let Statement::Let { pattern, value } = statement else { return };
        match pattern {
            Pattern::Name(name) => {
                let value = self.expr(scope, value).unwrap_or(Value::Wrong);
                self.bind(scope, &name.to_string(), value);
            }
            Pattern::List(names, range) => {
                let values = self.list(scope, value, names.len(), *range);
                let mut values = values.map(Vec::into_iter);
                for name in names {
                    let value = values.as_mut().ok().and_then(Iterator::next).unwrap_or(Value::Wrong);
                    self.bind(scope, &name.to_string(), value);
                }
            }
        }
    }

    /// Binds a name and lets the node be printed by it.
    pub(crate) fn bind(&mut self, scope: &mut Scope, name: &str, value: Value) {
        if let Value::Node { level, id } = value
            && level == self.level()
        {
            self.graph().name(id, name);
        }
        scope.bind(name, value);
    }

    fn list(&mut self, scope: &mut Scope, value: &Expr, count: usize, pattern: Range) -> Lowered<Vec<Value>> {
        let lowered = match &value.kind {
            ExprKind::Call(call) => call::lower_call(self, scope, call, Some(count))?,
            _ => self.expr(scope, value)?,
        };
        match lowered {
            Value::List(values) if values.len() == count => Ok(values),
            Value::List(values) => {
                let message = format!("this has {} parts, the pattern takes {count}", values.len());
                self.report(value.range, message);
                Err(self.report(pattern, format!("{count} names for {} parts", values.len())))
            }
            _ => Err(self.report(value.range, "a pattern of several names takes a list apart: `split(x)` gives one")),
        }
    }

    fn field(&mut self, scope: &mut Scope, of: &Expr, name: &proc_macro2::Ident, range: Range) -> Lowered {
        let value = self.expr(scope, of)?;
        if let Value::Scan(scan) = &value {
            let wanted = name.to_string();
            let Some((_, out)) = scan.fields.iter().find(|(field, _)| *field == wanted) else {
                let fields = scan.fields.iter().map(|(field, _)| field.as_str());
                let message =
                    format!("`{}` has no state and no output `{wanted}`{}", scan.cell, suggestion(&wanted, fields));
                return Err(self.report(Range::from(name), message));
            };
            return Ok(self.scan_result(scan, *out));
        }
        if name == "t" {
            let id = self.real(&value, of.range)?;
            return self.op(Op::Transpose, &[id], range);
        }
        Err(self
            .report(Range::from(name), format!("only a scan has fields, and every matrix `.t`; this has no `.{name}`")))
    }

    pub(crate) fn scan_result(&mut self, scan: &super::scope::ScanResult, out: LoopOut) -> Value {
        let graph = &mut self.levels[scan.level].graph;
        let known = graph.ids().find(|&id| graph.node(id).op == Op::Get(out) && graph.node(id).args == [scan.node]);
        let id = known.unwrap_or_else(|| graph.get(scan.node, out));
        Value::Node { level: scan.level, id }
    }

    /// `a @ b`, where `x.t` is read as it lies.
    fn matmul(&mut self, scope: &mut Scope, a: &Expr, b: &Expr, range: Range) -> Lowered {
        let (left, right) = (self.factor(scope, a), self.factor(scope, b));
        let ((left, ta), (right, tb)) = (left?, right?);
        let op = Op::MatMul { ta, tb, fold: false };
        if let Ok(id) = self.graph().try_op(op, &[left, right]) {
            return Ok(self.value(id));
        }
        let seen = |lower: &Self, id, flipped: bool| {
            let mut shape: Shape = lower.shape(id);
            let rank = shape.rank();
            if flipped && rank >= 2 {
                shape.0.swap(rank - 1, rank - 2);
            }
            shape
        };
        let (x, y) = (seen(self, left, ta), seen(self, right, tb));
        let mut message = format!("matmul needs [m, k] x [k, n], found {} and {}", named(a, &x), named(b, &y));
        if x.rank() >= 2 && y.rank() >= 2 && x.0.last() == y.0.last() {
            message += &format!("; transpose the second: `{}.t`", b.text().unwrap_or("(..)".to_owned()));
        }
        Err(self.report(range, message))
    }

    /// A factor of a matrix product, and whether it is to be read transposed.
    fn factor(&mut self, scope: &mut Scope, expr: &Expr) -> Lowered<(g2_ir::NodeId, bool)> {
        if let ExprKind::Field(of, name) = &expr.kind
            && name == "t"
        {
            let value = self.expr(scope, of)?;
            if !matches!(value, Value::Scan(_)) {
                let id = self.real(&value, of.range)?;
                if self.shape(id).rank() >= 2 {
                    return Ok((id, true));
                }
            }
        }
        let value = self.expr(scope, expr)?;
        Ok((self.real(&value, expr.range)?, false))
    }

    // Dimensions.

    /// An expression as a dimension: names, whole numbers, `+`, `-` and `*`.
    pub(crate) fn dim(&mut self, scope: &Scope, expr: &Expr) -> Lowered<Dim> {
        dim_of(expr, &|name| scope.dims.get(name).cloned()).map_err(|(range, message)| {
            let message =
                message.unwrap_or_else(|name| unknown("dimension", &name, scope.dims.keys().map(String::as_str)));
            self.report(range, message)
        })
    }

    pub(crate) fn dims(&mut self, scope: &Scope, exprs: &[Expr]) -> Lowered<Shape> {
        let dims: Vec<Lowered<Dim>> = exprs.iter().map(|e| self.dim(scope, e)).collect();
        Ok(Shape(dims.into_iter().collect::<Lowered<_>>()?))
    }

    /// Whether a stack may stand here.
    pub(crate) fn at_model(&self) -> bool {
        matches!(self.levels.last(), Some(level) if level.kind == LevelKind::Model)
    }
}

/// The message for a name that is not known, with the nearest one that is.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    format!("unknown {what} `{name}`{}", suggestion(name, known))
}

/// Reads a dimension; an error is a message or the unknown name.
pub(crate) fn dim_of(
    expr: &Expr,
    symbol: &dyn Fn(&str) -> Option<Dim>,
) -> Result<Dim, (Range, Result<String, String>)> {
    match &expr.kind {
        ExprKind::Number(value) if value.fract() == 0.0 && *value >= 0.0 => Ok(Dim::number(*value as usize)),
        ExprKind::Name(name) => symbol(&name.to_string()).ok_or((expr.range, Err(name.to_string()))),
        ExprKind::Binary(Operator::Add, a, b) => Ok(&dim_of(a, symbol)? + &dim_of(b, symbol)?),
        ExprKind::Binary(Operator::Sub, a, b) => Ok(dim_of(a, symbol)?.minus(&dim_of(b, symbol)?)),
        ExprKind::Binary(Operator::Mul, a, b) => Ok(&dim_of(a, symbol)? * &dim_of(b, symbol)?),
        _ => Err((expr.range, Ok("a dimension is made of names, whole numbers, `+`, `-` and `*`".to_owned()))),
    }
}
