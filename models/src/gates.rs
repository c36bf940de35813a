//! How far gates are open: the share of their values close to 0 and close to 1, their histogram, their means.

use crate::batches::NO_TARGET;

/// Below this a gate is closed.
pub const CLOSED: f32 = 0.1;
/// Above this a gate is open.
pub const OPEN: f32 = 0.9;

/// Number of bars of a histogram over `[0, 1]`.
pub const BINS: usize = 20;

/// Counts of the values of one kind of gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shares {
    closed: u64,
    open: u64,
    all: u64,
    bins: [u64; BINS],
}

impl Shares {
    /// Counts the values `[steps, batch, hidden]` of a window, places without a target left out.
    pub fn add(&mut self, values: &[f32], targets: &[u32]) {
        let hidden = values.len() / targets.len();
        for (values, &target) in values.chunks_exact(hidden).zip(targets) {
            if target != NO_TARGET {
                self.all += hidden as u64;
                self.closed += values.iter().filter(|&&v| v < CLOSED).count() as u64;
                self.open += values.iter().filter(|&&v| v > OPEN).count() as u64;
                values.iter().for_each(|&v| self.bins[((v * BINS as f32) as usize).min(BINS - 1)] += 1);
            }
        }
    }

    /// Share of values below [`CLOSED`].
    pub fn closed(&self) -> f64 {
        self.closed as f64 / self.all as f64
    }

    /// Share of values above [`OPEN`].
    pub fn open(&self) -> f64 {
        self.open as f64 / self.all as f64
    }

    /// Share of values in each of [`BINS`] intervals of the same width.
    pub fn histogram(&self) -> [f64; BINS] {
        self.bins.map(|count| count as f64 / self.all as f64)
    }
}

/// Those of the gates that the paper makes binary, of one layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GateShares {
    /// Input gates.
    pub input: Shares,
    /// Forget gates.
    pub forget: Shares,
}

/// A layer's gates at each token of a text: means over its units.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Means {
    /// Of the input gates.
    pub input: Vec<f32>,
    /// Of the forget gates.
    pub forget: Vec<f32>,
}

/// Adds the means of the values `[steps, batch, hidden]` at the places that have a target.
pub fn add_means(means: &mut Vec<f32>, values: &[f32], targets: &[u32]) {
    let hidden = values.len() / targets.len();
    for (values, &target) in values.chunks_exact(hidden).zip(targets) {
        if target != NO_TARGET {
            means.push(values.iter().sum::<f32>() / hidden as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_values_at_real_places() {
        let mut shares = Shares::default();
        shares.add(&[0.05, 0.5, 0.95, 0.91, 0.0, 0.0], &[3, 3, NO_TARGET]);
        shares.add(&[0.2, 0.99, 0.09, 0.3], &[1, 2]);
        assert_eq!((shares.closed(), shares.open()), (2.0 / 8.0, 3.0 / 8.0));
        let mut bins = [0.0; BINS];
        [1, 10, 19, 18, 4, 19, 1, 6].iter().for_each(|&bin: &usize| bins[bin] += 1.0 / 8.0);
        assert_eq!(shares.histogram(), bins);
    }

    #[test]
    fn means_are_over_the_units_at_real_places() {
        let mut means = Vec::new();
        add_means(&mut means, &[0.25, 0.75, 0.5, 1.0, 9.0, 9.0], &[3, 0, NO_TARGET]);
        assert_eq!(means, [0.5, 0.75]);
    }
}
