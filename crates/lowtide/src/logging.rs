//! Log lines, to stderr.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::cli::{Common, LogFormat};
use crate::printer::Printer;

/// Starts logging. `quiet` is for commands that show their progress otherwise: they log only
/// what is wrong. Libraries are heard from `-vv` on.
pub fn start(common: &Common, printer: Printer, quiet: bool) {
    let ours = match (quiet, common.verbose) {
        (true, 0) => LevelFilter::WARN,
        (true, 1) | (false, 0) => LevelFilter::INFO,
        (true, 2) | (false, 1) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let theirs = match common.verbose {
        0 | 1 => LevelFilter::WARN,
        2 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // What its client meets at the Kubernetes API is told by us, once, with a hint.
    let kube = match common.verbose {
        0 | 1 => LevelFilter::OFF,
        _ => theirs,
    };
    // A target counts for all that begin with it: the program and its crates.
    let levels = Targets::new()
        .with_default(theirs)
        .with_target("kube", kube)
        .with_target("lowtide", ours);
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match common.log_format {
        LogFormat::Text => lines
            .with_ansi(printer.colours_stderr())
            .with_target(false)
            .boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start in one process, as tests of the library do, changes nothing.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(levels))
        .try_init();
}
