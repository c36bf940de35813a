//! Memory that starts at a cache line.

use super::element::Element;
use crate::error::Error;
use std::marker::PhantomData;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A fixed number of elements, aligned to 64 bytes.
#[derive(Clone)]
pub struct Storage<T> {
    lines: Vec<Line>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Storage<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Storage<T> {
        // All bits zero is the number zero in both formats.
        let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        Storage { lines: vec![Line([0; 64]); lines], len, element: PhantomData }
    }

    /// As [`Storage::zeros`], for a size that comes from outside.
    ///
    /// # Errors
    /// If there is not that much memory, which is for `what`.
    pub fn try_zeros(len: usize, what: &'static str) -> Result<Storage<T>, Error> {
        let bytes = len.saturating_mul(size_of::<T>());
        let mut lines = Vec::new();
        lines
            .try_reserve_exact(bytes.div_ceil(size_of::<Line>()))
            .map_err(|_| Error::Memory { what, gigabytes: bytes.div_ceil(1 << 30) })?;
        lines.resize(bytes.div_ceil(size_of::<Line>()), Line([0; 64]));
        Ok(Storage { lines, len, element: PhantomData })
    }

    /// The elements.
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: the lines hold at least `len` elements of T, which is f32 or f64 (`Element`): any bits are a value,
        // and 64 is a multiple of their alignment.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// The elements.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }

    /// The first element, for the executor's launches.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut T {
        self.lines.as_mut_ptr().cast()
    }
}

impl<T: Element> std::fmt::Debug for Storage<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}
