//! Token ids to windows `[steps, batch]`: the text is cut into `batch` contiguous columns, and windows slide down them
//! one after the other, so that the state after one window is the state before the next.

use anyhow::{Result, ensure};

/// Target of a place that holds no token (it is fed id 0 and not counted).
pub const NO_TARGET: u32 = u32::MAX;

/// A text in columns. Legend: N tokens, B columns, S steps, L = length of a column.
///
/// ```text
/// column j feeds    t[jL .. jL + L]
///          predicts t[jL + 1 .. jL + L + 1]
/// window k is rows  kS .. kS + S of all columns, stored row by row
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Batches<'a> {
    tokens: &'a [u32],
    batch: usize,
    steps: usize,
    length: usize,
    windows: usize,
}

/// One window: `[steps, batch]` ids that are fed and ids that follow them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// Fed.
    pub tokens: Vec<u32>,
    /// To be predicted, or [`NO_TARGET`].
    pub targets: Vec<u32>,
}

impl Window {
    /// Of `len` places.
    pub fn new(len: usize) -> Window {
        Window { tokens: vec![0; len], targets: vec![0; len] }
    }

    /// The targets as indices, those that are none as id 0.
    pub fn padded_targets<'a>(&self, out: &'a mut Vec<u32>) -> &'a [u32] {
        out.clear();
        out.extend(self.targets.iter().map(|&t| if t == NO_TARGET { 0 } else { t }));
        out
    }
}

impl<'a> Batches<'a> {
    /// Whole windows only: what is left over at the end of the columns and of the text is not trained on.
    ///
    /// # Errors
    /// If the text does not fill one window.
    pub fn whole(tokens: &'a [u32], batch: usize, steps: usize) -> Result<Batches<'a>> {
        let length = tokens.len().saturating_sub(1) / batch;
        let windows = length / steps;
        ensure!(
            windows > 0,
            "train.batch = {batch} and train.steps = {steps} are too large for a training text of {} tokens: it takes \
             batch * steps + 1 of them to fill one window; make either smaller",
            tokens.len()
        );
        Ok(Batches { tokens, batch, steps, length, windows })
    }

    /// Every token but the first is a target exactly once; places left over hold [`NO_TARGET`].
    ///
    /// # Errors
    /// If the text has no two tokens.
    pub fn every(tokens: &'a [u32], batch: usize, steps: usize) -> Result<Batches<'a>> {
        ensure!(tokens.len() >= 2, "a text to evaluate on needs at least two tokens, found {}", tokens.len());
        let length = (tokens.len() - 1).div_ceil(batch);
        Ok(Batches { tokens, batch, steps, length, windows: length.div_ceil(steps) })
    }

    /// Number of windows.
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Number of places of a window.
    pub fn places(&self) -> usize {
        self.batch * self.steps
    }

    /// Fills `window` with window `k`.
    pub fn fill(&self, k: usize, window: &mut Window) {
        for step in 0..self.steps {
            let row = k * self.steps + step;
            for column in 0..self.batch {
                let at = column * self.length + row;
                let place = step * self.batch + column;
                let (token, target) = match self.tokens.get(at..at + 2) {
                    Some(pair) if row < self.length => (pair[0], pair[1]),
                    _ => (0, NO_TARGET),
                };
                window.tokens[place] = token;
                window.targets[place] = target;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(batches: &Batches<'_>) -> Vec<Window> {
        let window = |k| {
            let mut window = Window::new(batches.places());
            batches.fill(k, &mut window);
            window
        };
        (0..batches.windows()).map(window).collect()
    }

    #[test]
    fn columns_are_contiguous_and_windows_follow_each_other() {
        let text: Vec<u32> = (0..14).collect();
        let windows = all(&Batches::whole(&text, 2, 3).unwrap());
        assert_eq!(windows.len(), 2);
        assert_eq!(windows[0].tokens, [0, 6, 1, 7, 2, 8]);
        assert_eq!(windows[0].targets, [1, 7, 2, 8, 3, 9]);
        assert_eq!(windows[1].tokens, [3, 9, 4, 10, 5, 11]);
        assert_eq!(windows[1].targets, [4, 10, 5, 11, 6, 12]);
    }

    #[test]
    fn evaluation_predicts_every_token_but_the_first_once() {
        for len in 2..60 {
            let text: Vec<u32> = (0..len).collect();
            for (batch, steps) in [(1, 1), (1, 7), (3, 2), (4, 5), (70, 3)] {
                let mut seen = Vec::new();
                for window in all(&Batches::every(&text, batch, steps).unwrap()) {
                    for (&token, &target) in window.tokens.iter().zip(&window.targets) {
                        if target != NO_TARGET {
                            assert_eq!(token + 1, target);
                            seen.push(target);
                        }
                    }
                }
                seen.sort_unstable();
                assert_eq!(seen, text[1..], "{len} tokens, batch {batch}, steps {steps}");
            }
        }
    }

    #[test]
    fn too_short_a_text_is_an_error() {
        let message = Batches::whole(&[0; 40], 20, 2).unwrap_err().to_string();
        assert!(message.contains("train.batch = 20") && message.contains("40 tokens"), "{message}");
        assert_eq!(Batches::whole(&[0; 41], 20, 2).unwrap().windows(), 1);
        assert!(Batches::every(&[0], 20, 2).is_err());
    }
}
