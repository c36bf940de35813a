//! What the user sees while training runs: lines on standard output, and below them, on a terminal only, a bar.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Verbosity {
    /// Progress and results.
    #[default]
    Normal,
    /// Results only.
    Quiet,
}

/// A bar that nobody sees unless standard error is a terminal, and lines.
pub struct Report {
    bar: ProgressBar,
    verbosity: Verbosity,
}

impl Report {
    /// For `ticks` steps in all.
    pub fn new(ticks: usize, verbosity: Verbosity) -> Report {
        let bar = match verbosity {
            Verbosity::Normal => ProgressBar::new(ticks as u64),
            Verbosity::Quiet => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template("{msg:12} {wide_bar} {pos}/{len}  {eta} left");
        Report { bar: style.map_or(bar.clone(), |style| bar.with_style(style)), verbosity }
    }

    /// Names what the next ticks are part of.
    pub fn stage(&self, name: String) {
        self.bar.set_message(name);
    }

    /// So many steps were done before.
    pub fn skip(&self, steps: u64) {
        if steps > 0 {
            self.bar.inc(steps);
            self.bar.reset_eta();
        }
    }

    /// One step is done.
    pub fn tick(&self) {
        self.bar.inc(1);
    }

    /// Prints a line of progress.
    ///
    /// # Errors
    /// If standard output cannot be written to.
    pub fn line(&self, line: &str) -> Result<()> {
        match self.verbosity {
            Verbosity::Normal => self.result(line),
            Verbosity::Quiet => Ok(()),
        }
    }

    /// Prints a line of results.
    ///
    /// # Errors
    /// If standard output cannot be written to.
    pub fn result(&self, line: &str) -> Result<()> {
        self.bar.suspend(|| writeln!(std::io::stdout(), "{line}"))?;
        Ok(())
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (k, digit) in digits.chars().enumerate() {
        if k > 0 && (digits.len() - k).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_separated() {
        let all = [0, 12, 123, 1234, 123456, 1234567].map(super::thousands);
        assert_eq!(all, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }
}
