//! Walking an iteration space: where each operand's row begins, from row to row.

use crate::plan::Rows;

/// Most outer axes of an iteration space.
pub(super) const MAX_AXES: usize = 8;

/// Most operands of one.
pub(super) const MAX_OPERANDS: usize = g2_ir::fuse::MOST_OPERANDS;

/// A position in a space's rows.
pub(super) struct Cursor<'a> {
    rows: &'a Rows,
    index: [usize; MAX_AXES],
    /// Of each operand's row, in elements from the operand's first.
    pub(super) offsets: [isize; MAX_OPERANDS],
}

impl<'a> Cursor<'a> {
    /// At row number `row`. The plan's space has been checked against the limits above.
    pub(super) fn new(rows: &'a Rows, row: usize) -> Cursor<'a> {
        let mut cursor = Cursor { rows, index: [0; MAX_AXES], offsets: [0; MAX_OPERANDS] };
        let mut left = row;
        for (axis, &size) in rows.sizes.iter().enumerate().rev() {
            let index = left % size.max(1);
            left /= size.max(1);
            cursor.index[axis] = index;
            for (offset, operand) in cursor.offsets.iter_mut().zip(&rows.operands) {
                *offset += index as isize * operand.outer[axis];
            }
        }
        cursor
    }

    /// To the next row; after the last one to the first.
    pub(super) fn advance(&mut self) {
        for (axis, &size) in self.rows.sizes.iter().enumerate().rev() {
            self.index[axis] += 1;
            let wraps = self.index[axis] == size;
            let moves = if wraps { 1 - size as isize } else { 1 };
            for (offset, operand) in self.offsets.iter_mut().zip(&self.rows.operands) {
                *offset += moves * operand.outer[axis];
            }
            if !wraps {
                return;
            }
            self.index[axis] = 0;
        }
    }
}
