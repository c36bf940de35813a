//! Programs as text and as DOT.

use crate::graph::{Graph, Loop, LoopKind, LoopOut, NodeId, Output, Phase, Program};
use crate::op::{Op, Per};
use std::fmt::{self, Display, Formatter, Write};

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({:?})", self.name, self.mode)?;
        for (k, leaf) in self.leaves.iter().enumerate() {
            let kind = format!("{:?}", leaf.kind).to_lowercase();
            writeln!(f, "  {kind} {}: {} = %{}", leaf.name, self.leaf_type(k), self.graph.args[k].0)?;
        }
        write_nodes(f, &self.graph, 1)?;
        for (output, id) in self.outputs.iter().zip(&self.graph.outputs) {
            match output {
                Output::Loss => writeln!(f, "  loss %{}", id.0)?,
                Output::Next(leaf) => writeln!(f, "  next {} = %{}", self.leaves[*leaf].name, id.0)?,
                Output::Named(name) => writeln!(f, "  output {name} = %{}", id.0)?,
                Output::Grad(leaf) => writeln!(f, "  gradient of {} = %{}", self.leaves[*leaf].name, id.0)?,
            }
        }
        Ok(())
    }
}

impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_nodes(f, self, 0)?;
        writeln!(f, "return {}", list(&self.outputs))
    }
}

fn list(ids: &[NodeId]) -> String {
    ids.iter().map(|id| format!("%{}", id.0)).collect::<Vec<_>>().join(" ")
}

fn write_nodes(f: &mut Formatter<'_>, g: &Graph, depth: usize) -> fmt::Result {
    let indent = "  ".repeat(depth);
    let mut phase = Phase::Forward;
    for id in g.ids() {
        let node = g.node(id);
        if node.phase != phase {
            phase = node.phase;
            writeln!(f, "{indent}backward:")?;
        }
        match &node.op {
            Op::Arg(_) if depth == 1 => {}
            Op::Loop(lp) => write_loop(f, id, &node.args, lp, depth)?,
            op => {
                let name = node.name.as_ref().map(|n| format!(" {n}")).unwrap_or_default();
                let args = if node.args.is_empty() { String::new() } else { format!(" {}", list(&node.args)) };
                writeln!(f, "{indent}%{}{name}: {} = {}{args}", id.0, node.ty, label(op))?;
            }
        }
    }
    for region in &g.regions {
        write!(f, "{indent}region {}: {} nodes", region.kernel, region.nodes.len())?;
        write!(f, ", lanes {}, scalars {}", list(&region.lanes), list(&region.scalars))?;
        writeln!(f, ", noise {}, outputs {}", list(&region.noise), list(&region.outputs))?;
    }
    Ok(())
}

fn write_loop(f: &mut Formatter<'_>, id: NodeId, args: &[NodeId], lp: &Loop, depth: usize) -> fmt::Result {
    let indent = "  ".repeat(depth);
    let (consts, rest) = args.split_at(lp.consts);
    let (steps, carries) = rest.split_at(lp.steps);
    let what = describe(lp);
    writeln!(
        f,
        "{indent}%{} = {what}, consts {}, steps {}, carries {} {{",
        id.0,
        list(consts),
        list(steps),
        list(carries)
    )?;
    write_nodes(f, &lp.body, depth + 1)?;
    let (next, rest) = lp.body.outputs.split_at(lp.carries);
    let (ys, accs) = rest.split_at(lp.ys);
    writeln!(f, "{indent}  next {}, each {}, sum {}", list(next), list(ys), list(accs))?;
    writeln!(f, "{indent}}}")
}

fn describe(lp: &Loop) -> String {
    let over = match &lp.kind {
        LoopKind::Scan { time } => format!("scan over {time}"),
        LoopKind::Stack { name, input, hidden, first, last } => {
            format!("stack {name} [{input} -> {hidden}] from {first} to {last}")
        }
    };
    if lp.reversed { format!("{over}, reversed") } else { over }
}

/// An operation with its attributes.
fn label(op: &Op) -> String {
    let mut s = op.name().to_owned();
    let result = match op {
        Op::Arg(k) => write!(s, " {k}"),
        Op::Const(value) => write!(s, " {value}"),
        Op::Size(dim) => write!(s, " {dim}"),
        Op::Uniform { site, per, .. } => {
            write!(s, " site {site}{}", if *per == Per::Sequence { ", once a sequence" } else { "" })
        }
        Op::Broadcast { axes, .. } => write!(s, " to axes {axes:?} of"),
        Op::Slice { axis, start, len } => write!(s, " axis {axis} from {start}, {len} of"),
        Op::Pad { axis, start, len } => write!(s, " axis {axis} at {start}, to {len},"),
        Op::Reverse { axis } | Op::Insert { axis } | Op::Remove { axis } | Op::Concat { axis } => {
            write!(s, " axis {axis} of")
        }
        Op::Sum { axes } => write!(s, " over {axes:?} of"),
        Op::MatMul { ta, tb, fold } => {
            let flag = |on: bool, text| if on { text } else { "" };
            write!(s, "{}{}{}", flag(*ta, " .t"), flag(*tb, " x.t"), flag(*fold, " folded"))
        }
        Op::Get(out) => match out {
            LoopOut::Final(k) => write!(s, " final carry {k} of"),
            LoopOut::Before(k) => write!(s, " carry {k} before each step of"),
            LoopOut::After(k) => write!(s, " carry {k} after each step of"),
            LoopOut::Y(k) => write!(s, " result {k} of each step of"),
            LoopOut::Acc(k) => write!(s, " sum {k} of"),
        },
        Op::Map(_)
        | Op::Transpose
        | Op::Gather
        | Op::ScatterAdd { .. }
        | Op::Pick
        | Op::PickGrad { .. }
        | Op::Softmax
        | Op::LogSoftmax
        | Op::CrossEntropy
        | Op::CrossEntropyGrad
        | Op::LengthMask { .. }
        | Op::Loop(_) => Ok(()),
    };
    result.expect("writing to a string cannot fail");
    s
}

/// The program in Graphviz's language: loops and regions are boxes around their nodes, backward is grey.
pub fn dot(program: &Program) -> String {
    let mut out =
        format!("digraph \"{} ({:?})\" {{\n  node [shape=box, fontname=\"sans-serif\"];\n", program.name, program.mode);
    dot_graph(&mut out, &program.graph, "n");
    for (k, (output, id)) in program.outputs.iter().zip(&program.graph.outputs).enumerate() {
        let name = match output {
            Output::Loss => "loss".to_owned(),
            Output::Next(leaf) => format!("next {}", program.leaves[*leaf].name),
            Output::Named(name) => name.clone(),
            Output::Grad(leaf) => format!("gradient of {}", program.leaves[*leaf].name),
        };
        out += &format!("  out{k} [label=\"{name}\", shape=ellipse];\n  n{} -> out{k};\n", id.0);
    }
    out + "}\n"
}

fn dot_graph(out: &mut String, g: &Graph, prefix: &str) {
    for region in &g.regions {
        *out +=
            &format!("  subgraph cluster_region{} {{ label=\"region {}\"; style=dashed;", region.kernel, region.kernel);
        region.nodes.iter().for_each(|id| *out += &format!(" {prefix}{};", id.0));
        *out += " }\n";
    }
    for id in g.ids() {
        let node = g.node(id);
        let me = format!("{prefix}{}", id.0);
        let name = node.name.as_ref().map(|n| format!("{n}\\n")).unwrap_or_default();
        let fill = if node.phase == Phase::Backward { ", style=filled, fillcolor=\"#eeeeee\"" } else { "" };
        if let Op::Loop(lp) = &node.op {
            *out += &format!("  {me} [label=\"{}\", shape=hexagon{fill}];\n", describe(lp));
            *out += &format!("  subgraph cluster_{me} {{ label=\"{}\";\n", describe(lp));
            dot_graph(out, &lp.body, &format!("{me}_"));
            *out += "  }\n";
        } else {
            *out += &format!("  {me} [label=\"{name}{}\\n{}\"{fill}];\n", label(&node.op), node.ty);
        }
        node.args.iter().for_each(|a| *out += &format!("  {prefix}{} -> {me};\n", a.0));
    }
}
