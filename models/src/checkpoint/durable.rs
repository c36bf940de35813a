//! Files that are whole or not there: written under another name, synced, renamed.

use anyhow::{Error, Result, anyhow};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Ends the name of what is not whole yet.
const PARTIAL: &str = ".partial";

/// What went wrong with a file, and what to do about it.
pub fn explain(error: std::io::Error, doing: &str, path: &Path) -> Error {
    let advice = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "there is no space left; free some and try again, what was saved before is still there"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "allow it, or choose another folder",
        ErrorKind::NotFound => "there is no such file; check the path",
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => "a file stands where a folder should, or the reverse",
        _ => "check the disk and the path",
    };
    anyhow!("{}: cannot be {doing} ({error}): {advice}", path.display())
}

/// The whole content of a file.
///
/// # Errors
/// If it cannot be read, or is a device or a pipe, which may never end.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(anyhow!("{}: cannot be read, because it is not a plain file; restore it", path.display()));
    }
    fs::read(path).map_err(|error| explain(error, "read", path))
}

/// The name under which `path` is written before it is whole.
fn partial(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| anyhow!("{}: not the name of a file", path.display()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(PARTIAL);
    Ok(path.with_file_name(hidden))
}

/// Whether `name` is of something that was not finished.
pub fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(PARTIAL)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| explain(error, "written", path))
}

/// Makes the names in a folder last, where the system can do that.
fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| explain(error, "synced", path))?;
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| explain(error, "renamed", to))?;
    sync_folder(parent(to))
}

/// Writes a file; at any instant it holds what it held before, or all of `bytes`.
///
/// # Errors
/// If there is something at `path` that is not a file, or the file cannot be written; it then is as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(anyhow!("{}: is not a plain file; give the path of one, or of none", path.display()));
    }
    let hidden = partial(path)?;
    write_synced(&hidden, bytes).and_then(|()| rename(&hidden, path)).inspect_err(|_| {
        let _ = fs::remove_file(&hidden);
    })
}

/// Writes a folder of files; at any instant it is not there, or whole.
///
/// # Errors
/// If it cannot be written; it then is not there.
pub fn write_folder(path: &Path, files: &[(&str, Vec<u8>)]) -> Result<()> {
    let hidden = partial(path)?;
    let write = || -> Result<()> {
        fs::create_dir(&hidden).map_err(|error| explain(error, "made", &hidden))?;
        for (name, bytes) in files {
            write_synced(&hidden.join(name), bytes)?;
        }
        sync_folder(&hidden)?;
        rename(&hidden, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_dir_all(&hidden);
    })
}

/// Makes a folder and those above it.
///
/// # Errors
/// If it cannot be made.
pub fn make_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(|error| explain(error, "made", path))?;
    sync_folder(parent(path))
}
