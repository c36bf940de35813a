//! The number types an executor runs in.

use super::kernel::{Kernel, RowFn};
use super::simd::Isa;
use crate::real::Real;

/// `f32` or `f64`.
pub trait Element: Real + sealed::Sealed {}

impl Element for f32 {}
impl Element for f64 {}

pub(crate) mod sealed {
    use super::{Isa, Kernel, RowFn};

    /// What differs between the two.
    pub trait Sealed: Sized {
        /// The kernel's row function.
        fn row(kernel: &Kernel, isa: Isa) -> RowFn<Self>;

        /// `c = beta c + a b`, all matrices with any strides.
        ///
        /// # Safety
        /// As `matrixmultiply::sgemm`: every element addressed can be read, those of `c` written; `c` overlaps
        /// neither of the others and itself nowhere.
        #[expect(clippy::too_many_arguments, reason = "BLAS")]
        unsafe fn gemm(
            shape: [usize; 3],
            a: *const Self,
            strides_a: [isize; 2],
            b: *const Self,
            strides_b: [isize; 2],
            add: bool,
            c: *mut Self,
            strides_c: [isize; 2],
        );
    }

    macro_rules! impl_sealed {
        ($float:ident, $row:ident, $gemm:ident) => {
            impl Sealed for $float {
                fn row(kernel: &Kernel, isa: Isa) -> RowFn<Self> {
                    kernel.$row(isa)
                }

                unsafe fn gemm(
                    [m, k, n]: [usize; 3],
                    a: *const Self,
                    [row_a, column_a]: [isize; 2],
                    b: *const Self,
                    [row_b, column_b]: [isize; 2],
                    add: bool,
                    c: *mut Self,
                    [row_c, column_c]: [isize; 2],
                ) {
                    let beta = if add { 1.0 } else { 0.0 };
                    // SAFETY: the caller's.
                    unsafe {
                        matrixmultiply::$gemm(
                            m, k, n, 1.0, a, row_a, column_a, b, row_b, column_b, beta, c, row_c, column_c,
                        );
                    }
                }
            }
        };
    }

    impl_sealed!(f32, row_f32, sgemm);
    impl_sealed!(f64, row_f64, dgemm);
}
