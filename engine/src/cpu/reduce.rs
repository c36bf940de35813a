//! Sums over axes, in an order that depends on the shape alone.

use super::apply::add_to;
use super::cursor::Cursor;
use super::element::Element;
use super::run::{Pieces, Share, Worker};
use super::simd::per_isa;
use crate::plan::Rows;

/// Columns summed side by side.
const COLUMNS: usize = 256;

/// Rows added up before they join the total: sums of sums lose less than one long sum.
const BATCH: usize = 32;

/// Elements of a run added up before they join the total.
const RUN: usize = 4096;

/// Sums side by side in a run: whole vectors of every instruction set, in the same order on all.
const LANES: usize = 32;

/// `kept` has x and the result as operands, `summed` x.
///
/// # Safety
/// As [`Worker::execute`].
pub(super) unsafe fn sum<T: Element>(worker: &Worker<'_, T>, kept: &Rows, summed: &Rows, share: Share) {
    let isa = worker.frame.isa;
    let (x, out) = (worker.address(&kept.operands[0].at), worker.address(&kept.operands[1].at));
    let (step_x, step_out) = (kept.operands[0].inner, kept.operands[1].inner);
    let step = summed.operands[0].inner;
    let count = summed.count();
    if step_x == 1 && kept.len > 1 {
        let mut total = [T::zero(); COLUMNS];
        let mut batch = [T::zero(); COLUMNS];
        Pieces::new(kept, COLUMNS, share).each(|offsets, column, len| {
            let x = x.wrapping_offset(offsets[0] + column as isize);
            let out = out.wrapping_offset(offsets[1] + column as isize * step_out);
            total[..len].fill(T::zero());
            batch[..len].fill(T::zero());
            let mut cursor = Cursor::new(summed, 0);
            let mut left = BATCH;
            for _ in 0..count {
                let row = x.wrapping_offset(cursor.offsets[0]);
                for j in 0..summed.len as isize {
                    // SAFETY: the plan's view of x has these elements. The instruction set is the machine's.
                    unsafe { add_to(isa, &mut batch[..len], std::slice::from_raw_parts(row.offset(j * step), len)) };
                    left -= 1;
                    if left == 0 {
                        left = BATCH;
                        // SAFETY: the instruction set is the machine's.
                        unsafe { add_to(isa, &mut total[..len], &batch[..len]) };
                        batch[..len].fill(T::zero());
                    }
                }
                cursor.advance();
            }
            // SAFETY: the instruction set is the machine's.
            unsafe { add_to(isa, &mut total[..len], &batch[..len]) };
            for (j, &sum) in total[..len].iter().enumerate() {
                // SAFETY: the plan's view of the result has these elements, and they are this worker's.
                unsafe { out.offset(j as isize * step_out).write(sum) };
            }
        });
        return;
    }
    Pieces::new(kept, COLUMNS, share).each(|offsets, column, len| {
        for j in column as isize..(column + len) as isize {
            let x = x.wrapping_offset(offsets[0] + j * step_x);
            let mut total = T::zero();
            let mut cursor = Cursor::new(summed, 0);
            for _ in 0..count {
                let row = x.wrapping_offset(cursor.offsets[0]);
                for start in (0..summed.len).step_by(RUN) {
                    let len = RUN.min(summed.len - start);
                    let run = row.wrapping_offset(start as isize * step);
                    // SAFETY: the plan's view of x has these elements. The instruction set is the machine's.
                    total = total + unsafe { sum_run(isa, run, step, len) };
                }
                cursor.advance();
            }
            // SAFETY: the plan's view of the result has this element, and it is this worker's.
            unsafe { out.wrapping_offset(offsets[1] + j * step_out).write(total) };
        }
    });
}

/// # Safety
/// `len` elements can be read at `x`, `step` apart; the machine has the instruction set.
unsafe fn sum_run<T: Element>(isa: super::simd::Isa, x: *const T, step: isize, len: usize) -> T {
    if step == 1 {
        // SAFETY: the caller's.
        return unsafe { sum_slice(isa, std::slice::from_raw_parts(x, len)) };
    }
    // SAFETY: the caller's.
    (0..len as isize).fold(T::zero(), |sum, j| sum + unsafe { x.offset(j * step).read() })
}

per_isa! {
    /// The sum of a slice.
    ///
    /// # Safety
    /// The machine has the instruction set.
    pub(super) fn sum_slice<T>(x: &[T]) -> T {
        sum_lanes(x)
    }
}

/// For loops compiled for an instruction set: the sum in a fixed order.
#[inline(always)]
pub(super) fn sum_lanes<T: crate::real::Real>(x: &[T]) -> T {
    let mut lanes = [T::zero(); LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for l in 0..LANES {
            lanes[l] = lanes[l] + block[l];
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = *lane + x;
    }
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] = lanes[l] + lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// For loops compiled for an instruction set: the largest, NaN if there is one.
#[inline(always)]
pub(super) fn max_lanes<T: crate::real::Real>(x: &[T]) -> T {
    let mut lanes = [T::from_f64(f64::NEG_INFINITY); LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for l in 0..LANES {
            lanes[l] = lanes[l].maximum(block[l]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = lane.maximum(x);
    }
    lanes[1..].iter().fold(lanes[0], |max, &x| max.maximum(x))
}
