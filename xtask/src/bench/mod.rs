//! `cargo xtask bench`: Lowtide beside its competitors.
//!
//! Each comparison runs whole: real servers, every tool in turns, so that a machine whose speed drifts
//! drifts for all. Medians and ratios are what to quote, together with the load that is printed.

mod fleet;
pub mod load;
mod measure;
pub mod metadata;
mod oneshot;
mod resolve;
mod script;
mod slot;
mod take;

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::cargo;
use crate::stage::say;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// One savepoint of one application on a real Flink
    Take,
    /// 500 names among 5,000 pods of a real API server
    Resolve,
    /// 200 applications on Ververica Platform's emulator, as a `CronJob` would
    Oneshot,
    /// A `_metadata` of a million handles, beside Flink's own reader in a warm JVM
    Metadata,
}

/// What to measure, and how.
#[derive(Debug, Args)]
pub struct Order {
    /// What to measure
    #[arg(value_enum, default_value_t = What::Take)]
    what: What,
    /// With `take`: also count the requests of a savepoint that takes ten minutes
    #[arg(long)]
    ten_minutes: bool,
    /// Measure this program instead of building it
    #[arg(long)]
    program: Option<PathBuf>,
}

impl Order {
    /// The program that is measured.
    fn lowtide(&self) -> Result<PathBuf> {
        match &self.program {
            Some(program) => Ok(program.clone()),
            None => cargo::lowtide_with(&["--profile", "release"]),
        }
    }
}

/// Measures; says whether what is promised held.
pub fn run(order: &Order) -> Result<bool> {
    match order.what {
        What::Take => take::run(order.lowtide()?, order.ten_minutes),
        // The emulator and the load generator are this very program: unoptimised, they would be what is
        // measured.
        What::Resolve | What::Oneshot | What::Metadata if cfg!(debug_assertions) => optimised(),
        What::Resolve => resolve::run(&order.lowtide()?),
        What::Oneshot => oneshot::run(&order.lowtide()?),
        What::Metadata => metadata::run(),
    }
}

/// Runs the optimised build of this program with the same arguments.
fn optimised() -> Result<bool> {
    say("building Lowtide's tools with optimisation");
    let program = cargo::executable("xtask", &["--profile", "release"])?;
    let status = testbench::process::bound(program)
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .status()
        .context("run the optimised build")?;
    Ok(status.success())
}
