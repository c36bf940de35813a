//! The table of element-wise primitives: one row each, with name, formula, value and derivative.
//!
//! Adding one is a variant, its row, and a method of the engine's `Real` trait where `code` needs a new one.

use crate::graph::{Graph, NodeId};
use serde::{Deserialize, Serialize};

/// An element-wise primitive. Conditions are numbers: 1 is true, 0 is false.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Map {
    /// `-a`
    Neg,
    /// `exp(a)`
    Exp,
    /// `ln(a)`
    Ln,
    /// `ln(a / (1 - a))`
    Logit,
    /// `1 / (1 + exp(-a))`
    Sigmoid,
    /// `tanh(a)`
    Tanh,
    /// `a` if positive, else 0; NaN stays
    Relu,
    /// `a * a`
    Square,
    /// the square root of `a`
    Sqrt,
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// the larger of `a` and `b`; NaN if either is
    Max,
    /// `a > b`
    Greater,
    /// `a < b`
    Less,
    /// `b` where `a` is true, else `c`
    Select,
}

/// The cotangent of argument `k`, given the arguments `x`, the result `y` and its cotangent `ct`.
pub type Vjp = fn(g: &mut Graph, k: usize, x: &[NodeId], y: NodeId, ct: NodeId) -> Option<NodeId>;

/// What there is to know of one primitive.
pub struct Row {
    /// Its name in the language (operators have one too, for printing).
    pub name: &'static str,
    /// Number of arguments.
    pub arity: usize,
    /// Its value as Rust over `T: Real`, the arguments being `a`, `b`, `c`.
    pub code: &'static str,
    /// Its value in f64, from the standard library: the oracle's.
    pub value: fn(&[f64]) -> f64,
    /// Its derivative.
    pub vjp: Vjp,
}

fn truth(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

impl Map {
    /// Every primitive, in the order of the table.
    pub const ALL: [Map; 17] = [
        Map::Neg,
        Map::Exp,
        Map::Ln,
        Map::Logit,
        Map::Sigmoid,
        Map::Tanh,
        Map::Relu,
        Map::Square,
        Map::Sqrt,
        Map::Add,
        Map::Sub,
        Map::Mul,
        Map::Div,
        Map::Max,
        Map::Greater,
        Map::Less,
        Map::Select,
    ];

    /// The primitive's row.
    #[rustfmt::skip]
    pub fn row(self) -> Row {
        let row = |name, arity, code, value, vjp| Row { name, arity, code, value, vjp };
        match self {
            // d(-a) = -ct
            Map::Neg => row("neg", 1, "-a", |v| -v[0], |g, _, _, _, ct| Some(g.neg(ct))),
            // d exp(a) = ct y
            Map::Exp => row("exp", 1, "a.exp()", |v| v[0].exp(), |g, _, _, y, ct| Some(g.mul(ct, y))),
            // d ln(a) = ct / a
            Map::Ln => row("ln", 1, "a.ln()", |v| v[0].ln(), |g, _, x, _, ct| Some(g.div(ct, x[0]))),
            // d logit(a) = ct / (a (1 - a))
            Map::Logit => row("logit", 1, "a.logit()", |v| ((2.0 * v[0] - 1.0) / (1.0 - v[0])).ln_1p(), |g, _, x, _, ct| {
                let one_minus = g.one_minus(x[0]);
                let slope = g.mul(x[0], one_minus);
                Some(g.div(ct, slope))
            }),
            // d sigmoid(a) = ct y (1 - y)
            Map::Sigmoid => row("sigmoid", 1, "a.sigmoid()", |v| 1.0 / (1.0 + (-v[0]).exp()), |g, _, _, y, ct| {
                let one_minus = g.one_minus(y);
                let slope = g.mul(y, one_minus);
                Some(g.mul(ct, slope))
            }),
            // d tanh(a) = ct (1 - y^2)
            Map::Tanh => row("tanh", 1, "a.tanh()", |v| v[0].tanh(), |g, _, _, y, ct| {
                let squared = g.square(y);
                let slope = g.one_minus(squared);
                Some(g.mul(ct, slope))
            }),
            // d relu(a) = ct [a > 0]
            Map::Relu => row("relu", 1, "a.relu()", |v| if v[0] > 0.0 || v[0].is_nan() { v[0] } else { 0.0 }, |g, _, x, _, ct| {
                let zero = g.zeros_like(x[0]);
                let positive = g.greater(x[0], zero);
                Some(g.mul(ct, positive))
            }),
            // d a^2 = 2 ct a
            Map::Square => row("square", 1, "a * a", |v| v[0] * v[0], |g, _, x, _, ct| {
                let twice = g.add(x[0], x[0]);
                Some(g.mul(ct, twice))
            }),
            // d sqrt(a) = ct / (2 y)
            Map::Sqrt => row("sqrt", 1, "a.sqrt()", |v| v[0].sqrt(), |g, _, _, y, ct| {
                let twice = g.add(y, y);
                Some(g.div(ct, twice))
            }),
            // d(a + b) = ct, ct
            Map::Add => row("add", 2, "a + b", |v| v[0] + v[1], |_, _, _, _, ct| Some(ct)),
            // d(a - b) = ct, -ct
            Map::Sub => row("sub", 2, "a - b", |v| v[0] - v[1], |g, k, _, _, ct| Some(if k == 0 { ct } else { g.neg(ct) })),
            // d(a b) = ct b, ct a
            Map::Mul => row("mul", 2, "a * b", |v| v[0] * v[1], |g, k, x, _, ct| Some(g.mul(ct, x[1 - k]))),
            // d(a / b) = ct / b, -ct y / b
            Map::Div => row("div", 2, "a / b", |v| v[0] / v[1], |g, k, x, y, ct| {
                let quotient = g.div(ct, x[1]);
                if k == 0 { return Some(quotient); }
                let product = g.mul(quotient, y);
                Some(g.neg(product))
            }),
            // d max(a, b) = ct [not b > a], ct [b > a]: a tie is a's
            Map::Max => row("max", 2, "a.maximum(b)", |v| if v[0].is_nan() || v[1].is_nan() { f64::NAN } else { v[0].max(v[1]) }, |g, k, x, _, ct| {
                let second = g.greater(x[1], x[0]);
                let chosen = if k == 1 { second } else { g.one_minus(second) };
                Some(g.mul(ct, chosen))
            }),
            // piecewise constant
            Map::Greater => row("greater", 2, "a.greater(b)", |v| truth(v[0] > v[1]), |_, _, _, _, _| None),
            Map::Less => row("less", 2, "a.less(b)", |v| truth(v[0] < v[1]), |_, _, _, _, _| None),
            // d select(a, b, c) = none, ct where a, ct where not a
            Map::Select => row("select", 3, "T::select(a, b, c)", |v| if v[0] != 0.0 { v[1] } else { v[2] }, |g, k, x, _, ct| {
                let zero = g.zeros_like(ct);
                match k {
                    0 => None,
                    1 => Some(g.map(Map::Select, &[x[0], ct, zero])),
                    _ => Some(g.map(Map::Select, &[x[0], zero, ct])),
                }
            }),
        }
    }

    /// The primitive called `name` in the language.
    pub fn named(name: &str) -> Option<Map> {
        Map::ALL.into_iter().find(|m| m.row().name == name)
    }
}
