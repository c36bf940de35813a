//! Element-wise instructions: a kernel, a copy, a fill.

use super::cursor::MAX_OPERANDS;
use super::element::Element;
use super::kernel::Segment;
use super::run::{Pieces, Share, Worker};
use super::simd::per_isa;
use crate::noise::Stream;
use crate::plan::{Apply, Rows, Table};

/// Elements of a row handed to a kernel at a time; also the length of a packed operand.
pub(super) const BLOCK: usize = 1024;

/// Most noise sites of one kernel.
pub(super) const MAX_SITES: usize = g2_ir::fuse::MOST_DRAWS;

/// Runs a kernel over this worker's pieces. Operands whose rows are not side by side are packed in the worker's own
/// memory, a piece at a time.
///
/// # Safety
/// As [`Worker::execute`]; the kernel has the instruction's numbers of operands, and the worker's memory holds
/// [`BLOCK`] elements for each lane and output.
pub(super) unsafe fn apply<T: Element>(worker: &Worker<'_, T>, one: &Apply, share: Share) {
    let rows = &one.rows;
    let frame = worker.frame;
    let table = match one.table {
        Table::Regions => frame.kernels,
        Table::Primitives => frame.primitives,
    };
    let kernel = T::row(&table[one.kernel], frame.isa);
    let count = rows.operands.len();
    let (first_scalar, first_output) = (one.lanes, one.lanes + one.scalars);
    let mut bases = [std::ptr::null_mut::<T>(); MAX_OPERANDS];
    for (base, operand) in bases.iter_mut().zip(&rows.operands) {
        *base = worker.address(&operand.at);
    }
    let pieces = Pieces::new(rows, BLOCK, share);
    let mut streams = [Stream::new(0, 0); MAX_SITES];
    for (stream, site) in streams.iter_mut().zip(&one.noise) {
        *stream = worker.stream(site, pieces.first_element());
    }
    let mut starts = [std::ptr::null_mut::<T>(); MAX_OPERANDS];
    pieces.each(|offsets, column, len| {
        for k in 0..count {
            let operand = &rows.operands[k];
            let at = bases[k].wrapping_offset(offsets[k] + column as isize * operand.inner);
            let is_scalar = (first_scalar..first_output).contains(&k);
            let in_place = is_scalar || operand.inner == 1 || len == 1;
            // SAFETY: each packed operand has a block of the worker's memory.
            starts[k] = if in_place { at } else { unsafe { worker.scratch.add(k * BLOCK) } };
            if !in_place && k < first_scalar {
                // SAFETY: the plan's view has these elements, and the block is the worker's own.
                unsafe { pack(at, operand.inner, starts[k], len) };
            }
        }
        let segment = Segment {
            len,
            lanes: starts.as_ptr().cast(),
            scalars: starts[first_scalar..].as_ptr().cast(),
            noise: streams.as_mut_ptr(),
            outputs: starts[first_output..].as_ptr(),
        };
        // SAFETY: the arrays hold the kernel's numbers of pointers, each to `len` elements (or one), and outputs
        // overlap nothing that is read. The machine has the instruction set: `Executor` has checked.
        unsafe { kernel(segment) };
        for k in first_output..count {
            let operand = &rows.operands[k];
            if operand.inner != 1 && len != 1 {
                let at = bases[k].wrapping_offset(offsets[k] + column as isize * operand.inner);
                for j in 0..len {
                    // SAFETY: the plan's view has these elements.
                    unsafe { at.offset(j as isize * operand.inner).write(starts[k].add(j).read()) };
                }
            }
        }
    });
}

/// # Safety
/// `len` elements can be read at `from`, `stride` apart, and written at `to`.
unsafe fn pack<T: Copy>(from: *const T, stride: isize, to: *mut T, len: usize) {
    for j in 0..len {
        // SAFETY: the caller's.
        unsafe { to.add(j).write(from.offset(j as isize * stride).read()) };
    }
}

per_isa! {
    /// `to += from`
    ///
    /// # Safety
    /// The machine has the instruction set.
    pub(super) fn add_to<T>(to: &mut [T], from: &[T]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = *to + from;
        }
    }
}

/// Operands: from, to.
///
/// # Safety
/// As [`Worker::execute`].
pub(super) unsafe fn copy<T: Element>(worker: &Worker<'_, T>, rows: &Rows, add: bool, share: Share) {
    let (from, to) = (worker.address(&rows.operands[0].at), worker.address(&rows.operands[1].at));
    let (step_from, step_to) = (rows.operands[0].inner, rows.operands[1].inner);
    Pieces::new(rows, 4 * BLOCK, share).each(|offsets, column, len| {
        let from = from.wrapping_offset(offsets[0] + column as isize * step_from);
        let to = to.wrapping_offset(offsets[1] + column as isize * step_to);
        // SAFETY: the plan's views have these elements, those of `to` are this worker's, and no element is in both.
        unsafe {
            match (step_from, step_to, add) {
                (1, 1, false) => to.copy_from_nonoverlapping(from, len),
                (1, 1, true) => {
                    let (to, from) = (std::slice::from_raw_parts_mut(to, len), std::slice::from_raw_parts(from, len));
                    add_to(worker.frame.isa, to, from);
                }
                (0, 1, false) => std::slice::from_raw_parts_mut(to, len).fill(from.read()),
                _ => {
                    for j in 0..len as isize {
                        let (from, to) = (from.offset(j * step_from), to.offset(j * step_to));
                        to.write(if add { to.read() + from.read() } else { from.read() });
                    }
                }
            }
        }
    });
}

/// # Safety
/// As [`Worker::execute`].
pub(super) unsafe fn fill<T: Element>(worker: &Worker<'_, T>, rows: &Rows, value: f64, share: Share) {
    let (to, step) = (worker.address(&rows.operands[0].at), rows.operands[0].inner);
    let value = T::from_f64(value);
    Pieces::new(rows, 4 * BLOCK, share).each(|offsets, column, len| {
        let to = to.wrapping_offset(offsets[0] + column as isize * step);
        for j in 0..len as isize {
            // SAFETY: the plan's view has these elements, and they are this worker's.
            unsafe { to.offset(j * step).write(value) };
        }
    });
}
