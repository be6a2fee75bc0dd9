//! Debian's Java 17, and our small Java programs compiled with it.
//!
//! Java 17 is the one version that runs every Flink release we test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::{cache, process, say};

const PACKAGE: &str = "openjdk-17-jdk-headless";

/// Flags that let Flink (and Kryo in it) reach what Java 17 has closed. The first export is needed up to
/// Flink 1.17 only and does no harm later.
pub const OPENED: [&str; 15] = [
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.net=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
    "--add-opens=java.base/java.text=ALL-UNNAMED",
    "--add-opens=java.base/java.time=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.locks=ALL-UNNAMED",
];

/// Flags for a quick start in little memory: a test's JVM lives for a minute, so the second compiler and
/// the parallel collectors cost more than they give.
pub const FRUGAL: [&str; 4] = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xshare:auto",
];

/// The folder that holds `java`, `javac` and `jar`; installed from Debian where it is missing and we are
/// root.
///
/// # Errors
/// It is missing and cannot be installed; the message holds the command to run.
pub fn bin() -> Result<&'static Path> {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    if let Some(bin) = BIN.get() {
        return Ok(bin);
    }
    let found = match find() {
        Some(bin) => bin,
        None => install()?,
    };
    Ok(BIN.get_or_init(|| found))
}

/// The folder of the Java installation, links followed; it holds `release`.
///
/// # Errors
/// As [`bin`].
pub fn home() -> Result<PathBuf> {
    let javac = bin()?.join("javac");
    let real = javac
        .canonicalize()
        .with_context(|| javac.display().to_string())?;
    let home = real.parent().and_then(Path::parent);
    home.map(Path::to_owned)
        .with_context(|| format!("no folder above {}", real.display()))
}

fn find() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/jvm")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("java-17-openjdk")
                .then(|| entry.path().join("bin"))
        });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    debian
        .chain(on_path)
        .find(|bin| bin.join("jar").is_file() && is_17(&bin.join("javac")))
}

fn is_17(javac: &Path) -> bool {
    let Ok(output) = Command::new(javac).arg("-version").output() else {
        return false;
    };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).contains("javac 17.")
}

fn install() -> Result<PathBuf> {
    debian(PACKAGE, "javac 17")?;
    match find() {
        Some(bin) => Ok(bin),
        None => bail!("{PACKAGE} was installed, but javac 17 is still not there"),
    }
}

/// Installs the Debian package of a program that is not on the PATH.
///
/// # Errors
/// As [`debian`].
pub fn debian_program(name: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
        return Ok(());
    }
    debian(name, name)
}

/// Installs a Debian package, if we are root; one at a time on this machine, as apt refuses to wait for
/// another apt's lists.
///
/// # Errors
/// We are not root, or apt fails: the message holds the command to run.
pub fn debian(package: &str, what: &str) -> Result<()> {
    let _one = cache::lock("apt")?;
    let script = format!("apt-get update && apt-get install -y --no-install-recommends {package}");
    let id = Command::new("id")
        .arg("-u")
        .output()
        .context("ask who we are")?;
    if id.stdout.trim_ascii() != b"0" {
        bail!("{what} is missing; as root, run: {script}");
    }
    say::step(format!("{what} is missing: installing Debian's {package}"));
    let mut command = process::bound("sh");
    command
        .args(["-c", &script])
        .env("DEBIAN_FRONTEND", "noninteractive");
    process::output(command).with_context(|| format!("{what} is missing; run: {script}"))?;
    Ok(())
}

/// `java` with the flags every JVM of ours has.
///
/// # Errors
/// As [`bin`].
pub fn command() -> Result<Command> {
    let mut command = process::bound(bin()?.join("java"));
    command.args(FRUGAL).args(OPENED);
    Ok(command)
}

/// Compiles one Java source against the jars in `lib` into a jar, or finds it in the cache. The key is
/// `release` and the source's own hash.
///
/// # Errors
/// As [`bin`]; the source does not compile.
pub fn jar(release: &str, lib: &Path, class: &str, source: &str) -> Result<PathBuf> {
    let hash = hex::encode(&Sha256::digest(source.as_bytes())[..8]);
    let key = format!("jars/{release}/{class}-{hash}");
    let folder = cache::entry(&key, |folder| {
        say::step(format!("compiling {class}.java against {release}"));
        let file = folder.join(format!("{class}.java"));
        fs::write(&file, source)?;
        let classes = folder.join("classes");
        let mut javac = process::bound(bin()?.join("javac"));
        javac.args([
            "-nowarn",
            "-Xlint:-options",
            "--release",
            "11",
            "-proc:none",
            "-cp",
        ]);
        javac.arg(lib.join("*")).arg("-d").arg(&classes).arg(&file);
        process::output(javac)?;
        let mut jar = process::bound(bin()?.join("jar"));
        jar.args(["--create", "--file"])
            .arg(folder.join(format!("{class}.jar")));
        jar.args(["--main-class", class, "-C"])
            .arg(&classes)
            .arg(".");
        process::output(jar)?;
        fs::remove_dir_all(classes)?;
        Ok(())
    })?;
    Ok(folder.join(format!("{class}.jar")))
}
