//! `g2lstm` without arguments: an LSTM and a Gumbel-Gate LSTM on the text that is shipped, and what sampling its gates
//! did to them.

use crate::config::Config;
use crate::corpus::{Corpus, Level, Text};
use crate::experiment::Experiment;
use crate::gates::{CLOSED, GateShares, OPEN};
use crate::report::Report;
use anyhow::Result;
use std::path::Path;

/// The configuration, whose `gates.training` is replaced.
const CONFIG: &str = include_str!("../configs/shakespeare.toml");

macro_rules! text {
    ($file:literal) => {
        Text { file: $file, text: include_str!(concat!("../data/tiny-shakespeare/", $file)) }
    };
}

fn config(training: &str) -> Result<Config> {
    Config::parse(CONFIG, Path::new(""), &[format!("gates.training={training}")])
}

fn corpus(level: Level) -> Result<Corpus> {
    Corpus::from_texts([text!("train.txt"), text!("valid.txt"), text!("test.txt")], level)
}

/// Trains both and prints a table.
///
/// # Errors
/// If training fails, or nothing can be printed.
pub fn run(threads: usize) -> Result<()> {
    let configs = [config("baseline")?, config("gumbel")?];
    let corpus = corpus(configs[0].data.level)?;

    let mut experiments = Vec::new();
    for config in &configs {
        experiments.push(Experiment::new(config, &corpus, threads)?);
    }
    let report = Report::new(experiments.iter().map(Experiment::steps).sum());
    report
        .line("Tiny Shakespeare, two language models: plain gates, and gates sampled in training (Li et al. 2018)")?;
    for experiment in &mut experiments {
        report.line("")?;
        experiment.train(&report)?;
    }

    report.line("")?;
    report.line("Validation text, no noise            input gates        forget gates")?;
    report.line(&format!("           valid perplexity    < {CLOSED}    > {OPEN}     < {CLOSED}    > {OPEN}"))?;
    for (config, experiment) in configs.iter().zip(&mut experiments) {
        report.stage("gates".to_owned());
        let GateShares { input, forget } = experiment.gates()?;
        let percent = |share: f64| format!("{:6.1} %", 100.0 * share);
        report.line(&format!(
            "{:9}  {:16.3}  {} {}   {} {}",
            config.gates.training.name(),
            experiment.valid_perplexity,
            percent(input.closed()),
            percent(input.open()),
            percent(forget.closed()),
            percent(forget.open()),
        ))?;
    }
    report.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shipped_can_be_trained_on() {
        let config = config("baseline").unwrap();
        let corpus = corpus(config.data.level).unwrap();
        let counts = [corpus.vocabulary.len(), corpus.train.len(), corpus.valid.len(), corpus.test.len()];
        assert_eq!(counts, [65, 1_016_242, 51_726, 47_426]);
        Experiment::new(&config, &corpus, 1).unwrap();
    }
}
