//! The language's syntax: items, statements, expressions. Names are not resolved and shapes not known.

use crate::error::Range;
use proc_macro2::Ident;

/// One item of an invocation.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) name: Ident,
    pub(crate) kind: ItemKind,
}

#[derive(Clone, Debug)]
pub(crate) enum ItemKind {
    Fn(Function),
    Cell(Cell),
    Model(Model),
    /// `model NAME = TEMPLATE<CELL, ..>;`
    Instance {
        template: Ident,
        cells: Vec<Ident>,
        range: Range,
    },
}

impl ItemKind {
    pub(crate) fn what(&self) -> &'static str {
        match self {
            ItemKind::Fn(_) => "fn",
            ItemKind::Cell(_) => "cell",
            ItemKind::Model(_) | ItemKind::Instance { .. } => "model",
        }
    }
}

/// `fn NAME(parameters) = body;`
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) parameters: Vec<Ident>,
    pub(crate) body: Expr,
}

#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) dims: Vec<Ident>,
    pub(crate) decls: Vec<Decl>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) next: Option<Next>,
}

/// `next (h, c)`
#[derive(Clone, Debug)]
pub(crate) struct Next {
    pub(crate) values: Vec<Expr>,
    pub(crate) range: Range,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// The cells it is a template over.
    pub(crate) templates: Vec<Ident>,
    pub(crate) dims: Vec<Ident>,
    pub(crate) decls: Vec<Decl>,
    pub(crate) statements: Vec<Statement>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeclKind {
    Input,
    Outer,
    State,
    Param,
    Hyper,
}

impl DeclKind {
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            DeclKind::Input => "input",
            DeclKind::Outer => "outer",
            DeclKind::State => "state",
            DeclKind::Param => "param",
            DeclKind::Hyper => "hyper",
        }
    }
}

/// `KIND name: index [shape];`
#[derive(Clone, Debug)]
pub(crate) struct Decl {
    pub(crate) kind: DeclKind,
    pub(crate) name: Ident,
    pub(crate) index: bool,
    pub(crate) shape: Vec<Expr>,
}

#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Let { pattern: Pattern, value: Expr },
    Output { name: Ident, value: Expr },
    Loss(Expr),
}

#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Name(Ident),
    /// `[a, b]` or `(a, b)`
    List(Vec<Ident>, Range),
}

impl Pattern {
    pub(crate) fn names(&self) -> &[Ident] {
        match self {
            Pattern::Name(name) => std::slice::from_ref(name),
            Pattern::List(names, _) => names,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) range: Range,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    MatMul,
    Less,
    Greater,
}

#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Number(f64),
    Name(Ident),
    /// `[a, b]` or `(a, b)`
    List(Vec<Expr>),
    Negate(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// `x.name`; `.t` is the transpose
    Field(Box<Expr>, Ident),
    Call(Call),
    Block(Vec<Statement>, Box<Expr>),
    /// `if training { .. } else { .. }`
    IfTraining(Box<Expr>, Box<Expr>),
    Scan(Box<Scan>),
    Stack(Box<Stack>),
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: Ident,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) range: Range,
}

/// `value` or `name = value`
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub(crate) name: Option<Ident>,
    pub(crate) value: Expr,
}

/// `scan CELL[dims](arguments) options`
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub(crate) cell: Ident,
    pub(crate) dims: Vec<(Ident, Expr)>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) from: Option<(Vec<Expr>, Range)>,
    pub(crate) carried: Option<Range>,
    pub(crate) reversed: bool,
    pub(crate) masked: Option<Expr>,
    pub(crate) prefix: Option<Ident>,
    /// `drop PARAM by p`: weight drop on parameters of the cell.
    pub(crate) drops: Vec<(Ident, Expr)>,
    pub(crate) range: Range,
}

/// `stack NAME[input -> hidden] over x to last { decls statements result }`
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) name: Ident,
    pub(crate) input: Ident,
    pub(crate) hidden: Ident,
    pub(crate) over: Ident,
    pub(crate) initial: Option<Expr>,
    pub(crate) to: Expr,
    pub(crate) decls: Vec<Decl>,
    pub(crate) statements: Vec<Statement>,
    pub(crate) result: Expr,
    pub(crate) range: Range,
}

impl Expr {
    /// The expression as written, where it is short enough to name it by.
    pub(crate) fn text(&self) -> Option<String> {
        match &self.kind {
            ExprKind::Name(name) => Some(name.to_string()),
            ExprKind::Field(of, name) => Some(format!("{}.{name}", of.text()?)),
            ExprKind::Number(value) => Some(value.to_string()),
            ExprKind::Call(call) => match call.arguments.as_slice() {
                [] => Some(format!("{}()", call.name)),
                [one] if one.name.is_none() => Some(format!("{}({})", call.name, one.value.text()?)),
                _ => Some(format!("{}(..)", call.name)),
            },
            _ => None,
        }
    }
}
