//! What to train: a TOML file, changed by `--set key=value`.

use crate::corpus::Level;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A whole configuration.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The text.
    pub data: Data,
    /// The network.
    pub model: Model,
    /// Its gates.
    #[serde(default)]
    pub gates: Gates,
    /// How it learns.
    pub train: Train,
}

/// `[data]`
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Folder of the text; in a file, a relative one starts from the file's own folder.
    pub dir: PathBuf,
    /// What one token is.
    pub level: Level,
}

/// `[model]`
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The recurrent cell.
    #[serde(default)]
    pub cell: Cell,
    /// Number of cells on top of each other.
    pub layers: usize,
    /// Width of the token vectors.
    pub embedding: usize,
    /// Units of each layer (of each but the last one, if tied).
    pub hidden: usize,
    /// The softmax uses the embedding's matrix; the last layer then has `embedding` units.
    #[serde(default)]
    pub tie: bool,
    /// All weights start uniform in `+-init`, all biases at zero.
    #[serde(default = "default_init")]
    pub init: f64,
    /// What is dropped in training.
    #[serde(default)]
    pub dropout: Dropout,
}

fn default_init() -> f64 {
    0.1
}

/// The recurrent cell's family; `gates.training` decides on the member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// Long short-term memory.
    #[default]
    Lstm,
}

/// `[model.dropout]`: probabilities.
#[derive(Clone, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dropout {
    /// Of whole rows of the embedding.
    pub embedding: f64,
    /// Of the first layer's input.
    pub input: f64,
    /// Between the layers.
    pub hidden: f64,
    /// Of the last layer's output.
    pub output: f64,
    /// Of the recurrent weights.
    pub weight: f64,
}

/// `[gates]`
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gates {
    /// What input and forget gates are in training.
    pub training: Training,
    /// Temperature of sharpened and sampled gates.
    pub tau: f64,
    /// Probability that a gate is sampled: 1 is the paper's text, less is the released code's option.
    pub noise_p: f64,
    /// Keeps the released code's noise finite: it adds `ln(u + epsilon) - ln(1 + epsilon - u)`. Read if `noise_p < 1`.
    pub epsilon: f64,
}

impl Default for Gates {
    fn default() -> Gates {
        Gates { training: Training::Gumbel, tau: 0.9, noise_p: 1.0, epsilon: 1e-3 }
    }
}

/// What input and forget gates are in training, `a` being their pre-activation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Training {
    /// `sigmoid(a)`
    Baseline,
    /// `sigmoid(a / tau)`
    Sharpened,
    /// `sigmoid((a + logit(u)) / tau)`, `u` uniform
    Gumbel,
}

impl Training {
    /// As it is written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Training::Baseline => "baseline",
            Training::Sharpened => "sharpened",
            Training::Gumbel => "gumbel",
        }
    }
}

/// `[train]`
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Passes over the training text.
    pub epochs: usize,
    /// Columns of text side by side.
    pub batch: usize,
    /// Tokens through which back-propagation goes.
    pub steps: usize,
    /// Learning rate, for the loss averaged over the batch and the steps.
    pub lr: f64,
    /// The largest global norm of a gradient (of the averaged loss).
    #[serde(default = "default_clip")]
    pub clip: f64,
    /// Of initial weights, noise and dropout.
    #[serde(default)]
    pub seed: u64,
    /// How the learning rate falls.
    #[serde(default)]
    pub decay: Decay,
}

fn default_clip() -> f64 {
    f64::INFINITY
}

/// `[train.decay]`
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Decay {
    /// The last epoch at the full rate.
    pub after: usize,
    /// The rate is multiplied by this before every epoch that comes later.
    pub factor: f64,
}

impl Default for Decay {
    fn default() -> Decay {
        Decay { after: 0, factor: 1.0 }
    }
}

impl Train {
    /// The learning rate of an epoch, counted from 1.
    pub fn rate(&self, epoch: usize) -> f64 {
        let falls = epoch.saturating_sub(self.decay.after);
        self.lr * self.decay.factor.powi(falls.try_into().unwrap_or(i32::MAX))
    }
}

impl Model {
    /// Units of each layer.
    pub fn widths(&self) -> Vec<usize> {
        let mut widths = vec![self.hidden; self.layers];
        if let (true, Some(last)) = (self.tie, widths.last_mut()) {
            *last = self.embedding;
        }
        widths
    }

    /// Units of the last layer.
    pub fn features(&self) -> usize {
        if self.tie { self.embedding } else { self.hidden }
    }
}

impl Config {
    /// Reads a file and changes it by `key=value` pairs, the last of a key winning.
    ///
    /// # Errors
    /// A file that cannot be read or is not TOML; a pair that is none; a key that does not exist, is missing, or has a
    /// value that makes no sense.
    pub fn load(path: &Path, changes: &[String]) -> Result<Config> {
        let file = path.display();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--config: {file} cannot be read; give the path of a TOML file"))?;
        Config::parse(&text, path.parent().unwrap_or(Path::new("")), changes).with_context(|| file.to_string())
    }

    /// As [`Config::load`], from the file's text and the folder that it is in.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, folder: &Path, changes: &[String]) -> Result<Config> {
        let mut table: Table = text.parse()?;
        if let Some(Value::String(dir)) = table.get_mut("data").and_then(|data| data.get_mut("dir")) {
            *dir = folder.join(&*dir).display().to_string();
        }
        for change in changes {
            set(&mut table, change).with_context(|| format!("--set {change}"))?;
        }
        // Its message names the key in a second line.
        let on_one_line = |error: toml::de::Error| anyhow!("{}", error.to_string().trim().replace('\n', ", "));
        let config: Config = Value::Table(table).try_into().map_err(on_one_line)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let Config { data: _, model, gates, train } = self;
        let counts = [
            ("model.layers", model.layers),
            ("model.embedding", model.embedding),
            ("model.hidden", model.hidden),
            ("train.epochs", train.epochs),
            ("train.batch", train.batch),
            ("train.steps", train.steps),
        ];
        for (key, value) in counts {
            ensure!(value >= 1, "{key} = {value}: it must be at least 1");
            let most = if key == "model.layers" { 1 << 10 } else { 1 << 24 };
            ensure!(value <= most, "{key} = {value}: it must be at most {most}");
        }
        let dropout = &model.dropout;
        let probabilities = [
            ("embedding", dropout.embedding),
            ("input", dropout.input),
            ("hidden", dropout.hidden),
            ("output", dropout.output),
            ("weight", dropout.weight),
        ];
        for (key, p) in probabilities {
            ensure!((0.0..1.0).contains(&p), "model.dropout.{key} = {p}: it must be at least 0 and below 1");
        }
        let positive = [
            ("model.init", model.init),
            ("gates.tau", gates.tau),
            ("gates.epsilon", gates.epsilon),
            ("train.lr", train.lr),
            ("train.decay.factor", train.decay.factor),
        ];
        for (key, value) in positive {
            ensure!(value > 0.0 && value.is_finite(), "{key} = {value}: it must be above 0 and finite");
        }
        ensure!(train.clip > 0.0, "train.clip = {}: it must be above 0 (inf: no clipping)", train.clip);
        let p = gates.noise_p;
        ensure!(p > 0.0 && p <= 1.0, "gates.noise_p = {p}: it must be above 0 and at most 1");
        Ok(())
    }
}

/// Sets one dotted key; the value is TOML, or else a string.
fn set(table: &mut Table, change: &str) -> Result<()> {
    let (key, value) = change.split_once('=').context("write it as key=value, for example train.epochs=2")?;
    let (key, value) = (key.trim(), value.trim());
    let parsed = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    let mut parts = key.split('.');
    let last = parts.next_back().unwrap_or_default();
    let mut at = table;
    for part in parts {
        let below = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(below) = below else { bail!("{part} is a value, not a section") };
        at = below;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        data = { dir = "text", level = "char" }
        model = { layers = 2, embedding = 8, hidden = 16 }
        train = { epochs = 1, batch = 2, steps = 3, lr = 1 }
    "#;

    fn parse(changes: &[&str]) -> Result<Config> {
        let changes: Vec<String> = changes.iter().map(|&s| s.to_owned()).collect();
        Config::parse(SMALL, Path::new("configs"), &changes)
    }

    #[track_caller]
    fn check_error(changes: &[&str], parts: &[&str]) {
        let message = format!("{:#}", parse(changes).unwrap_err());
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.gates, Gates::default());
        assert_eq!(config.data.dir, Path::new("configs/text"));
        assert_eq!((config.train.rate(1), config.train.rate(9)), (1.0, 1.0));
    }

    #[test]
    fn changes_win_over_the_file() {
        let changes = [
            "train.lr=0.5",
            "gates.training=sharpened",
            "train.decay={ after = 4, factor = 0.5 }",
            "data.dir=/other",
            "model.dropout.weight = 0.5",
            "data.level=\"word\"",
        ];
        let config = parse(&changes).unwrap();
        assert_eq!(config.train.lr, 0.5);
        assert_eq!(config.gates.training, Training::Sharpened);
        assert_eq!(config.data.dir, Path::new("/other"));
        assert_eq!(config.data.level, Level::Word);
        assert_eq!(config.model.dropout.weight, 0.5);
        let rates: Vec<f64> = (1..=6).map(|epoch| config.train.rate(epoch)).collect();
        assert_eq!(rates, [0.5, 0.5, 0.5, 0.5, 0.25, 0.125]);
    }

    #[test]
    fn tying_makes_the_last_layer_as_wide_as_the_embedding() {
        assert_eq!(parse(&[]).unwrap().model.widths(), [16, 16]);
        let tied = parse(&["model.tie=true"]).unwrap().model;
        assert_eq!((tied.widths(), tied.features()), (vec![16, 8], 8));
    }

    #[test]
    fn mistakes_name_the_key() {
        check_error(&["train.epoch=2"], &["train", "`epoch`", "`epochs`"]);
        check_error(&["model.layers=1025"], &["model.layers = 1025", "at most 1024"]);
        check_error(&["model.layers=0"], &["model.layers = 0", "at least 1"]);
        check_error(&["model.hidden=-1"], &["model", "hidden", "-1"]);
        check_error(&["gates.training=gaussian"], &["gates", "gaussian", "`gumbel`"]);
        check_error(&["model.dropout.hidden=1"], &["model.dropout.hidden", "below 1"]);
        check_error(&["gates.tau=0"], &["gates.tau = 0"]);
        check_error(&["gates.noise_p=1.5"], &["gates.noise_p = 1.5"]);
        check_error(&["train.lr=nan"], &["train.lr = NaN"]);
        check_error(&["train.epochs"], &["--set train.epochs", "key=value"]);
        check_error(&["train.lr.x=1"], &["--set train.lr.x=1", "not a section"]);
        let missing = Config::parse("[data]\ndir = 'a'\nlevel = 'char'", Path::new(""), &[]).unwrap_err();
        assert!(missing.to_string().contains("model"), "{missing}");
    }

    #[test]
    fn the_configurations_that_are_shipped_are_valid() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/configs"));
        let mut files = 0;
        for entry in folder.read_dir().unwrap() {
            Config::load(&entry.unwrap().path(), &[]).unwrap();
            files += 1;
        }
        assert_eq!(files, 2);
    }
}
