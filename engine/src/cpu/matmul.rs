//! Matrix products, through one library call on fixed slices of the result.

use super::element::Element;
use super::run::{Share, Worker};
use crate::plan::Product;

/// Multiplications worth a call of their own.
const SLICE_WORK: usize = 4 << 20;

/// Most slices of one product. The library packs both operands anew for each, so few large ones are best; but there
/// have to be enough for all threads.
const MOST_SLICES: usize = 16;

/// Lengths of slices are multiples of this, the widest register tile's.
const SLICE_STEP: usize = 32;

/// A grid of slices of the result: a function of the shape alone, so that the bits do not depend on the number of
/// threads.
struct Slices {
    rows: usize,
    columns: usize,
    down: usize,
    across: usize,
}

/// As many slices as are worth while, as square as they can be: that packs the least.
fn slices(m: usize, k: usize, n: usize) -> Slices {
    let wanted = (m * k * n / SLICE_WORK).clamp(1, MOST_SLICES);
    let square = (wanted as f64 * n as f64 / m as f64).sqrt().round() as usize;
    let across = square.clamp(1, wanted);
    let cut = |whole: usize, count: usize| whole.div_ceil(count).next_multiple_of(SLICE_STEP);
    let (rows, columns) = (cut(m, wanted.div_ceil(across)), cut(n, across));
    Slices { rows, columns, down: m.div_ceil(rows), across: n.div_ceil(columns) }
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
    let count = slices.down * slices.across;
    let items = if p.fold { count } else { count * batches };
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
        let batch = if p.fold { 0..batches } else { item / count..item / count + 1 };
        let (row, column) = (item % count / slices.across * slices.rows, item % slices.across * slices.columns);
        let (m, n) = (slices.rows.min(p.m - row), slices.columns.min(p.n - column));
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
