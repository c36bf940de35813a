//! Every operation of a graph, and the rule that gives its result's shape.

use crate::dim::{Dim, Shape};
use crate::graph::{Loop, LoopOut};
use crate::map::Map;
use serde::{Deserialize, Serialize};

/// What the elements of a tensor are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum DType {
    /// Real numbers: f32 or f64, chosen when the graph is built.
    Real,
    /// Indices (u32): tokens, targets, lengths.
    Index,
}

/// The type of a node's value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Type {
    /// Its dimensions.
    pub shape: Shape,
    /// Its elements.
    pub dtype: DType,
    /// The stack over whose layers this is a family, one tensor a layer, its shape in the stack's own symbols.
    pub family: Option<String>,
}

impl Type {
    /// Real numbers of this shape.
    pub fn real(shape: Shape) -> Type {
        Type { shape, dtype: DType::Real, family: None }
    }

    /// Indices of this shape.
    pub fn index(shape: Shape) -> Type {
        Type { shape, dtype: DType::Index, family: None }
    }

    /// The same, one for each layer of the stack `name`.
    #[must_use]
    pub fn each_layer(mut self, name: &str) -> Type {
        self.family = Some(name.to_owned());
        self
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(stack) = &self.family {
            write!(f, "each {stack}: ")?;
        }
        if self.dtype == DType::Index {
            f.write_str("index ")?;
        }
        write!(f, "{}", self.shape)
    }
}

/// How often a noise site draws anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Per {
    /// At every time step.
    Step,
    /// Once for all the time steps of a run ("locked").
    Sequence,
}

/// An operation. `x[..]` are its arguments.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Op {
    /// The graph's argument of this position.
    Arg(usize),
    /// A scalar constant.
    Const(f64),
    /// A scalar: the number bound to a dimension.
    Size(Dim),
    /// Element-wise, all arguments of one shape.
    Map(Map),
    /// Uniforms on (0, 1), a pure function of (seed, step, layer, time, `site`, element).
    Uniform {
        /// The place in the program that draws: the key's gate coordinate.
        site: u32,
        /// Whether time is part of the key.
        per: Per,
        /// Shape of the draw.
        shape: Shape,
    },
    /// `x` repeated along new axes: its axis `i` becomes axis `axes[i]` of `shape`.
    Broadcast {
        /// Shape of the result.
        shape: Shape,
        /// Where each axis of the argument goes, increasing.
        axes: Vec<usize>,
    },
    /// `x[.., start .. start + len, ..]` along `axis`.
    Slice {
        /// The axis cut.
        axis: usize,
        /// First index.
        start: Dim,
        /// Number of indices.
        len: Dim,
    },
    /// Zeros with `x` at `start` along `axis`, `len` in all: the transpose of a slice.
    Pad {
        /// The axis extended.
        axis: usize,
        /// Where `x` begins.
        start: Dim,
        /// The result's length.
        len: Dim,
    },
    /// `x` backwards along `axis`.
    Reverse {
        /// The axis.
        axis: usize,
    },
    /// `x` with the last two axes swapped.
    Transpose,
    /// `x` with an axis of length 1 before `axis`.
    Insert {
        /// Position of the new axis.
        axis: usize,
    },
    /// `x` without `axis`, which has length 1.
    Remove {
        /// The axis.
        axis: usize,
    },
    /// The arguments one after the other along `axis`.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// The sum over `axes`, which vanish.
    Sum {
        /// The axes, increasing.
        axes: Vec<usize>,
    },
    /// `[.., m, k] x [.., k, n] -> [.., m, n]`. Leading axes are equal, or one side has none; with `fold` the leading
    /// axes are summed over as well and the result is `[m, n]`.
    MatMul {
        /// The first argument is `[.., k, m]`.
        ta: bool,
        /// The second argument is `[.., n, k]`.
        tb: bool,
        /// Sum over the leading axes.
        fold: bool,
    },
    /// Rows of a table: `table [v, e], ids [..] -> [.., e]`.
    Gather,
    /// The transpose of `Gather`: `ids [..], rows [.., e] -> [v, e]`.
    ScatterAdd {
        /// `v`.
        rows: Dim,
    },
    /// One element of each row: `x [.., v], ids [..] -> [..]`.
    Pick,
    /// The transpose of `Pick`: `ids [..], ct [..] -> [.., v]`.
    PickGrad {
        /// `v`.
        len: Dim,
    },
    /// Softmax over the last axis; a second argument of the same shape masks: weight 0 where it is 0, and a row that
    /// is masked whole gives zeros.
    Softmax,
    /// Logarithm of the softmax over the last axis.
    LogSoftmax,
    /// `-log_softmax(x)[.., id]`: `logits [.., v], ids [..] -> [..]`.
    CrossEntropy,
    /// `(softmax(x) - onehot(id)) ct`: `logits [.., v], ids [..], ct [..] -> [.., v]`.
    CrossEntropyGrad,
    /// 1 at the first `lengths[b]` time steps, then 0: `lengths [b] -> [time, b]`.
    LengthMask {
        /// Number of time steps.
        time: Dim,
    },
    /// A scan over time or a stack of layers; its results come through `Get`.
    Loop(Box<Loop>),
    /// One result of a loop.
    Get(LoopOut),
}

impl Op {
    /// Whether each element of the result depends on the same element of the arguments only.
    pub fn is_elementwise(&self) -> bool {
        matches!(self, Op::Map(_) | Op::Uniform { .. })
    }

    /// Whether the result is the argument's memory looked at otherwise.
    pub fn is_view(&self) -> bool {
        matches!(
            self,
            Op::Broadcast { .. }
                | Op::Slice { .. }
                | Op::Reverse { .. }
                | Op::Transpose
                | Op::Insert { .. }
                | Op::Remove { .. }
        )
    }

    /// The name it is printed by.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Arg(_) => "arg",
            Op::Const(_) => "const",
            Op::Size(_) => "size",
            Op::Map(map) => map.row().name,
            Op::Uniform { .. } => "uniform",
            Op::Broadcast { .. } => "broadcast",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::Reverse { .. } => "reverse",
            Op::Transpose => "transpose",
            Op::Insert { .. } => "insert",
            Op::Remove { .. } => "remove",
            Op::Concat { .. } => "concat",
            Op::Sum { .. } => "sum",
            Op::MatMul { .. } => "matmul",
            Op::Gather => "embedding",
            Op::ScatterAdd { .. } => "scatter_add",
            Op::Pick => "pick",
            Op::PickGrad { .. } => "pick_grad",
            Op::Softmax => "softmax",
            Op::LogSoftmax => "log_softmax",
            Op::CrossEntropy => "cross_entropy",
            Op::CrossEntropyGrad => "cross_entropy_grad",
            Op::LengthMask { .. } => "length_mask",
            Op::Loop(_) => "loop",
            Op::Get(_) => "get",
        }
    }

    /// The type of the result, from the arguments' types. `Arg`'s, `Loop`'s and `Get`'s are the graph's to know.
    ///
    /// # Errors
    /// Says in one sentence which shapes the operation needs and which it found.
    pub fn result(&self, x: &[&Type]) -> Result<Type, String> {
        let shapes = || x.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(" and ");
        let need = |what: &str| Err(format!("{} needs {what}, found {}", self.name(), shapes()));
        let arity = |n: usize| {
            let plural = if n == 1 { "" } else { "s" };
            if x.len() == n {
                Ok(())
            } else {
                Err(format!("{} takes {n} argument{plural}, found {}", self.name(), x.len()))
            }
        };
        let real = |n: usize| -> Result<(), String> {
            arity(n)?;
            match x.iter().find(|t| t.dtype != DType::Real || t.family.is_some()) {
                None => Ok(()),
                Some(t) => Err(format!("{} needs real numbers, found {t}", self.name())),
            }
        };
        let axis_of = |axis: usize| {
            if axis < x[0].shape.rank() { Ok(()) } else { Err(format!("{}: {} has no axis {axis}", self.name(), x[0])) }
        };
        match self {
            Op::Arg(_) | Op::Loop(_) | Op::Get(_) => Err(format!("{} has no shape rule of its own", self.name())),
            Op::Const(_) | Op::Size(_) => arity(0).map(|()| Type::real(Shape::scalar())),
            Op::Uniform { shape, .. } => arity(0).map(|()| Type::real(shape.clone())),
            Op::Map(map) => {
                real(map.row().arity)?;
                if x.iter().any(|t| t.shape != x[0].shape) {
                    return need("arguments of one shape");
                }
                Ok(x[0].clone())
            }
            Op::Broadcast { shape, axes } => {
                real(1)?;
                let increasing = axes.windows(2).all(|w| w[0] < w[1]);
                let fits = axes.len() == x[0].shape.rank()
                    && axes.iter().zip(&x[0].shape.0).all(|(&axis, dim)| shape.0.get(axis) == Some(dim));
                if !(increasing && fits) {
                    return Err(format!("broadcast cannot take {} to {shape}", x[0]));
                }
                Ok(Type::real(shape.clone()))
            }
            Op::Slice { axis, start: _, len } => {
                arity(1)?;
                axis_of(*axis)?;
                Ok(Type { shape: x[0].shape.with(*axis, len.clone()), ..x[0].clone() })
            }
            Op::Pad { axis, start: _, len } => {
                real(1)?;
                axis_of(*axis)?;
                Ok(Type::real(x[0].shape.with(*axis, len.clone())))
            }
            Op::Reverse { axis } => {
                arity(1)?;
                axis_of(*axis)?;
                Ok(x[0].clone())
            }
            Op::Transpose => {
                real(1)?;
                if x[0].shape.rank() < 2 {
                    return need("a tensor of at least two axes");
                }
                let mut dims = x[0].shape.0.clone();
                let rank = dims.len();
                dims.swap(rank - 1, rank - 2);
                Ok(Type::real(Shape(dims)))
            }
            Op::Insert { axis } => {
                real(1)?;
                if *axis > x[0].shape.rank() {
                    return Err(format!("insert: {} has no place for an axis {axis}", x[0]));
                }
                Ok(Type::real(x[0].shape.insert(*axis, Dim::number(1))))
            }
            Op::Remove { axis } => {
                real(1)?;
                axis_of(*axis)?;
                if x[0].shape.0[*axis] != Dim::number(1) {
                    return need(&format!("length 1 at axis {axis}"));
                }
                Ok(Type::real(x[0].shape.remove(*axis)))
            }
            Op::Concat { axis } => {
                real(x.len().max(1))?;
                axis_of(*axis)?;
                let mut total = Dim::number(0);
                for t in x {
                    if t.shape.rank() != x[0].shape.rank()
                        || t.shape.with(*axis, Dim::number(0)) != x[0].shape.with(*axis, Dim::number(0))
                    {
                        return need(&format!("shapes that differ along axis {axis} only"));
                    }
                    total = &total + &t.shape.0[*axis];
                }
                Ok(Type::real(x[0].shape.with(*axis, total)))
            }
            Op::Sum { axes } => {
                real(1)?;
                if axes.windows(2).any(|w| w[0] >= w[1]) || axes.iter().any(|&a| a >= x[0].shape.rank()) {
                    return Err(format!("sum: axes {axes:?} do not fit {}", x[0]));
                }
                let kept = x[0].shape.0.iter().enumerate().filter(|(i, _)| !axes.contains(i));
                Ok(Type::real(Shape(kept.map(|(_, d)| d.clone()).collect())))
            }
            Op::MatMul { ta, tb, fold } => {
                real(2)?;
                let letters = |transposed, plain, flipped| if transposed { flipped } else { plain };
                let wanted = format!("[.., {}] x [.., {}]", letters(*ta, "m, k", "k, m"), letters(*tb, "k, n", "n, k"));
                let (a, b) = (&x[0].shape, &x[1].shape);
                if a.rank() < 2 || b.rank() < 2 {
                    return need(&wanted);
                }
                let split = |s: &Shape, flip: bool| {
                    let (lead, last) = s.0.split_at(s.rank() - 2);
                    let (row, column) = if flip { (&last[1], &last[0]) } else { (&last[0], &last[1]) };
                    (lead.to_vec(), row.clone(), column.clone())
                };
                let ((lead_a, m, k), (lead_b, k_b, n)) = (split(a, *ta), split(b, *tb));
                if k != k_b {
                    return need(&wanted);
                }
                let lead = match (lead_a.is_empty(), lead_b.is_empty()) {
                    (_, true) if !*fold => lead_a,
                    (true, _) if !*fold => lead_b,
                    _ if lead_a == lead_b => lead_a,
                    _ => return need(&wanted),
                };
                let lead = if *fold { Vec::new() } else { lead };
                Ok(Type::real(Shape(lead.into_iter().chain([m, n]).collect())))
            }
            Op::Gather => {
                arity(2)?;
                if x[0].dtype != DType::Real || x[0].shape.rank() != 2 || x[1].dtype != DType::Index {
                    return need("a table [v, e] and indices [..]");
                }
                Ok(Type::real(x[1].shape.insert(x[1].shape.rank(), x[0].shape.0[1].clone())))
            }
            Op::ScatterAdd { rows } => {
                arity(2)?;
                let fits = x[0].dtype == DType::Index
                    && x[1].dtype == DType::Real
                    && x[1].shape.rank() == x[0].shape.rank() + 1;
                if !fits || x[1].shape.remove(x[0].shape.rank()) != x[0].shape {
                    return need("indices [..] and rows [.., e]");
                }
                Ok(Type::real(Shape(vec![rows.clone(), x[1].shape.0[x[0].shape.rank()].clone()])))
            }
            Op::Pick | Op::CrossEntropy => {
                arity(2)?;
                let rank = x[0].shape.rank();
                let fits = x[0].dtype == DType::Real && x[1].dtype == DType::Index && rank > 0;
                if !fits || x[0].shape.remove(rank - 1) != x[1].shape {
                    return need("rows [.., v] and one index a row [..]");
                }
                Ok(Type::real(x[1].shape.clone()))
            }
            Op::PickGrad { len } => {
                arity(2)?;
                if x[0].dtype != DType::Index || x[1].dtype != DType::Real || x[0].shape != x[1].shape {
                    return need("indices [..] and cotangents [..]");
                }
                Ok(Type::real(x[0].shape.insert(x[0].shape.rank(), len.clone())))
            }
            Op::Softmax => {
                if x.len() != 1 {
                    real(2)?;
                }
                real(x.len())?;
                if x[0].shape.rank() == 0 || x.iter().any(|t| t.shape != x[0].shape) {
                    return need("rows [.., v] and, to mask them, a mask of the same shape");
                }
                Ok(x[0].clone())
            }
            Op::LogSoftmax => {
                real(1)?;
                if x[0].shape.rank() == 0 {
                    return need("rows [.., v]");
                }
                Ok(x[0].clone())
            }
            Op::CrossEntropyGrad => {
                arity(3)?;
                let rank = x[0].shape.rank();
                let types = x[0].dtype == DType::Real && x[1].dtype == DType::Index && x[2].dtype == DType::Real;
                if !types || rank == 0 || x[0].shape.remove(rank - 1) != x[1].shape || x[1].shape != x[2].shape {
                    return need("rows [.., v], one index and one cotangent a row [..]");
                }
                Ok(x[0].clone())
            }
            Op::LengthMask { time } => {
                arity(1)?;
                if x[0].dtype != DType::Index || x[0].shape.rank() != 1 {
                    return need("lengths: index [batch]");
                }
                Ok(Type::real(x[0].shape.insert(0, time.clone())))
            }
        }
    }
}
