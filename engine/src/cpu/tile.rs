//! The innermost loop of a product: a tile of the result in registers, one fused multiply-add a step.
//!
//! Every element of a product is one chain of fused multiply-adds in the order of k, whatever the tile, the
//! instruction set, the blocking or the thread: so products have the same bits everywhere.

use super::simd::Isa;
use crate::real::Real;

pub(crate) use crate::plan::PANEL;

/// Most rows of a tile.
pub(crate) const ROWS: usize = 12;

/// Some numbers side by side.
trait Lanes<T>: Copy {
    const COUNT: usize;
    /// # Safety
    /// For all: the machine has the instruction set. For `load` and `store`: `COUNT` elements are there.
    unsafe fn zero() -> Self;
    unsafe fn splat(x: T) -> Self;
    unsafe fn load(from: *const T) -> Self;
    unsafe fn store(self, to: *mut T);
    /// `self + a * b`, rounded once.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
}

impl<T: Real> Lanes<T> for T {
    const COUNT: usize = 1;
    #[inline(always)]
    unsafe fn zero() -> T {
        T::zero()
    }
    #[inline(always)]
    unsafe fn splat(x: T) -> T {
        x
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> T {
        // SAFETY: the caller's.
        unsafe { from.read() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller's.
        unsafe { to.write(self) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: T, b: T) -> T {
        a.fma(b, self)
    }
}

/// What a tile is computed from, and where it goes.
#[derive(Clone, Copy)]
pub(crate) struct Tile<T> {
    /// Length of the sums.
    pub(crate) k: usize,
    /// `[k][rows]`
    pub(crate) a: *const T,
    /// `[k][PANEL]`
    pub(crate) b: *const T,
    /// `rows` rows of `PANEL` elements.
    pub(crate) c: *mut T,
    /// Elements between those rows.
    pub(crate) row: isize,
    /// Go on from what is in `c`.
    pub(crate) add: bool,
}

/// # Safety
/// The tile's pointers lead to that many elements, those of `c` this thread's own; the machine has V's instructions.
#[inline(always)]
unsafe fn tile<T: Real, V: Lanes<T>, const R: usize>(tile: Tile<T>) {
    let Tile { k, a, b, c, row, add } = tile;
    let mut column = 0;
    while column < PANEL {
        // SAFETY: all offsets are below the lengths that the tile's fields promise.
        unsafe {
            let c = c.add(column);
            let mut sums = [[V::zero(); 2]; R];
            if add {
                for (r, sums) in sums.iter_mut().enumerate() {
                    let c = c.offset(r as isize * row);
                    *sums = [V::load(c), V::load(c.add(V::COUNT))];
                }
            }
            let (mut a, mut b) = (a, b.add(column));
            for _ in 0..k {
                let (left, right) = (V::load(b), V::load(b.add(V::COUNT)));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = V::splat(a.add(r).read());
                    *sums = [sums[0].add_product(x, left), sums[1].add_product(x, right)];
                }
                a = a.add(R);
                b = b.add(PANEL);
            }
            for (r, sums) in sums.iter().enumerate() {
                let c = c.offset(r as isize * row);
                sums[0].store(c);
                sums[1].store(c.add(V::COUNT));
            }
        }
        column += 2 * V::COUNT;
    }
}

/// # Safety
/// As [`tile`], with `rows` rows, 1 to [`ROWS`].
#[inline(always)]
unsafe fn of_rows<T: Real, V: Lanes<T>>(rows: usize, one: Tile<T>) {
    // SAFETY: the caller's.
    unsafe {
        match rows {
            1 => tile::<T, V, 1>(one),
            2 => tile::<T, V, 2>(one),
            3 => tile::<T, V, 3>(one),
            4 => tile::<T, V, 4>(one),
            5 => tile::<T, V, 5>(one),
            6 => tile::<T, V, 6>(one),
            7 => tile::<T, V, 7>(one),
            8 => tile::<T, V, 8>(one),
            9 => tile::<T, V, 9>(one),
            10 => tile::<T, V, 10>(one),
            11 => tile::<T, V, 11>(one),
            _ => tile::<T, V, 12>(one),
        }
    }
}

/// A tile function; the most rows with which its sums stay in registers.
pub(crate) type TileFn<T> = (unsafe fn(usize, Tile<T>), usize);

/// # Safety
/// As [`of_rows`].
unsafe fn portable<T: Real>(rows: usize, one: Tile<T>) {
    // SAFETY: the caller's.
    unsafe { of_rows::<T, T>(rows, one) }
}

#[cfg(not(target_arch = "x86_64"))]
mod x86 {
    pub(super) use super::portable as avx2_f32;
    pub(super) use super::portable as avx2_f64;
    pub(super) use super::portable as avx512_f32;
    pub(super) use super::portable as avx512_f64;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Tile, of_rows};
    use std::arch::x86_64::*;

    macro_rules! lanes {
        ($vector:ident of $count:literal $float:ident: $zero:ident, $splat:ident, $load:ident, $store:ident, $fma:ident;
            $name:ident with $features:literal) => {
            impl Lanes<$float> for $vector {
                const COUNT: usize = $count;
                #[inline(always)]
                unsafe fn zero() -> $vector {
                    // SAFETY: the caller's, here and below.
                    unsafe { $zero() }
                }
                #[inline(always)]
                unsafe fn splat(x: $float) -> $vector {
                    // SAFETY: as above.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(from: *const $float) -> $vector {
                    // SAFETY: as above.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $float) {
                    // SAFETY: as above.
                    unsafe { $store(to, self) }
                }
                #[inline(always)]
                unsafe fn add_product(self, a: $vector, b: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $fma(a, b, self) }
                }
            }

            /// # Safety
            /// As `of_rows`.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(rows: usize, one: Tile<$float>) {
                // SAFETY: the caller's.
                unsafe { of_rows::<$float, $vector>(rows, one) }
            }
        };
    }

    lanes!(__m512 of 16 f32:
        _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps;
        avx512_f32 with "avx512f,avx2,fma");
    lanes!(__m512d of 8 f64:
        _mm512_setzero_pd, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd;
        avx512_f64 with "avx512f,avx2,fma");
    lanes!(__m256 of 8 f32:
        _mm256_setzero_ps, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps;
        avx2_f32 with "avx2,fma");
    lanes!(__m256d of 4 f64:
        _mm256_setzero_pd, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd;
        avx2_f64 with "avx2,fma");
}

pub(crate) fn tile_f32(isa: Isa) -> TileFn<f32> {
    match isa {
        Isa::Portable => (portable::<f32>, 6),
        Isa::Avx2 => (x86::avx2_f32, 6),
        Isa::Avx512 => (x86::avx512_f32, ROWS),
    }
}

pub(crate) fn tile_f64(isa: Isa) -> TileFn<f64> {
    match isa {
        Isa::Portable => (portable::<f64>, 6),
        Isa::Avx2 => (x86::avx2_f64, 6),
        Isa::Avx512 => (x86::avx512_f64, ROWS),
    }
}
