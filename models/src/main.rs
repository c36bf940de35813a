//! The program `g2lstm`: `g2lstm` for a demonstration, `g2lstm train` for a configuration.

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use g2_models::report::Verbosity;
use g2_models::run::{self, Stopped};
use g2_models::{demo, gates_page, generate, graph_text, layer_bench};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;

/// Language models whose gates are sampled in training (Li et al., ICML 2018).
///
/// Without a command: trains a plain and a Gumbel-Gate LSTM on a small text, in a few minutes, and compares their gates.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Threads to compute with; the results do not depend on it [default: one for each core].
    #[arg(long, global = true)]
    threads: Option<NonZeroUsize>,
    /// Prints results only, no progress.
    #[arg(long, short, global = true)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  g2lstm                                                   the demonstration
  g2lstm train --config models/configs/shakespeare.toml --out RUN
  g2lstm train --resume RUN                                goes on after an interruption
  g2lstm eval --checkpoint RUN --split test
  g2lstm gates --checkpoint RUN --out gates.html           histograms, heat map, losses
  g2lstm generate --checkpoint RUN --temperature 0.7       text
  g2lstm graph G2Lm --format dot | dot -Tsvg > graph.svg
  g2lstm bench layer --cell G2Lstm --steps 35 --batch 64 --input 256 --hidden 256";

#[derive(Subcommand)]
enum Command {
    /// Trains a plain and a Gumbel-Gate LSTM on the text that is shipped, and writes what it shows as an HTML page.
    Demo(demo::Arguments),
    /// Trains a language model and measures its perplexity.
    Train(run::TrainArguments),
    /// Measures the perplexity of a trained model.
    Eval(run::EvalArguments),
    /// Shows where a trained model's gates are: a table, and a page of histograms, heat map and losses.
    Gates(gates_page::Arguments),
    /// Lets a trained model write.
    Generate(generate::Arguments),
    /// Begins a run with parameters from PyTorch.
    Import(run::ImportArguments),
    /// Writes a trained model's parameters for PyTorch.
    Export(run::ExportArguments),
    /// Prints a shipped model's graph, with its gradient and its fused regions.
    Graph(graph_text::Arguments),
    /// Measures speed.
    #[command(subcommand)]
    Bench(Bench),
    /// Prints a script by which a shell completes commands and options.
    ///
    /// For example `g2lstm completions bash > ~/.local/share/bash-completion/completions/g2lstm`.
    Completions {
        /// The shell that it is for.
        shell: Shell,
    },
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

fn execute(Cli { command, threads, quiet }: Cli) -> Result<()> {
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let verbosity = if quiet { Verbosity::Quiet } else { Verbosity::Normal };
    match command {
        None => demo::run(&demo::Arguments::default(), threads, verbosity),
        Some(Command::Demo(arguments)) => demo::run(&arguments, threads, verbosity),
        Some(Command::Train(arguments)) => arguments.run(threads, verbosity),
        Some(Command::Eval(arguments)) => print(&arguments.run(threads)?),
        Some(Command::Gates(arguments)) => print(&arguments.run(threads)?),
        Some(Command::Generate(arguments)) => arguments.run(threads, &mut io::stdout().lock()),
        Some(Command::Import(arguments)) => print(&arguments.run(threads)?),
        Some(Command::Export(arguments)) => print(&arguments.run()?),
        Some(Command::Graph(arguments)) => print(&arguments.text()?),
        Some(Command::Bench(Bench::Layer(arguments))) => print(&arguments.run(threads)?),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "g2lstm", &mut script);
            Ok(io::stdout().lock().write_all(&script)?)
        }
    }
}

fn print(text: &str) -> Result<()> {
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}
