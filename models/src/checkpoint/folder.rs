//! The folder of one run.
//!
//! ```text
//! lock                 held while a run writes here
//! metrics.jsonl        see `metrics`
//! checkpoint-NUMBER    the last checkpoint; each is written beside the one before, which then goes
//! .*.partial           not finished: the run was killed, the next one clears it away
//! ```

use super::durable::{self, explain};
use super::{Contents, Saved};
use crate::metrics::{Metrics, Record};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PREFIX: &str = "checkpoint-";
const LOCK: &str = "lock";
pub(crate) const METRICS: &str = "metrics.jsonl";

/// The folder of a run that is going on; nobody else writes there.
pub struct RunFolder {
    path: PathBuf,
    /// Holds until it is dropped, or its process dies.
    _lock: File,
    metrics: Metrics,
    /// The number of the last checkpoint.
    number: Option<u64>,
    every: Duration,
    saved: Instant,
}

impl RunFolder {
    /// For a new run, that saves a checkpoint whenever `every` has passed.
    ///
    /// # Errors
    /// If there is a checkpoint already, another run writes there, or the system refuses.
    pub fn create(path: &Path, every: Duration) -> Result<RunFolder> {
        durable::make_folder(path)?;
        let lock = lock(path)?;
        clear(path, None)?;
        if newest(path)?.is_some() {
            bail!("{0}: holds a run already; go on with `--resume {0}`, or choose another folder", path.display());
        }
        let metrics = Metrics::create(&path.join(METRICS))?;
        Ok(RunFolder { path: path.to_owned(), _lock: lock, metrics, number: None, every, saved: Instant::now() })
    }

    /// For a run that goes on, and the checkpoint that it goes on from.
    ///
    /// # Errors
    /// If there is no checkpoint or it cannot be used, another run writes there, or the system refuses.
    pub fn resume(path: &Path, every: Duration) -> Result<(RunFolder, Saved)> {
        ensure!(path.is_dir(), "{}: there is no such folder; give the one of `train --out`", path.display());
        let lock = lock(path)?;
        let number = newest(path)?.with_context(|| no_checkpoint(path))?;
        clear(path, Some(number))?;
        let saved = Saved::read(&checkpoint(path, number))?;
        let metrics = Metrics::resume(&path.join(METRICS), saved.metrics)?;
        let number = Some(number);
        Ok((RunFolder { path: path.to_owned(), _lock: lock, metrics, number, every, saved: Instant::now() }, saved))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line to the metrics.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn record(&mut self, record: &Record) -> Result<()> {
        self.metrics.add(record)
    }

    /// Whether it is time to save.
    pub fn is_due(&self) -> bool {
        self.number.is_none() || self.saved.elapsed() >= self.every
    }

    /// Writes a checkpoint, then takes the one before away.
    ///
    /// # Errors
    /// If it cannot be written; the one before is then still there.
    pub fn save(&mut self, contents: &Contents<'_>) -> Result<()> {
        let metrics = self.metrics.sync()?;
        let number = self.number.map_or(0, |number| number + 1);
        contents.write(&checkpoint(&self.path, number), metrics)?;
        self.number = Some(number);
        self.saved = Instant::now();
        clear(&self.path, self.number)
    }
}

/// Reads the newest checkpoint of a run's folder, or a checkpoint itself.
///
/// # Errors
/// If there is none, or it cannot be used.
pub fn read(path: &Path) -> Result<Saved> {
    ensure!(path.is_dir(), "{}: there is no such folder; give the one of `train --out`", path.display());
    if [super::STATE, super::PARAMETERS].iter().any(|file| path.join(file).exists()) {
        return Saved::read(path);
    }
    let mut number = newest(path)?.with_context(|| no_checkpoint(path))?;
    loop {
        let saved = Saved::read(&checkpoint(path, number));
        // A run that is going on may have replaced it in the meantime.
        match newest(path)? {
            Some(newer) if newer > number && saved.is_err() => number = newer,
            _ => return saved,
        }
    }
}

fn no_checkpoint(path: &Path) -> String {
    format!(
        "{}: holds no checkpoint; give a folder of `train --out`, or begin with `--config FILE --out`",
        path.display()
    )
}

fn checkpoint(path: &Path, number: u64) -> PathBuf {
    path.join(format!("{PREFIX}{number:06}"))
}

fn lock(path: &Path) -> Result<File> {
    let path = path.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| explain(error, "opened", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let folder = path.parent().unwrap_or(&path).display();
            bail!("{folder}: another run is writing there; wait for it, stop it, or choose another folder")
        }
        Err(TryLockError::Error(error)) => Err(explain(error, "locked", &path)),
    }
}

/// What is in the folder: names that are no text are none of ours.
fn names(path: &Path) -> Result<Vec<String>> {
    let list = || fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>();
    let names = list().map_err(|error| explain(error, "read", path))?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok().filter(|&number| checkpoint(Path::new(""), number) == Path::new(name))
}

fn newest(path: &Path) -> Result<Option<u64>> {
    Ok(names(path)?.iter().filter_map(|name| number(name)).max())
}

/// Takes away what is not finished, and checkpoints before `newest`.
fn clear(path: &Path, newest: Option<u64>) -> Result<()> {
    for name in names(path)? {
        if durable::is_partial(&name) || number(&name).is_some_and(|number| Some(number) < newest) {
            let path = path.join(name);
            fs::remove_dir_all(&path).map_err(|error| explain(error, "removed", &path))?;
        }
    }
    Ok(())
}
