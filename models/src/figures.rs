//! What there is to plot of a trained model.

use crate::config::Config;
use crate::corpus::{Corpus, EOS, Level};
use crate::gates::{GateShares, Means};
use crate::language_model::LanguageModel;
use crate::metrics::Record;
use anyhow::Result;
use g2_engine::Parameters;
use std::path::Path;

/// Losses while training: points (epochs done, nats a token).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Curve {
    /// Means over a tenth of an epoch of training.
    pub train: Vec<(f64, f64)>,
    /// Of the validation text after each epoch.
    pub valid: Vec<(f64, f64)>,
}

impl Curve {
    /// From what a run has measured; nothing before its first epoch is over.
    pub fn of(records: &[Record]) -> Curve {
        let windows = records.iter().find_map(|record| match *record {
            Record::Epoch { step, epoch, .. } => Some((step / (epoch as u64).max(1)).max(1)),
            Record::Train { .. } | Record::Test { .. } => None,
        });
        let mut curve = Curve::default();
        let Some(windows) = windows else { return curve };
        let (mut from, mut last, mut sum) = (0, 0, 0.0);
        for record in records {
            match *record {
                Record::Train { step, loss, .. } if step > last => {
                    sum += loss * (step - last) as f64;
                    last = step;
                    if 10 * (step - from) >= windows || step.is_multiple_of(windows) {
                        curve.train.push((step as f64 / windows as f64, sum / (step - from) as f64));
                        (from, sum) = (step, 0.0);
                    }
                }
                Record::Epoch { epoch, valid_perplexity, .. } => {
                    curve.valid.push((epoch as f64, valid_perplexity.ln()));
                }
                Record::Train { .. } | Record::Test { .. } => {}
            }
        }
        curve
    }
}

/// What a run's file of metrics holds, as far as it can be read.
pub fn records(path: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
}

/// A trained model's figures.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Figures {
    /// What the model is called.
    pub name: String,
    /// Its losses.
    pub curve: Curve,
    /// Perplexity of the validation text.
    pub valid_perplexity: f64,
    /// Perplexity of the test text.
    pub test_perplexity: f64,
    /// Each layer's gates over the validation text, sampled as in training.
    pub training: Vec<GateShares>,
    /// The same without noise.
    pub evaluation: Vec<GateShares>,
    /// The validation text's beginning, as far as [`Figures::means`] goes.
    pub tokens: Vec<String>,
    /// Each layer's mean gates there, without noise.
    pub means: Vec<Means>,
}

/// The figures of parameters over the validation text.
///
/// # Errors
/// If the engine cannot run.
pub fn figures(
    model: &LanguageModel,
    config: &Config,
    parameters: &Parameters<f32>,
    corpus: &Corpus,
) -> Result<Figures> {
    let (batch, steps) = (config.train.batch, config.train.steps);
    let mut evaluator = model.evaluator(batch, steps)?;
    // The last token is followed by nothing: its gates are not counted.
    let beginning = &corpus.valid[..=whole_lines(corpus)];
    let shown = &beginning[..beginning.len() - 1];
    Ok(Figures {
        name: match config.gates.training {
            crate::config::Training::Baseline => "Plain LSTM".to_owned(),
            crate::config::Training::Sharpened => "Sharpened LSTM".to_owned(),
            crate::config::Training::Gumbel => "Gumbel-Gate LSTM".to_owned(),
        },
        curve: Curve::default(),
        valid_perplexity: evaluator.score(parameters, &corpus.valid)?.perplexity(),
        test_perplexity: model.evaluator(1, steps)?.score(parameters, &corpus.test)?.perplexity(),
        training: model.sampler(batch, steps)?.gates(parameters, &corpus.valid)?,
        evaluation: evaluator.gates(parameters, &corpus.valid)?,
        tokens: shown.iter().map(|&id| corpus.vocabulary.token(id).to_owned()).collect(),
        means: model.evaluator(1, 1)?.means(parameters, beginning)?,
    })
}

/// The number of tokens of whole lines at the validation text's beginning, as many as can be looked at; at least one
/// token follows them.
fn whole_lines(corpus: &Corpus) -> usize {
    let (end, most) = match corpus.level {
        Level::Word => (EOS, 90),
        Level::Char => ("\n", 220),
    };
    let most = most.min(corpus.valid.len() - 1);
    let end = corpus.vocabulary.id(end);
    corpus.valid[..most].iter().rposition(|&id| Some(id) == end).map_or(most, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Text;

    #[test]
    fn curves_have_ten_points_an_epoch_or_a_few_less() {
        let mut records = Vec::new();
        for epoch in 1..=2 {
            for window in 1..=23 {
                let step = (epoch as u64 - 1) * 23 + window;
                records.push(Record::Train { step, epoch, loss: step as f64, norm: 1.0 });
            }
            let (step, lr, train_perplexity, tokens_per_s) = (23 * epoch as u64, 1.0, 1.0, 1.0);
            let valid_perplexity = (epoch as f64).exp();
            records.push(Record::Epoch { step, epoch, lr, train_perplexity, valid_perplexity, tokens_per_s });
        }
        let curve = Curve::of(&records);
        let x: Vec<f64> = curve.train.iter().map(|p| (p.0 * 23.0).round()).collect();
        assert_eq!(x, [3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 21.0, 23.0, 26.0, 29.0, 32.0, 35.0, 38.0, 41.0, 44.0, 46.0]);
        assert_eq!((curve.train[0].1, curve.train[7].1), (2.0, 22.5));
        assert_eq!(curve.valid, [(1.0, 1.0), (2.0, 2.0)]);
        assert_eq!(Curve::of(&records[..5]), Curve::default());
    }

    #[test]
    fn whole_lines_are_shown_if_there_is_one() {
        let lines = |text: &str, level| {
            let text = Text { file: "a", text };
            whole_lines(&Corpus::from_texts([text; 3], level).unwrap())
        };
        assert_eq!(lines("abc\nde\nf", Level::Char), 7);
        assert_eq!(lines("abcde", Level::Char), 4);
        assert_eq!(lines("a b\nc d e\n", Level::Word), 3);
        assert_eq!(lines(&"abcd\n".repeat(99), Level::Char), 220);
    }
}
