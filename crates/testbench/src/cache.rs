//! What was fetched or built once, kept outside the repository.
//!
//! An entry is a folder that is either whole or absent: it is filled under another name and then renamed.
//! A lock file beside it lets two test processes ask for the same entry at once: one fills it, the other
//! waits and finds it there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

/// Where entries are kept: `$LOWTIDE_CACHE`, else `$XDG_CACHE_HOME/lowtide`, else `~/.cache/lowtide`.
///
/// # Errors
/// None of the three variables is set.
pub fn root() -> Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = from("LOWTIDE_CACHE") {
        return Ok(PathBuf::from(path));
    }
    if let Some(path) = from("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(path).join("lowtide"));
    }
    from("HOME")
        .map(|home| PathBuf::from(home).join(".cache/lowtide"))
        .ok_or_else(|| anyhow!("set LOWTIDE_CACHE: neither it, XDG_CACHE_HOME nor HOME is set"))
}

/// The folder of the entry `key`, if it is there.
///
/// # Errors
/// As [`root`].
pub fn existing(key: &str) -> Result<Option<PathBuf>> {
    Ok(Some(root()?.join(key)).filter(|path| path.is_dir()))
}

/// The folder of the entry `key` (a relative path), filled by `fill` where it is not there yet.
///
/// # Errors
/// What `fill` returns, or the file system refuses. The entry is then still absent.
pub fn entry(key: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let target = root()?.join(key);
    if target.is_dir() {
        return Ok(target);
    }
    let _one = lock(key)?;
    if target.is_dir() {
        return Ok(target);
    }
    let parent = parent(&target)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".filling-{name}-");
    remove_left_behind(parent, &prefix)?;
    let filling = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(parent)
        .context("scratch folder")?;
    fill(filling.path())?;
    let filled = filling.keep();
    fs::rename(&filled, &target)
        .with_context(|| format!("rename {} to {}", filled.display(), target.display()))?;
    Ok(target)
}

/// Waits until no other process or thread of this machine holds the lock `key` (a relative path); it is held as
/// long as what this returns lives.
///
/// # Errors
/// As [`root`]; the file system refuses.
pub fn lock(key: &str) -> Result<File> {
    let path = root()?.join(key).with_added_extension("lock");
    parent(&path)?;
    let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    lock.lock()
        .with_context(|| format!("lock {}", path.display()))?;
    Ok(lock)
}

/// The folder that a path in the cache lies in; it is there after this.
fn parent(path: &Path) -> Result<&Path> {
    let parent = path
        .parent()
        .expect("joined to the root, so it has a parent");
    fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    Ok(parent)
}

/// Half-filled folders of processes that were killed; only the holder of the lock may call this.
fn remove_left_behind(parent: &Path, prefix: &str) -> Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_entry_is_filled_once_and_a_failed_filling_leaves_nothing() {
        let key = format!("test/{}", std::process::id());
        let failed = entry(&key, |path| {
            fs::write(path.join("half"), "x")?;
            Err(anyhow!("cut off"))
        });
        assert!(failed.is_err());
        let path = entry(&key, |path| Ok(fs::write(path.join("whole"), "x")?)).unwrap();
        assert!(path.join("whole").is_file() && !path.join("half").exists());
        entry(&key, |_| panic!("filled twice")).unwrap();
        fs::remove_dir_all(path).unwrap();
        fs::remove_file(root().unwrap().join(format!("{key}.lock"))).unwrap();
    }
}
