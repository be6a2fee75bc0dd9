//! Level 1, as `lowtide verify` and every run do it: the store reads, the core judges.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::verify::{FileSeen, Reading, Report, judge, parse, wanted};
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
    wait(lowtide_world::read(&location, Arc::default()))
}

pub fn wait<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

/// What is told of a snapshot, as lines for people: none if it is whole. What cannot be read is told too, in
/// words of its own.
pub fn told(directory: &Path) -> Vec<String> {
    match read(directory) {
        Ok(reading) => findings(&reading),
        Err(fault) => vec![fault.text],
    }
}

/// Whether anything is told, be it only a warning.
pub fn is_told(directory: &Path) -> bool {
    read(directory).map_or(true, |reading| {
        let report = judge(&reading, None);
        let about_metadata = |line: &&String| !line.starts_with(EXTRA);
        !report.is_whole() || report.warnings.iter().filter(about_metadata).count() > 0
    })
}

/// How the warning about files that are not this snapshot's begins: a checkpoint's directory may have some.
const EXTRA: &str = "files that nothing references";

pub fn findings(reading: &Reading) -> Vec<String> {
    let report: Report = judge(reading, None);
    assert_eq!(report.is_whole(), report.findings.is_empty());
    report.findings
}

/// A snapshot as it was, so that a changed `_metadata` can be judged without a store: hundreds of thousands
/// of times.
pub struct Base {
    directory: Location,
    sizes: BTreeMap<Location, Option<u64>>,
}

impl Base {
    pub fn of(directory: &Path) -> Self {
        let files = read(directory).unwrap().files.into_iter();
        Self {
            directory: location(directory),
            sizes: files.map(|it| (it.location, it.found_bytes)).collect(),
        }
    }

    /// What level 1 says of these bytes in the place of `_metadata`. What they refer to besides the files that
    /// were there is missing.
    pub fn report(&self, bytes: &[u8]) -> Report {
        let metadata = parse(bytes);
        let wanted = metadata.as_ref().map(|it| wanted(it, &self.directory));
        let files = wanted
            .into_iter()
            .flatten()
            .map(|(location, rule)| FileSeen {
                found_bytes: self.sizes.get(&location).copied().flatten(),
                location,
                rule,
            });
        let files = files.collect();
        let reading = Reading {
            metadata: Some(metadata),
            files,
            extra: Vec::new(),
            listed: BTreeMap::new(),
        };
        judge(&reading, None)
    }
}
