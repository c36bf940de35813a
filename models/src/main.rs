//! The program `g2lstm`: `g2lstm` for a demonstration, `g2lstm train` for a configuration.

use anyhow::Result;
use clap::{Parser, Subcommand};
use g2_models::config::Config;
use g2_models::corpus::Corpus;
use g2_models::demo;
use g2_models::experiment::Experiment;
use g2_models::report::Report;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Language models whose gates are sampled in training (Li et al., ICML 2018).
///
/// Without a command: trains a plain and a Gumbel-Gate LSTM on a small text, in a few minutes, and compares their gates.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Threads to compute with; the results do not depend on it [default: one for each core].
    #[arg(long, global = true)]
    threads: Option<NonZeroUsize>,
}

#[derive(Subcommand)]
enum Command {
    /// Trains a language model and measures its perplexity.
    Train {
        /// A TOML file that says what to train.
        #[arg(long)]
        config: PathBuf,
        /// Changes one key of it, for example `--set train.epochs=2`; may be repeated.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        changes: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { command, threads }: Cli) -> Result<()> {
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    match command {
        None => demo::run(threads),
        Some(Command::Train { config, changes }) => train(&Config::load(&config, &changes)?, threads),
    }
}

fn train(config: &Config, threads: usize) -> Result<()> {
    let corpus = Corpus::read(&config.data.dir, config.data.level)?;
    let mut experiment = Experiment::new(config, &corpus, threads)?;
    let report = Report::new(experiment.steps());
    experiment.train(&report)?;
    report.line(&format!("test perplexity {:.3}", experiment.test()?))?;
    report.line(&format!("fingerprint of the parameters {:016x}", experiment.fingerprint()))?;
    report.finish();
    Ok(())
}
