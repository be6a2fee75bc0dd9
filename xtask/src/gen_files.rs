//! `cargo xtask gen`: writes the files that are generated from the program. A test fails when one
//! of them is stale.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo;
use crate::stage::say;

/// What is generated: the arguments of the hidden subcommand, and the file.
const FILES: [(&[&str], &str); 1] = [(&["gen", "schema"], "lowtide.schema.json")];

/// Writes them all.
pub fn run() -> Result<bool> {
    let lowtide = cargo::lowtide_to_try()?;
    for (arguments, file) in FILES {
        let output = Command::new(&lowtide)
            .args(arguments)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("run {}", lowtide.display()))?;
        if !output.status.success() {
            bail!("`lowtide {}` fails", arguments.join(" "));
        }
        fs::write(cargo::root().join(file), output.stdout)
            .with_context(|| format!("write {file}"))?;
        say(&format!("wrote {file}"));
    }
    Ok(true)
}
