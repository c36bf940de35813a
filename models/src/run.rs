//! The commands that make and read checkpoints: `train`, `eval`, `import`, `export`.

use crate::checkpoint::folder::RunFolder;
use crate::checkpoint::{durable, tensors};
use crate::config::{Config, Training};
use crate::corpus::{self, Corpus};
use crate::experiment::{Ended, Experiment};
use crate::metrics::Record;
use crate::report::{Report, Verbosity, thousands};
use crate::signal::{Signal, Stop};
use crate::torch;
use crate::trained::Trained;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// What a configuration is read from.
#[derive(Args)]
struct Source {
    /// A TOML file that says what to train.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Changes one key of it, for example `--set train.epochs=2`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    changes: Vec<String>,
}

/// `g2lstm train`
#[derive(Args)]
pub struct TrainArguments {
    /// A TOML file that says what to train.
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    config: Option<PathBuf>,
    /// Changes one key of it, for example `--set train.epochs=2`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Keeps the run in this folder: checkpoints, and `metrics.jsonl`, which can be read while it grows.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Goes on with the run in this folder as if it had not been interrupted.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "changes", "out"])]
    resume: Option<PathBuf>,
    /// Saves a checkpoint whenever so many seconds have passed, and after each epoch; 0 saves after every step.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    save_every: u64,
}

/// Training was stopped by a signal: no failure, but no result either.
#[derive(Debug)]
pub struct Stopped {
    /// Which.
    pub signal: Signal,
    step: u64,
    saved: Option<PathBuf>,
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Stopped { signal, step, saved } = self;
        write!(f, "stopped by {signal} after {step} steps; ")?;
        match saved {
            Some(folder) => write!(f, "all is saved, go on with `g2lstm train --resume {}`", folder.display()),
            None => f.write_str("nothing is saved, because there was no --out"),
        }
    }
}

impl std::error::Error for Stopped {}

impl TrainArguments {
    /// Trains, and measures the test perplexity.
    ///
    /// # Errors
    /// Those of reading, training and saving, and [`Stopped`].
    pub fn run(self, threads: usize, verbosity: Verbosity) -> Result<()> {
        let every = Duration::from_secs(self.save_every);
        let (config, mut run, saved) = match (self.resume, self.config) {
            (Some(path), _) => {
                let (run, saved) = RunFolder::resume(&path, every)?;
                (saved.config.clone(), Some(run), Some(saved))
            }
            (None, Some(config)) => (Config::load(&config, &self.changes)?, None, None),
            (None, None) => bail!("--config is missing"),
        };
        let corpus = Corpus::read(&config.data.dir, config.data.level)?;
        let mut experiment = Experiment::new(&config, &corpus, threads)?;
        if let Some(saved) = saved {
            experiment.restore(saved)?;
        }
        if let Some(path) = &self.out {
            run = Some(RunFolder::create(path, every)?);
        }
        let report = Report::new(experiment.steps(), verbosity);
        let stop = Stop::on_signals()?;
        if let Ended::Stopped(signal, step) = experiment.train_in(&report, run.as_mut(), &stop)? {
            report.finish();
            let saved = run.map(|run| run.path().to_owned());
            return Err(Stopped { signal, step, saved }.into());
        }
        let test_perplexity = experiment.test()?;
        if let Some(run) = &mut run {
            run.record(&Record::Test { test_perplexity })?;
        }
        report.result(&format!("test perplexity {test_perplexity:.3}"))?;
        report.result(&format!("fingerprint of the parameters {:016x}", experiment.fingerprint()))?;
        report.finish();
        Ok(())
    }
}

/// `g2lstm eval`
#[derive(Args)]
pub struct EvalArguments {
    /// A folder of `train --out`, or one checkpoint in it.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// The text to evaluate on.
    #[arg(long, value_enum, default_value_t = Split::Valid)]
    split: Split,
    /// The folder of the text, if it is not where it was in training.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Split {
    Valid,
    Test,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Split::Valid => "valid",
            Split::Test => "test",
        }
    }
}

impl EvalArguments {
    /// The perplexity of a text, read as one column: every token but the first, each after all that precedes it.
    ///
    /// # Errors
    /// Those of reading the checkpoint and the text.
    pub fn run(self, threads: usize) -> Result<String> {
        let Trained { config, vocabulary, model, parameters } = Trained::read(&self.checkpoint, threads)?;
        let dir = self.data.as_ref().unwrap_or(&config.data.dir);
        let text = corpus::read_ids(dir, self.split.name(), config.data.level, &vocabulary)?;
        let mut evaluator = model.evaluator(1, config.train.steps.min(text.len()))?;
        let score = evaluator.score(&parameters, &text)?;
        let (split, perplexity) = (self.split.name(), score.perplexity());
        if self.json {
            let json = serde_json::json!({ "split": split, "perplexity": perplexity, "tokens": score.tokens });
            return Ok(format!("{json}\n"));
        }
        let tokens = thousands(score.tokens as usize);
        Ok(format!("{split} perplexity {perplexity:.3}, {tokens} {}\n", config.data.level.noun()))
    }
}

/// `g2lstm import`
#[derive(Args)]
pub struct ImportArguments {
    #[command(flatten)]
    source: Source,
    /// Parameters under PyTorch's names: what `safetensors.torch.save_file(model.state_dict(), FILE)` writes.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The folder of the run that begins with them: `eval` it, or train it with `train --resume`.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl ImportArguments {
    /// Makes a checkpoint before the first step.
    ///
    /// # Errors
    /// Those of reading configuration, text and parameters, and of writing the checkpoint.
    pub fn run(self, threads: usize) -> Result<String> {
        let config = Config::load(&self.source.config, &self.source.changes)?;
        let corpus = Corpus::read(&config.data.dir, config.data.level)?;
        let bytes = durable::read(&self.from)?;
        let read = || torch::parameters(tensors::decode(&bytes)?, &config.model, corpus.vocabulary.len());
        let parameters = read().with_context(|| self.from.display().to_string())?;
        let mut experiment = Experiment::new(&config, &corpus, threads)?;
        parameters.store(experiment.parameters_mut())?;
        experiment.save(&mut RunFolder::create(&self.out, Duration::MAX)?)?;
        Ok(format!("{} holds a run that begins with these parameters\n", self.out.display()))
    }
}

/// How PyTorch reads what `export` writes.
const IN_PYTORCH: &str = "\
In PyTorch:
  state = safetensors.torch.load_file(\"FILE\")
  lstm = torch.nn.LSTM(EMBEDDING, HIDDEN, num_layers=LAYERS)
  lstm.load_state_dict({k: v for k, v in state.items() if k.startswith((\"weight_\", \"bias_\"))})
  encoder.load_state_dict({\"weight\": state[\"encoder.weight\"]})
  decoder.load_state_dict({\"weight\": state[\"decoder.weight\"], \"bias\": state[\"decoder.bias\"]})
And back:
  safetensors.torch.save_file(model.state_dict(), \"FILE\")   then `g2lstm import --from FILE`";

/// `g2lstm export`
#[derive(Args)]
#[command(after_help = IN_PYTORCH)]
pub struct ExportArguments {
    /// A folder of `train --out`, or one checkpoint in it.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Gets the parameters under PyTorch's names, for `safetensors.torch.load_file(FILE)`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl ExportArguments {
    /// Writes the file.
    ///
    /// # Errors
    /// Those of reading the checkpoint and of writing the file.
    pub fn run(self) -> Result<String> {
        let Trained { config, vocabulary, model: _, parameters } = Trained::read(&self.checkpoint, 1)?;
        let state = torch::state_dict(&parameters, &config.model, vocabulary.len())?;
        durable::write_file(&self.out, &tensors::encode(&state)?)?;
        let mut said = format!("{} holds {} tensors\n", self.out.display(), state.len());
        if config.gates.training == Training::Sharpened {
            said += &format!(
                "its gates are sharpened: torch.nn.LSTM computes the same once the rows of i and f, the first 2H of weights \
                 and biases, are divided by gates.tau = {}\n",
                config.gates.tau
            );
        }
        Ok(said)
    }
}
