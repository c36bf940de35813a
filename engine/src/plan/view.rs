//! Strided looks at buffers: what slices, transposes, broadcasts and the steps of a scan are, without a copy.

use std::fmt;

/// A buffer's number in its plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BufferId(pub u32);

impl BufferId {
    /// As an index into [`super::Plan::buffers`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How an address moves with the iterations of an enclosing scan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walk {
    /// Which scan: 0 is the outermost.
    pub depth: usize,
    /// Elements to move.
    pub stride: isize,
    /// By the iteration's number, or between two slots.
    pub pace: Pace,
}

/// What a [`Walk`]'s stride is multiplied by, in iteration i (counted in the order they run).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// i
    Iteration,
    /// i modulo 2
    Parity,
    /// i + 1 modulo 2
    OtherParity,
}

/// An element of a buffer, which moves with the scans around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The buffer.
    pub buffer: BufferId,
    /// Elements from its start, in iteration 0 of every scan.
    pub offset: isize,
    /// How it moves.
    pub walks: Vec<Walk>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.buffer.0)?;
        if self.offset != 0 {
            write!(f, "{:+}", self.offset)?;
        }
        for walk in &self.walks {
            let pace = match walk.pace {
                Pace::Iteration => "i",
                Pace::Parity => "(i mod 2)",
                Pace::OtherParity => "(i+1 mod 2)",
            };
            write!(f, "{:+}*{pace}{}", walk.stride, walk.depth)?;
        }
        Ok(())
    }
}

/// A tensor in a buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Its first element.
    pub at: Address,
    /// Its shape.
    pub sizes: Vec<usize>,
    /// Elements between neighbours, for each axis.
    pub strides: Vec<isize>,
}

impl View {
    /// The whole of a buffer, row-major.
    pub fn contiguous(buffer: BufferId, sizes: Vec<usize>) -> View {
        let strides = row_major(&sizes);
        View { at: Address { buffer, offset: 0, walks: Vec::new() }, sizes, strides }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.sizes.iter().product()
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.sizes.len()
    }

    /// Elements between neighbours along the last axis; 1 for a scalar and for an axis of length 1.
    pub fn inner_stride(&self) -> isize {
        match (self.sizes.last(), self.strides.last()) {
            (Some(&size), Some(&stride)) if size != 1 => stride,
            _ => 1,
        }
    }

    /// Whether its elements stand row-major without gaps.
    pub fn is_contiguous(&self) -> bool {
        let expected = row_major(&self.sizes);
        self.sizes.iter().zip(self.strides.iter().zip(&expected)).all(|(&size, (a, b))| size == 1 || a == b)
    }

    /// `len` indices from `start` on along `axis`.
    #[must_use]
    pub fn slice(mut self, axis: usize, start: usize, len: usize) -> View {
        self.at.offset += start as isize * self.strides[axis];
        self.sizes[axis] = len;
        self
    }

    /// Backwards along `axis`.
    #[must_use]
    pub fn reverse(mut self, axis: usize) -> View {
        self.at.offset += self.sizes[axis].saturating_sub(1) as isize * self.strides[axis];
        self.strides[axis] = -self.strides[axis];
        self
    }

    /// The last two axes swapped.
    #[must_use]
    pub fn transpose(mut self) -> View {
        let rank = self.rank();
        self.sizes.swap(rank - 1, rank - 2);
        self.strides.swap(rank - 1, rank - 2);
        self
    }

    /// An axis of length 1 before `axis`.
    #[must_use]
    pub fn insert(mut self, axis: usize) -> View {
        self.sizes.insert(axis, 1);
        self.strides.insert(axis, 0);
        self
    }

    /// Index 0 along `axis`, which vanishes.
    #[must_use]
    pub fn remove(mut self, axis: usize) -> View {
        self.sizes.remove(axis);
        self.strides.remove(axis);
        self
    }

    /// Repeated: axis `i` becomes axis `axes[i]` of `sizes`.
    #[must_use]
    pub fn broadcast(self, sizes: Vec<usize>, axes: &[usize]) -> View {
        let mut strides = vec![0; sizes.len()];
        for (&axis, &stride) in axes.iter().zip(&self.strides) {
            strides[axis] = stride;
        }
        View { at: self.at, sizes, strides }
    }

    /// Repeated along a new last axis.
    #[must_use]
    pub fn repeat_inner(mut self, len: usize) -> View {
        self.sizes.push(len);
        self.strides.push(0);
        self
    }

    /// The slice of axis 0 that belongs to each iteration of the scan at `depth`.
    #[must_use]
    pub fn each_step(self, depth: usize, reversed: bool) -> View {
        let view = if reversed { self.reverse(0) } else { self };
        let stride = view.strides[0];
        let mut step = view.remove(0);
        step.at.walks.push(Walk { depth, stride, pace: Pace::Iteration });
        step
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.at, self.sizes)?;
        if !self.is_contiguous() {
            write!(f, " by {:?}", self.strides)?;
        }
        Ok(())
    }
}

fn row_major(sizes: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; sizes.len()];
    for axis in (1..sizes.len()).rev() {
        strides[axis - 1] = strides[axis] * sizes[axis] as isize;
    }
    strides
}

/// A node's value: one tensor, or one for each layer of a stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// One tensor.
    Tensor(View),
    /// One a layer.
    Family(Vec<View>),
}

impl Value {
    /// Its tensors.
    pub fn views(&self) -> &[View] {
        match self {
            Value::Tensor(view) => std::slice::from_ref(view),
            Value::Family(views) => views,
        }
    }

    /// The same change made to each tensor.
    #[must_use]
    pub fn map(self, change: impl Fn(View) -> View) -> Value {
        match self {
            Value::Tensor(view) => Value::Tensor(change(view)),
            Value::Family(views) => Value::Family(views.into_iter().map(change).collect()),
        }
    }
}
