//! The walk: every worker goes through the same instructions, does its share of each and meets the others.
//!
//! Shares are cut by shape and position, so that no result depends on the number of workers.

use super::cursor::Cursor;
use super::element::Element;
use super::kernel::Kernel;
use super::pool::Barrier;
use super::simd::Isa;
use super::{apply, matmul, reduce, rowwise};
use crate::noise::{Key, Stream};
use crate::plan::{Address, Pace, Rows, Site, Step, Work};
use std::ops::Range;

/// Most scans inside of each other.
pub(super) const MAX_DEPTH: usize = 8;

/// Where buffers are: one pointer for each, for those of indices in the second list.
pub(super) struct Bases<T> {
    pub(super) real: Vec<*mut T>,
    pub(super) index: Vec<*const u32>,
    /// Each worker's own memory.
    pub(super) scratch: Vec<*mut T>,
}

// SAFETY: the pointers lead into memory that the executor owns or borrows while workers use them; which worker may
// touch which elements when is the plan's matter (see `Worker::execute`).
unsafe impl<T: Send> Send for Bases<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Bases<T> {}

/// What all workers of a run share.
pub(super) struct Frame<'a, T> {
    pub(super) bases: &'a Bases<T>,
    pub(super) kernels: &'a [Kernel],
    pub(super) primitives: &'a [Kernel],
    pub(super) isa: Isa,
    pub(super) seed: u64,
    pub(super) step: u64,
    pub(super) threads: usize,
    pub(super) barrier: &'a Barrier,
}

/// One of the threads on its way.
pub(super) struct Worker<'a, T> {
    pub(super) frame: &'a Frame<'a, T>,
    pub(super) id: usize,
    /// This thread's own memory.
    pub(super) scratch: *mut T,
    /// Of each enclosing scan, in the order they run.
    iterations: [usize; MAX_DEPTH],
    /// Of each enclosing scan, as an index of time.
    times: [usize; MAX_DEPTH],
}

/// One worker among those that share an instruction.
#[derive(Clone, Copy)]
pub(super) struct Share {
    worker: usize,
    workers: usize,
}

impl Share {
    /// Everything.
    pub(super) const ALL: Share = Share { worker: 0, workers: 1 };

    /// This worker's part of `items` that are numbered consecutively.
    pub(super) fn of(self, items: usize) -> Range<usize> {
        items * self.worker / self.workers..items * (self.worker + 1) / self.workers
    }

    /// Whether `item` is this worker's when items are dealt out in turn.
    pub(super) fn deals(self, item: usize) -> bool {
        item % self.workers == self.worker
    }
}

impl<'a, T: Element> Worker<'a, T> {
    pub(super) fn new(frame: &'a Frame<'a, T>, id: usize, scratch: *mut T) -> Worker<'a, T> {
        Worker { frame, id, scratch, iterations: [0; MAX_DEPTH], times: [0; MAX_DEPTH] }
    }

    /// Runs a list of instructions.
    ///
    /// # Safety
    /// The list belongs to a checked plan; `frame.bases` are its buffers; every worker of the frame runs the same
    /// list; nobody else touches the buffers meanwhile.
    pub(super) unsafe fn run(&mut self, steps: &[Step]) {
        for step in steps {
            if let Work::Scan { depth, count, reversed, body } = &step.work {
                for iteration in 0..*count {
                    self.iterations[*depth] = iteration;
                    self.times[*depth] = if *reversed { count - 1 - iteration } else { iteration };
                    // SAFETY: the caller's.
                    unsafe { self.run(body) };
                }
            } else if !step.solo {
                // SAFETY: the caller's.
                unsafe { self.execute(&step.work, Share { worker: self.id, workers: self.frame.threads }) };
            } else if self.id == 0 {
                // SAFETY: the caller's.
                unsafe { self.execute(&step.work, Share::ALL) };
            }
            if step.meet {
                self.frame.barrier.wait();
            }
        }
    }

    /// Does this worker's share of one instruction.
    ///
    /// # Safety
    /// As [`Worker::run`]. In the plan, views stay inside their buffers; buffers that live at the same instruction
    /// do not overlap, except gradients and parameters with themselves; and no instruction writes what it reads,
    /// but for those that add to their result, each element of which is one worker's.
    unsafe fn execute(&mut self, work: &Work, share: Share) {
        // SAFETY: the caller's, for each of these.
        unsafe {
            match work {
                Work::Apply(one) => apply::apply(self, one, share),
                Work::Copy { rows, add } => apply::copy(self, rows, *add, share),
                Work::Fill { rows, value } => apply::fill(self, rows, *value, share),
                Work::Product(product) => matmul::product(self, product, share),
                Work::Pack { matrix, k, n, to } => {
                    matmul::pack_panels(self, matrix, [*k, *n], self.address(to), share);
                }
                Work::Sum { kept, summed } => reduce::sum(self, kept, summed, share),
                Work::Rowwise { op, rows } => rowwise::rowwise(self, *op, rows, share),
                Work::ScatterAdd { rows, table } => rowwise::scatter_add(self, rows, table, share),
                // `run`'s.
                Work::Scan { .. } => {}
            }
        }
    }

    /// Where an address is now.
    pub(super) fn address(&self, at: &Address) -> *mut T {
        let base = self.frame.bases.real[at.buffer.index()];
        base.wrapping_offset(self.offset(at))
    }

    /// Where an address of indices is now.
    pub(super) fn index_address(&self, at: &Address) -> *const u32 {
        let base = self.frame.bases.index[at.buffer.index()];
        base.wrapping_offset(self.offset(at))
    }

    fn offset(&self, at: &Address) -> isize {
        at.walks.iter().fold(at.offset, |offset, walk| {
            let iteration = self.iterations[walk.depth];
            let times = match walk.pace {
                Pace::Iteration => iteration,
                Pace::Parity => iteration % 2,
                Pace::OtherParity => (iteration + 1) % 2,
            };
            offset + times as isize * walk.stride
        })
    }

    /// The noise of a site, at an element.
    pub(super) fn stream(&self, site: &Site, element: usize) -> Stream {
        let time = site.time_of.map_or(u64::MAX, |scan| self.times[scan] as u64);
        let Frame { seed, step, .. } = *self.frame;
        Stream::new(Key { seed, step, layer: site.layer, time, gate: u64::from(site.gate) }.state(), element as u64)
    }
}

/// Rows cut into pieces of at most a block: a worker's share is a run of consecutive pieces.
pub(super) struct Pieces<'a> {
    cursor: Cursor<'a>,
    len: usize,
    piece: usize,
    in_row: usize,
    at: usize,
    items: Range<usize>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(rows: &'a Rows, block: usize, share: Share) -> Pieces<'a> {
        let in_row = rows.len.div_ceil(block).max(1);
        let piece = rows.len.div_ceil(in_row).next_multiple_of(32);
        let items = if rows.len == 0 { 0..0 } else { share.of(rows.count() * in_row) };
        let cursor = Cursor::new(rows, items.start / in_row);
        Pieces { cursor, len: rows.len, piece, in_row, at: items.start % in_row, items }
    }

    /// The first piece's position in the space's elements, counted in order.
    pub(super) fn first_element(&self) -> usize {
        self.items.start / self.in_row * self.len + (self.at * self.piece).min(self.len)
    }

    /// Calls `each` with every piece: the rows' offsets, the first column, the number of columns.
    pub(super) fn each(mut self, mut each: impl FnMut(&[isize], usize, usize)) {
        for _ in self.items.clone() {
            let column = (self.at * self.piece).min(self.len);
            let len = self.piece.min(self.len - column);
            if len > 0 {
                each(&self.cursor.offsets, column, len);
            }
            self.at += 1;
            if self.at == self.in_row {
                self.at = 0;
                self.cursor.advance();
            }
        }
    }
}
