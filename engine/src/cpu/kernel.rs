//! A fused region as a row function: compiled for f32 and f64, and for each instruction set.

use super::simd::Isa;
use crate::noise::Stream;
use crate::real::Real;
use crate::region::Region;

/// Elements computed at a time: their uniforms and results stand on the stack.
const CHUNK: usize = 128;

/// Chunks are computed in multiples of this: at least the vectors that the compiler makes of the loop.
const WHOLE: usize = 32;

/// One row segment for a [`Kernel`]: `len` elements, consecutive in every lane and output.
#[derive(Clone, Copy)]
pub struct Segment<T> {
    /// Number of elements.
    pub(crate) len: usize,
    /// `X` pointers.
    pub(crate) lanes: *const *const T,
    /// `S` pointers, to one value each.
    pub(crate) scalars: *const *const T,
    /// `U` streams, at the segment's first element; left at the one behind its last.
    pub(crate) noise: *mut Stream,
    /// `Y` pointers.
    pub(crate) outputs: *const *mut T,
}

/// Computes one segment.
pub type RowFn<T> = unsafe fn(Segment<T>);

/// A region ready to run on this CPU.
#[derive(Clone, Copy)]
pub struct Kernel {
    name: &'static str,
    arity: [usize; 4],
    f32: [RowFn<f32>; 3],
    f64: [RowFn<f64>; 3],
}

impl Kernel {
    /// The region `R`, called `name` in listings of a plan.
    pub const fn new<R, const X: usize, const S: usize, const U: usize, const Y: usize>(name: &'static str) -> Kernel
    where
        R: Region<X, S, U, Y>,
    {
        Kernel {
            name,
            arity: [X, S, U, Y],
            f32: [portable::<f32, R, X, S, U, Y>, avx2::<f32, R, X, S, U, Y>, avx512::<f32, R, X, S, U, Y>],
            f64: [portable::<f64, R, X, S, U, Y>, avx2::<f64, R, X, S, U, Y>, avx512::<f64, R, X, S, U, Y>],
        }
    }

    /// Its name in listings.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Numbers of lanes, scalars, noise sites and outputs.
    pub fn arity(&self) -> [usize; 4] {
        self.arity
    }

    pub(crate) fn row_f32(&self, isa: Isa) -> RowFn<f32> {
        self.f32[isa as usize]
    }

    pub(crate) fn row_f64(&self, isa: Isa) -> RowFn<f64> {
        self.f64[isa as usize]
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [x, s, u, y] = self.arity;
        write!(f, "{}({x} lanes, {s} scalars, {u} uniforms) -> {y}", self.name)
    }
}

/// # Safety
/// The segment's arrays have the region's lengths; lanes hold `len` readable elements, scalars one, outputs `len`
/// writable ones that no other thread touches. Outputs may not overlap anything read.
#[inline(always)]
unsafe fn row<T: Real, R, const X: usize, const S: usize, const U: usize, const Y: usize>(segment: Segment<T>)
where
    R: Region<X, S, U, Y>,
{
    // SAFETY: the arrays have these lengths, by contract; one pointer or stream is read at a time.
    let (mut lanes, scalars, mut noise, mut outputs) = unsafe {
        (
            segment.lanes.cast::<[*const T; X]>().read(),
            segment.scalars.cast::<[*const T; S]>().read(),
            segment.noise.cast::<[Stream; U]>().read(),
            segment.outputs.cast::<[*mut T; Y]>().read(),
        )
    };
    // SAFETY: each scalar points to one readable value.
    let s = scalars.map(|at| unsafe { at.read() });
    let mut uniforms = [[T::zero(); CHUNK]; U];
    let mut results = [[T::zero(); CHUNK]; Y];
    let mut padded = [[T::zero(); CHUNK]; X];
    let mut left = segment.len;
    while left > 0 {
        let len = left.min(CHUNK);
        let mut x = lanes;
        if len < CHUNK {
            // A last, partial chunk is computed from copies, up to whole vectors: no scalar remainder.
            for k in 0..X {
                // SAFETY: `len` elements can be read from each lane, and `padded` is this function's.
                unsafe { padded[k].as_mut_ptr().copy_from_nonoverlapping(lanes[k], len) };
                x[k] = padded[k].as_ptr();
            }
        }
        for (stream, chunk) in noise.iter_mut().zip(&mut uniforms) {
            stream.fill(&mut chunk[..len]);
        }
        for j in 0..len.div_ceil(WHOLE) * WHOLE {
            // SAFETY: that many elements can be read from each lane, or from its padded copy.
            let x = x.map(|at| unsafe { at.add(j).read() });
            // SAFETY: `j` is below `CHUNK`: `len` is not above it, and it is a multiple of `WHOLE`. (A checked access
            // would be a way out of the loop, which then computes its last vector one by one.)
            let u: [T; U] = core::array::from_fn(|k| unsafe { *uniforms[k].get_unchecked(j) });
            let y = R::eval(x, s, u);
            for k in 0..Y {
                // SAFETY: as above.
                unsafe { *results[k].get_unchecked_mut(j) = y[k] };
            }
        }
        for k in 0..Y {
            // SAFETY: `len` elements can be written to each output, and `results` is this function's.
            unsafe { outputs[k].copy_from_nonoverlapping(results[k].as_ptr(), len) };
        }
        // SAFETY: moves by no more than the `left` elements there are.
        lanes = lanes.map(|at| unsafe { at.add(len) });
        // SAFETY: as above.
        outputs = outputs.map(|at| unsafe { at.add(len) });
        left -= len;
    }
    // SAFETY: the streams were read from there.
    unsafe { segment.noise.cast::<[Stream; U]>().write(noise) };
}

/// # Safety
/// As [`row`].
unsafe fn portable<T: Real, R, const X: usize, const S: usize, const U: usize, const Y: usize>(segment: Segment<T>)
where
    R: Region<X, S, U, Y>,
{
    // SAFETY: the caller's.
    unsafe { row::<T, R, X, S, U, Y>(segment) }
}

/// # Safety
/// As [`row`], on a machine with AVX2 and FMA.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma"))]
unsafe fn avx2<T: Real, R, const X: usize, const S: usize, const U: usize, const Y: usize>(segment: Segment<T>)
where
    R: Region<X, S, U, Y>,
{
    // SAFETY: the caller's.
    unsafe { row::<T, R, X, S, U, Y>(segment) }
}

/// # Safety
/// As [`row`], on a machine with AVX-512 F, BW, DQ and VL.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))]
unsafe fn avx512<T: Real, R, const X: usize, const S: usize, const U: usize, const Y: usize>(segment: Segment<T>)
where
    R: Region<X, S, U, Y>,
{
    // SAFETY: the caller's.
    unsafe { row::<T, R, X, S, U, Y>(segment) }
}
