//! The program `g2lstm`: `g2lstm` for a demonstration, `g2lstm train` for a configuration.

use anyhow::Result;
use clap::{Parser, Subcommand};
use g2_models::run::{self, Stopped};
use g2_models::{demo, graph_text, layer_bench};
use std::io::{self, Write};
use std::num::NonZeroUsize;
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
    /// Trains a plain and a Gumbel-Gate LSTM on the text that is shipped, and writes what it shows as an HTML page.
    Demo(demo::Arguments),
    /// Trains a language model and measures its perplexity.
    Train(run::TrainArguments),
    /// Measures the perplexity of a trained model.
    Eval(run::EvalArguments),
    /// Begins a run with parameters from PyTorch.
    Import(run::ImportArguments),
    /// Writes a trained model's parameters for PyTorch.
    Export(run::ExportArguments),
    /// Prints a shipped model's graph, with its gradient and its fused regions.
    Graph(graph_text::Arguments),
    /// Measures speed.
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// Times one recurrent layer: the medians of the forward half of a training step, and of both halves.
    Layer(layer_bench::Arguments),
}

fn main() -> ExitCode {
    match execute(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has read enough: `g2lstm graph G2Lm | head`.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => match error.downcast_ref::<Stopped>() {
            Some(stopped) => {
                eprintln!("{stopped}");
                ExitCode::from(stopped.signal.exit_code())
            }
            None => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn execute(Cli { command, threads }: Cli) -> Result<()> {
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    match command {
        None => demo::run(&demo::Arguments::default(), threads),
        Some(Command::Demo(arguments)) => demo::run(&arguments, threads),
        Some(Command::Train(arguments)) => arguments.run(threads),
        Some(Command::Eval(arguments)) => print(&arguments.run(threads)?),
        Some(Command::Import(arguments)) => print(&arguments.run(threads)?),
        Some(Command::Export(arguments)) => print(&arguments.run()?),
        Some(Command::Graph(arguments)) => print(&arguments.text()?),
        Some(Command::Bench(Bench::Layer(arguments))) => print(&arguments.run(threads)?),
    }
}

fn print(text: &str) -> Result<()> {
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}
