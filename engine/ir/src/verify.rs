//! The typing of a graph, checked after every pass.

use crate::graph::{Graph, Loop, NodeId, Output, Phase, Program};
use crate::op::{DType, Op, Type};

/// Checks a whole program: its graph, that leaves and outputs match it, and that the loss is a scalar.
///
/// # Errors
/// Says which node breaks which rule.
pub fn verify_program(program: &Program) -> Result<(), String> {
    let graph = &program.graph;
    verify(graph)?;
    if program.leaves.len() != graph.args.len() || program.outputs.len() != graph.outputs.len() {
        return Err("leaves and outputs must match the graph's arguments and results one to one".into());
    }
    for (output, &id) in program.outputs.iter().zip(&graph.outputs) {
        let leaf_ty = match output {
            Output::Loss if *graph.ty(id) != Type::real(crate::Shape::scalar()) => {
                return Err(format!("the loss must be a scalar, found {}", graph.ty(id)));
            }
            Output::Loss | Output::Named(_) => continue,
            Output::Next(leaf) | Output::Grad(leaf) => program.leaf_type(*leaf),
        };
        if leaf_ty != graph.ty(id) {
            return Err(format!("{output:?} has type {}, its leaf has {leaf_ty}", graph.ty(id)));
        }
    }
    Ok(())
}

/// Checks one graph and the bodies of its loops.
///
/// # Errors
/// Says which node breaks which rule.
pub fn verify(graph: &Graph) -> Result<(), String> {
    for id in graph.ids() {
        verify_node(graph, id).map_err(|error| format!("node {} ({}): {error}", id.0, graph.node(id).op.name()))?;
    }
    for (position, &id) in graph.args.iter().enumerate() {
        if graph.node(id).op != Op::Arg(position) {
            return Err(format!("argument {position} is node {}, which is {:?}", id.0, graph.node(id).op));
        }
    }
    if let Some(id) = graph.outputs.iter().find(|id| id.index() >= graph.nodes.len()) {
        return Err(format!("output {} does not exist", id.0));
    }
    Ok(())
}

fn verify_node(graph: &Graph, id: NodeId) -> Result<(), String> {
    let node = graph.node(id);
    for &arg in &node.args {
        if arg >= id {
            return Err(format!("argument {} does not stand before it", arg.0));
        }
        if node.phase == Phase::Forward && graph.node(arg).phase == Phase::Backward {
            return Err(format!("a forward node reads node {} of backward", arg.0));
        }
    }
    let expected = match &node.op {
        Op::Arg(position) => {
            if graph.args.get(*position) != Some(&id) {
                return Err("it is not listed as that argument".into());
            }
            return Ok(());
        }
        Op::Loop(lp) => return verify_loop(graph, node.args.as_slice(), lp),
        Op::Get(out) => graph.loop_at(node.args[0]).out_type(*out),
        op => {
            let types: Vec<&Type> = node.args.iter().map(|&arg| graph.ty(arg)).collect();
            op.result(&types)?
        }
    };
    if expected == node.ty { Ok(()) } else { Err(format!("its type is {}, its rule gives {expected}", node.ty)) }
}

fn verify_loop(graph: &Graph, args: &[NodeId], lp: &Loop) -> Result<(), String> {
    verify(&lp.body).map_err(|error| format!("in its body: {error}"))?;
    if lp.body.args.len() != lp.consts + lp.steps + lp.carries || args.len() != lp.body.args.len() {
        return Err(format!(
            "{} arguments for a body of {} ({} consts, {} steps, {} carries)",
            args.len(),
            lp.body.args.len(),
            lp.consts,
            lp.steps,
            lp.carries
        ));
    }
    if lp.body.outputs.len() != lp.carries + lp.ys + lp.accs {
        return Err("its body's outputs are not its carries, per-step results and sums".into());
    }
    for (k, (&outer, &inner)) in args.iter().zip(&lp.body.args).enumerate() {
        let inner = lp.body.ty(inner);
        let expected = match k {
            _ if k < lp.consts => lp.outer(inner),
            _ if k < lp.consts + lp.steps => lp.stacked(inner),
            _ => lp.outer(inner),
        };
        if *graph.ty(outer) != expected {
            return Err(format!("argument {k} is {}, its body needs {expected}", graph.ty(outer)));
        }
    }
    for k in 0..lp.carries {
        let (before, after) = (lp.body.ty(lp.carry_arg(k)), lp.body.output_type(k));
        let same = match &lp.kind {
            crate::LoopKind::Scan { .. } => *before == after,
            crate::LoopKind::Stack { .. } => before.shape.rank() == after.shape.rank(),
        };
        if !same || after.dtype != DType::Real {
            return Err(format!("carry {k} enters as {before} and leaves as {after}"));
        }
    }
    Ok(())
}
