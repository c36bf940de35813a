//! Matrix products: blocks of the operands are packed, tiles of the result stay in registers.
//!
//! ```text
//! for each block of rows of c           [BLOCK_ROWS, n]    one worker's run of panels
//!   for each block of k                 pack a             [tiles][BLOCK_K][rows of a tile]
//!     for each panel of columns         pack b             [BLOCK_K][PANEL], unless it is packed already
//!       for each tile of rows           c += a b, in order of k
//! ```
//!
//! A matrix that the steps of a scan multiply by is packed once, before the scan.

use super::element::Element;
use super::run::{Share, Worker};
use super::tile::{PANEL, ROWS, Tile};
use crate::plan::{Matrix, Product};
use std::ops::Range;

/// Rows of `c` for which `a` is packed at a time: with `BLOCK_K`, half a megabyte, a part of the second-level cache.
const BLOCK_ROWS: usize = 480;

/// Steps of k at a time: a panel of them fits the first-level cache.
const BLOCK_K: usize = 256;

/// Elements of a worker's own memory that a product uses.
pub(super) const SCRATCH: usize = (BLOCK_ROWS + ROWS) * BLOCK_K + BLOCK_K * PANEL + ROWS * PANEL;

/// This worker's share of a product.
///
/// # Safety
/// As [`Worker::execute`]; the worker's memory holds [`SCRATCH`] elements.
pub(super) unsafe fn product<T: Element>(worker: &Worker<'_, T>, p: &Product, share: Share) {
    let panels = p.n.div_ceil(PANEL);
    let blocks = p.m.div_ceil(BLOCK_ROWS);
    let batches: usize = p.batch.iter().product();
    let groups = if p.fold { blocks } else { blocks * batches };
    // Consecutive panels of consecutive groups; a group is a block of rows of one matrix of the batch.
    let mut items = share.of(groups * panels);
    while !items.is_empty() {
        let group = items.start / panels;
        let first = items.start % panels;
        let last = panels.min(first + items.len());
        items.start += last - first;
        let block = group % blocks;
        let rows = block * BLOCK_ROWS..p.m.min((block + 1) * BLOCK_ROWS);
        let batch = if p.fold { 0..batches } else { group / blocks..group / blocks + 1 };
        let mut add = p.add;
        for batch in batch {
            // SAFETY: the caller's; groups and panels are dealt out once.
            unsafe { block_of_rows(worker, p, batch, rows.clone(), first..last, add) };
            add = true;
        }
    }
}

/// # Safety
/// As [`product`]; nobody else writes these rows and panels of `c`.
unsafe fn block_of_rows<T: Element>(
    worker: &Worker<'_, T>,
    p: &Product,
    batch: usize,
    rows: Range<usize>,
    panels: Range<usize>,
    add: bool,
) {
    let (tile, most_rows) = T::tile(worker.frame.isa);
    let at = |matrix: &Matrix| worker.address(&matrix.at).wrapping_offset(batch_offset(&p.batch, &matrix.batch, batch));
    let (a, b, c) = (at(&p.a), at(&p.b), at(&p.c));
    let packed_b = p.packed.as_ref().map(|at| worker.address(at));
    // As even as can be: 20 rows are two tiles of 10, not one of 12 and one of 8.
    let height = rows.len().div_ceil(rows.len().div_ceil(most_rows).max(1));
    // SAFETY: the three parts lie in the worker's memory, one after the other.
    let (block_a, panel_b, edge) = unsafe {
        let block_a = worker.scratch;
        let panel_b = block_a.add((BLOCK_ROWS + ROWS) * BLOCK_K);
        (block_a, panel_b, panel_b.add(BLOCK_K * PANEL))
    };
    let steps = (0..p.k.max(1)).step_by(BLOCK_K);
    for k_start in steps {
        let k = BLOCK_K.min(p.k - k_start);
        let add = add || k_start > 0;
        for (tile, row) in rows.clone().step_by(height).enumerate() {
            let from = a.wrapping_offset(row as isize * p.a.row + k_start as isize * p.a.column);
            let own = height.min(rows.end - row);
            // SAFETY: these rows of `a` are there; each tile has `height * BLOCK_K` elements of the block.
            unsafe { pack(from, [p.a.column, p.a.row], [k, own], block_a.add(tile * height * BLOCK_K), height) };
        }
        for panel in panels.clone() {
            let column = panel * PANEL;
            let width = PANEL.min(p.n - column);
            let b = match packed_b {
                Some(packed) => packed.wrapping_add(panel * PANEL * p.k + k_start * PANEL),
                None => {
                    let from = b.wrapping_offset(k_start as isize * p.b.row + column as isize * p.b.column);
                    // SAFETY: this panel of `b` is there, and `panel_b` has room for it.
                    unsafe { pack(from, [p.b.row, p.b.column], [k, width], panel_b, PANEL) };
                    panel_b
                }
            };
            for (number, row) in rows.clone().step_by(height).enumerate() {
                let own = height.min(rows.end - row);
                let c = c.wrapping_offset(row as isize * p.c.row + column as isize * p.c.column);
                // SAFETY: `a` and `b` are packed as the tile reads them. It writes to `c` if that has all its
                // elements side by side, else to `edge`, which has room, and from there what is in `c` is copied.
                unsafe {
                    let a = block_a.add(number * height * BLOCK_K);
                    if own == height && width == PANEL && p.c.column == 1 {
                        tile(height, Tile { k, a, b, c, row: p.c.row, add });
                        continue;
                    }
                    let inside = || (0..own).flat_map(|i| (0..width).map(move |j| (i, j)));
                    let place = |i: usize, j: usize| c.offset(i as isize * p.c.row + j as isize * p.c.column);
                    if add {
                        edge.write_bytes(0, height * PANEL);
                        inside().for_each(|(i, j)| edge.add(i * PANEL + j).write(place(i, j).read()));
                    }
                    tile(height, Tile { k, a, b, c: edge, row: PANEL as isize, add });
                    inside().for_each(|(i, j)| place(i, j).write(edge.add(i * PANEL + j).read()));
                }
            }
        }
    }
}

fn batch_offset(sizes: &[usize], strides: &[isize], batch: usize) -> isize {
    let mut left = batch;
    let mut offset = 0;
    for (&size, &stride) in sizes.iter().zip(strides).rev() {
        offset += (left % size) as isize * stride;
        left /= size;
    }
    offset
}

/// Copies `[outer, inner]` elements to rows of `width`, the rest of each row zero.
///
/// # Safety
/// The elements can be read at `from` by `strides`, and `outer * width` written at `to`.
unsafe fn pack<T: Element>(from: *const T, strides: [isize; 2], [outer, inner]: [usize; 2], to: *mut T, width: usize) {
    /// Rows turned at a time: their cache lines stay at hand.
    const TURN: usize = 16;
    // SAFETY: all offsets are inside of what the caller promises.
    unsafe {
        if inner < width {
            to.write_bytes(0, outer * width);
        }
        if strides[1] == 1 {
            for i in 0..outer {
                let row = from.offset(i as isize * strides[0]);
                to.add(i * width).copy_from_nonoverlapping(row, inner);
            }
            return;
        }
        for start in (0..outer).step_by(TURN) {
            let end = outer.min(start + TURN);
            for j in 0..inner {
                let column = from.offset(j as isize * strides[1]);
                for i in start..end {
                    to.add(i * width + j).write(column.offset(i as isize * strides[0]).read());
                }
            }
        }
    }
}

/// Packs this worker's share of the panels of a product's `b`.
///
/// # Safety
/// As [`Worker::execute`].
pub(super) unsafe fn pack_panels<T: Element>(
    worker: &Worker<'_, T>,
    matrix: &Matrix,
    [k, n]: [usize; 2],
    to: *mut T,
    share: Share,
) {
    let from = worker.address(&matrix.at);
    for panel in share.of(n.div_ceil(PANEL)) {
        let column = panel * PANEL;
        let from = from.wrapping_offset(column as isize * matrix.column);
        // SAFETY: the plan's matrix has these columns, its packed buffer a panel for them.
        unsafe {
            pack(from, [matrix.row, matrix.column], [k, PANEL.min(n - column)], to.add(panel * PANEL * k), PANEL);
        }
    }
}
