//! Keyed noise: the right generator, the same from every access path, and no correlation between neighbours.

use g2_engine::noise::{INCREMENT, Jump, Key, MULTIPLIER, Stream, uniform_at, uniform_bits_at};
use g2_engine::real::Real;
use proptest::prelude::*;
use rand_pcg::{Lcg64Xsh32, rand_core::Rng};

/// `rand_pcg`'s generator whose next output is that of `state`.
fn oracle(state: u64) -> Lcg64Xsh32 {
    // `new` adds the increment and steps once: undo both. Newton's iteration inverts an odd number modulo 2^64.
    let mut inverse = 1_u64;
    for _ in 0..6 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(MULTIPLIER.wrapping_mul(inverse)));
    }
    let seed = state.wrapping_sub(INCREMENT).wrapping_mul(inverse).wrapping_sub(INCREMENT);
    Lcg64Xsh32::new(seed, INCREMENT >> 1)
}

const KEY: Key = Key { seed: 1, step: 2, layer: 0, time: 5, gate: 1 };

#[test]
fn elements_are_the_outputs_of_rand_pcg() {
    let state = KEY.state();
    let mut generator = oracle(state);
    let mut stream = Stream::new(state, 0);
    for i in 0..10_000 {
        let expected = generator.next_u32();
        assert_eq!(uniform_bits_at(state, i), expected, "element {i}");
        assert_eq!(stream.bits(), expected, "element {i}");
        stream.skip(&Jump::by(1));
    }
}

/// Noise is part of every result that is ever reproduced: a change of it must be a decision.
#[test]
fn the_stream_of_a_key_is_fixed() {
    assert_eq!(KEY.state(), 6_717_711_131_115_613_320);
    let first: Vec<u32> = (0..4).map(|i| uniform_bits_at(KEY.state(), i)).collect();
    assert_eq!(first, [2_150_950_967, 1_652_547_696, 1_354_657_623, 471_145_306]);
}

fn check_fill<T: Real>(state: u64, element: u64, lengths: &[usize]) -> Result<(), TestCaseError> {
    let mut stream = Stream::new(state, element);
    let mut i = element;
    for &length in lengths {
        let mut row = vec![T::zero(); length];
        stream.fill(&mut row);
        for uniform in row {
            prop_assert_eq!(uniform, uniform_at::<T>(state, i), "element {}", i);
            i = i.wrapping_add(1);
        }
        prop_assert_eq!(stream.uniform::<T>(), uniform_at::<T>(state, i));
    }
    Ok(())
}

proptest! {
    #[test]
    fn jumps_are_rand_pcg_advance(state in any::<u64>(), i in any::<u64>(), j in any::<u64>()) {
        let mut generator = oracle(state);
        generator.advance(i);
        prop_assert_eq!(uniform_bits_at(state, i), generator.next_u32());
        let mut stream = Stream::new(state, i);
        stream.skip(&Jump::by(j));
        prop_assert_eq!(stream, Stream::new(state, i.wrapping_add(j)));
    }

    #[test]
    fn fill_is_uniform_at(
        state in any::<u64>(),
        element in prop_oneof![0..1000_u64, any::<u64>()],
        lengths in proptest::collection::vec(0..200_usize, 1..5),
    ) {
        check_fill::<f32>(state, element, &lengths)?;
        check_fill::<f64>(state, element, &lengths)?;
    }
}

#[test]
fn fill_is_uniform_at_for_every_short_length() {
    for length in 0..=130 {
        check_fill::<f32>(KEY.state(), 3, &[length, 1, length]).expect("equal");
    }
}

/// The Gumbel gate as it is meant to run: noise and function in one compiled loop.
#[inline(always)]
fn gumbel_gates<T: Real>(state: u64, pre_activations: &[T], gates: &mut [T]) {
    Stream::new(state, 0).fill(gates);
    let tau = T::from_f64(0.9);
    for (gate, &a) in gates.iter_mut().zip(pre_activations) {
        *gate = ((a + gate.logit()) / tau).sigmoid();
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,fma,avx2")]
fn gumbel_gates_avx512<T: Real>(state: u64, pre_activations: &[T], gates: &mut [T]) {
    gumbel_gates(state, pre_activations, gates);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "fma,avx2")]
fn gumbel_gates_avx2<T: Real>(state: u64, pre_activations: &[T], gates: &mut [T]) {
    gumbel_gates(state, pre_activations, gates);
}

fn check_gumbel_gates<T: Real>() {
    let count = 100_003;
    let pre_activations: Vec<T> = (0..count).map(|i| T::from_f64(f64::from(i % 1601) / 100.0 - 8.0)).collect();
    let mut expected = Vec::new();
    for (i, &a) in pre_activations.iter().enumerate() {
        let uniform: T = uniform_at(KEY.state(), i as u64);
        expected.push(((a + uniform.logit()) / T::from_f64(0.9)).sigmoid());
    }
    let mut gates = vec![T::zero(); pre_activations.len()];
    gumbel_gates(KEY.state(), &pre_activations, &mut gates);
    assert!(gates == expected, "plain");
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            gates.fill(T::zero());
            // SAFETY: the features were just detected.
            unsafe { gumbel_gates_avx2(KEY.state(), &pre_activations, &mut gates) };
            assert!(gates == expected, "AVX2");
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
            gates.fill(T::zero());
            // SAFETY: the features were just detected.
            unsafe { gumbel_gates_avx512(KEY.state(), &pre_activations, &mut gates) };
            assert!(gates == expected, "AVX-512");
        } else {
            eprintln!("NOT TESTED: this machine has no AVX-512 F, DQ, VL, BW");
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    eprintln!("NOT TESTED: no lanes but the baseline's on this architecture");
}

#[test]
fn gumbel_gates_equal_in_every_bit() {
    check_gumbel_gates::<f32>();
    check_gumbel_gates::<f64>();
}

const COORDINATES: [fn(&mut Key) -> &mut u64; 5] =
    [|key| &mut key.seed, |key| &mut key.step, |key| &mut key.layer, |key| &mut key.time, |key| &mut key.gate];

const LAGS: [u64; 6] = [1, 3, 16, 64, 1150, 65_536];

/// Chi-square of pairs in 64 x 64 boxes, as a standard normal.
fn pair_z(pairs: impl Iterator<Item = (u32, u32)>) -> f64 {
    let mut boxes = vec![0_u32; 64 * 64];
    let mut count = 0.0;
    for (x, y) in pairs {
        boxes[(x >> 26) as usize * 64 + (y >> 26) as usize] += 1;
        count += 1.0;
    }
    let expected = count / boxes.len() as f64;
    let squares = boxes.iter().map(|&observed| (f64::from(observed) - expected).powi(2) / expected);
    let freedom = boxes.len() as f64 - 1.0;
    (squares.sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
}

/// Every test below is deterministic; of 67 standard normals, one exceeds 4.5 with probability 5e-4 (Bonferroni).
const MAX_Z: f64 = 4.5;

const PAIRS: u64 = 1 << 20;

fn check_z(name: &str, z: f64) {
    eprintln!("{name}: z = {z:.2}");
    assert!(z.abs() < MAX_Z, "{name}: z = {z:.2}");
}

#[test]
fn pairs_along_the_elements_are_independent() {
    for lag in LAGS {
        let state = KEY.state();
        let (mut near, mut far) = (Stream::new(state, 0), Stream::new(state, lag));
        let one = Jump::by(1);
        let pairs = (0..PAIRS).map(|_| {
            let pair = (near.bits(), far.bits());
            near.skip(&one);
            far.skip(&one);
            pair
        });
        check_z(&format!("elements {lag} apart"), pair_z(pairs));
    }
}

/// One element, along a coordinate.
#[test]
fn pairs_along_each_coordinate_are_independent() {
    for (c, coordinate) in COORDINATES.into_iter().enumerate() {
        let bits_at = |value| {
            let mut key = KEY;
            *coordinate(&mut key) = value;
            uniform_bits_at(key.state(), 7)
        };
        for lag in LAGS {
            let z = pair_z((0..PAIRS).map(|i| (bits_at(i), bits_at(i + lag))));
            check_z(&format!("coordinate {c}, {lag} apart"), z);
        }
    }
}

/// Two keys, along the elements.
#[test]
fn streams_of_neighbouring_keys_are_independent() {
    for (c, coordinate) in COORDINATES.into_iter().enumerate() {
        for lag in LAGS {
            let mut other = KEY;
            *coordinate(&mut other) += lag;
            let (mut a, mut b) = (Stream::new(KEY.state(), 0), Stream::new(other.state(), 0));
            let one = Jump::by(1);
            let pairs = (0..PAIRS).map(|_| {
                let pair = (a.bits(), b.bits());
                a.skip(&one);
                b.skip(&one);
                pair
            });
            check_z(&format!("streams, coordinate {c}, {lag} apart"), pair_z(pairs));
        }
    }
}

/// Keys that are easy to confuse: one bit anywhere, small numbers in all orders.
fn confusable_keys() -> Vec<Key> {
    let zero = Key { seed: 0, step: 0, layer: 0, time: 0, gate: 0 };
    let mut keys = vec![zero];
    for coordinate in COORDINATES {
        for bit in 0..64 {
            let mut key = zero;
            *coordinate(&mut key) = 1 << bit;
            keys.push(key);
        }
    }
    for i in 0..4_u64.pow(5) {
        let digit = |place: u32| i / 4_u64.pow(place) % 4;
        let key = Key { seed: digit(0), step: digit(1), layer: digit(2), time: digit(3), gate: digit(4) };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

#[test]
fn confusable_keys_have_unrelated_states() {
    let states: Vec<u64> = confusable_keys().into_iter().map(Key::state).collect();
    let (mut pairs, mut total) = (0.0, 0.0);
    for (i, a) in states.iter().enumerate() {
        for b in &states[..i] {
            let distance = (a ^ b).count_ones();
            // 9 or fewer, or 55 or more, of 64 fair bits: 4e-9 for each of 880,000 pairs.
            assert!((10..=54).contains(&distance), "{a:x} and {b:x}: {distance} bits differ");
            pairs += 1.0;
            total += f64::from(distance);
        }
    }
    // Pairs share keys, but the bits of any two pairs are independent: 16 is the variance of one.
    check_z("mean Hamming distance", (total - 32.0 * pairs) / (16.0_f64 * pairs).sqrt());
}

#[test]
fn streams_of_confusable_keys_are_independent() {
    let keys = confusable_keys();
    let pairs = keys.windows(2).flat_map(|keys| {
        let [a, b] = [keys[0].state(), keys[1].state()];
        (0..1024).map(move |i| (uniform_bits_at(a, i), uniform_bits_at(b, i)))
    });
    check_z("streams of confusable keys", pair_z(pairs));
}
