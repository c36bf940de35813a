//! The math core: `exp`, `ln`, `sigmoid`, `tanh`, `logit` on f32 and f64, the same bits on every target.
//!
//! Only IEEE additions, multiplications, divisions, explicit fused multiply-adds, integer operations on the bits,
//! and selects: no branch, no table, no panic, no wider type. rustc never contracts `a * b + c` on its own, so a
//! scalar loop, AVX2 and AVX-512 lanes give equal bits, and so must PTX, where all of these are `.rn`. "Equal" means
//! equal bits, or NaN on both sides: the payload and the sign of a NaN are the hardware's.
//!
//! In a plain loop inside a `#[target_feature]` function everything here vectorises. Without FMA hardware the fused
//! multiply-add is a library call: slow, same bits. A crate compiled for nvptx64 needs the feature `core_float_math`.
//!
//! Call the functions through the trait (`T: Real`, or `Real::exp(x)`): on a concrete `f32`, `x.exp()` is std's method.
//!
//! Errors are in ulp of the exact result. The f32 ones are the largest over **all** 2^32 inputs; the f64 ones are the
//! largest of 400,000 stratified inputs a function, against 160-bit arithmetic: measured, not proven. `exp` and
//! `sigmoid` can give subnormal results: within 0.75 ulp in both formats. All five are monotone over all f32.
//!
//! The polynomials are minimax fits (Remez exchange in 200-bit arithmetic, coefficients then rounded to the format);
//! the error of each stands beside it.

use core::fmt::Debug;
use core::ops::Neg;
use num_traits::Num;

/// A floating-point type the graphs compute in: `f32` or `f64`.
pub trait Real: Num + Neg<Output = Self> + PartialOrd + Copy + Debug + Send + Sync + 'static {
    /// The nearest value (rounds to nearest, ties to even).
    fn from_f64(value: f64) -> Self;

    /// The same value; exact.
    fn to_f64(self) -> f64;

    /// `self * b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;

    /// Square root, correctly rounded.
    fn sqrt(self) -> Self;

    /// `e^x`, for every input.
    ///
    /// Overflows to infinity, underflows gradually to 0. Largest error 1.02 ulp in f32, 0.97 in f64.
    fn exp(self) -> Self;

    /// Natural logarithm, for every input.
    ///
    /// `ln(±0) = -inf`, `ln(inf) = inf`, NaN below 0. Subnormal inputs are as accurate as normal ones.
    /// Largest error 0.92 ulp in f32, 1.17 in f64.
    fn ln(self) -> Self;

    /// `1 / (1 + e^-x)`, for every input; monotone.
    ///
    /// `sigmoid(-inf) = 0`, `sigmoid(inf) = 1`; results below the normal range underflow gradually.
    /// Largest error 1.48 ulp in f32, 1.37 in f64.
    fn sigmoid(self) -> Self;

    /// `(1 - e^-2x) / (1 + e^-2x)`, for every input; monotone, and odd in every bit: `tanh(-x) == -tanh(x)`.
    ///
    /// `tanh(±0) = ±0`, `tanh(±inf) = ±1`. Largest error 1.43 ulp in f32, 1.41 in f64.
    fn tanh(self) -> Self;

    /// `ln(u / (1 - u))` on [0, 1], NaN outside.
    ///
    /// One logarithm of a compensated ratio, so accurate near 1/2 too, where `ln u - ln(1 - u)` cancels. Odd about 1/2
    /// in every bit wherever `1 - u` is exact. `logit(0) = -inf`, `logit(1/2) = 0`, `logit(1) = inf`.
    /// Largest error 1.47 ulp in f32, 1.44 in f64.
    fn logit(self) -> Self;

    /// `1 / self`, correctly rounded.
    #[inline(always)]
    fn recip(self) -> Self {
        Self::one() / self
    }

    /// `self * self`.
    #[inline(always)]
    fn square(self) -> Self {
        self * self
    }

    /// `max(self, 0)`: `relu(-0.0) = 0.0`, `relu(NaN)` is NaN.
    #[inline(always)]
    fn relu(self) -> Self {
        if self <= Self::zero() { Self::zero() } else { self }
    }

    /// The larger one; NaN if either is NaN; `other` if they are equal, so `maximum(0.0, -0.0)` is `-0.0`.
    ///
    /// Not the hardware's maximum: x86 and PTX disagree about NaN and the sign of zero.
    #[inline(always)]
    #[expect(clippy::eq_op, reason = "x != x is the branch-free test for NaN")]
    fn maximum(self, other: Self) -> Self {
        let larger = if self > other { self } else { other };
        if self != self { self } else { larger }
    }

    /// 1 if `self > other`, else 0 (also where either is NaN).
    #[inline(always)]
    fn greater(self, other: Self) -> Self {
        if self > other { Self::one() } else { Self::zero() }
    }

    /// 1 if `self < other`, else 0 (also where either is NaN).
    #[inline(always)]
    fn less(self, other: Self) -> Self {
        if self < other { Self::one() } else { Self::zero() }
    }

    /// `a` where `condition` is not 0 (NaN is not 0), else `b`.
    #[inline(always)]
    fn select(condition: Self, a: Self, b: Self) -> Self {
        if condition != Self::zero() { a } else { b }
    }

    /// The uniform `(2k + 1) / 2^24` with `k = bits >> 9`.
    ///
    /// Exact in f32, never 0 or 1, and symmetric: `1 - u` is on the same grid, the complement of `bits` gives it.
    fn uniform_from_bits(bits: u32) -> Self;
}

/// `c0 + x (c1 + x (c2 + ..))`, one fused multiply-add a step.
macro_rules! horner {
    ($x:expr; $c:expr) => { $c };
    ($x:expr; $c:expr, $($rest:expr),+) => { horner!($x; $($rest),+).fma($x, $c) };
}

/// What the formulas below need to know about the binary format.
trait Format: Real {
    const LOG2_E: Self;
    /// ln 2 = `LN_2_HI` + `LN_2_LO` to twice the precision.
    const LN_2_HI: Self;
    const LN_2_LO: Self;
    /// 1.5 times 2^(mantissa bits): adding it rounds to an integer, which then stands in the low bits.
    const ROUND: Self;
    /// Below `EXP_MIN` e^x rounds to 0, above `EXP_MAX` to infinity; the halves of 2^k are still in range there.
    const EXP_MIN: Self;
    const EXP_MAX: Self;
    /// A power of two so small that `2^k / DOWN_SHIFT` is normal for every k of e^x with `EXP_MIN <= x <= 0`.
    const DOWN_SHIFT: Self;
    /// A power of two that makes every subnormal normal, and its logarithm.
    const UP: Self;
    const UP_LOG2: Self;
    const MIN_NORMAL: Self;
    const INFINITY: Self;
    const NAN: Self;

    fn abs(self) -> Self;
    fn with_sign_of(self, sign: Self) -> Self;
    /// `2^k` for `k + ROUND`.
    fn power(rounded: Self) -> Self;
    /// `2^k / DOWN_SHIFT` for `k + ROUND`.
    fn shifted_power(rounded: Self) -> Self;
    /// Two powers of two whose product is `2^k`, for `k + ROUND`: `2^k` alone may be out of range.
    fn halved_powers(rounded: Self) -> (Self, Self);
    /// `(e^r - 1 - r) / r^2` for `|r| <= ln 2 / 2`.
    fn exp_tail(r: Self) -> Self;
    /// For positive normal `ratio` = m 2^e, with m within a factor of 3/2 of 1: `(m, scaled / 2^e, e)`.
    fn split(ratio: Self, scaled: Self) -> (Self, Self, Self);
    /// `ln(1 + f)` for `1 + f` in the range of `split`'s m.
    fn log1p(f: Self) -> Self;
}

/// `(k + ROUND, e^(x - k ln 2) - 1)` with k the integer nearest to `x / ln 2`.
#[inline(always)]
fn exp_reduced<T: Format>(x: T) -> (T, T) {
    let rounded = x.fma(T::LOG2_E, T::ROUND);
    let k = rounded - T::ROUND;
    // The first step is exact: what remains of x has no bit below the last of x or of LN_2_HI.
    let r = (-k).fma(T::LN_2_LO, (-k).fma(T::LN_2_HI, x));
    (rounded, (r * r).fma(T::exp_tail(r), r))
}

#[inline(always)]
fn exp<T: Format>(x: T) -> T {
    let clamped = if x < T::EXP_MIN { T::EXP_MIN } else { x };
    let clamped = if clamped > T::EXP_MAX { T::EXP_MAX } else { clamped };
    let (rounded, em1) = exp_reduced(clamped);
    let (first, second) = T::halved_powers(rounded);
    (T::one() + em1) * first * second
}

/// `e^x` for `x <= 0`: one power of two less than `exp`.
#[inline(always)]
fn exp_down<T: Format>(x: T) -> T {
    let clamped = if x < T::EXP_MIN { T::EXP_MIN } else { x };
    let (rounded, em1) = exp_reduced(clamped);
    (T::one() + em1) * T::shifted_power(rounded) * T::DOWN_SHIFT
}

/// `(n + n_lo) / (d + d_lo)`, almost correctly rounded: so monotone functions of it stay monotone.
#[inline(always)]
fn divide<T: Format>(n: T, n_lo: T, d: T, d_lo: T) -> T {
    let recip = d.recip();
    let q = n * recip;
    let remainder = (-q).fma(d_lo, (-q).fma(d, n) + n_lo);
    remainder.fma(recip, q)
}

/// With z = e^-|x|: 1 / (1 + z) for x >= 0, z / (1 + z) below.
#[inline(always)]
fn sigmoid<T: Format>(x: T) -> T {
    let z = exp_down(-x.abs());
    let n = if x < T::zero() { z } else { T::one() };
    let d = T::one() + z;
    let d_lo = z - (d - T::one());
    divide(n, T::zero(), d, d_lo)
}

/// With z = e^-2|x|, kept as z + z_lo: (1 - z) / (1 + z), and x's sign.
#[inline(always)]
fn tanh<T: Format>(x: T) -> T {
    let twice = T::from_f64(-2.0) * x.abs();
    // z is far below the last bit of 1 there, and 2^k needs no care.
    let floor = T::from_f64(-64.0);
    let (rounded, em1) = exp_reduced(if twice < floor { floor } else { twice });
    let y = T::one() + em1;
    let y_lo = em1 - (y - T::one());
    let power = T::power(rounded);
    let (z, z_lo) = (y * power, y_lo * power);

    let n_hi = T::one() - z;
    let n_lo = ((T::one() - n_hi) - z) - z_lo;
    let n = n_hi + n_lo;
    let n_lo = (n_hi - n) + n_lo;
    let d = T::one() + z;
    let d_lo = (z - (d - T::one())) + z_lo;
    divide(n, n_lo, d, d_lo).with_sign_of(x)
}

#[inline(always)]
fn ln<T: Format>(x: T) -> T {
    let subnormal = x < T::MIN_NORMAL;
    let scaled = if subnormal { x * T::UP } else { x };
    let shift = if subnormal { T::UP_LOG2 } else { T::zero() };
    let (m, _, e) = T::split(scaled, scaled);
    let e = e - shift;
    let finite = e.fma(T::LN_2_HI, e.fma(T::LN_2_LO, T::log1p(m - T::one())));
    let positive = if x < T::INFINITY { finite } else { x };
    let other = if x == T::zero() { -T::INFINITY } else { T::NAN };
    if x > T::zero() { positive } else { other }
}

/// With a = min(u, 1 - u) and b = max(u, 1 - u): ln(a / b) = e ln 2 + ln(m), negated for u > 1/2.
#[inline(always)]
fn logit<T: Format>(u: T) -> T {
    let v = T::one() - u;
    // 0 for u > 1/2, where v is exact; else b = v, and this is what v lost.
    let b_lo = (T::one() - v) - u;
    let upper = u > v;
    let a = if upper { v } else { u };
    let b = if upper { u } else { v };

    let recip = b.recip();
    let scaled = a * T::UP;
    let (m, numerator, e) = T::split(scaled * recip, scaled);
    // The quotient's own rounding error, put back where m - 1 has made room for it.
    let m_lo = (-m).fma(b_lo, (-m).fma(b, numerator)) * recip;
    let e = e - T::UP_LOG2;
    let below = e.fma(T::LN_2_HI, e.fma(T::LN_2_LO, T::log1p((m - T::one()) + m_lo)));

    let edge = if a == T::zero() { -T::INFINITY } else { T::NAN };
    let below = if a > T::zero() { below } else { edge };
    if upper { -below } else { below }
}

macro_rules! impl_real {
    ($float:ident, $signed:ident) => {
        impl Real for $float {
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $float
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                #[cfg(not(target_arch = "nvptx64"))]
                return self.mul_add(b, c);
                #[cfg(target_arch = "nvptx64")]
                return core::$float::math::mul_add(self, b, c);
            }

            #[inline(always)]
            fn sqrt(self) -> Self {
                #[cfg(not(target_arch = "nvptx64"))]
                return $float::sqrt(self);
                #[cfg(target_arch = "nvptx64")]
                return core::$float::math::sqrt(self);
            }

            #[inline(always)]
            fn exp(self) -> Self {
                exp(self)
            }

            #[inline(always)]
            fn ln(self) -> Self {
                ln(self)
            }

            #[inline(always)]
            fn sigmoid(self) -> Self {
                sigmoid(self)
            }

            #[inline(always)]
            fn tanh(self) -> Self {
                tanh(self)
            }

            #[inline(always)]
            fn logit(self) -> Self {
                logit(self)
            }

            #[inline(always)]
            fn uniform_from_bits(bits: u32) -> Self {
                // Through a signed integer, which every instruction set converts directly; at most 2^24 - 1.
                ((bits >> 9) * 2 + 1).cast_signed() as $float * (1.0 / 16_777_216.0)
            }
        }
    };
}

impl_real!(f32, i32);
impl_real!(f64, i64);

impl Format for f32 {
    const LOG2_E: f32 = core::f32::consts::LOG2_E;
    const LN_2_HI: f32 = core::f32::consts::LN_2;
    const LN_2_LO: f32 = -1.904_654_3e-9;
    const ROUND: f32 = 12_582_912.0;
    const EXP_MIN: f32 = -104.0;
    const EXP_MAX: f32 = 89.0;
    const DOWN_SHIFT: f32 = 1.0 / (1_u64 << 63) as f32;
    const UP: f32 = (1_u64 << 63) as f32;
    const UP_LOG2: f32 = 63.0;
    const MIN_NORMAL: f32 = f32::MIN_POSITIVE;
    const INFINITY: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;

    #[inline(always)]
    fn abs(self) -> f32 {
        self.abs()
    }

    #[inline(always)]
    fn with_sign_of(self, sign: f32) -> f32 {
        self.copysign(sign)
    }

    #[inline(always)]
    fn power(rounded: f32) -> f32 {
        f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23))
    }

    #[inline(always)]
    fn shifted_power(rounded: f32) -> f32 {
        f32::from_bits((rounded.to_bits() << 23).wrapping_add((127 + 63) << 23))
    }

    #[inline(always)]
    fn halved_powers(rounded: f32) -> (f32, f32) {
        // k + 256 halved is k/2 + 128, one above the exponent's bias.
        let k = rounded.to_bits().wrapping_sub(Self::ROUND.to_bits());
        let first = (k.wrapping_add(256) >> 1).wrapping_sub(1);
        let second = k.wrapping_add(254).wrapping_sub(first);
        (f32::from_bits(first << 23), f32::from_bits(second << 23))
    }

    /// Error relative to `e^r` below 2^-27.8.
    #[inline(always)]
    fn exp_tail(r: f32) -> f32 {
        horner!(r; 0.499_999_94, 0.166_665_21, 0.041_668_378, 0.008_368_675, 0.001_381_490_8)
    }

    #[inline(always)]
    fn split(ratio: f32, scaled: f32) -> (f32, f32, f32) {
        // m in [2/3, 4/3): the bits of 2/3, rounded down, begin a new exponent.
        let e = ratio.to_bits().wrapping_sub(0x3f2a_aaaa).cast_signed() >> 23;
        let shift = e.cast_unsigned() << 23;
        let m = f32::from_bits(ratio.to_bits().wrapping_sub(shift));
        (m, f32::from_bits(scaled.to_bits().wrapping_sub(shift)), e as f32)
    }

    /// `f + f^2 (-1/2 + f P(f))`; error relative to `ln(1 + f)` below 2^-28.6.
    #[inline(always)]
    fn log1p(f: f32) -> f32 {
        let tail = horner!(f;
            -0.5, 0.333_333_34, -0.249_998_24, 0.199_996_02, -0.166_793_97, 0.143_043_28,
            -0.121_981_33, 0.107_556_13, -0.128_353_39, 0.120_021_09);
        (f * f).fma(tail, f)
    }
}

impl Format for f64 {
    const LOG2_E: f64 = core::f64::consts::LOG2_E;
    const LN_2_HI: f64 = core::f64::consts::LN_2;
    const LN_2_LO: f64 = 2.319_046_813_846_3e-17;
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const EXP_MIN: f64 = -746.0;
    const EXP_MAX: f64 = 710.0;
    const DOWN_SHIFT: f64 = 1.0 / (1_u128 << 127) as f64;
    const UP: f64 = (1_u128 << 127) as f64;
    const UP_LOG2: f64 = 127.0;
    const MIN_NORMAL: f64 = f64::MIN_POSITIVE;
    const INFINITY: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;

    #[inline(always)]
    fn abs(self) -> f64 {
        self.abs()
    }

    #[inline(always)]
    fn with_sign_of(self, sign: f64) -> f64 {
        self.copysign(sign)
    }

    #[inline(always)]
    fn power(rounded: f64) -> f64 {
        f64::from_bits((rounded.to_bits() << 52).wrapping_add(1023 << 52))
    }

    #[inline(always)]
    fn shifted_power(rounded: f64) -> f64 {
        f64::from_bits((rounded.to_bits() << 52).wrapping_add((1023 + 127) << 52))
    }

    #[inline(always)]
    fn halved_powers(rounded: f64) -> (f64, f64) {
        // k + 2048 halved is k/2 + 1024, one above the exponent's bias.
        let k = rounded.to_bits().wrapping_sub(Self::ROUND.to_bits());
        let first = (k.wrapping_add(2048) >> 1).wrapping_sub(1);
        let second = k.wrapping_add(2046).wrapping_sub(first);
        (f64::from_bits(first << 52), f64::from_bits(second << 52))
    }

    /// Error relative to `e^r` below 2^-57.3.
    #[inline(always)]
    fn exp_tail(r: f64) -> f64 {
        horner!(r;
            0.500_000_000_000_001, 0.166_666_666_666_664_16, 0.041_666_666_666_535_08,
            0.008_333_333_333_493_6, 0.001_388_888_894_252_916_3, 0.000_198_412_695_058_973_4,
            2.480_149_409_450_459e-5, 2.755_758_852_549_669e-6, 2.762_993_322_770_213_5e-7,
            2.499_903_880_933_199_4e-8)
    }

    #[inline(always)]
    fn split(ratio: f64, scaled: f64) -> (f64, f64, f64) {
        // m in [sqrt(1/2), sqrt 2). The exponent, 1024 added to keep it positive, becomes the low bits of 2^52 + e:
        // AVX2 shifts no signed 64-bit integer and converts none.
        let biased = ratio.to_bits().wrapping_sub(0x3fe6_a09e_667f_3bcd).wrapping_add(1024 << 52) >> 52;
        let shift = biased.wrapping_sub(1024) << 52;
        let e = f64::from_bits(biased | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1024.0);
        let m = f64::from_bits(ratio.to_bits().wrapping_sub(shift));
        (m, f64::from_bits(scaled.to_bits().wrapping_sub(shift)), e)
    }

    /// With s = f / (2 + f): `ln(1 + f) = 2 atanh(s) = f - f^2 / 2 + s (f^2 / 2 + s^2 P(s^2))`; P is off by less than
    /// 2^-59.1 of the result.
    #[inline(always)]
    fn log1p(f: f64) -> f64 {
        let s = f / (2.0 + f);
        let w = s * s;
        let p = horner!(w;
            0.666_666_666_666_673_1, 0.399_999_999_994_351_7, 0.285_714_287_385_938_35,
            0.222_221_989_093_831_12, 0.181_835_488_859_233_3, 0.153_144_050_985_429_6,
            0.147_927_304_763_712_82);
        let half_square = 0.5 * f * f;
        f - s.fma(-w.fma(p, half_square), half_square)
    }
}
