//! How far gates are open: the share of their values close to 0 and close to 1.

use crate::batches::NO_TARGET;

/// Below this a gate is closed.
pub const CLOSED: f32 = 0.1;
/// Above this a gate is open.
pub const OPEN: f32 = 0.9;

/// Counts of the values of one kind of gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shares {
    closed: u64,
    open: u64,
    all: u64,
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
}

/// Those of the gates that the paper makes binary, all layers together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GateShares {
    /// Input gates.
    pub input: Shares,
    /// Forget gates.
    pub forget: Shares,
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
    }
}
