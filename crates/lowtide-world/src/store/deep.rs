//! Level 2: every byte of a savepoint, read once, in pieces that fit into memory.
//!
//! A checksum of each file is what a later reading is compared with. The algorithm is SHA-256: it
//! is in the tree already, processors have instructions for it, and nobody has to ask whether two
//! files of one checksum could differ.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lowtide_core::baseline::{Deep, Digest};
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::name::Location;
use lowtide_core::structure::{self, Piece, Watcher};
use lowtide_core::verify::{Reading, SizeRule};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::place::{Object, Place};
use super::{METADATA, Paths, fault, local, unsupported};

/// Files read at once: many small ones would otherwise wait for one answer after the other.
const FILES_AT_ONCE: usize = 4;
/// Bytes of a local file read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How often in a row a store may cut a file off without having sent anything of it.
const CUTS_MAX: u32 = 3;
/// How long to wait before a file that was cut off is asked for again.
const CUT_PAUSE: Duration = Duration::from_secs(1);

/// How a deep reading goes about it, and who hears of it.
#[derive(Debug, Default)]
pub struct Pace {
    /// Most bytes a second, over all files; `None`: as fast as they come.
    pub bytes_per_s_max: Option<u64>,
    /// How many bytes have been read so far, for who watches.
    pub read_bytes: AtomicU64,
    /// When the next bytes are due.
    due: Mutex<Option<Instant>>,
}

impl Pace {
    /// A pace with a limit, or without.
    pub fn new(bytes_per_s_max: Option<u64>) -> Self {
        Self {
            bytes_per_s_max,
            ..Self::default()
        }
    }

    /// Counts bytes, and waits until the limit allows more.
    async fn took(&self, bytes: usize) {
        self.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let Some(limit) = self.bytes_per_s_max.filter(|limit| *limit > 0) else {
            return;
        };
        let lasts = Duration::from_secs_f64(bytes as f64 / limit as f64);
        // Held while waiting: the limit is for all files together.
        let mut due = self.due.lock().await;
        // Time in which nothing came is not made up for.
        let next = due.unwrap_or_else(Instant::now).max(Instant::now()) + lasts;
        *due = Some(next);
        tokio::time::sleep_until(next).await;
    }
}

/// How many bytes a deep reading will read: those of all files that level 1 found.
pub fn bytes_of(reading: &Reading) -> u64 {
    let sizes: BTreeMap<&Location, u64> = reading
        .files
        .iter()
        .filter_map(|file| Some((&file.location, file.found_bytes?)))
        .collect();
    sizes.values().sum()
}

impl Paths {
    /// Reads every byte of what level 1 found of a savepoint: level 2. Faults are of the reading; what is
    /// wrong with what was read is among the findings.
    pub async fn read_deep(
        &self,
        location: &Location,
        reading: &Reading,
        pace: &Pace,
    ) -> Result<Deep, Fault> {
        let directory = super::directory_of(location);
        let mut files: BTreeMap<Location, Option<u64>> = BTreeMap::new();
        for file in &reading.files {
            if file.found_bytes.is_none() {
                continue;
            }
            let exact = match file.rule {
                SizeRule::Exactly(bytes) => Some(bytes),
                SizeRule::AtLeast(_) | SizeRule::Exists => None,
            };
            let known = files.entry(file.location.clone()).or_default();
            *known = known.or(exact);
        }
        files.insert(directory.join(METADATA), None);
        let pieces = match &reading.metadata {
            Some(Ok(metadata)) => structure::pieces(metadata, &directory),
            Some(Err(_)) | None => BTreeMap::new(),
        };
        let read = stream::iter(files)
            .map(|(location, exact)| {
                let known = pieces.get(&location).map_or(&[][..], Vec::as_slice);
                self.file(location, exact, known, pace)
            })
            .buffered(FILES_AT_ONCE);
        let all: Vec<(Location, Digest, Vec<String>)> = read.try_collect().await?;
        let mut deep = Deep::default();
        for (location, digest, findings) in all {
            deep.digests.insert(location, digest);
            deep.findings.extend(findings);
        }
        Ok(deep)
    }

    async fn file(
        &self,
        location: Location,
        exact: Option<u64>,
        pieces: &[Piece],
        pace: &Pace,
    ) -> Result<(Location, Digest, Vec<String>), Fault> {
        let mut pass = Pass {
            hash: Sha256::new(),
            watcher: Watcher::new(pieces),
            bytes: 0,
            pace,
        };
        match self.place(&location) {
            Place::Local(path) => pass.local(&path).await?,
            Place::Object(object) => {
                let operator = self.stores.operator(&object.root)?;
                pass.object(&operator, &object).await?;
            }
            Place::Unsupported(why) => return Err(unsupported(&why)),
        }
        let (bytes, sha256) = (pass.bytes, pass.hash.finalize().into());
        let findings = if exact.is_none_or(|exact| exact == bytes) {
            pass.watcher.findings()
        } else {
            // The rest of what would be said of it follows from this.
            vec![format!("{bytes} bytes could be read")]
        };
        let findings = findings.into_iter();
        let findings = findings.map(|text| format!("damaged: {location}: {text}"));
        let findings = findings.collect();
        Ok((location, Digest { bytes, sha256 }, findings))
    }
}

/// One pass over a file.
struct Pass<'a> {
    hash: Sha256,
    watcher: Watcher,
    bytes: u64,
    pace: &'a Pace,
}

impl Pass<'_> {
    async fn see(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.watcher.see(bytes);
        self.bytes += bytes.len() as u64;
        self.pace.took(bytes.len()).await;
    }

    async fn local(&mut self, path: &Path) -> Result<(), Fault> {
        let unreadable = |error: std::io::Error| local::fault("read", path, &error);
        let mut file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = file.read(&mut chunk).await.map_err(unreadable)?;
            if count == 0 {
                return Ok(());
            }
            self.see(&chunk[..count]).await;
        }
    }

    /// Reads an object to its end. Over hours a connection is cut once in a while: then it goes on
    /// where it stopped.
    async fn object(&mut self, operator: &opendal::Operator, object: &Object) -> Result<(), Fault> {
        let mut cuts = 0;
        loop {
            let before = self.bytes;
            match self.rest(operator, object).await {
                Ok(()) => return Ok(()),
                Err(fault) if fault.kind != FaultKind::Transient => return Err(fault),
                Err(fault) => {
                    cuts = if self.bytes > before { 1 } else { cuts + 1 };
                    if cuts > CUTS_MAX {
                        return Err(fault);
                    }
                }
            }
            tokio::time::sleep(CUT_PAUSE).await;
        }
    }

    async fn rest(&mut self, operator: &opendal::Operator, object: &Object) -> Result<(), Fault> {
        let unreadable = |error: opendal::Error| fault::of(&error, "read", &object.to_string());
        let reader = operator.reader(&object.key).await.map_err(unreadable)?;
        let mut parts = reader
            .into_bytes_stream(self.bytes..)
            .await
            .map_err(|error| fault::of(&error, "read", &object.to_string()))?;
        while let Some(part) = parts.next().await {
            let part =
                part.map_err(|error| Fault::transient(format!("cannot read {object}: {error}")))?;
            self.see(&part).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_passes_in_a_second() {
        let pace = Pace::new(Some(1_000));
        let started = Instant::now();
        for _ in 0..10 {
            pace.took(500).await;
        }
        assert_eq!(started.elapsed().as_secs(), 5);
        assert_eq!(pace.read_bytes.load(Ordering::Relaxed), 5_000);
        // A pause is not made up for by a burst.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let started = Instant::now();
        pace.took(2_000).await;
        assert_eq!(started.elapsed().as_secs(), 2);
    }

    #[tokio::test]
    async fn without_a_limit_nothing_waits() {
        let pace = Pace::new(None);
        pace.took(1 << 30).await;
        assert_eq!(pace.read_bytes.load(Ordering::Relaxed), 1 << 30);
    }
}
