//! One configuration from its first epoch to its test perplexity, told line by line.

use crate::batches::Batches;
use crate::config::Config;
use crate::corpus::Corpus;
use crate::figures::{self, Figures};
use crate::language_model::{Evaluator, LanguageModel, Learner};
use crate::report::{Report, thousands};
use crate::train;
use anyhow::Result;
use g2_engine::optim::Sgd;
use std::time::Instant;

/// A corpus and a model that learns it.
pub struct Experiment<'a> {
    config: &'a Config,
    corpus: &'a Corpus,
    batches: Batches<'a>,
    model: LanguageModel,
    learner: Learner,
    valid: Evaluator,
    /// The validation perplexity after the last epoch.
    pub valid_perplexity: f64,
}

impl<'a> Experiment<'a> {
    /// A model with its first weights.
    ///
    /// # Errors
    /// If the text does not fill a window, or the engine cannot run these sizes.
    pub fn new(config: &'a Config, corpus: &'a Corpus, threads: usize) -> Result<Experiment<'a>> {
        let (batch, steps) = (config.train.batch, config.train.steps);
        let batches = Batches::whole(&corpus.train, batch, steps)?;
        let model = LanguageModel::new(config, corpus.vocabulary.len(), threads);
        let learner = model.learner(batch, steps)?;
        let valid = model.evaluator(batch, steps)?;
        Ok(Experiment { config, corpus, batches, model, learner, valid, valid_perplexity: f64::NAN })
    }

    /// Steps of training in all: the ticks that [`Experiment::train`] reports.
    pub fn steps(&self) -> usize {
        self.config.train.epochs * self.batches.windows()
    }

    /// Trains all epochs, one line each.
    ///
    /// # Errors
    /// If the loss stops being finite, or nothing can be printed.
    pub fn train(&mut self, report: &Report) -> Result<()> {
        let Config { data: _, model, gates, train } = self.config;
        let name = gates.training.name();
        let widths: Vec<String> = model.widths().iter().map(usize::to_string).collect();
        let parameters = self.learner.parameters().iter().map(|(entry, _)| entry.elements()).sum();
        report.line(&format!(
            "{name}: embedding {}, layers of {}, {} {}, {} parameters",
            model.embedding,
            widths.join(" and "),
            thousands(self.corpus.vocabulary.len()),
            self.corpus.level.noun(),
            thousands(parameters),
        ))?;
        for number in 1..=train.epochs {
            report.stage(format!("{name}, epoch {number}"));
            let sgd = Sgd { lr: train.rate(number), clip: train.clip };
            let first_step = ((number - 1) * self.batches.windows()) as u64;
            let start = Instant::now();
            let loss = train::epoch(&mut self.learner, &self.batches, sgd, first_step, || report.tick())?;
            let rate = (self.batches.windows() * self.batches.places()) as f64 / start.elapsed().as_secs_f64();
            self.valid_perplexity = self.valid.score(self.learner.parameters(), &self.corpus.valid)?.perplexity();
            report.line(&format!(
                "epoch {number:2}  lr {:<8}  train perplexity {:8.3}  valid perplexity {:8.3}  {:>9} {}/s",
                sgd.lr,
                loss.exp(),
                self.valid_perplexity,
                thousands(rate as usize),
                self.corpus.level.noun(),
            ))?;
        }
        Ok(())
    }

    /// Perplexity of the test text, read as one column: every token but the first, each after all that precedes it.
    ///
    /// # Errors
    /// If the engine cannot run these sizes.
    pub fn test(&self) -> Result<f64> {
        let mut test = self.model.evaluator(1, self.config.train.steps)?;
        Ok(test.score(self.learner.parameters(), &self.corpus.test)?.perplexity())
    }

    /// What there is to plot: gates over the validation text, their means at the text's beginning.
    ///
    /// # Errors
    /// If the engine cannot run.
    pub fn figures(&self) -> Result<Figures> {
        figures::figures(&self.model, self.config, self.learner.parameters(), self.corpus)
    }

    /// The model.
    pub fn model(&self) -> &LanguageModel {
        &self.model
    }

    /// A hash (FNV-1a) of the parameters' bits: the same for the same configuration, whatever the number of threads.
    pub fn fingerprint(&self) -> u64 {
        let bytes = self.learner.parameters().as_slice().iter().flat_map(|p| p.to_bits().to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}
