//! Iteration spaces: several tensors of one shape walked together, row by row.

use super::view::{Address, View};

/// A tensor of an iteration space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operand {
    /// Its first element.
    pub at: Address,
    /// Elements between rows, for each outer axis.
    pub outer: Vec<isize>,
    /// Elements between neighbours in a row.
    pub inner: isize,
}

/// Rows of `len` elements over the outer axes `sizes`, in row-major order, and where each operand has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rows {
    /// The outer axes.
    pub sizes: Vec<usize>,
    /// Elements in a row.
    pub len: usize,
    /// The tensors.
    pub operands: Vec<Operand>,
}

impl Rows {
    /// The last axis is the row and stays as it is; the others are merged where every operand allows it.
    pub fn by_last_axis(views: &[View]) -> Rows {
        let mut rows = Rows::unmerged(views);
        rows.merge_outer();
        rows
    }

    /// Axes are merged where every operand allows it, the last one too; the operands in `constant` stay constant
    /// along a row.
    pub fn merged(views: &[View], constant: std::ops::Range<usize>) -> Rows {
        let mut rows = Rows::unmerged(views);
        rows.merge_outer();
        while let Some(&size) = rows.sizes.last() {
            let merges = rows.operands.iter().enumerate().all(|(k, operand)| {
                let outer = operand.outer[operand.outer.len() - 1];
                let fits = rows.len == 1 || outer == operand.inner * rows.len as isize;
                fits && (outer == 0 || !constant.contains(&k))
            });
            if !merges {
                break;
            }
            for operand in &mut rows.operands {
                let outer = operand.outer.pop().unwrap_or(0);
                if rows.len == 1 {
                    operand.inner = outer;
                }
            }
            rows.sizes.pop();
            rows.len *= size;
        }
        rows
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.sizes.iter().product()
    }

    fn unmerged(views: &[View]) -> Rows {
        let shape = &views[0].sizes;
        debug_assert!(views.iter().all(|v| v.sizes == *shape), "operands of one shape: {views:?}");
        let (&len, sizes) = shape.split_last().unwrap_or((&1, &[]));
        let operands = views.iter().map(|view| {
            let (&inner, outer) = view.strides.split_last().unwrap_or((&1, &[]));
            Operand { at: view.at.clone(), outer: outer.to_vec(), inner }
        });
        Rows { sizes: sizes.to_vec(), len, operands: operands.collect() }
    }

    fn merge_outer(&mut self) {
        let mut axis = self.sizes.len();
        while axis > 0 {
            axis -= 1;
            let drop = self.sizes[axis] == 1;
            let merge = !drop && axis + 1 < self.sizes.len() && {
                let below = self.sizes[axis + 1] as isize;
                self.operands.iter().all(|o| o.outer[axis] == o.outer[axis + 1] * below)
            };
            if drop {
                self.sizes.remove(axis);
                self.operands.iter_mut().for_each(|o| drop_axis(&mut o.outer, axis));
            } else if merge {
                self.sizes[axis] *= self.sizes[axis + 1];
                self.sizes.remove(axis + 1);
                // The merged axis steps as its inner part did.
                self.operands.iter_mut().for_each(|o| drop_axis(&mut o.outer, axis));
            }
        }
    }
}

fn drop_axis(strides: &mut Vec<isize>, axis: usize) {
    strides.remove(axis);
}
