//! One matrix product on one thread, by a kept library: faer's kernels where the machine has AVX2, else
//! `matrixmultiply`.
//!
//! Neither's sum over `k` depends on `m` or `n` (blocks of 512 and of 256, each summed in order), so however a product
//! is cut into slices of its result, every element has the same bits. faer's kernels allocate once for each thread;
//! `matrixmultiply` allocates its packing buffers at each call.

/// `c = a b`, or `c += a b` with `add`: `a` is `[m, k]`, `b` is `[k, n]`, strides are (rows, columns) in elements.
pub struct Gemm<T> {
    pub shape: [usize; 3],
    pub a: *const T,
    pub strides_a: [isize; 2],
    pub b: *const T,
    pub strides_b: [isize; 2],
    pub add: bool,
    pub c: *mut T,
    pub strides_c: [isize; 2],
}

macro_rules! run {
    ($run:ident, $float:ident, $dtype:ident, $portable:ident) => {
        impl Gemm<$float> {
            /// # Safety
            /// Every element addressed can be read, those of `c` written; `c` overlaps neither of the others, nor
            /// itself.
            pub unsafe fn $run(self) {
                let Gemm { shape: [m, k, n], a, strides_a, b, strides_b, add, c, strides_c } = self;
                #[cfg(target_arch = "x86_64")]
                if k > 0
                    && [strides_a, strides_b, strides_c].iter().all(x86::is_plain)
                    && let Some(instructions) = x86::instructions()
                {
                    use private_gemm_x86::{Accum, DType, DstKind, IType, gemm};
                    let accum = if add { Accum::Add } else { Accum::Replace };
                    let one: $float = 1.0;
                    let (no_index, no_scale) = (std::ptr::null(), std::ptr::null());
                    // SAFETY: the caller's, and the machine has these instructions; no index lists, no diagonal.
                    return unsafe {
                        gemm(
                            DType::$dtype,
                            IType::U64,
                            instructions,
                            m,
                            n,
                            k,
                            c.cast(),
                            strides_c[0],
                            strides_c[1],
                            no_index,
                            no_index,
                            DstKind::Full,
                            accum,
                            a.cast(),
                            strides_a[0],
                            strides_a[1],
                            false,
                            no_scale,
                            0,
                            b.cast(),
                            strides_b[0],
                            strides_b[1],
                            false,
                            (&raw const one).cast(),
                            1,
                        )
                    };
                }
                let beta = if add { 1.0 } else { 0.0 };
                let ([row_a, column_a], [row_b, column_b], [row_c, column_c]) = (strides_a, strides_b, strides_c);
                // SAFETY: the caller's.
                unsafe {
                    matrixmultiply::$portable(
                        m, k, n, 1.0, a, row_a, column_a, b, row_b, column_b, beta, c, row_c, column_c,
                    );
                }
            }
        }
    };
}

run!(run, f32, F32, sgemm);
run!(run, f64, F64, dgemm);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use crate::cpu::simd::Isa;
    use private_gemm_x86::InstrSet;

    /// Whether these are the strides of a matrix stored by rows or by columns: what the library is tested with.
    pub(super) fn is_plain(strides: &[isize; 2]) -> bool {
        strides.contains(&1) && strides.iter().all(|&stride| stride > 0)
    }

    /// The best instruction set that the machine and the library have.
    pub(super) fn instructions() -> Option<InstrSet> {
        match Isa::detect() {
            Isa::Avx512 => Some(InstrSet::Avx512),
            Isa::Avx2 => Some(InstrSet::Avx256),
            Isa::Portable => None,
        }
    }
}
