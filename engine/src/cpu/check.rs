//! What the executor's `unsafe` relies on: every view of a plan stays inside its buffer, every buffer inside its
//! memory, and every kernel is the one its instruction means.

use super::apply::MAX_SITES;
use super::cursor::{MAX_AXES, MAX_OPERANDS};
use super::kernel::Kernel;
use super::primitives::PRIMITIVES;
use super::run::MAX_DEPTH;
use crate::error::Error;
use crate::plan::{Address, Apply, Home, Matrix, PANEL, Pace, Plan, Product, RowOp, Rows, Step, Table, Work};

/// Checks a plan; gives the number of operands that its kernels may have to pack.
pub(super) fn check(plan: &Plan, kernels: &[Kernel]) -> Result<usize, Error> {
    let mut checker = Checker { plan, kernels, counts: Vec::new(), packed: 0 };
    for buffer in &plan.buffers {
        let (offset, whole) = match buffer.home {
            Home::Kept { offset } | Home::Arena { offset } => (offset, plan.memory),
            Home::Inside { parent, offset } => (offset, plan.buffers[parent.index()].elements),
            Home::Parameter { offset } | Home::Gradient { offset } => (offset, plan.parameters.total()),
            Home::Index { offset } => (offset, plan.indices),
        };
        let is_used = buffer.life.is_some() || !matches!(buffer.home, Home::Arena { .. });
        if is_used && offset + buffer.elements > whole {
            return Err(checker.error(format!("buffer `{}` does not fit its memory", buffer.name)));
        }
    }
    for list in [&plan.forward, &plan.backward, &plan.commit] {
        checker.steps(list)?;
    }
    Ok(checker.packed)
}

struct Checker<'a> {
    plan: &'a Plan,
    kernels: &'a [Kernel],
    /// Steps of each enclosing scan.
    counts: Vec<usize>,
    packed: usize,
}

impl Checker<'_> {
    fn error(&self, message: String) -> Error {
        Error::Program { program: self.plan.name.clone(), message }
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), Error> {
        steps.iter().try_for_each(|step| self.work(&step.work).map_err(|error| self.in_step(step, error)))
    }

    fn in_step(&self, step: &Step, error: Error) -> Error {
        match error {
            Error::Program { program, message } => {
                Error::Program { program, message: format!("{}: {message}", step.label) }
            }
            other => other,
        }
    }

    fn work(&mut self, work: &Work) -> Result<(), Error> {
        match work {
            Work::Apply(apply) => self.apply(apply),
            Work::Copy { rows, .. } | Work::Fill { rows, .. } => self.rows(rows, &[]),
            Work::Sum { kept, summed } => {
                self.limits(kept)?;
                self.limits(summed)?;
                let outer = |rows: &Rows, k: usize| {
                    let operand = &rows.operands[k];
                    let axes = rows.sizes.iter().copied().zip(operand.outer.iter().copied());
                    axes.chain([(rows.len, operand.inner)]).collect::<Vec<_>>()
                };
                self.span(&kept.operands[0].at, [outer(kept, 0), outer(summed, 0)].concat().into_iter(), false)?;
                self.span(&kept.operands[1].at, outer(kept, 1).into_iter(), false)
            }
            Work::Rowwise { op, rows } => {
                let index: &[usize] = match op {
                    RowOp::Softmax | RowOp::MaskedSoftmax | RowOp::LogSoftmax => &[],
                    RowOp::CrossEntropy | RowOp::CrossEntropyGrad | RowOp::Pick => &[2],
                    RowOp::PickGrad | RowOp::LengthMask | RowOp::Gather { .. } => &[1],
                };
                self.rows(rows, index)?;
                // Operands whose whole rows are read or written as slices.
                let whole: &[usize] = match op {
                    RowOp::Softmax | RowOp::LogSoftmax | RowOp::CrossEntropyGrad => &[0, 1],
                    RowOp::MaskedSoftmax => &[0, 1, 2],
                    RowOp::CrossEntropy | RowOp::Pick | RowOp::PickGrad | RowOp::LengthMask => &[0],
                    RowOp::Gather { .. } => &[0, 2],
                };
                if rows.len > 1 && whole.iter().any(|&k| rows.operands[k].inner != 1) {
                    return Err(self.error("a row is not in one piece".into()));
                }
                match op {
                    RowOp::Gather { table_row, table_rows } => {
                        let table = [(*table_rows, *table_row), (rows.len, 1)];
                        self.span(&rows.operands[2].at, table.into_iter(), false)
                    }
                    _ => Ok(()),
                }
            }
            Work::ScatterAdd { rows, table } => {
                self.rows(rows, &[1])?;
                let extent = table.sizes.iter().zip(&table.strides).map(|(&size, &stride)| (size, stride));
                self.span(&table.at, extent, false)
            }
            Work::Product(product) => self.product(product),
            Work::Pack { matrix, k, n, to } => {
                self.span(&matrix.at, [(*k, matrix.row), (*n, matrix.column)].into_iter(), false)?;
                self.panels(to, *k, *n)
            }
            Work::Scan { depth, count, body, .. } => {
                if *depth != self.counts.len() || *depth >= MAX_DEPTH {
                    return Err(self.error(format!("more than {MAX_DEPTH} scans inside of each other")));
                }
                self.counts.push(*count);
                let result = self.steps(body);
                self.counts.pop();
                result
            }
        }
    }

    fn apply(&mut self, apply: &Apply) -> Result<(), Error> {
        self.rows(&apply.rows, &[])?;
        if apply.noise.len() > MAX_SITES {
            return Err(self.error(format!("more than {MAX_SITES} noise sites in one kernel")));
        }
        let outputs = apply.rows.operands.len() - apply.lanes - apply.scalars;
        let expected = [apply.lanes, apply.scalars, apply.noise.len(), outputs];
        let table = match apply.table {
            Table::Regions => self.kernels,
            Table::Primitives => PRIMITIVES,
        };
        let found = table.get(apply.kernel);
        if found.is_none_or(|kernel| kernel.arity() != expected) {
            let [x, s, u, y] = expected;
            return Err(Error::Kernel {
                index: apply.kernel,
                found: found.map_or("missing".into(), |kernel| format!("{kernel:?}")),
                expected: format!("{x} lanes, {s} scalars, {u} uniforms and {y} outputs"),
            });
        }
        self.packed = self.packed.max(apply.rows.operands.len());
        Ok(())
    }

    fn product(&self, p: &Product) -> Result<(), Error> {
        let matrix = |matrix: &Matrix, rows: usize, columns: usize| {
            let batch = p.batch.iter().copied().zip(matrix.batch.iter().copied());
            self.span(&matrix.at, batch.chain([(rows, matrix.row), (columns, matrix.column)]), false)
        };
        if let Some(packed) = &p.packed {
            self.panels(packed, p.k, p.n)?;
        }
        matrix(&p.a, p.m, p.k)?;
        matrix(&p.b, p.k, p.n)?;
        matrix(&p.c, p.m, p.n)
    }

    fn panels(&self, at: &Address, k: usize, n: usize) -> Result<(), Error> {
        self.span(at, [(n.div_ceil(PANEL) * PANEL * k, 1)].into_iter(), false)
    }

    fn rows(&self, rows: &Rows, index: &[usize]) -> Result<(), Error> {
        self.limits(rows)?;
        rows.operands.iter().enumerate().try_for_each(|(k, operand)| {
            let outer = rows.sizes.iter().copied().zip(operand.outer.iter().copied());
            self.span(&operand.at, outer.chain([(rows.len, operand.inner)]), index.contains(&k))
        })
    }

    fn limits(&self, rows: &Rows) -> Result<(), Error> {
        if rows.sizes.len() > MAX_AXES || rows.operands.len() > MAX_OPERANDS {
            return Err(self.error(format!(
                "{} operands of {} axes; at most {MAX_OPERANDS} of {MAX_AXES} can run as one",
                rows.operands.len(),
                rows.sizes.len() + 1
            )));
        }
        Ok(())
    }

    /// Whether all elements reached from `at` are inside of the buffer, in every step of the scans around.
    fn span(&self, at: &Address, axes: impl Iterator<Item = (usize, isize)>, is_index: bool) -> Result<(), Error> {
        let walks = at.walks.iter().map(|walk| {
            let count = self.counts.get(walk.depth).copied().unwrap_or(0);
            match walk.pace {
                Pace::Iteration => (count, walk.stride),
                Pace::Parity | Pace::OtherParity => (2, walk.stride),
            }
        });
        let (mut low, mut high) = (at.offset, at.offset);
        for (size, stride) in axes.chain(walks) {
            if size == 0 {
                return Ok(());
            }
            let reach = (size as isize - 1) * stride;
            if reach < 0 { low += reach } else { high += reach }
        }
        let buffer = &self.plan.buffers[at.buffer.index()];
        if matches!(buffer.home, Home::Index { .. }) != is_index {
            return Err(self.error(format!("`{}` is read as the other of numbers and indices", buffer.name)));
        }
        if low < 0 || high >= buffer.elements as isize {
            return Err(self.error(format!(
                "elements {low} to {high} are outside of `{}`, which has {}",
                buffer.name, buffer.elements
            )));
        }
        Ok(())
    }
}
