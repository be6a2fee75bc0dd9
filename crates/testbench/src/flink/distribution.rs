//! Flink's jars, from the Python package that carries them.
//!
//! The only place among the package registries that has Flink's whole distribution is `PyPI`'s
//! `apache-flink-libraries`: a wheel (2.x) or a source archive (1.x) with every jar, no shell scripts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::{cache, process, python, say};

const PACKAGE: &str = "apache-flink-libraries";

/// The jars that run a `DataStream` job; the table planner, Scala and Python parts stay behind. 1.15 has
/// ZooKeeper in a jar of its own.
const KEPT: [&str; 3] = ["flink-dist-", "log4j-", "flink-shaded-zookeeper-"];

/// The Flink releases we test: the oldest we support, three in between, the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    /// 1.15.4: the first minor release with `triggerId` and native savepoints; `_metadata` version 3.
    V1_15,
    /// 1.17.2: the first minor release that names a savepoint's format in its history, and one that still
    /// refuses unknown request fields; `_metadata` version 4.
    V1_17,
    /// 1.20.5: the last 1.x; ignores unknown request fields; `_metadata` version 4.
    V1_20,
    /// 2.0.2: the first 2.x, and the only one that writes `_metadata` version 5.
    V2_0,
    /// 2.3.0: the newest; `_metadata` version 6.
    V2_3,
}

impl Release {
    /// All of them, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V1_15,
        Self::V1_17,
        Self::V1_20,
        Self::V2_0,
        Self::V2_3,
    ];

    /// The exact version, as in `1.15.4`.
    pub fn version(self) -> &'static str {
        match self {
            Self::V1_15 => "1.15.4",
            Self::V1_17 => "1.17.2",
            Self::V1_20 => "1.20.5",
            Self::V2_0 => "2.0.2",
            Self::V2_3 => "2.3.0",
        }
    }

    /// Its jars, from the cache or fetched into it.
    ///
    /// # Errors
    /// It is not in the cache and cannot be fetched (no network, no pip).
    pub fn ensure(self) -> Result<Distribution> {
        let version = self.version();
        let folder = cache::entry(&format!("flink/{version}"), |folder| fetch(version, folder))?;
        Ok(Distribution {
            release: self,
            lib: folder.join("lib"),
        })
    }
}

/// An unpacked release.
#[derive(Debug, Clone)]
pub struct Distribution {
    release: Release,
    lib: PathBuf,
}

impl Distribution {
    /// Which release this is.
    pub fn release(&self) -> Release {
        self.release
    }

    /// The folder of its jars.
    pub fn lib(&self) -> &Path {
        &self.lib
    }

    /// The class path that `java` understands: all jars of the folder.
    pub fn class_path(&self) -> PathBuf {
        self.lib.join("*")
    }
}

fn fetch(version: &str, folder: &Path) -> Result<()> {
    let started = Instant::now();
    say::step(format!(
        "downloading Flink {version} ({PACKAGE}, about 230 to 330 MB)"
    ));
    let archive = python::download(PACKAGE, version, &folder.join("download"))?;
    say::step(format!("unpacking Flink {version}"));
    let lib = folder.join("lib");
    fs::create_dir(&lib)?;
    unpack(&archive, &lib)?;
    fs::remove_dir_all(folder.join("download"))?;
    ensure!(
        fs::read_dir(&lib)?
            .flatten()
            .any(|jar| jar.file_name().to_string_lossy().contains("-dist-")),
        "no flink-dist jar in {}",
        archive.display()
    );
    say::step(format!(
        "Flink {version} is ready after {:.1} s",
        started.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// `jar` reads a wheel (a zip), `tar` a source archive; Python reads both and is here, as pip needs it.
fn unpack(archive: &Path, lib: &Path) -> Result<()> {
    const SCRIPT: &str = "
import shutil, sys, tarfile, zipfile
archive, lib, kept = sys.argv[1], sys.argv[2], tuple(sys.argv[3:])
def keep(name, open_member):
    folder, _, jar = name.rpartition('/')
    if folder.endswith('/lib') and jar.endswith('.jar') and jar.startswith(kept):
        with open_member() as source, open(f'{lib}/{jar}', 'wb') as target:
            shutil.copyfileobj(source, target, 1 << 20)
if zipfile.is_zipfile(archive):
    with zipfile.ZipFile(archive) as whole:
        for name in whole.namelist():
            keep(name, lambda: whole.open(name))
else:
    with tarfile.open(archive) as whole:
        for member in whole:
            keep(member.name, lambda: whole.extractfile(member))
";
    let mut python = process::bound("python3");
    python.args(["-c", SCRIPT]).arg(archive).arg(lib).args(KEPT);
    process::output(python).with_context(|| format!("unpack {}", archive.display()))?;
    Ok(())
}
