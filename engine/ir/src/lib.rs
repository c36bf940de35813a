//! `g2-ir`: the static graph, and every pass over it.
//!
//! A graph is a list of single-assignment nodes with symbolic shapes. The macro builds it, the passes here
//! differentiate, simplify, hoist and fuse it at expansion time, and the engine binds its dimensions to numbers and
//! runs it. This crate does no I/O, knows no tokens and runs nothing but the reference interpreter.
//!
//! ```text
//! dim       symbolic dimensions and shapes
//! map       the table of element-wise primitives: name, value, derivative
//! op        every operation and its shape rule
//! graph     nodes, loops, programs, and the builder
//! verify    the typing of a graph, checked after every pass
//! grad      reverse-mode differentiation, also through loops
//! simplify  slices to their sources, pads to concatenations, dead nodes out
//! hoist     what does not depend on time leaves the scan
//! fuse      maximal element-wise regions
//! print     text and DOT
//! interpret the f64 oracle
//! ```
#![warn(missing_docs)]

pub mod dim;
pub mod fuse;
pub mod grad;
pub mod graph;
pub mod hoist;
pub mod interpret;
pub mod map;
pub mod op;
pub mod print;
pub mod simplify;
pub mod verify;

pub use dim::{Dim, Shape, Sizes};
pub use graph::{Graph, Leaf, LeafKind, Loop, LoopKind, LoopOut, Mode, Node, NodeId, Program, Region};
pub use map::Map;
pub use op::{Op, Per, Type};

/// Every pass in order: what does not depend on time leaves the scans before and after training programs get their
/// gradients, and what remains is fused. The graph is verified after each pass.
///
/// # Errors
/// Says which pass left which node ill-typed, or why no gradient exists.
pub fn compile(program: Program) -> Result<Program, String> {
    type Pass = fn(Program) -> Result<Program, String>;
    let passes: [(&str, Pass); 7] = [
        ("lower", Ok),
        ("simplify", |p| Ok(simplify::simplify(p))),
        ("hoist", |p| Ok(hoist::hoist(p))),
        ("grad", grad::grad),
        ("sink", |p| Ok(hoist::sink(p))),
        ("simplify", |p| Ok(simplify::simplify_and_move_slices(p))),
        ("fuse", |p| Ok(fuse::fuse(p))),
    ];
    passes.into_iter().try_fold(program, |program, (name, pass)| {
        let program = pass(program).map_err(|error| format!("{name}: {error}"))?;
        verify::verify_program(&program).map_err(|error| format!("after {name}: {error}"))?;
        Ok(program)
    })
}
