//! One fused region: a pure function of one element, which a vector lane, a GPU thread and a test all run alike.

use crate::real::Real;

/// `Y` results from `X` elements that vary along the innermost axis, `S` that do not, and `U` uniforms.
///
/// Pure: no state, no panic, so that a caller may compute any elements in any order. Implementations are `#[inline]`
/// and carry no CPU features of their own: they are compiled for those of the loop that calls them.
pub trait Region<const X: usize, const S: usize, const U: usize, const Y: usize> {
    /// The results at one element.
    fn eval<T: Real>(x: [T; X], s: [T; S], u: [T; U]) -> [T; Y];
}
