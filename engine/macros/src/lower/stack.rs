//! `stack NAME[input -> hidden] over x to last { .. }`: a loop over layers, whose number is given at construction.

use super::scope::{LevelKind, Lower, Lowered, Scope};
use crate::ast::*;
use crate::error::{Range, Reported};
use g2_ir::graph::Output;
use g2_ir::op::Type;
use g2_ir::{Dim, LeafKind, LoopKind, LoopOut, Node, NodeId, Op, Shape};

impl Lower<'_> {
    pub(super) fn lower_stack(&mut self, scope: &mut Scope, stack: &Stack) -> Lowered {
        if !self.at_model() {
            return Err(self.report(stack.range, "a stack stands in a model, not in a cell or another stack"));
        }
        let name = stack.name.to_string();
        let is_it = |node: &Node| match &node.op {
            Op::Loop(lp) => matches!(&lp.kind, LoopKind::Stack { name: other, .. } if *other == name),
            _ => false,
        };
        if self.graph().nodes.iter().any(is_it) {
            let message =
                format!("two stacks of this model are called `{name}`; its layers' sizes are given by that name");
            return Err(self.report(Range::from(&stack.name), message));
        }
        let over = Expr { range: Range::from(&stack.over), kind: ExprKind::Name(stack.over.clone()) };
        let initial = stack.initial.as_ref().unwrap_or(&over);
        let x = self.expr(scope, initial)?;
        let x = self.real(&x, initial.range)?;
        let last = self.dim(scope, &stack.to)?;
        let outer = self.shape(x);
        let Some(first) = outer.0.last().cloned() else {
            return Err(
                self.report(initial.range, "a stack runs over a tensor whose last axis is the width, found a scalar")
            );
        };
        let symbols = [&stack.input, &stack.hidden].map(|symbol| format!("{name}.{symbol}"));
        let [input, hidden] = symbols.clone().map(Dim::symbol);
        let axis = outer.rank() - 1;
        let wants = outer.with(axis, hidden.clone());

        self.push_level(LevelKind::Stack(name.clone()));
        let arg = self.graph().arg(Type::real(outer.with(axis, input.clone())));
        let level = self.level();
        self.levels[level].carries.push((x, arg));
        let mut inner = scope.clone();
        inner.dims.insert(stack.input.to_string(), input);
        inner.dims.insert(stack.hidden.to_string(), hidden);
        let value = self.value(arg);
        self.bind(&mut inner, &stack.over.to_string(), value);
        let result = self.stack_body(&mut inner, stack, &wants);

        let level = self.levels.pop().ok_or(Reported)?;
        let result = result?;
        let ys: Vec<(NodeId, Output)> = level.ys.clone();
        let outputs = std::iter::once(result).chain(ys.iter().map(|(id, _)| *id)).collect();
        let [input, hidden] = symbols;
        let node = self.add_loop(level, LoopKind::Stack { name, input, hidden, first, last }, false, outputs);
        for (k, (_, output)) in ys.into_iter().enumerate() {
            let id = self.graph().get(node, LoopOut::Y(k));
            self.outputs.push((output, id));
        }
        let id = self.graph().get(node, LoopOut::Final(0));
        Ok(self.value(id))
    }

    fn stack_body(&mut self, scope: &mut Scope, stack: &Stack, wants: &Shape) -> Lowered<NodeId> {
        for decl in &stack.decls {
            let kind = match decl.kind {
                DeclKind::Param => LeafKind::Param,
                DeclKind::Hyper => LeafKind::Hyper,
                DeclKind::Input | DeclKind::Outer | DeclKind::State => {
                    let message = format!(
                        "a stack declares `param` and `hyper`; `{}` belongs to a cell or a model",
                        decl.kind.keyword()
                    );
                    self.report(Range::from(&decl.name), message);
                    continue;
                }
            };
            let name = decl.name.to_string();
            if stack.decls.iter().filter(|d| d.name == decl.name).count() > 1 {
                scope.bind(name, super::scope::Value::Wrong); // Which `names` reports.
                continue;
            }
            let value = self
                .dims(scope, &decl.shape)
                .and_then(|shape| Ok(self.leaf(&name, kind, Type::real(shape), Range::from(&decl.name))?.1));
            scope.bind(name, value.unwrap_or(super::scope::Value::Wrong));
        }
        for statement in &stack.statements {
            match statement {
                Statement::Let { .. } => self.statement(scope, statement),
                Statement::Output { name, value } => {
                    if let Ok(id) = self.output(scope, name, value) {
                        let level = self.level();
                        let name = format!("{}.{name}", stack.name);
                        if self.mode != g2_ir::Mode::Training {
                            self.levels[level].ys.push((id, Output::Named(name)));
                        }
                    }
                }
                Statement::Loss(_) => {}
            }
        }
        let result = self.tensor(scope, &stack.result)?;
        let found = self.shape(result);
        if found != *wants {
            let message = format!(
                "the result of a layer of `{}` has the shape of its input with `{}` as the last axis, {wants}; found {found}",
                stack.name, stack.hidden
            );
            return Err(self.report(stack.result.range, message));
        }
        Ok(result)
    }
}
