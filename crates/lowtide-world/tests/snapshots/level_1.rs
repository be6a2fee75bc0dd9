//! Level 1, as `lowtide verify` and every run do it: the store reads, the core judges.

use std::path::Path;
use std::sync::LazyLock;

use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::verify::{Reading, Report, judge};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
});

pub fn location(path: &Path) -> Location {
    Location::new(path.to_str().expect("scratch folders have plain names"))
}

pub fn read(directory: &Path) -> Result<Reading, Fault> {
    let location = location(directory);
    RUNTIME.block_on(lowtide_world::read(&location))
}

/// What is told of a snapshot, as lines for people: none if it is whole. What cannot be read is told too, in
/// words of its own.
pub fn told(directory: &Path) -> Vec<String> {
    match read(directory) {
        Ok(reading) => findings(&reading),
        Err(fault) => vec![fault.text],
    }
}

pub fn findings(reading: &Reading) -> Vec<String> {
    let report: Report = judge(reading, None);
    assert_eq!(report.is_whole(), report.findings.is_empty());
    report.findings
}
