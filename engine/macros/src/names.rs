//! Names: every item of the invocation by itself, its dimensions, declarations, calls and what is never used.

use crate::ast::*;
use crate::compose::{Unit, Units};
use crate::error::{Diagnostics, Range};
use crate::lower::call::{Takes, builtin_names, check_builtin, fn_arity};
use crate::lower::expr::{dim_of, unknown};
use g2_ir::Dim;
use proc_macro2::Ident;
use std::collections::{BTreeMap, BTreeSet};

/// Checks all items of this invocation; returns the keys of those that are wrong.
pub(crate) fn check_names(units: &Units, errors: &mut Diagnostics) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    for (key, name, _) in &units.own {
        let unit = &units.all[key];
        let before = errors.count();
        let Some(item) = &unit.item else {
            failed.insert(key.clone());
            continue;
        };
        if builtin_names().any(|builtin| name == builtin) {
            errors.report(name, format!("`{name}` is a builtin; choose another name"));
        }
        let mut check = Check::new(units, unit, errors);
        match &item.kind {
            ItemKind::Fn(function) => {
                check.distinct(&function.parameters);
                function.parameters.iter().for_each(|p| check.bind(p, None));
                check.expr(&function.body);
                check.recursion(key, name, &function.body);
            }
            ItemKind::Cell(cell) => check.cell(name, cell),
            ItemKind::Model(model) => check.model(model),
            ItemKind::Instance { template, cells, .. } => {
                for ident in [template].into_iter().chain(cells) {
                    check.item(ident, "item");
                }
            }
        }
        check.unused();
        if errors.count() > before {
            failed.insert(key.clone());
        }
    }
    failed
}

struct Local {
    name: String,
    /// What must be used, and where it is declared.
    must: Option<(DeclKind, Range)>,
    used: bool,
}

struct Check<'a> {
    units: &'a Units,
    unit: &'a Unit,
    errors: &'a mut Diagnostics,
    templates: &'a [Ident],
    locals: Vec<Local>,
    dims: BTreeMap<String, Dim>,
    done: Vec<Local>,
}

impl<'a> Check<'a> {
    fn new(units: &'a Units, unit: &'a Unit, errors: &'a mut Diagnostics) -> Check<'a> {
        Check { units, unit, errors, templates: &[], locals: Vec::new(), dims: BTreeMap::new(), done: Vec::new() }
    }

    fn cell(&mut self, name: &Ident, cell: &'a Cell) {
        self.header(&cell.dims, &cell.decls);
        self.statements(&cell.statements);
        let states: Vec<String> =
            cell.decls.iter().filter(|d| d.kind == DeclKind::State).map(|d| d.name.to_string()).collect();
        match &cell.next {
            Some(next) => next.values.iter().for_each(|v| self.expr(v)),
            None if states.is_empty() => {}
            None => {
                self.errors
                    .report(name, format!("cell `{name}` has no `next`; end it with `next ({})`", states.join(", ")));
            }
        }
    }

    fn model(&mut self, model: &'a Model) {
        self.distinct(&model.templates);
        self.templates = &model.templates;
        self.header(&model.dims, &model.decls);
        self.statements(&model.statements);
        for decl in &model.decls {
            if matches!(decl.kind, DeclKind::State | DeclKind::Outer) {
                let instead = if decl.kind == DeclKind::State { "scan a cell `carried`" } else { "declare an `input`" };
                let message = format!("`{}` belongs to a cell; in a model, {instead}", decl.kind.keyword());
                self.errors.report(&decl.name, message);
            }
        }
    }

    fn header(&mut self, dims: &[Ident], decls: &[Decl]) {
        self.distinct(dims);
        self.dims.extend(dims.iter().map(|d| (d.to_string(), Dim::symbol(d.to_string()))));
        self.decls(decls);
    }

    fn decls(&mut self, decls: &[Decl]) {
        let names: Vec<Ident> = decls.iter().map(|d| d.name.clone()).collect();
        self.distinct(&names);
        for decl in decls {
            decl.shape.iter().for_each(|dim| self.dim(dim));
            let once = names.iter().filter(|name| **name == decl.name).count() == 1;
            let must = once && matches!(decl.kind, DeclKind::Input | DeclKind::Outer | DeclKind::Param);
            self.bind(&decl.name, must.then(|| (decl.kind, Range::from(&decl.name))));
        }
    }

    fn distinct(&mut self, names: &[Ident]) {
        for (k, name) in names.iter().enumerate() {
            if let Some(first) = names[..k].iter().find(|n| *n == name) {
                self.errors.report(name, format!("`{name}` is declared twice"));
                self.errors.report(first, format!("`{name}` is first declared here"));
            }
        }
    }

    fn bind(&mut self, name: &Ident, must: Option<(DeclKind, Range)>) {
        self.locals.push(Local { name: name.to_string(), must, used: false });
    }

    fn unused(&mut self) {
        for local in self.done.drain(..).chain(self.locals.drain(..)) {
            if let Some((kind, range)) = local.must.filter(|_| !local.used) {
                let message = format!("{} `{}` is never used; use it or leave it out", kind.keyword(), local.name);
                self.errors.report(range, message);
            }
        }
    }

    fn leave(&mut self, depth: usize) {
        self.done.extend(self.locals.drain(depth..));
    }

    fn statements(&mut self, statements: &[Statement]) {
        let mut outputs: Vec<Ident> = Vec::new();
        for statement in statements {
            match statement {
                Statement::Let { pattern, value } => {
                    self.expr(value);
                    self.distinct(pattern.names());
                    pattern.names().iter().for_each(|name| self.bind(name, None));
                }
                Statement::Output { name, value } => {
                    self.expr(value);
                    outputs.push(name.clone());
                    self.bind(name, None);
                }
                Statement::Loss(value) => self.expr(value),
            }
        }
        self.distinct(&outputs);
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Number(_) => {}
            ExprKind::Name(name) => self.name(name),
            ExprKind::List(values) => values.iter().for_each(|v| self.expr(v)),
            ExprKind::Negate(of) | ExprKind::Field(of, _) => self.expr(of),
            ExprKind::Binary(_, a, b) | ExprKind::IfTraining(a, b) => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::Call(call) => self.call(call),
            ExprKind::Block(statements, result) => {
                let depth = self.locals.len();
                self.statements(statements);
                self.expr(result);
                self.leave(depth);
            }
            ExprKind::Scan(scan) => {
                if !self.templates.contains(&scan.cell) {
                    self.item(&scan.cell, "cell");
                }
                scan.dims.iter().for_each(|(_, dim)| self.dim(dim));
                scan.arguments.iter().for_each(|a| self.expr(&a.value));
                scan.from.iter().flat_map(|(values, _)| values).for_each(|v| self.expr(v));
                scan.masked.iter().for_each(|lengths| self.expr(lengths));
                let dropped: Vec<Ident> = scan.drops.iter().map(|(param, _)| param.clone()).collect();
                self.distinct(&dropped);
                scan.drops.iter().for_each(|(_, p)| self.expr(p));
            }
            ExprKind::Stack(stack) => self.stack(stack),
        }
    }

    fn stack(&mut self, stack: &Stack) {
        match &stack.initial {
            Some(initial) => self.expr(initial),
            None => self.name(&stack.over),
        }
        self.dim(&stack.to);
        self.distinct(&[stack.input.clone(), stack.hidden.clone()]);
        let (depth, dims) = (self.locals.len(), self.dims.clone());
        for symbol in [&stack.input, &stack.hidden] {
            self.dims.insert(symbol.to_string(), Dim::symbol(symbol.to_string()));
        }
        self.bind(&stack.over, None);
        self.decls(&stack.decls);
        self.statements(&stack.statements);
        self.expr(&stack.result);
        self.leave(depth);
        self.dims = dims;
    }

    fn name(&mut self, name: &Ident) {
        let wanted = name.to_string();
        if let Some(local) = self.locals.iter_mut().rev().find(|l| l.name == wanted) {
            local.used = true;
            return;
        }
        let message = unknown("name", &wanted, self.locals.iter().map(|l| l.name.as_str()));
        self.errors.report(name, message);
    }

    fn item(&mut self, name: &Ident, what: &str) {
        let wanted = name.to_string();
        if !self.unit.scope.contains_key(&wanted) {
            let known = self.units.all.values().filter(|u| u.local).map(|u| u.name.as_str());
            let templates: Vec<String> = self.templates.iter().map(ToString::to_string).collect();
            let message = unknown(what, &wanted, known.chain(templates.iter().map(String::as_str)));
            let message = if message.ends_with('?') {
                message
            } else {
                format!("{message}; items of other graphs come in by `use path::{wanted};`")
            };
            self.errors.report(name, message);
        }
    }

    fn call(&mut self, call: &Call) {
        let name = call.name.to_string();
        if let Some(unit) = self.unit.scope.get(&name).and_then(|key| self.units.all.get(key)) {
            call.arguments.iter().for_each(|a| self.expr(&a.value));
            if let Some(Item { kind: ItemKind::Fn(function), .. }) = &unit.item
                && let Some(message) = fn_arity(&name, function, call)
            {
                self.errors.report(call.range, message);
            }
            return;
        }
        match check_builtin(call) {
            Some(Ok(takes)) => {
                for (takes, argument) in takes.into_iter().zip(call.arguments.iter().filter(|a| a.name.is_none())) {
                    match (takes, &argument.value.kind) {
                        (Takes::Value, _) => self.expr(&argument.value),
                        (Takes::Dims, ExprKind::List(dims)) => dims.iter().for_each(|dim| self.dim(dim)),
                        (Takes::Dims, _) => {
                            self.errors
                                .report(argument.value.range, "expected a list of dimensions: `[batch, hidden]`");
                        }
                        (Takes::Dim, _) => self.dim(&argument.value),
                    }
                }
            }
            Some(Err(message)) => {
                self.errors.report(call.range, message);
                call.arguments.iter().filter(|a| a.name.is_none()).for_each(|a| self.expr(&a.value));
            }
            None => {
                let known = builtin_names().chain(self.unit.scope.keys().map(String::as_str));
                let message = unknown("primitive or fn", &name, known);
                self.errors.report(&call.name, message);
                call.arguments.iter().for_each(|a| self.expr(&a.value));
            }
        }
    }

    fn dim(&mut self, expr: &Expr) {
        if let ExprKind::Binary(Operator::Add | Operator::Sub | Operator::Mul, a, b) = &expr.kind {
            self.dim(a);
            self.dim(b);
            return;
        }
        if let Err((range, message)) = dim_of(expr, &|name| self.dims.get(name).cloned()) {
            let message = message.unwrap_or_else(|n| unknown("dimension", &n, self.dims.keys().map(String::as_str)));
            self.errors.report(range, message);
        }
    }

    /// Reports a fn that comes back to itself.
    fn recursion(&mut self, key: &str, name: &Ident, body: &Expr) {
        let mut reached: Vec<(String, Vec<String>)> = vec![(key.to_owned(), vec![name.to_string()])];
        let mut next = 0;
        while let Some((at, path)) = reached.get(next).cloned() {
            next += 1;
            let Some(unit) = self.units.all.get(&at) else { continue };
            let Some(Item { kind: ItemKind::Fn(function), .. }) = &unit.item else { continue };
            for called in calls(&function.body) {
                let Some(target) = unit.scope.get(&called) else { continue };
                let path: Vec<String> = path.iter().cloned().chain([called]).collect();
                if target == key {
                    let message = format!(
                        "`{name}` calls itself ({}); a fn is written out at each call, so none can be recursive",
                        path.join(" -> ")
                    );
                    self.errors.report(body.range, message);
                    return;
                }
                if !reached.iter().any(|(k, _)| k == target) {
                    reached.push((target.clone(), path));
                }
            }
        }
    }
}

/// The names called in an expression.
fn calls(expr: &Expr) -> Vec<String> {
    let all = |exprs: &mut dyn Iterator<Item = &Expr>| exprs.flat_map(calls).collect::<Vec<_>>();
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Name(_) => Vec::new(),
        ExprKind::List(values) => all(&mut values.iter()),
        ExprKind::Negate(of) | ExprKind::Field(of, _) => calls(of),
        ExprKind::Binary(_, a, b) | ExprKind::IfTraining(a, b) => all(&mut [&**a, &**b].into_iter()),
        ExprKind::Call(call) => {
            let mut names = all(&mut call.arguments.iter().map(|a| &a.value));
            names.push(call.name.to_string());
            names
        }
        ExprKind::Block(statements, result) => all(&mut values(statements).chain([&**result])),
        ExprKind::Scan(scan) => {
            let given = scan.arguments.iter().map(|a| &a.value).chain(scan.from.iter().flat_map(|(values, _)| values));
            all(&mut given.chain(&scan.masked).chain(scan.drops.iter().map(|(_, p)| p)))
        }
        ExprKind::Stack(stack) => {
            all(&mut stack.initial.iter().chain(values(&stack.statements)).chain([&stack.result]))
        }
    }
}

/// The values of statements.
fn values(statements: &[Statement]) -> impl Iterator<Item = &Expr> {
    statements.iter().map(|statement| match statement {
        Statement::Let { value, .. } | Statement::Output { value, .. } | Statement::Loss(value) => value,
    })
}
