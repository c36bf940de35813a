//! Keyed noise: a uniform is a pure function of (seed, step, layer, time, gate, element).
//!
//! The first five are hashed to the state of a PCG XSH-RR 64/32 generator; element i takes its i-th output. So the
//! noise depends neither on launch shape nor on threads, and whoever needs element i (a vector lane, a GPU thread, a
//! test) gets there alone: by one jump of O(log i), then with a constant stride of one multiply-add a step.
//!
//! Every key walks the same orbit of 2^64 states from its own pseudo-random place. (A generator *per element* would be
//! broken: neighbouring streams of one PCG are correlated.)
//!
//! O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random Number Generation",
//! 2014. Multiplier, increment and output are those of `rand_pcg::Lcg64Xsh32`, the oracle in the tests.

use crate::real::Real;

/// The generator's multiplier.
pub const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

/// The generator's increment: its stream is `INCREMENT >> 1`, `rand_pcg`'s default.
pub const INCREMENT: u64 = 1_442_695_040_888_963_407;

/// What the noise of one gate of one layer at one time step is keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The run's seed.
    pub seed: u64,
    /// The training step.
    pub step: u64,
    /// The layer, or whatever tells two instances of one cell apart.
    pub layer: u64,
    /// The time step inside the sequence.
    pub time: u64,
    /// The call of `uniform()` inside the cell: one number for each.
    pub gate: u64,
}

impl Key {
    /// The generator's state at element 0.
    ///
    /// Each coordinate is mixed in by a bijection of 64 bits, so the order matters, keys that differ in the last
    /// coordinate alone never meet, and any other two keys meet with probability 2^-64.
    #[inline]
    #[must_use]
    pub const fn state(self) -> u64 {
        let state = absorb(0, self.seed);
        let state = absorb(state, self.step);
        let state = absorb(state, self.layer);
        let state = absorb(state, self.time);
        absorb(state, self.gate)
    }
}

/// SplitMix64's step and finalizer (Steele, Lea, Flood 2014), with `word` put in between.
#[inline(always)]
const fn absorb(state: u64, word: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word;
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// XSH-RR: the 32 output bits of a state.
#[inline(always)]
const fn output(state: u64) -> u32 {
    let folded = (((state >> 18) ^ state) >> 27) as u32;
    folded.rotate_right((state >> 59) as u32)
}

/// Moving by a constant number of elements: one multiply-add of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    multiplier: u64,
    increment: u64,
}

impl Jump {
    const NONE: Jump = Jump { multiplier: 1, increment: 0 };
    const ONE: Jump = Jump { multiplier: MULTIPLIER, increment: INCREMENT };

    /// Forward by `n` elements; O(log n) (Brown, "Random number generation with arbitrary strides", 1994).
    #[inline]
    #[must_use]
    pub const fn by(n: u64) -> Jump {
        let mut total = Jump::NONE;
        let mut power = Jump::ONE;
        let mut left = n;
        while left > 0 {
            if left & 1 == 1 {
                total = power.after(total);
            }
            power = power.after(power);
            left >>= 1;
        }
        total
    }

    /// `first`, then `self`.
    #[inline(always)]
    const fn after(self, first: Jump) -> Jump {
        Jump { multiplier: self.multiplier.wrapping_mul(first.multiplier), increment: self.apply(first.increment) }
    }

    #[inline(always)]
    const fn apply(self, state: u64) -> u64 {
        self.multiplier.wrapping_mul(state).wrapping_add(self.increment)
    }
}

/// The random bits of element `i`; O(log i).
#[inline]
#[must_use]
pub const fn uniform_bits_at(state: u64, i: u64) -> u32 {
    output(Jump::by(i).apply(state))
}

/// The uniform of element `i`, strictly between 0 and 1, on the grid of [`Real::uniform_from_bits`]; O(log i).
#[inline]
#[must_use]
pub fn uniform_at<T: Real>(state: u64, i: u64) -> T {
    T::uniform_from_bits(uniform_bits_at(state, i))
}

/// Elements that `Stream::fill` computes side by side: enough to hide the latency of a 64-bit vector multiplication.
const LANES: usize = 32;

/// `JUMPS[l]` moves by l elements, so the lanes start with one multiply-add, not one after the other.
const JUMPS: [Jump; LANES] = {
    let mut jumps = [Jump::NONE; LANES];
    let mut lane = 1;
    while lane < LANES {
        jumps[lane] = Jump::ONE.after(jumps[lane - 1]);
        lane += 1;
    }
    jumps
};

const MULTIPLIERS: [u64; LANES] = {
    let mut multipliers = [0; LANES];
    let mut lane = 0;
    while lane < LANES {
        multipliers[lane] = JUMPS[lane].multiplier;
        lane += 1;
    }
    multipliers
};

const INCREMENTS: [u64; LANES] = {
    let mut increments = [0; LANES];
    let mut lane = 0;
    while lane < LANES {
        increments[lane] = JUMPS[lane].increment;
        lane += 1;
    }
    increments
};

/// A key's noise, positioned at an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    state: u64,
}

impl Stream {
    /// The noise of `Key::state`, at `element`; O(log element).
    #[inline]
    #[must_use]
    pub const fn new(state: u64, element: u64) -> Stream {
        Stream { state: Jump::by(element).apply(state) }
    }

    /// The random bits of the element it stands at.
    #[inline(always)]
    #[must_use]
    pub const fn bits(&self) -> u32 {
        output(self.state)
    }

    /// The uniform of the element it stands at.
    #[inline(always)]
    #[must_use]
    pub fn uniform<T: Real>(&self) -> T {
        T::uniform_from_bits(self.bits())
    }

    /// Moves by the stride.
    #[inline(always)]
    pub const fn skip(&mut self, stride: &Jump) {
        self.state = stride.apply(self.state);
    }

    /// Writes the uniforms of the next `out.len()` elements and moves behind them.
    ///
    /// Always inlined, so that it is compiled for the CPU features of the caller.
    #[inline(always)]
    pub fn fill<T: Real>(&mut self, out: &mut [T]) {
        const STRIDE: Jump = Jump::by(LANES as u64);
        let mut lanes = [0; LANES];
        for l in 0..LANES {
            lanes[l] = self.state.wrapping_mul(MULTIPLIERS[l]).wrapping_add(INCREMENTS[l]);
        }
        let (blocks, rest) = out.as_chunks_mut::<LANES>();
        for block in blocks {
            for l in 0..LANES {
                block[l] = T::uniform_from_bits(output(lanes[l]));
                lanes[l] = STRIDE.apply(lanes[l]);
            }
        }
        // A copy, so that the lanes of the loop above stay in registers.
        let tail = lanes;
        for (uniform, &lane) in rest.iter_mut().zip(&tail) {
            *uniform = T::uniform_from_bits(output(lane));
        }
        // The lane after the last element has the state to go on from.
        self.state = tail[rest.len() % LANES];
    }
}
