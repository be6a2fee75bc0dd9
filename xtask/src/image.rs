//! `cargo xtask image`: the image that the `Dockerfile` describes, as an archive, without Docker.
//!
//! One static program, the roots of public certificates, a user, an empty `/tmp`: nothing else, so nothing in it
//! needs updates but Lowtide itself. The same program and certificates give the same bytes.

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use testbench::image::{Archive, Layer};
use testbench::java;

use crate::cargo;
use crate::stage::say;

/// Debian's package of this name keeps it up to date: Mozilla's list, as one file of PEM certificates.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The user and its group. Numbers, because Kubernetes cannot see from a name that it is not root.
const USER: &str = "65532:65532";
/// For programs that look a user's name up.
const PASSWD: &str = "lowtide:x:65532:65532:Lowtide:/:/sbin/nologin\n";
/// The same for groups.
const GROUP: &str = "lowtide:x:65532:\n";
/// The program in the image.
const PROGRAM: &str = "/lowtide";

/// What to build, and where it goes.
#[derive(Debug, Args)]
pub struct Order {
    /// Where the archive goes; `docker load`, `podman load`, `ctr images import` and `skopeo` read it
    #[arg(long, value_name = "FILE", default_value = "target/lowtide-image.tar")]
    output: PathBuf,
    /// The image's name in the archive
    #[arg(long, value_name = "NAME:TAG", default_value = concat!("lowtide:", env!("CARGO_PKG_VERSION")))]
    tag: String,
    /// How to compile: `release`, or `image-test`, which compiles in a third of the time
    #[arg(long, default_value = "release")]
    profile: String,
    /// Features of the program, such as `crash-points`: for tests, never to be shipped
    #[arg(long)]
    features: Option<String>,
}

impl Order {
    /// A quickly compiled one.
    pub fn of_test(output: PathBuf, tag: &str) -> Self {
        Self {
            output,
            tag: tag.to_owned(),
            profile: "image-test".to_owned(),
            features: None,
        }
    }
}

/// Builds it.
pub fn run(order: &Order) -> Result<bool> {
    let target = format!("{ARCH}-unknown-linux-musl");
    ensure_target(&target)?;
    ensure_compiler()?;
    if !Path::new(CERTIFICATES).is_file() {
        java::debian("ca-certificates", CERTIFICATES)?;
    }
    say(&format!(
        "building lowtide for {target}, profile {}",
        order.profile
    ));
    let mut arguments = vec!["--profile", &order.profile, "--target", &target];
    if let Some(features) = &order.features {
        arguments.extend(["--features", features]);
    }
    let program = cargo::lowtide_with(&arguments)?;
    let output = cargo::root().join(&order.output);
    let id = archive(&program).write(&output, &order.tag)?;
    let mib = output.metadata()?.len().div_ceil(1024 * 1024);
    say(&format!(
        "{} ({id}) is in {}, {mib} MiB",
        order.tag,
        output.display()
    ));
    Ok(true)
}

fn archive(program: &Path) -> Archive {
    let layer = Layer::new()
        .file("/etc/ssl/certs/ca-certificates.crt", CERTIFICATES, 0o644)
        .bytes("/etc/passwd", PASSWD, 0o644)
        .bytes("/etc/group", GROUP, 0o644)
        .directory("/tmp", 0o1777)
        .file(PROGRAM, program, 0o755);
    Archive::new().layer(layer).user(USER).entrypoint([PROGRAM])
}

/// The standard library for the static target.
fn ensure_target(target: &str) -> Result<()> {
    let add = format!("rustup target add {target}");
    let installed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| {
            format!("`rustup` does not run; get {target} for this Rust some other way")
        })?;
    let list = String::from_utf8_lossy(&installed.stdout);
    if list.lines().any(|line| line == target) {
        return Ok(());
    }
    say(&format!("{target} is missing: {add}"));
    let status = Command::new("rustup")
        .args(["target", "add", target])
        .stdin(Stdio::null())
        .status()
        .context("run rustup")?;
    if !status.success() {
        bail!("{target} is missing; run: {add}");
    }
    Ok(())
}

/// The C compiler for it: `SQLite` and the TLS library are C.
fn ensure_compiler() -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join("musl-gcc").is_file()) {
        return Ok(());
    }
    java::debian("musl-tools", "musl-gcc")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Two descriptions of one image: this module's and the Dockerfile's.
    #[test]
    fn the_dockerfile_describes_the_same_image() {
        let file = std::fs::read_to_string(cargo::root().join("Dockerfile")).unwrap();
        for line in [
            format!("USER {USER}"),
            format!("ENTRYPOINT [\"{PROGRAM}\"]"),
            format!("printf '{}'", PASSWD.replace('\n', "\\n")),
            format!("printf '{}'", GROUP.replace('\n', "\\n")),
            format!("/out{CERTIFICATES}"),
            "install -d -m 1777 /out/tmp".to_owned(),
            "FROM scratch".to_owned(),
        ] {
            assert!(file.contains(&line), "not in the Dockerfile: {line}");
        }
    }
}
