//! Functions of whole rows: softmax, cross entropy, and the operations that indices drive.

use super::element::Element;
use super::reduce::{max_lanes, sum_lanes};
use super::run::{Pieces, Share, Worker};
use super::simd::per_isa;
use crate::plan::{RowOp, Rows, View};
use crate::real::Real;

/// Exponentials computed at a time where no row of results can hold them.
const BUFFER: usize = 512;

/// # Safety
/// As [`Worker::execute`]. Rows are contiguous in x and in results of rows; indices are in range: `Executor` has
/// checked them when they were set.
pub(super) unsafe fn rowwise<T: Element>(worker: &Worker<'_, T>, op: RowOp, rows: &Rows, share: Share) {
    let isa = worker.frame.isa;
    let len = rows.len;
    let real = |k: usize| worker.address(&rows.operands[k].at);
    let index = |k: usize| worker.index_address(&rows.operands[k].at);
    // A row is one piece, whatever its length.
    let pieces = || Pieces::new(rows, usize::MAX, share);
    // SAFETY: the plan's views have these rows, and no operand that is written overlaps them. (In what follows also: the
    // rows written are this worker's, and the instruction set is the machine's.)
    let read = |at: *mut T, offset: isize| unsafe { std::slice::from_raw_parts(at.wrapping_offset(offset), len) };
    // SAFETY: as above; only results are written.
    let write = |at: *mut T, offset: isize| unsafe { std::slice::from_raw_parts_mut(at.wrapping_offset(offset), len) };
    match op {
        RowOp::Softmax => {
            let (x, out) = (real(0), real(1));
            // SAFETY: as above.
            pieces().each(|at, _, _| unsafe { softmax(isa, read(x, at[0]), write(out, at[1])) });
        }
        RowOp::MaskedSoftmax => {
            let (x, out, mask) = (real(0), real(1), real(2));
            pieces().each(|at, _, _| {
                // SAFETY: as above.
                unsafe { masked_softmax(isa, read(x, at[0]), read(mask, at[2]), write(out, at[1])) }
            });
        }
        RowOp::LogSoftmax => {
            let (x, out) = (real(0), real(1));
            // SAFETY: as above.
            pieces().each(|at, _, _| unsafe { log_softmax(isa, read(x, at[0]), write(out, at[1])) });
        }
        RowOp::CrossEntropy => {
            let (x, out, ids) = (real(0), real(1), index(2));
            pieces().each(|at, _, _| {
                // SAFETY: as above; the index is in range.
                unsafe {
                    let x = read(x, at[0]);
                    let id = ids.wrapping_offset(at[2]).read() as usize;
                    out.wrapping_offset(at[1]).write(log_sum_exp(isa, x) - x[id]);
                }
            });
        }
        RowOp::CrossEntropyGrad => {
            let (x, out, ids, ct) = (real(0), real(1), index(2), real(3));
            pieces().each(|at, _, _| {
                // SAFETY: as above; the index is in range.
                unsafe {
                    let id = ids.wrapping_offset(at[2]).read() as usize;
                    let ct = ct.wrapping_offset(at[3]).read();
                    cross_entropy_grad(isa, read(x, at[0]), id, ct, write(out, at[1]));
                }
            });
        }
        RowOp::Pick => {
            let (x, out, ids) = (real(0), real(1), index(2));
            pieces().each(|at, _, _| {
                // SAFETY: as above; the index is in range.
                unsafe {
                    let id = ids.wrapping_offset(at[2]).read() as usize;
                    out.wrapping_offset(at[1]).write(read(x, at[0])[id]);
                }
            });
        }
        RowOp::PickGrad => {
            let (out, ids, ct) = (real(0), index(1), real(2));
            pieces().each(|at, _, _| {
                // SAFETY: as above; the index is in range.
                unsafe {
                    let out = write(out, at[0]);
                    out.fill(T::zero());
                    out[ids.wrapping_offset(at[1]).read() as usize] = ct.wrapping_offset(at[2]).read();
                }
            });
        }
        RowOp::LengthMask => {
            let (out, lengths, step) = (real(0), index(1), rows.operands[1].inner);
            let mut time = share.of(rows.count()).start;
            pieces().each(|at, _, _| {
                for (j, mask) in write(out, at[0]).iter_mut().enumerate() {
                    // SAFETY: as above.
                    let length = unsafe { lengths.wrapping_offset(at[1] + j as isize * step).read() } as usize;
                    *mask = if time < length { T::one() } else { T::zero() };
                }
                time += 1;
            });
        }
        RowOp::Gather { table_row, .. } => {
            let (out, ids, table) = (real(0), index(1), real(2));
            pieces().each(|at, _, _| {
                // SAFETY: as above; the index is in range.
                unsafe {
                    let id = ids.wrapping_offset(at[1]).read() as isize;
                    write(out, at[0]).copy_from_slice(read(table, id * table_row));
                }
            });
        }
    }
}

/// Each of the table's rows is one worker's, and takes its additions in the order of the indices.
///
/// # Safety
/// As [`rowwise`]; operands are the rows and one index a row.
pub(super) unsafe fn scatter_add<T: Element>(worker: &Worker<'_, T>, rows: &Rows, table: &View, share: Share) {
    let (from, ids) = (worker.address(&rows.operands[0].at), worker.index_address(&rows.operands[1].at));
    let to = worker.address(&table.at);
    let row = |id: usize| {
        let at: *mut T = to.wrapping_offset(id as isize * table.strides[0]);
        // SAFETY: the plan's table has this row, and it is this worker's.
        unsafe { std::slice::from_raw_parts_mut(at, table.sizes[1]) }
    };
    (0..table.sizes[0]).filter(|&id| share.deals(id)).for_each(|id| row(id).fill(T::zero()));
    Pieces::new(rows, usize::MAX, Share::ALL).each(|at, _, _| {
        // SAFETY: the plan's view has these elements, and indices are in range. The instruction set is the machine's.
        unsafe {
            let id = ids.wrapping_offset(at[1]).read() as usize;
            if share.deals(id) {
                let from = std::slice::from_raw_parts(from.wrapping_offset(at[0]), rows.len);
                super::apply::add_to(worker.frame.isa, row(id), from);
            }
        }
    });
}

/// `y = exp(x - max)`, and the sum of y.
#[inline(always)]
fn exponentials<T: Real>(x: &[T], max: T, y: &mut [T]) -> T {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = (x - max).exp();
    }
    sum_lanes(y)
}

/// The sum of `exp(x - max)`.
#[inline(always)]
fn sum_exp<T: Real>(x: &[T], max: T) -> T {
    let mut buffer = [T::zero(); BUFFER];
    let mut total = T::zero();
    for x in x.chunks(BUFFER) {
        total = total + exponentials(x, max, &mut buffer[..x.len()]);
    }
    total
}

per_isa! {
    /// # Safety
    /// The machine has the instruction set.
    fn softmax<T>(x: &[T], y: &mut [T]) {
        let sum = exponentials(x, max_lanes(x), y);
        let scale = sum.recip();
        for y in y {
            *y = *y * scale;
        }
    }
}

per_isa! {
    /// # Safety
    /// The machine has the instruction set.
    fn masked_softmax<T>(x: &[T], mask: &[T], y: &mut [T]) {
        let none = T::from_f64(f64::NEG_INFINITY);
        for (y, (&x, &mask)) in y.iter_mut().zip(x.iter().zip(mask)) {
            *y = T::select(mask, x, none);
        }
        let max = max_lanes(y);
        if max == none {
            // Masked whole, or nothing but -inf: no weight anywhere.
            y.fill(T::zero());
            return;
        }
        for y in y.iter_mut() {
            *y = (*y - max).exp();
        }
        let scale = sum_lanes(y).recip();
        for y in y {
            *y = *y * scale;
        }
    }
}

per_isa! {
    /// # Safety
    /// The machine has the instruction set.
    fn log_softmax<T>(x: &[T], y: &mut [T]) {
        let max = max_lanes(x);
        let log_sum = sum_exp(x, max).ln();
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - max) - log_sum;
        }
    }
}

per_isa! {
    /// # Safety
    /// The machine has the instruction set.
    fn log_sum_exp<T>(x: &[T]) -> T {
        let max = max_lanes(x);
        sum_exp(x, max).ln() + max
    }
}

per_isa! {
    /// # Safety
    /// The machine has the instruction set.
    fn cross_entropy_grad<T>(x: &[T], id: usize, ct: T, y: &mut [T]) {
        let scale = exponentials(x, max_lanes(x), y).recip() * ct;
        for y in y.iter_mut() {
            *y = *y * scale;
        }
        if let Some(y) = y.get_mut(id) {
            *y = *y - ct;
        }
    }
}
