//! What a run measures, line by line, as JSON: a file that can be read while it grows.

use crate::checkpoint::durable::explain;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One line.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Record {
    /// Some steps of training.
    Train {
        /// Steps done since the beginning.
        step: u64,
        /// The epoch, counted from 1.
        epoch: usize,
        /// Mean loss of the steps since the last such line of the epoch, in nats.
        loss: f64,
        /// The last gradient's norm before clipping.
        norm: f64,
    },
    /// An epoch is over.
    Epoch {
        /// Steps done since the beginning.
        step: u64,
        /// The epoch, counted from 1.
        epoch: usize,
        /// Its learning rate.
        lr: f64,
        /// `exp` of its mean loss.
        train_perplexity: f64,
        /// After it.
        valid_perplexity: f64,
        /// Tokens trained on in a second.
        tokens_per_s: f64,
    },
    /// Training is over.
    Test {
        /// Of the test text.
        test_perplexity: f64,
    },
}

/// The file of a run.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Metrics {
    /// An empty file.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(path: &Path) -> Result<Metrics> {
        let file = File::create(path).map_err(|error| explain(error, "made", path))?;
        Ok(Metrics { path: path.to_owned(), file, length: 0 })
    }

    /// The file as it was when it had `length` bytes: what came later will come again.
    ///
    /// # Errors
    /// If it cannot be changed.
    pub fn resume(path: &Path, length: u64) -> Result<Metrics> {
        let open = || -> std::io::Result<(File, u64)> {
            let mut file = File::options().create(true).truncate(false).write(true).open(path)?;
            let length = file.metadata()?.len().min(length);
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length))?;
            Ok((file, length))
        };
        let (file, length) = open().map_err(|error| explain(error, "continued", path))?;
        Ok(Metrics { path: path.to_owned(), file, length })
    }

    /// Adds a line, in one piece.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_string(record)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(|error| explain(error, "written", &self.path))?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Makes what was added last; returns the file's length.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&mut self) -> Result<u64> {
        if self.length == 0 {
            return Ok(0);
        }
        self.file.sync_data().map_err(|error| explain(error, "synced", &self.path))?;
        Ok(self.length)
    }
}
