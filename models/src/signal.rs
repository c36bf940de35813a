//! SIGINT and SIGTERM: the first asks training to stop after its step, the second ends the program.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicUsize>);

/// A signal that asked to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal(u8);

impl Stop {
    /// Is asked to stop by nobody.
    pub fn never() -> Stop {
        Stop::default()
    }

    /// Is asked to stop by the next SIGINT or SIGTERM; one more of these ends the program at once.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn on_signals() -> Result<Stop> {
        let stop = Stop::default();
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let register = || -> std::io::Result<()> {
                // In this order, so that the first signal finds `again` unset.
                flag::register_conditional_shutdown(signal, 128 + signal, again.clone())?;
                flag::register(signal, again.clone())?;
                flag::register_usize(signal, stop.0.clone(), signal as usize)?;
                Ok(())
            };
            register().context("cannot listen for signals")?;
        }
        Ok(stop)
    }

    /// The signal that asked to stop.
    pub fn signal(&self) -> Option<Signal> {
        let number = self.0.load(Ordering::Relaxed);
        (number != 0).then_some(Signal(number as u8))
    }
}

impl Signal {
    /// What a shell reports of a program that the signal has ended.
    pub fn exit_code(self) -> u8 {
        128 + self.0
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match i32::from(self.0) {
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            _ => "a signal",
        })
    }
}
