//! The math core against f64 (for f32) and against 160-bit arithmetic (for f64); lanes against scalars, bit for bit.
//!
//! ulp here: the spacing of the format at the exact result.

use dashu_float::{FBig, round::mode::HalfEven};
use g2_engine::real::Real;
use proptest::prelude::*;
use rand_pcg::{Pcg64, rand_core::Rng};

type Big = FBig<HalfEven, 2>;

/// The bound that `Real` promises, wherever the exact result is normal.
const MAX_ULP: f64 = 2.0;

/// In the subnormal range a result is rounded a second time.
const MAX_ULP_SUBNORMAL: f64 = 1.5;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Exp,
    Ln,
    Sigmoid,
    Tanh,
    Logit,
    /// The operations that are one or two instructions, summed so that each one's bits matter.
    Simple,
}

const TRANSCENDENTAL: [Function; 5] = [Function::Exp, Function::Ln, Function::Sigmoid, Function::Tanh, Function::Logit];

#[inline(always)]
fn map<T: Real>(function: Function, inputs: &[T], outputs: &mut [T]) {
    macro_rules! each {
        ($x:ident => $value:expr) => {
            for (output, &$x) in outputs.iter_mut().zip(inputs) {
                *output = $value;
            }
        };
    }
    match function {
        Function::Exp => each!(x => x.exp()),
        Function::Ln => each!(x => x.ln()),
        Function::Sigmoid => each!(x => x.sigmoid()),
        Function::Tanh => each!(x => x.tanh()),
        Function::Logit => each!(x => x.logit()),
        Function::Simple => each!(x => {
            let y = x.relu().fma(x.recip(), x.maximum(-x).sqrt());
            let one = T::one();
            T::select(x.greater(one), y.square(), y) + T::select(x.less(-one), x, one)
        }),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,fma,avx2")]
fn map_avx512<T: Real>(function: Function, inputs: &[T], outputs: &mut [T]) {
    map(function, inputs, outputs);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "fma,avx2")]
fn map_avx2<T: Real>(function: Function, inputs: &[T], outputs: &mut [T]) {
    map(function, inputs, outputs);
}

fn mapped<T: Real>(function: Function, inputs: &[T]) -> Vec<T> {
    let mut outputs = vec![T::zero(); inputs.len()];
    map(function, inputs, &mut outputs);
    outputs
}

/// One random f32 out of every 256 neighbours (2^24 of all exponents and both signs), and the 129 floats around every
/// place where the implementation changes its formula, its power of two or its clamp. Sorted; -0 before +0.
fn sample_f32() -> Vec<f32> {
    let mut random = Pcg64::new(1, 1);
    let mut bits: Vec<u32> = (0..1 << 24).map(|stratum: u32| (stratum << 8) | (random.next_u32() & 255)).collect();
    for center in breakpoints() {
        let center = (center as f32).to_bits();
        bits.extend((-64..=64).map(|offset| center.wrapping_add_signed(offset)));
    }
    let mut sample: Vec<f32> = bits.into_iter().map(f32::from_bits).filter(|x| !x.is_nan()).collect();
    sample.sort_by(f32::total_cmp);
    sample.dedup_by_key(|x| x.to_bits());
    sample
}

/// Both signs of: 0, the ends of the formats, clamps, where exp's k changes (tanh's at half of it), and where ln's and
/// logit's exponent changes, in f32 (2/3) and in f64 (sqrt 1/2).
fn breakpoints() -> Vec<f64> {
    let mut positive = vec![0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 32.0, 89.0, 104.0, 710.0, 746.0];
    positive.extend([f32::MIN_POSITIVE, f32::MAX, f32::INFINITY].map(f64::from));
    positive.extend([f64::MIN_POSITIVE, f64::MAX]);
    positive.extend([f64::from(f32::MAX).ln(), f64::MAX.ln(), -f64::from(f32::MIN_POSITIVE).ln()]);
    for k in 0..152 {
        let x = (f64::from(k) + 0.5) * std::f64::consts::LN_2;
        positive.extend([x, x / 2.0]);
    }
    for e in -150..129 {
        for m in [2.0 / 3.0, 0.5_f64.sqrt(), 1.0] {
            let ratio = m * 2_f64.powi(e);
            positive.extend([ratio, ratio / (1.0 + ratio)]);
        }
    }
    positive.iter().flat_map(|&x| [x, -x]).collect()
}

fn reference_f32(function: Function, x: f32) -> f64 {
    let x = f64::from(x);
    match function {
        Function::Exp => x.exp(),
        Function::Ln if x < 0.0 => f64::NAN,
        Function::Ln => x.ln(),
        // Not 1 / (1 + e^-x): that loses the smallest results.
        Function::Sigmoid if x < 0.0 => x.exp() / (1.0 + x.exp()),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Tanh => x.tanh(),
        Function::Logit if !(0.0..=1.0).contains(&x) => f64::NAN,
        // 2u - 1 and 1 - u are exact in f64; ln(u / (1 - u)) = ln(1 + (2u - 1) / (1 - u)).
        Function::Logit if x > 0.25 => ((2.0 * x - 1.0) / (1.0 - x)).ln_1p(),
        Function::Logit => x.ln() - (-x).ln_1p(),
        Function::Simple => unreachable!("has no reference"),
    }
}

/// Of `value` against the exact result, in ulp of the f32 format; an overflow counts as the next power of two.
fn ulp_error_f32(value: f32, exact: f64) -> f64 {
    let limit = 2_f64.powi(128);
    let (value, exact) = (f64::from(value).clamp(-limit, limit), exact.clamp(-limit, limit));
    let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
    (value - exact).abs() / 2_f64.powi(exponent.clamp(-126, 127) - 23)
}

#[test]
fn f32_within_two_ulp() {
    let inputs = sample_f32();
    assert!(inputs.len() > (1 << 24) * 99 / 100);
    for function in TRANSCENDENTAL {
        let (mut worst, mut worst_subnormal) = ((0.0, 0.0), (0.0, 0.0));
        for (&x, value) in inputs.iter().zip(mapped(function, &inputs)) {
            let exact = reference_f32(function, x);
            if exact.is_nan() {
                assert!(value.is_nan(), "{function:?}({x:e}) = {value:e}, not NaN");
                continue;
            }
            let error = ulp_error_f32(value, exact);
            // A NaN would not count as larger.
            assert!(!error.is_nan(), "{function:?}({x:e}) = {value:e}, exact {exact:e}");
            let normal = exact.abs() >= f64::from(f32::MIN_POSITIVE);
            let worst = if normal { &mut worst } else { &mut worst_subnormal };
            if error > worst.0 {
                *worst = (error, x);
            }
        }
        eprintln!("{function:?}: (ulp, at) {worst:?}, subnormal results {worst_subnormal:?}");
        assert!(worst.0 <= MAX_ULP, "{function:?}: (ulp, at) {worst:?}");
        assert!(worst_subnormal.0 <= MAX_ULP_SUBNORMAL, "{function:?}: {worst_subnormal:?}");
    }
}

#[test]
fn f32_monotone() {
    let inputs = sample_f32();
    for function in TRANSCENDENTAL {
        check_monotone(function, &inputs);
    }
}

#[test]
fn f64_monotone() {
    for function in TRANSCENDENTAL {
        let mut inputs = sample_f64(function, 1 << 18);
        let around: Vec<f64> = inputs.iter().flat_map(|&x| [x.next_down(), x.next_up()]).collect();
        inputs.extend(around);
        inputs.sort_by(f64::total_cmp);
        check_monotone(function, &inputs);
    }
}

fn check_monotone<T: Real>(function: Function, inputs: &[T]) {
    let mut previous: Option<(T, T)> = None;
    for (&x, value) in inputs.iter().zip(mapped(function, inputs)) {
        if !is_nan(value) {
            if let Some((before, value_before)) = previous {
                let fell = value < value_before;
                assert!(!fell, "{function:?}: {value_before:?} at {before:?}, {value:?} at {x:?}");
            }
            previous = Some((x, value));
        }
    }
}

/// A uniform fraction of all bit patterns, and inputs drawn where the function is neither 0 nor 1 nor linear.
fn sample_f64(function: Function, count: usize) -> Vec<f64> {
    let mut random = Pcg64::new(2, function as u128);
    let mut unit = move || (random.next_u64() >> 11) as f64 / 2_f64.powi(53);
    let mut inputs = Vec::new();
    for i in 0..count {
        let (sign, small) = (if unit() < 0.5 { -1.0 } else { 1.0 }, 2_f64.powf(-60.0 * unit()));
        let anything = f64::from_bits((unit() * 2_f64.powi(32)) as u64 * 0x1_0000_0001);
        let x = match (i % 4, function) {
            (0, _) => anything,
            (1, Function::Exp | Function::Sigmoid) => sign * 746.0 * unit(),
            (1, Function::Ln) => anything.abs(),
            (1, _) => unit(),
            (2, Function::Exp | Function::Sigmoid | Function::Tanh) => sign * 40.0 * unit(),
            (2, Function::Ln) => 4.0 * unit(),
            (2, _) => 0.5 + sign * 0.5 * small,
            (_, Function::Exp | Function::Sigmoid | Function::Tanh) => sign * small,
            (_, Function::Ln) => 1.0 + sign * small,
            (_, _) => 1.0 - small,
        };
        inputs.push(x);
    }
    for x in breakpoints() {
        inputs.extend([x.next_down(), x, x.next_up()]);
    }
    inputs.retain(|x| !x.is_nan());
    inputs
}

fn big(x: f64) -> Big {
    Big::try_from(x).expect("finite").with_precision(160).value()
}

/// None: outside of the domain, or infinite.
fn reference_f64(function: Function, x: f64) -> Option<Big> {
    let one = big(1.0);
    let inside = match function {
        Function::Exp | Function::Sigmoid | Function::Tanh => x.is_finite(),
        Function::Ln => x.is_finite() && x > 0.0,
        Function::Logit => x > 0.0 && x < 1.0,
        Function::Simple => unreachable!("has no reference"),
    };
    inside.then(|| match function {
        // Beyond that the result is 0, infinite or 1 in f64; 160 bits have no need to know it better.
        Function::Exp => big(x.clamp(-800.0, 800.0)).exp(),
        Function::Sigmoid => one.clone() / (one + big((-x).clamp(-800.0, 800.0)).exp()),
        Function::Tanh if x.abs() > 60.0 => big(x.signum()),
        Function::Tanh => big(x).tanh(),
        Function::Ln => big(x).ln(),
        Function::Logit => (big(x) / (one - big(x))).ln(),
        Function::Simple => unreachable!("has no reference"),
    })
}

#[test]
fn f64_within_two_ulp() {
    for function in TRANSCENDENTAL {
        let inputs = sample_f64(function, 8192);
        let (mut worst, mut worst_subnormal) = ((0.0, 0.0), (0.0, 0.0));
        for (&x, value) in inputs.iter().zip(mapped(function, &inputs)) {
            let Some(exact) = reference_f64(function, x) else {
                continue;
            };
            let nearest = exact.to_f64().value();
            if nearest.is_infinite() || value.is_infinite() {
                let largest = value.is_infinite() || value.abs() == f64::MAX;
                assert!(largest && nearest.abs() > 1.797e308, "{function:?}({x:e}) = {value:e}");
                continue;
            }
            let exponent = (nearest.abs().to_bits() >> 52) as i32 - 1023;
            let scale = exponent.max(-1022) - 52;
            // Scaled before it is an f64: the difference itself may be far below the subnormals.
            let error = ((big(value) - exact) << (-scale as isize)).to_f64().value().abs();
            assert!(!error.is_nan(), "{function:?}({x:e}) = {value:e}");
            let normal = nearest.abs() >= f64::MIN_POSITIVE;
            let worst = if normal { &mut worst } else { &mut worst_subnormal };
            if error > worst.0 {
                *worst = (error, x);
            }
        }
        eprintln!("{function:?} f64: (ulp, at) {worst:?}, subnormal results {worst_subnormal:?}");
        assert!(worst.0 <= MAX_ULP, "{function:?} f64: (ulp, at) {worst:?}");
        assert!(worst_subnormal.0 <= MAX_ULP_SUBNORMAL, "{function:?} f64: {worst_subnormal:?}");
    }
}

fn is_nan<T: Real>(x: T) -> bool {
    x.to_f64().is_nan()
}

/// Bits and all: the sign of a zero counts. Any NaN equals any NaN.
fn same_bits<T: Real>(a: T, b: T) -> bool {
    let bits = |x: T| x.to_f64().to_bits();
    (is_nan(a) && is_nan(b)) || bits(a) == bits(b)
}

fn check_special_values<T: Real>() {
    let inf = 1.0 / 0.0;
    let nan = f64::NAN;
    type Case = (&'static str, fn(f64) -> f64, [(f64, f64); 7]);
    #[rustfmt::skip]
    let table: [Case; 6] = [
        ("exp", |x| T::from_f64(x).exp().to_f64(),
            [(0.0, 1.0), (-0.0, 1.0), (inf, inf), (-inf, 0.0), (1e3, inf), (-1e3, 0.0), (nan, nan)]),
        ("ln", |x| T::from_f64(x).ln().to_f64(),
            [(0.0, -inf), (-0.0, -inf), (inf, inf), (-inf, nan), (1.0, 0.0), (-1.0, nan), (nan, nan)]),
        ("sigmoid", |x| T::from_f64(x).sigmoid().to_f64(),
            [(0.0, 0.5), (-0.0, 0.5), (inf, 1.0), (-inf, 0.0), (1e3, 1.0), (-1e3, 0.0), (nan, nan)]),
        ("tanh", |x| T::from_f64(x).tanh().to_f64(),
            [(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (30.0, 1.0), (-30.0, -1.0), (nan, nan)]),
        ("logit", |x| T::from_f64(x).logit().to_f64(),
            [(0.0, -inf), (-0.0, -inf), (1.0, inf), (0.5, 0.0), (-0.1, nan), (1.1, nan), (nan, nan)]),
        ("relu", |x| T::from_f64(x).relu().to_f64(),
            [(0.0, 0.0), (-0.0, 0.0), (inf, inf), (-inf, 0.0), (1.0, 1.0), (-1.0, 0.0), (nan, nan)]),
    ];
    for (name, function, cases) in table {
        for (x, expected) in cases {
            let value = function(x);
            assert!(same_bits(value, expected), "{name}({x:?}) = {value:?}, expected {expected:?}");
        }
    }
    for x in [inf, -inf] {
        let value = T::from_f64(x).logit();
        assert!(is_nan(value), "logit({x:?}) = {value:?}");
    }

    let [zero, one, inf, nan] = [0.0, 1.0, inf, nan].map(T::from_f64);
    #[rustfmt::skip]
    let maxima = [
        (zero, one, one), (one, zero, one), (-inf, zero, zero), (inf, one, inf),
        (-zero, zero, zero), (zero, -zero, -zero), (nan, one, nan), (one, nan, nan), (nan, nan, nan),
    ];
    for (a, b, expected) in maxima {
        let value = a.maximum(b);
        assert!(same_bits(value, expected), "maximum({a:?}, {b:?}) = {value:?}");
    }
    for (a, b, greater, less) in [
        (one, zero, one, zero),
        (zero, one, zero, one),
        (zero, -zero, zero, zero),
        (nan, one, zero, zero),
        (one, nan, zero, zero),
    ] {
        assert!(same_bits(a.greater(b), greater), "greater({a:?}, {b:?})");
        assert!(same_bits(a.less(b), less), "less({a:?}, {b:?})");
    }
    for (condition, expected) in [(one, one), (-one, one), (zero, zero), (-zero, zero), (nan, one)] {
        assert!(same_bits(T::select(condition, one, zero), expected), "select({condition:?}, ..)");
    }
    assert_eq!(T::from_f64(3.0).square(), T::from_f64(9.0));
    assert_eq!(T::from_f64(4.0).recip(), T::from_f64(0.25));
    assert_eq!(T::from_f64(9.0).sqrt(), T::from_f64(3.0));
}

#[test]
fn special_values() {
    check_special_values::<f32>();
    check_special_values::<f64>();
}

#[test]
fn fma_rounds_once() {
    let tiny = f32::EPSILON;
    // (1 + e)(1 - e) - 1 = -e^2, which two roundings lose.
    assert_eq!((1.0 + tiny).fma(1.0 - tiny, -1.0), -tiny * tiny);
    let tiny = f64::EPSILON;
    assert_eq!((1.0 + tiny).fma(1.0 - tiny, -1.0), -tiny * tiny);
}

/// The smallest results: as e^x, one subnormal step after the other down to 0.
#[test]
fn sigmoid_underflows_gradually() {
    let mut distinct = std::collections::BTreeSet::new();
    for i in 0..=16_000 {
        let x = -88.0 - i as f32 / 1000.0;
        let value = Real::sigmoid(x);
        assert!(same_bits(value, Real::exp(x)), "sigmoid({x}) = {value:e}");
        distinct.insert(value.to_bits());
    }
    assert!(distinct.len() > 8_000 && distinct.contains(&0) && distinct.contains(&1));
}

fn check_lanes<T: Real>(function: Function, inputs: &[T]) {
    let scalar = mapped(function, inputs);
    let check = |name: &str, lanes: Vec<T>| {
        for ((&x, &a), b) in inputs.iter().zip(&scalar).zip(lanes) {
            assert!(same_bits(a, b), "{function:?}({x:?}): scalar {a:?}, {name} {b:?}");
        }
    };
    #[cfg(target_arch = "x86_64")]
    {
        let mut lanes = vec![T::zero(); inputs.len()];
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the features were just detected.
            unsafe { map_avx2(function, inputs, &mut lanes) };
            check("AVX2", lanes.clone());
        } else {
            eprintln!("NOT TESTED: this machine has no AVX2 with FMA");
        }
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
        {
            // SAFETY: the features were just detected.
            unsafe { map_avx512(function, inputs, &mut lanes) };
            check("AVX-512", lanes);
        } else {
            eprintln!("NOT TESTED: this machine has no AVX-512 F, DQ, VL, BW");
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = check;
        eprintln!("NOT TESTED: no lanes but the baseline's on this architecture");
    }
}

#[test]
fn lanes_equal_scalars_in_every_bit() {
    let mut inputs = sample_f32();
    inputs.extend([f32::NAN, -f32::NAN]);
    for function in TRANSCENDENTAL.into_iter().chain([Function::Simple]) {
        check_lanes(function, &inputs);
        let mut inputs = sample_f64(function, 1 << 20);
        inputs.extend([f64::NAN, -f64::NAN]);
        check_lanes(function, &inputs);
    }
}

fn check_uniform_grid<T: Real>() {
    let scale = 2_f64.powi(24);
    for k in 0..1_u32 << 23 {
        let uniform = T::uniform_from_bits(k << 9);
        assert!(uniform.to_f64() == f64::from(2 * k + 1) / scale, "k = {k}: {uniform:?}");
        assert!(uniform > T::zero() && uniform < T::one());
        let complement = T::uniform_from_bits(!(k << 9));
        assert!(T::one() - uniform == complement, "k = {k}: {uniform:?}, {complement:?}");
    }
    // The low bits do not count.
    assert_eq!(T::uniform_from_bits(0x1ff), T::uniform_from_bits(0));
}

#[test]
fn uniform_grid_is_exact_and_symmetric() {
    check_uniform_grid::<f32>();
    check_uniform_grid::<f64>();
}

#[test]
fn logit_is_odd_on_the_uniform_grid() {
    for k in 0..1_u32 << 22 {
        let bits = k << 9;
        let (low, high) = (f32::uniform_from_bits(bits), f32::uniform_from_bits(!bits));
        assert!(same_bits(Real::logit(low), -Real::logit(high)), "u = {low}");
    }
}

proptest! {
    #[test]
    fn tanh_is_odd_in_every_bit(bits in any::<u64>()) {
        let x = f64::from_bits(bits);
        prop_assert!(same_bits(Real::tanh(-x), -Real::tanh(x)));
        let x = f32::from_bits(bits as u32);
        prop_assert!(same_bits(Real::tanh(-x), -Real::tanh(x)));
    }

    #[test]
    fn sigmoid_is_monotone_in_f64(a in -50.0..50.0_f64, b in -50.0..50.0_f64) {
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        prop_assert!(Real::sigmoid(low) <= Real::sigmoid(high));
    }

    #[test]
    fn sigmoid_inverts_logit(u in 0.001..0.999_f64) {
        let back: f64 = Real::sigmoid(Real::logit(u));
        // |d sigmoid / dx| |logit| <= 0.23: two functions of 2 ulp each.
        prop_assert!((back - u).abs() <= 4.0 * f64::EPSILON * u.max(0.25), "{u} -> {back}");
    }
}
