//! A trained model: what `eval`, `export` and whatever else looks at a checkpoint begin with.

use crate::checkpoint::folder;
use crate::config::Config;
use crate::corpus::Vocabulary;
use crate::language_model::LanguageModel;
use anyhow::Result;
use g2_engine::Parameters;
use std::path::Path;

/// From a checkpoint.
pub struct Trained {
    /// What was trained.
    pub config: Config,
    /// The tokens.
    pub vocabulary: Vocabulary,
    /// The network.
    pub model: LanguageModel,
    /// What it has learnt.
    pub parameters: Parameters<f32>,
}

impl Trained {
    /// Reads a folder of `train --out`, or one checkpoint in it.
    ///
    /// # Errors
    /// If there is no checkpoint, or it cannot be used.
    pub fn read(path: &Path, threads: usize) -> Result<Trained> {
        let saved = folder::read(path)?;
        let model = LanguageModel::new(&saved.config, saved.vocabulary.len(), threads);
        let mut parameters = model.parameters()?;
        saved.parameters.store(&mut parameters)?;
        Ok(Trained { config: saved.config, vocabulary: saved.vocabulary, model, parameters })
    }
}
