//! Matrix products, through one library call on fixed slices of the result.

use super::element::Element;
use super::run::{Share, Worker};
use crate::plan::Product;

/// Multiplications in one call: enough that packing the operands anew for each slice costs little.
const SLICE_WORK: usize = 4 << 20;

/// A slice's length is a multiple of this, the widest register tile's.
const SLICE_STEP: usize = 32;

/// The result's slices: a function of the shape alone, so that the bits do not depend on the number of threads.
struct Slices {
    count: usize,
    len: usize,
    along_rows: bool,
}

fn slices(m: usize, k: usize, n: usize) -> Slices {
    let along_rows = m > n;
    let whole = m.max(n);
    let wanted = (m * k * n / SLICE_WORK).clamp(1, 64);
    let len = whole.div_ceil(wanted).next_multiple_of(SLICE_STEP).max(SLICE_STEP);
    Slices { count: whole.div_ceil(len), len, along_rows }
}

/// This worker's share of a product.
///
/// # Safety
/// As [`Worker::execute`].
pub(super) unsafe fn product<T: Element>(worker: &Worker<'_, T>, p: &Product, share: Share) {
    if p.m == 0 || p.n == 0 {
        return;
    }
    let (a, b, c) = (worker.address(&p.a.at), worker.address(&p.b.at), worker.address(&p.c.at));
    let slices = slices(p.m, p.k, p.n);
    let batches: usize = p.batch.iter().product();
    let items = if p.fold { slices.count } else { slices.count * batches };
    let offset = |strides: &[isize], batch: usize| {
        let mut left = batch;
        let mut offset = 0;
        for (&size, &stride) in p.batch.iter().zip(strides).rev() {
            offset += (left % size) as isize * stride;
            left /= size;
        }
        offset
    };
    for item in share.of(items) {
        let (batch, slice) = if p.fold { (0..batches, item) } else { one(item / slices.count, item % slices.count) };
        let start = slice * slices.len;
        let (row, column, m, n) = match slices.along_rows {
            true => (start, 0, slices.len.min(p.m - start), p.n),
            false => (0, start, p.m, slices.len.min(p.n - start)),
        };
        let mut add = p.add;
        for batch in batch {
            let at_a = offset(&p.a.batch, batch) + row as isize * p.a.row;
            let at_b = offset(&p.b.batch, batch) + column as isize * p.b.column;
            let at_c = offset(&p.c.batch, batch) + row as isize * p.c.row + column as isize * p.c.column;
            // SAFETY: the plan's strides stay inside the operands' buffers, the result's is no operand's, and this
            // slice of it is this worker's alone.
            unsafe {
                T::gemm(
                    [m, p.k, n],
                    a.offset(at_a),
                    [p.a.row, p.a.column],
                    b.offset(at_b),
                    [p.b.row, p.b.column],
                    add,
                    c.offset(at_c),
                    [p.c.row, p.c.column],
                );
            }
            add = true;
        }
    }
}

fn one(batch: usize, slice: usize) -> (std::ops::Range<usize>, usize) {
    (batch..batch + 1, slice)
}
