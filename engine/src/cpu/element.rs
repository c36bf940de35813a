//! The number types an executor runs in.

use super::kernel::{Kernel, RowFn};
use super::simd::Isa;
use super::tile::{TileFn, tile_f32, tile_f64};
use crate::real::Real;

/// `f32` or `f64`.
pub trait Element: Real + sealed::Sealed {}

impl Element for f32 {}
impl Element for f64 {}

pub(crate) mod sealed {
    use super::{Isa, Kernel, RowFn, TileFn, tile_f32, tile_f64};

    /// What differs between the two.
    #[expect(private_interfaces, reason = "a sealed trait has no users but the executor")]
    pub trait Sealed: Sized {
        /// The kernel's row function.
        fn row(kernel: &Kernel, isa: Isa) -> RowFn<Self>;

        /// The tile function of products.
        fn tile(isa: Isa) -> TileFn<Self>;
    }

    impl Sealed for f32 {
        fn row(kernel: &Kernel, isa: Isa) -> RowFn<f32> {
            kernel.row_f32(isa)
        }

        #[expect(private_interfaces, reason = "as above")]
        fn tile(isa: Isa) -> TileFn<f32> {
            tile_f32(isa)
        }
    }

    impl Sealed for f64 {
        fn row(kernel: &Kernel, isa: Isa) -> RowFn<f64> {
            kernel.row_f64(isa)
        }

        #[expect(private_interfaces, reason = "as above")]
        fn tile(isa: Isa) -> TileFn<f64> {
            tile_f64(isa)
        }
    }
}
