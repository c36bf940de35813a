//! `g2lstm demo`: an LSTM and a Gumbel-Gate LSTM on the text that is shipped, and what sampling its gates
//! did to them.

use crate::config::Config;
use crate::corpus::{Corpus, Level, Text};
use crate::experiment::Experiment;
use crate::gates::{CLOSED, GateShares, OPEN};
use crate::page::{Page, verdict};
use crate::proposition;
use crate::report::{Report, Verbosity, thousands};
use anyhow::{Context, Result};
use clap::Args;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

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

/// `g2lstm demo`
#[derive(Args, Debug)]
pub struct Arguments {
    /// Writes one HTML page that holds all figures.
    #[arg(long, value_name = "PAGE.html", default_value = "g2lstm-demo.html")]
    out: PathBuf,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments { out: "g2lstm-demo.html".into() }
    }
}

/// Steps of 512 sequences in which gates are sampled for Proposition 3.1.
const PROPOSITION_STEPS: u64 = 100;

/// Trains both, prints a table and writes the page.
///
/// # Errors
/// If training fails, or nothing can be printed or written.
pub fn run(arguments: &Arguments, threads: usize, verbosity: Verbosity) -> Result<()> {
    let configs = [config("baseline")?, config("gumbel")?];
    let corpus = corpus(configs[0].data.level)?;
    let page = &arguments.out;
    // Before minutes of work: can it be written at all?
    File::options().append(true).create(true).open(page).with_context(|| unwritable(page))?;

    let mut experiments = Vec::new();
    for config in &configs {
        experiments.push(Experiment::new(config, &corpus, threads)?);
    }
    let report = Report::new(experiments.iter().map(Experiment::steps).sum(), verbosity);
    report
        .line("Tiny Shakespeare, two language models: plain gates, and gates sampled in training (Li et al. 2018)")?;
    for experiment in &mut experiments {
        report.line("")?;
        experiment.train(&report)?;
    }

    report.line("")?;
    report.result("No noise              perplexity         input gates        forget gates")?;
    report
        .line(&format!("                      valid   test       < {CLOSED}    > {OPEN}     < {CLOSED}    > {OPEN}"))?;
    report.stage("gates".to_owned());
    let mut models = Vec::new();
    for experiment in &experiments {
        let figures = experiment.figures()?;
        let GateShares { input, forget } = figures.evaluation[0];
        let percent = |share: f64| format!("{:6.1} %", 100.0 * share);
        report.result(&format!(
            "{:18} {:8.3} {:6.3}  {} {}   {} {}",
            figures.name,
            figures.valid_perplexity,
            figures.test_perplexity,
            percent(input.closed()),
            percent(input.open()),
            percent(forget.closed()),
            percent(forget.open()),
        ))?;
        models.push(figures);
    }

    report.stage("Proposition 3.1".to_owned());
    let proposition = proposition::count(experiments[1].model(), PROPOSITION_STEPS)?;
    report.result("")?;
    report.result(&format!(
        "Proposition 3.1, {} gates sampled by the training kernel: {}",
        thousands(proposition.gates() as usize),
        verdict(&proposition),
    ))?;

    let html = Page {
        title: "Gates that learn to be open or closed",
        introduction: "Two character-level LSTMs on Tiny Shakespeare, alike but for their input and forget gates: \
                       plain ones, and ones that are sampled in training from the Gumbel sigmoid of Li et al., \
                       “Towards Binary-Valued Gates for Robust LSTM Training” (ICML 2018).",
        models: &models,
        proposition: Some(&proposition),
        configuration: CONFIG,
        commands: &COMMANDS.map(|(purpose, command)| (purpose, command.to_owned())),
    };
    fs::write(page, html.html()?).with_context(|| unwritable(page))?;
    report.result("")?;
    report.result(&format!("All figures: {}", page.display()))?;
    report.finish();
    Ok(())
}

const COMMANDS: [(&str, &str); 5] = [
    (
        "Keep a run: train, then look at its gates and let it write",
        "g2lstm train --config models/configs/shakespeare.toml --out RUN\n\
         g2lstm gates --checkpoint RUN\n\
         g2lstm generate --checkpoint RUN --length 1000 --temperature 0.7",
    ),
    (
        "Change anything in the configuration",
        "g2lstm train --config models/configs/shakespeare.toml --set gates.training=sharpened --set gates.tau=0.2",
    ),
    (
        "Train on words of your own: a folder with train.txt, valid.txt and test.txt",
        "g2lstm train --config models/configs/ptb-small.toml --set data.dir=FOLDER",
    ),
    ("See the graph that was trained, with its gradient and its fused kernels", "g2lstm graph G2Lm"),
    ("Time a layer", "g2lstm bench layer --cell G2Lstm --steps 35 --batch 64 --input 256 --hidden 256"),
];

fn unwritable(page: &Path) -> String {
    format!("--out: {} cannot be written", page.display())
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
