//! Checkpoints: all that a run needs to go on as if it had not been interrupted, as a folder.
//!
//! ```text
//! state.toml               version, where training stands, the hashes of parameters and text
//! config.toml              the configuration, `--set` included
//! vocabulary.json          the tokens, in the order of their ids
//! parameters.safetensors   under PyTorch's names, see `torch`
//! states.safetensors       what the layers carry from window to window
//! ```
//!
//! A checkpoint is written as `durable` does it, read as what anyone may have made: no content panics, or allocates more
//! than its own size. `folder` is where those of one run are.

pub mod durable;
pub mod folder;
pub mod tensors;

use crate::config::Config;
use crate::corpus::Vocabulary;
use crate::torch::{self, Loaded};
use crate::train::Position;
use anyhow::{Context, Result, anyhow, ensure};
use g2_engine::Parameters;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tensors::Tensors;

/// Of the format: changes when files that were written before cannot be read any more.
pub const VERSION: i64 = 1;

const STATE: &str = "state.toml";
const CONFIG: &str = "config.toml";
const VOCABULARY: &str = "vocabulary.json";
const PARAMETERS: &str = "parameters.safetensors";
const STATES: &str = "states.safetensors";

/// `state.toml`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: i64,
    /// [`hash`] of the parameters, in the order of their names.
    parameters: String,
    /// Of the training text's ids.
    text: String,
    /// Bytes of the file of metrics that belong to this.
    metrics: u64,
    position: Position,
}

/// A hash (FNV-1a): not against malice, but against accidents.
pub fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn hash_tensors(tensors: &Tensors) -> String {
    let bits = tensors.values().flat_map(|tensor| &tensor.data).flat_map(|v| v.to_bits().to_le_bytes());
    format!("{:016x}", hash(bits))
}

/// Of the ids of a text.
pub fn hash_text(ids: &[u32]) -> String {
    format!("{:016x}", hash(ids.iter().flat_map(|id| id.to_le_bytes())))
}

/// What is written.
pub struct Contents<'a> {
    /// What is trained.
    pub config: &'a Config,
    /// Its tokens.
    pub vocabulary: &'a Vocabulary,
    /// [`hash_text`] of the training text.
    pub text: &'a str,
    /// Where training stands.
    pub position: &'a Position,
    /// The parameters.
    pub parameters: &'a Parameters<f32>,
    /// The layers' states by the executor's names.
    pub states: Tensors,
}

impl Contents<'_> {
    /// The files, `metrics` being the length of that one.
    fn files(&self, metrics: u64) -> Result<Vec<(&'static str, Vec<u8>)>> {
        let parameters = torch::tensors(self.parameters, &self.config.model, self.vocabulary.len())?;
        let state = State {
            version: VERSION,
            parameters: hash_tensors(&parameters),
            text: self.text.to_owned(),
            metrics,
            position: self.position.clone(),
        };
        let mut config = self.config.clone();
        config.data.dir = std::path::absolute(&config.data.dir).context("data.dir")?;
        Ok(vec![
            (STATE, toml::to_string(&state)?.into_bytes()),
            (CONFIG, toml::to_string(&config).context("the configuration cannot be written")?.into_bytes()),
            (VOCABULARY, serde_json::to_vec(self.vocabulary.tokens())?),
            (PARAMETERS, tensors::encode(&parameters)?),
            (STATES, tensors::encode(&self.states)?),
        ])
    }

    /// Writes a checkpoint; at any instant it is not there, or whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path, metrics: u64) -> Result<()> {
        durable::write_folder(path, &self.files(metrics)?)
    }
}

/// What has been read, its parts found to fit each other.
pub struct Saved {
    /// Where from.
    pub path: PathBuf,
    /// What is trained.
    pub config: Config,
    /// Its tokens.
    pub vocabulary: Vocabulary,
    /// Where training stands.
    pub position: Position,
    /// The parameters.
    pub parameters: Loaded,
    /// The layers' states.
    pub states: Tensors,
    text: String,
    metrics: u64,
}

impl Saved {
    /// Reads one checkpoint: the folder that has `state.toml`.
    ///
    /// # Errors
    /// If a file is missing, truncated or damaged, of another version, or does not fit the others.
    pub fn read(path: &Path) -> Result<Saved> {
        let file = |name: &str| {
            let path = path.join(name);
            durable::read(&path).map(|bytes| (path.display().to_string(), bytes))
        };
        let text = |name: &str| -> Result<(String, String)> {
            let (path, bytes) = file(name)?;
            let text = String::from_utf8(bytes).ok().with_context(|| damaged(&path, "it is not UTF-8"))?;
            Ok((path, text))
        };

        let (name, state) = text(STATE)?;
        let state = read_state(&state).with_context(|| name)?;
        let (name, config) = text(CONFIG)?;
        let config = Config::parse(&config, Path::new(""), &[])
            .map_err(|error| anyhow!(damaged(&name, &format!("{error:#}").trim().replace('\n', " "))))?;
        let (name, vocabulary) = text(VOCABULARY)?;
        let tokens = serde_json::from_str(&vocabulary).map_err(|error| anyhow!(damaged(&name, &error.to_string())))?;
        let vocabulary =
            Vocabulary::from_tokens(tokens).with_context(|| damaged(&name, "it is empty or has a token twice"))?;

        let tensors = |name: &str| -> Result<(String, Tensors)> {
            let (path, bytes) = file(name)?;
            let tensors = tensors::decode(&bytes).map_err(|error| anyhow!(damaged(&path, &error.to_string())))?;
            Ok((path, tensors))
        };
        let (name, parameters) = tensors(PARAMETERS)?;
        let found = hash_tensors(&parameters);
        let parameters =
            torch::parameters(parameters, &config.model, vocabulary.len()).with_context(|| name.clone())?;
        ensure!(found == state.parameters, damaged(&name, "its content is not what was written"));
        let (_, states) = tensors(STATES)?;
        let State { version: _, parameters: _, text, metrics, position } = state;
        Ok(Saved { path: path.to_owned(), config, vocabulary, position, parameters, states, text, metrics })
    }

    /// Checks that `text` is the training text of before.
    ///
    /// # Errors
    /// If it is not.
    pub fn check_text(&self, vocabulary: &Vocabulary, text: &str) -> Result<()> {
        ensure!(
            self.vocabulary.tokens() == vocabulary.tokens() && self.text == text,
            "{}: the training text in {} (data.dir) is not the one that this checkpoint was trained on: restore it",
            self.path.display(),
            self.config.data.dir.display()
        );
        Ok(())
    }
}

fn damaged(file: &str, how: &str) -> String {
    format!("{file}: {how}; the file is damaged: restore it from a copy, or train again")
}

/// The version is looked at before anything else: what else there is depends on it.
fn read_state(text: &str) -> Result<State> {
    const ADVICE: &str = "the file is damaged: restore it from a copy, or train again";
    let on_one_line = |error: toml::de::Error| anyhow!("{}; {ADVICE}", error.to_string().trim().replace('\n', ", "));
    let table: toml::Table = text.parse().map_err(on_one_line)?;
    let version = table.get("version").and_then(toml::Value::as_integer);
    let version = version.with_context(|| format!("it has no version; {ADVICE}"))?;
    ensure!(
        version == VERSION,
        "a checkpoint of version {version}, but this program reads version {VERSION}: use the release that wrote it"
    );
    let state: State = table.try_into().map_err(on_one_line)?;
    ensure!(state.position.is_possible(), "it describes a training that cannot be; {ADVICE}");
    Ok(state)
}
