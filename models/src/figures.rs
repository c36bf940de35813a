//! What there is to plot of a trained model.

use crate::config::Config;
use crate::corpus::{Corpus, EOS, Level};
use crate::gates::{GateShares, Means};
use crate::language_model::LanguageModel;
use anyhow::Result;
use g2_engine::Parameters;

/// Losses while training: points (epochs done, nats a token).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Curve {
    /// Means over a tenth of an epoch of training.
    pub train: Vec<(f64, f64)>,
    /// Of the validation text after each epoch.
    pub valid: Vec<(f64, f64)>,
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
