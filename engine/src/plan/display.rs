//! A plan as text: memory, then instructions.

use super::{Apply, Buffer, Home, Plan, Product, RowOp, Rows, Step, Table, Work};
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan {} ({:?}, {:?})", self.name, self.mode, self.fusion)?;
        writeln!(f, "memory: {} elements, {} of them kept from run to run", self.memory, self.kept)?;
        for (id, buffer) in self.buffers.iter().enumerate() {
            writeln!(f, "  %{id:<4} {buffer}")?;
        }
        let saved: usize = self.saved.iter().map(|s| s.elements).sum();
        writeln!(f, "saved for backward: {saved} elements, {} bytes in f32", saved * 4)?;
        for one in &self.saved {
            let name = &self.buffers[one.buffer.index()].name;
            writeln!(f, "  %{:<4} {:>10}  {name}", one.buffer.0, one.elements)?;
        }
        for (title, steps) in [("forward", &self.forward), ("backward", &self.backward), ("commit", &self.commit)] {
            if !steps.is_empty() {
                writeln!(f, "{title}:")?;
                write_steps(f, steps, 1)?;
            }
        }
        Ok(())
    }
}

fn write_steps(f: &mut fmt::Formatter<'_>, steps: &[Step], depth: usize) -> fmt::Result {
    for (position, step) in steps.iter().enumerate() {
        let marks = match (step.solo, step.meet) {
            (true, true) => " (one thread)",
            (true, false) => " (one thread, no barrier)",
            (false, _) => "",
        };
        writeln!(f, "{:indent$}{position:>3} {}: {}{marks}", "", step.label, step.work, indent = 2 * depth)?;
        if let Work::Scan { body, .. } = &step.work {
            write_steps(f, body, depth + 2)?;
        }
    }
    Ok(())
}

impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}  ", self.elements)?;
        match self.home {
            Home::Kept { offset } => write!(f, "kept at {offset}")?,
            Home::Arena { offset } => write!(f, "arena at {offset}")?,
            Home::Inside { parent, offset } => write!(f, "inside %{} at {offset}", parent.0)?,
            Home::Parameter { offset } => write!(f, "parameters at {offset}")?,
            Home::Gradient { offset } => write!(f, "gradients at {offset}")?,
            Home::Index { offset } => write!(f, "indices at {offset}")?,
        }
        if let Some((first, last)) = self.life {
            write!(f, ", lives {first}..={last}")?;
        }
        write!(f, "  {}", self.name)
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} x {} of", self.sizes, self.len)?;
        for operand in &self.operands {
            write!(f, " {}", operand.at)?;
            if !operand.outer.is_empty() || operand.inner != 1 {
                write!(f, " by {:?} {}", operand.outer, operand.inner)?;
            }
            f.write_str(";")?;
        }
        Ok(())
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Apply(Apply { table, kernel, noise, rows, .. }) => {
                let table = match table {
                    Table::Regions => "region",
                    Table::Primitives => "primitive",
                };
                write!(f, "{table} {kernel} over {rows}")?;
                for site in noise {
                    write!(f, " noise {} of layer {}", site.gate, site.layer)?;
                    if let Some(scan) = site.time_of {
                        write!(f, " at time {scan}")?;
                    }
                }
                Ok(())
            }
            Work::Copy { rows, add: false } => write!(f, "copy over {rows}"),
            Work::Copy { rows, add: true } => write!(f, "add over {rows}"),
            Work::Fill { rows, value } => write!(f, "fill with {value} over {rows}"),
            Work::Product(p) => p.fmt(f),
            Work::Pack { matrix, k, n, to } => write!(f, "pack [{k}, {n}] at {} to {to}", matrix.at),
            Work::Sum { kept, summed } => write!(f, "sum, keeping {kept} summing {summed}"),
            Work::Rowwise { op, rows } => {
                match op {
                    RowOp::Softmax => f.write_str("softmax")?,
                    RowOp::MaskedSoftmax => f.write_str("masked softmax")?,
                    RowOp::LogSoftmax => f.write_str("log softmax")?,
                    RowOp::CrossEntropy => f.write_str("cross entropy")?,
                    RowOp::CrossEntropyGrad => f.write_str("cross entropy's gradient")?,
                    RowOp::Pick => f.write_str("pick")?,
                    RowOp::PickGrad => f.write_str("pick's gradient")?,
                    RowOp::LengthMask => f.write_str("length mask")?,
                    RowOp::Gather { .. } => f.write_str("gather")?,
                }
                write!(f, " over {rows}")
            }
            Work::ScatterAdd { rows, table } => write!(f, "scatter {rows} to {table}"),
            Work::Scan { depth, count, reversed, .. } => {
                let order = if *reversed { "from the last to the first" } else { "from the first to the last" };
                write!(f, "{count} steps of i{depth}, {order}")
            }
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Product { batch, m, k, n, a, b, c, fold, add, packed } = self;
        let sign = if *add { "+=" } else { "=" };
        let sum = if *fold { "sum of " } else { "" };
        write!(f, "{batch:?} [{m}, {n}] at {} {sign} {sum}[{m}, {k}] at {} x [{k}, {n}] at {}", c.at, a.at, b.at)?;
        packed.as_ref().map_or(Ok(()), |at| write!(f, " packed at {at}"))
    }
}
