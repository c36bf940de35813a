//! Text by a trained model: one token after the other, each drawn from what the model expects.

use crate::corpus::{self, EOS, Level, Text, Vocabulary};
use crate::language_model::Evaluator;
use crate::trained::Trained;
use anyhow::Result;
use clap::Args;
use g2_engine::Parameters;
use g2_engine::noise::{Key, uniform_at};
use std::io::Write;
use std::path::PathBuf;

/// `g2lstm generate`
#[derive(Args, Debug)]
pub struct Arguments {
    /// A folder of `train --out`, or one checkpoint in it.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Number of words or characters.
    #[arg(long, default_value_t = 500)]
    length: usize,
    /// Below 1 the model says more often what it holds for likely, above 1 less often; at 0 always the likeliest.
    #[arg(long, default_value_t = 1.0, value_parser = temperature, allow_negative_numbers = true)]
    temperature: f64,
    /// Another seed, another text.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A text to continue; it is printed, too.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
}

fn temperature(text: &str) -> Result<f64, String> {
    let positive = |t: &f64| *t >= 0.0 && t.is_finite();
    text.parse().ok().filter(positive).ok_or_else(|| "give a number from 0 up".to_owned())
}

impl Arguments {
    /// Writes the text, token by token.
    ///
    /// # Errors
    /// If the checkpoint cannot be used, the prompt has tokens that the model does not know, or `out` cannot be written.
    pub fn run(&self, threads: usize, out: &mut dyn Write) -> Result<()> {
        let Trained { config, vocabulary, model, parameters } = Trained::read(&self.checkpoint, threads)?;
        let level = config.data.level;
        let prompt = match &self.prompt {
            Some(prompt) => {
                let mut ids = corpus::look_up(Text { file: "--prompt", text: prompt }, level, &vocabulary)?;
                // A prompt is the beginning of a line, not the whole of it.
                if level == Level::Word && !prompt.ends_with('\n') {
                    ids.pop();
                }
                ids
            }
            None => vec![beginning(level, &vocabulary)],
        };
        let mut writer = Writer { level, vocabulary: &vocabulary, begins_line: true };
        if self.prompt.is_some() {
            for &token in &prompt {
                writer.write(token, out)?;
            }
        }
        let sampler = Sampler { temperature: self.temperature, seed: self.seed };
        let mut network = model.evaluator(1, 1)?;
        generate(&mut network, &parameters, &prompt, sampler, self.length, |token| writer.write(token, out))?;
        Ok(writeln!(out)?)
    }
}

/// What stands before a text: the end of a line, if there are lines.
fn beginning(level: Level, vocabulary: &Vocabulary) -> u32 {
    let end = match level {
        Level::Word => EOS,
        Level::Char => "\n",
    };
    vocabulary.id(end).unwrap_or(0)
}

struct Writer<'a> {
    level: Level,
    vocabulary: &'a Vocabulary,
    begins_line: bool,
}

impl Writer<'_> {
    fn write(&mut self, token: u32, out: &mut dyn Write) -> Result<()> {
        let token = self.vocabulary.token(token);
        match self.level {
            Level::Char => write!(out, "{token}")?,
            Level::Word if token == EOS => writeln!(out)?,
            Level::Word if self.begins_line => write!(out, "{token}")?,
            Level::Word => write!(out, " {token}")?,
        }
        self.begins_line = token == EOS;
        Ok(out.flush()?)
    }
}

/// How the next token is chosen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sampler {
    /// Scores are divided by it; at 0 the highest wins.
    pub temperature: f64,
    /// Of the choices.
    pub seed: u64,
}

impl Sampler {
    /// The `n`-th choice among scores (logarithms of probabilities, up to a constant).
    pub fn choose(self, scores: &[f32], n: u64) -> u32 {
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
        if self.temperature == 0.0 {
            return best as u32;
        }
        let weight = |&score: &f32| (f64::from(score - scores[best]) / self.temperature).exp();
        let total: f64 = scores.iter().map(weight).sum();
        let key = Key { seed: self.seed, step: n, layer: u64::MAX, time: 0, gate: 0 };
        let mut left = uniform_at::<f64>(key.state(), 0) * total;
        let found = scores.iter().position(|score| {
            left -= weight(score);
            left < 0.0
        });
        found.unwrap_or(best) as u32
    }
}

/// Feeds the prompt, then `length` times what the sampler has chosen; `emit` is given each choice.
///
/// # Errors
/// If the engine cannot run, or as `emit`.
pub fn generate(
    network: &mut Evaluator,
    parameters: &Parameters<f32>,
    prompt: &[u32],
    sampler: Sampler,
    length: usize,
    mut emit: impl FnMut(u32) -> Result<()>,
) -> Result<()> {
    let mut scores = Vec::new();
    network.restart();
    for &token in prompt {
        network.feed(parameters, token, &mut scores)?;
    }
    for n in 0..length {
        let token = sampler.choose(&scores, n as u64);
        emit(token)?;
        network.feed(parameters, token, &mut scores)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::language_model::LanguageModel;
    use std::path::Path;

    #[test]
    fn choices_follow_their_probabilities() {
        let scores = [1.0_f32.ln(), 2.0_f32.ln(), 5.0_f32.ln()];
        let counts = |temperature| {
            let mut counts = [0; 3];
            (0..8000).for_each(|n| counts[Sampler { temperature, seed: 1 }.choose(&scores, n) as usize] += 1);
            counts
        };
        assert_eq!(counts(0.0), [0, 0, 8000]);
        for (temperature, weights) in [(1.0, [1.0, 2.0, 5.0]), (0.5, [1.0, 4.0, 25.0]), (1e6, [1.0; 3])] {
            let total: f64 = weights.iter().sum();
            for (count, weight) in counts(temperature).into_iter().zip(weights) {
                let expected = 8000.0 * weight / total;
                assert!((f64::from(count) - expected).abs() < 5.0 * expected.sqrt(), "{count} {expected}");
            }
        }
    }

    /// The scores are those by which the graph measures perplexity.
    #[test]
    fn scores_agree_with_the_graphs_likelihoods() {
        for tie in ["true", "false"] {
            let text = r#"
                data = { dir = "text", level = "char" }
                model = { layers = 2, embedding = 8, hidden = 12, init = 0.7 }
                train = { epochs = 1, batch = 2, steps = 3, lr = 1, seed = 5 }
            "#;
            let config = Config::parse(text, Path::new(""), &[format!("model.tie={tie}")]).unwrap();
            let model = LanguageModel::new(&config, 11, 1);
            let learner = model.learner(2, 3).unwrap();
            let tokens = [3, 1, 4, 1, 5, 9, 2, 6];
            let mut network = model.evaluator(1, 1).unwrap();
            let expected = network.score(learner.parameters(), &tokens).unwrap().nll;
            let (mut nll, mut scores) = (0.0, Vec::new());
            network.restart();
            for pair in tokens.windows(2) {
                network.feed(learner.parameters(), pair[0], &mut scores).unwrap();
                let total: f64 = scores.iter().map(|&s| f64::from(s).exp()).sum();
                nll += total.ln() - f64::from(scores[pair[1] as usize]);
            }
            assert!((nll - expected).abs() < 1e-4, "{nll} {expected}");
        }
    }
}
