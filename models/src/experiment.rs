//! One configuration from its first epoch to its test perplexity, told line by line.

use crate::batches::Batches;
use crate::checkpoint::folder::RunFolder;
use crate::checkpoint::{self, Contents, Saved};
use crate::config::Config;
use crate::corpus::Corpus;
use crate::figures::{self, Curve, Figures};
use crate::language_model::{Evaluator, LanguageModel, Learner};
use crate::metrics::Record;
use crate::report::{Report, thousands};
use crate::signal::{Signal, Stop};
use crate::train::{self, Network, Position};
use anyhow::{Context, Result, bail, ensure};
use g2_engine::Parameters;
use g2_engine::optim::Sgd;
use std::ops::ControlFlow;
use std::time::Instant;

/// So many times an epoch, the loss is recorded.
const RECORDS: usize = 200;

/// A corpus and a model that learns it.
pub struct Experiment<'a> {
    config: &'a Config,
    corpus: &'a Corpus,
    /// Hash of the training text.
    text: String,
    batches: Batches<'a>,
    model: LanguageModel,
    learner: Learner,
    valid: Evaluator,
    position: Position,
    /// What has been measured, but for what a run had measured before it was resumed.
    pub records: Vec<Record>,
    /// The validation perplexity after the last epoch.
    pub valid_perplexity: f64,
}

/// How training ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// After the last epoch.
    Finished,
    /// By a signal, after this number of steps.
    Stopped(Signal, u64),
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
        Ok(Experiment {
            config,
            corpus,
            text: checkpoint::hash_text(&corpus.train),
            batches,
            model,
            learner,
            valid,
            position: Position::default(),
            records: Vec::new(),
            valid_perplexity: f64::NAN,
        })
    }

    /// Stands where the checkpoint stood.
    ///
    /// # Errors
    /// If the text is not that of the checkpoint, or its parts are not those of this model.
    pub fn restore(&mut self, saved: Saved) -> Result<()> {
        saved.check_text(&self.corpus.vocabulary, &self.text)?;
        let Saved { path, position, parameters, states, .. } = saved;
        ensure!(
            position.epoch <= self.config.train.epochs + 1 && position.window <= self.batches.windows(),
            "{}: it is in epoch {}, window {}, which this training does not have: restore it from a copy",
            path.display(),
            position.epoch,
            position.window
        );
        parameters.store(self.learner.parameters_mut())?;
        self.learner.set_states(&states).with_context(|| format!("{}: states.safetensors", path.display()))?;
        self.valid_perplexity = position.valid_perplexity.unwrap_or(f64::NAN);
        self.position = position;
        Ok(())
    }

    /// Steps of training in all: the ticks that [`Experiment::train`] reports.
    pub fn steps(&self) -> usize {
        self.config.train.epochs * self.batches.windows()
    }

    /// All parameters.
    pub fn parameters_mut(&mut self) -> &mut Parameters<f32> {
        self.learner.parameters_mut()
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// If a parameter is not finite (the last checkpoint then stays), or it cannot be written.
    pub fn save(&self, folder: &mut RunFolder) -> Result<()> {
        let Experiment { config, corpus, text, learner, position, .. } = self;
        save(folder, learner, position, (config, corpus, text))
    }

    /// Trains all epochs, one line each.
    ///
    /// # Errors
    /// If the loss stops being finite, or nothing can be printed.
    pub fn train(&mut self, report: &Report) -> Result<()> {
        self.train_in(report, None, &Stop::never()).map(|_| ())
    }

    /// Trains what is left of all epochs, one line each; saves and measures in `folder`, and stops when it is asked to.
    ///
    /// # Errors
    /// If the loss stops being finite, or nothing can be printed or saved.
    pub fn train_in(&mut self, report: &Report, mut folder: Option<&mut RunFolder>, stop: &Stop) -> Result<Ended> {
        self.introduce(report)?;
        let name = self.config.gates.training.name();
        let Config { train, .. } = self.config;
        let windows = self.batches.windows();
        report.skip(self.position.steps(windows));
        if let Some(folder) = folder.as_mut().filter(|folder| folder.is_due()) {
            self.save(folder)?;
        }
        while self.position.epoch <= train.epochs {
            let number = self.position.epoch;
            report.stage(format!("{name}, epoch {number}"));
            let sgd = Sgd { lr: train.rate(number), clip: train.clip };
            let start = Instant::now();
            let first = self.position.window;

            let Experiment { config, corpus, text, batches, learner, position, records, .. } = self;
            let flow = train::epoch(learner, batches, sgd, position, |learner, position, update| {
                report.tick();
                if position.window.is_multiple_of(windows.div_ceil(RECORDS)) || position.window == windows {
                    let (step, loss) = (position.steps(windows), position.record());
                    let record = Record::Train { step, epoch: number, loss, norm: update.norm };
                    keep(folder.as_deref_mut(), records, record)?;
                }
                let signal = stop.signal();
                if let Some(folder) = folder.as_mut().filter(|folder| signal.is_some() || folder.is_due()) {
                    save(folder, learner, position, (config, corpus, text))?;
                }
                Ok(signal.map_or(ControlFlow::Continue(()), ControlFlow::Break))
            });
            let flow = match (flow, &folder) {
                (Err(error), Some(folder)) => {
                    let path = folder.path().display();
                    return Err(error.context(format!("training has stopped; {path} keeps the last checkpoint")));
                }
                (flow, _) => flow?,
            };
            let loss = match flow {
                ControlFlow::Continue(loss) => loss,
                ControlFlow::Break(signal) => return Ok(Ended::Stopped(signal, self.position.steps(windows))),
            };

            let trained = (windows - first) * self.batches.places();
            let tokens_per_s = trained as f64 / start.elapsed().as_secs_f64();
            self.valid_perplexity = self.valid.score(self.learner.parameters(), &self.corpus.valid)?.perplexity();
            let record = Record::Epoch {
                step: self.position.steps(windows),
                epoch: number,
                lr: sgd.lr,
                train_perplexity: loss.exp(),
                valid_perplexity: self.valid_perplexity,
                tokens_per_s,
            };
            keep(folder.as_deref_mut(), &mut self.records, record)?;
            self.position.finish_epoch(self.valid_perplexity);
            if let Some(folder) = &mut folder {
                self.save(folder)?;
            }
            report.line(&format!(
                "epoch {number:2}  lr {:<8}  train perplexity {:8.3}  valid perplexity {:8.3}  {:>9} {}/s",
                sgd.lr,
                loss.exp(),
                self.valid_perplexity,
                thousands(tokens_per_s as usize),
                self.corpus.level.noun(),
            ))?;
        }
        Ok(Ended::Finished)
    }

    fn introduce(&self, report: &Report) -> Result<()> {
        let Config { model, gates, .. } = self.config;
        let widths: Vec<String> = model.widths().iter().map(usize::to_string).collect();
        let parameters = self.learner.parameters().iter().map(|(entry, _)| entry.elements()).sum();
        report.line(&format!(
            "{}: embedding {}, layers of {}, {} {}, {} parameters",
            gates.training.name(),
            model.embedding,
            widths.join(" and "),
            thousands(self.corpus.vocabulary.len()),
            self.corpus.level.noun(),
            thousands(parameters),
        ))
    }

    /// Perplexity of the test text, read as one column: every token but the first, each after all that precedes it.
    ///
    /// # Errors
    /// If the engine cannot run these sizes.
    pub fn test(&self) -> Result<f64> {
        let mut test = self.model.evaluator(1, self.config.train.steps)?;
        Ok(test.score(self.learner.parameters(), &self.corpus.test)?.perplexity())
    }

    /// What there is to plot: losses, gates over the validation text, their means at the text's beginning.
    ///
    /// # Errors
    /// If the engine cannot run.
    pub fn figures(&self) -> Result<Figures> {
        let mut figures = figures::figures(&self.model, self.config, self.learner.parameters(), self.corpus)?;
        figures.curve = Curve::of(&self.records);
        Ok(figures)
    }

    /// The model.
    pub fn model(&self) -> &LanguageModel {
        &self.model
    }

    /// A hash (FNV-1a) of the parameters' bits: the same for the same configuration, whatever the number of threads.
    pub fn fingerprint(&self) -> u64 {
        checkpoint::hash(self.learner.parameters().as_slice().iter().flat_map(|p| p.to_bits().to_le_bytes()))
    }
}

fn keep(folder: Option<&mut RunFolder>, records: &mut Vec<Record>, record: Record) -> Result<()> {
    folder.map_or(Ok(()), |folder| folder.record(&record))?;
    records.push(record);
    Ok(())
}

fn save(
    folder: &mut RunFolder,
    learner: &Learner,
    position: &Position,
    (config, corpus, text): (&Config, &Corpus, &str),
) -> Result<()> {
    if let Some(first) = learner.not_finite() {
        bail!("after the last step the first tensor that is not finite is {first}; lower train.lr or train.clip");
    }
    folder.save(&Contents {
        config,
        vocabulary: &corpus.vocabulary,
        text,
        position,
        parameters: learner.parameters(),
        states: learner.states()?,
    })
}
