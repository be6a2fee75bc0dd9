//! What the files of a savepoint were, so that a later reading can tell whether they still are.
//!
//! A baseline is known in two steps. What the listing of level 1 gave anyway (size, `ETag`, time of
//! modification) is there as soon as a savepoint is proven; the checksums are there once every byte
//! was read. Each reading is compared with the best that is known, and the first one that finds
//! nothing wrong takes the listing's place for good: nothing replaces it, as the later of two
//! readings that differ proves nothing about the earlier one.
//!
//! Two differences are certain: another size, and other bytes under the same name. Between the
//! listing and the first reading there are no bytes to compare with. There another `ETag` counts as
//! certain too: stores give an object a new one only when it is written again, and nobody writes a
//! savepoint's files again. A file with no `ETag` that was modified since is worth a warning: a
//! restored backup, or a `touch`, does that and keeps every byte.

mod codec;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use codec::DecodeError;

use crate::name::Location;
use crate::verify::{Reading, Report};

/// What a store told of a file without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// Its size.
    pub bytes: u64,
    /// What the store calls this content (RFC 9110, 8.8.3), where it has such names.
    pub etag: Option<String>,
    /// When it was last written, in milliseconds since the Unix epoch.
    pub modified_ms: Option<i64>,
}

/// What the bytes of a file come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// How many there are.
    pub bytes: u64,
    /// SHA-256 of all of them.
    pub sha256: [u8; 32],
}

/// What a deep reading found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deep {
    /// Every file that was read, `_metadata` among them.
    pub digests: BTreeMap<Location, Digest>,
    /// What is wrong inside of files, for people.
    pub findings: Vec<String>,
}

impl Deep {
    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.digests.values().map(|digest| digest.bytes).sum()
    }
}

/// What later readings of a savepoint are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// What level 1 saw.
    Listed {
        /// When.
        at: Timestamp,
        /// Every file, `_metadata` among them.
        files: BTreeMap<Location, Listed>,
    },
    /// What the first deep reading read.
    Read {
        /// When.
        at: Timestamp,
        /// Every file, `_metadata` among them.
        files: BTreeMap<Location, Digest>,
    },
}

impl Baseline {
    /// What level 1 saw; `None` where the store told nothing.
    pub fn of_listing(reading: &Reading, at: Timestamp) -> Option<Self> {
        let files = reading.listed.clone();
        (!files.is_empty()).then_some(Self::Listed { at, files })
    }

    /// When its files were listed or read.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Listed { at, .. } | Self::Read { at, .. } => *at,
        }
    }

    /// Whether it takes the place of what is stored: only checksums do, and only of a listing.
    pub fn replaces(&self, stored: &Self) -> bool {
        matches!((stored, self), (Self::Listed { .. }, Self::Read { .. }))
    }
}

/// What a deep reading was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// With nothing.
    First,
    /// With what level 1 saw at this time.
    Listing(Timestamp),
    /// With the first deep reading, of this time.
    Reading(Timestamp),
}

/// What a deep reading comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What levels 1 and 2 found.
    pub report: Report,
    /// What the bytes were compared with.
    pub compared: Compared,
    /// What later readings are to be compared with, if this one is the first that found nothing
    /// wrong.
    pub first: Option<Baseline>,
}

/// Judges a deep reading: what level 1 found, what is wrong inside of files, and what is another
/// than in the baseline.
pub fn judge(
    mut report: Report,
    reading: &Reading,
    deep: &Deep,
    baseline: Option<&Baseline>,
    now: Timestamp,
) -> Judged {
    for finding in &deep.findings {
        report.find(finding.clone());
    }
    let compared = match baseline {
        None => Compared::First,
        Some(Baseline::Listed { at, files }) => {
            compare_listings(&mut report, files, *at, reading, deep);
            Compared::Listing(*at)
        }
        Some(Baseline::Read { at, files }) => {
            compare_bytes(&mut report, files, *at, deep);
            Compared::Reading(*at)
        }
    };
    let is_first = !matches!(compared, Compared::Reading(_));
    let first = (is_first && report.is_whole()).then(|| Baseline::Read {
        at: now,
        files: deep.digests.clone(),
    });
    Judged {
        report,
        compared,
        first,
    }
}

fn compare_bytes(
    report: &mut Report,
    before: &BTreeMap<Location, Digest>,
    at: Timestamp,
    deep: &Deep,
) {
    let at = seconds(at);
    for (location, now) in &deep.digests {
        // A file that is new is named by a `_metadata` that is another: that is told.
        let Some(then) = before.get(location) else {
            continue;
        };
        if then.bytes != now.bytes {
            let (then, now) = (then.bytes, now.bytes);
            report.find(format!(
                "changed: {location} has {now} bytes, and had {then} when it was first read, {at}"
            ));
        } else if then.sha256 != now.sha256 {
            report.find(format!(
                "changed: {location} has other bytes than when it was first read, {at}"
            ));
        }
    }
}

fn compare_listings(
    report: &mut Report,
    before: &BTreeMap<Location, Listed>,
    at: Timestamp,
    reading: &Reading,
    deep: &Deep,
) {
    let at = seconds(at);
    let mut modified: Vec<&Location> = Vec::new();
    for (location, now) in &reading.listed {
        let Some(then) = before.get(location) else {
            continue;
        };
        let read = deep.digests.get(location);
        let bytes = read.map_or(now.bytes, |digest| digest.bytes);
        if then.bytes != bytes {
            let then = then.bytes;
            report.find(format!(
                "changed: {location} has {bytes} bytes, and had {then} when it was verified, {at}"
            ));
            continue;
        }
        match (&then.etag, &now.etag) {
            (Some(then), Some(now)) if then != now => report.find(format!(
                "replaced: {location} was written again after it was verified, {at} (ETag {then}, now {now})"
            )),
            // The same content, whenever it was copied.
            (Some(_), Some(_)) => {}
            _ if was_modified(then, now) => modified.push(location),
            _ => {}
        }
    }
    if let [first, more @ ..] = &modified[..] {
        let others = match more.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        report.warnings.push(format!(
            "modified after it was verified, {at}, and before it was first read: {first}{others}"
        ));
    }
}

fn was_modified(then: &Listed, now: &Listed) -> bool {
    match (then.modified_ms, now.modified_ms) {
        (Some(then), Some(now)) => then != now,
        _ => false,
    }
}

/// To the second: more would be noise in a sentence.
fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn place(name: &str) -> Location {
        Location::new("/sp").join(name)
    }

    fn listed(bytes: u64, etag: Option<&str>, modified_ms: i64) -> Listed {
        Listed {
            bytes,
            etag: etag.map(str::to_owned),
            modified_ms: Some(modified_ms),
        }
    }

    fn reading(files: &[(&str, Listed)]) -> Reading {
        let files = files.iter();
        Reading {
            metadata: None,
            files: Vec::new(),
            extra: Vec::new(),
            listed: files.map(|(name, it)| (place(name), it.clone())).collect(),
        }
    }

    fn deep(files: &[(&str, u64, u8)]) -> Deep {
        let digests = files.iter().map(|(name, bytes, fill)| {
            let sha256 = [*fill; 32];
            (
                place(name),
                Digest {
                    bytes: *bytes,
                    sha256,
                },
            )
        });
        Deep {
            digests: digests.collect(),
            findings: Vec::new(),
        }
    }

    fn judged(reading: &Reading, deep: &Deep, baseline: Option<&Baseline>) -> Judged {
        judge(Report::default(), reading, deep, baseline, at(60))
    }

    fn read_before(files: &[(&str, u64, u8)]) -> Baseline {
        Baseline::Read {
            at: at(0),
            files: deep(files).digests,
        }
    }

    #[test]
    fn the_first_reading_is_the_baseline_of_the_next() {
        let (reading, first) = (reading(&[]), deep(&[("a", 3, 1), ("b", 4, 2)]));
        let one = judged(&reading, &first, None);
        assert_eq!(one.compared, Compared::First);
        let baseline = one.first.unwrap();
        assert_eq!(baseline.at(), at(60));
        let two = judged(&reading, &first, Some(&baseline));
        assert!(two.report.is_whole());
        assert_eq!((two.compared, two.first), (Compared::Reading(at(60)), None));
    }

    #[test]
    fn other_bytes_and_other_sizes_are_told_by_name() {
        let before = read_before(&[("a", 3, 1), ("b", 4, 2), ("c", 5, 3)]);
        let now = deep(&[("a", 3, 9), ("b", 40, 2), ("c", 5, 3)]);
        let judged = judged(&reading(&[]), &now, Some(&before));
        assert_eq!(
            judged.report.findings,
            [
                "changed: file:/sp/a has other bytes than when it was first read, 2027-01-15T08:00:00Z",
                "changed: file:/sp/b has 40 bytes, and had 4 when it was first read, 2027-01-15T08:00:00Z",
            ]
        );
        assert_eq!(judged.first, None);
    }

    #[test]
    fn what_was_wrong_at_the_first_reading_is_no_baseline() {
        let mut damaged = deep(&[("a", 3, 1)]);
        damaged.findings.push("damaged: a".to_owned());
        let judged = judged(&reading(&[]), &damaged, None);
        assert_eq!(judged.report.findings_total, 1);
        assert_eq!(judged.first, None);
    }

    #[test]
    fn a_file_that_was_written_again_before_the_first_reading_is_told() {
        let then = reading(&[
            ("a", listed(3, Some("\"x\""), 5)),
            ("b", listed(3, Some("\"x\""), 5)),
            ("c", listed(3, None, 5)),
            ("d", listed(3, None, 5)),
            ("e", listed(3, None, 5)),
        ]);
        let now = reading(&[
            ("a", listed(3, Some("\"y\""), 5)),
            ("b", listed(3, Some("\"x\""), 6)),
            ("c", listed(3, None, 6)),
            ("d", listed(4, None, 5)),
            ("e", listed(3, None, 5)),
        ]);
        let baseline = Baseline::of_listing(&then, at(0)).unwrap();
        let judged = judged(&now, &deep(&[("a", 3, 1)]), Some(&baseline));
        assert_eq!(judged.compared, Compared::Listing(at(0)));
        assert_eq!(
            judged.report.findings,
            [
                "replaced: file:/sp/a was written again after it was verified, 2027-01-15T08:00:00Z (ETag \"x\", now \"y\")",
                "changed: file:/sp/d has 4 bytes, and had 3 when it was verified, 2027-01-15T08:00:00Z",
            ]
        );
        assert_eq!(
            judged.report.warnings,
            [
                "modified after it was verified, 2027-01-15T08:00:00Z, and before it was first read: file:/sp/c"
            ]
        );
    }

    #[test]
    fn checksums_take_the_place_of_a_listing_and_of_nothing_else() {
        let listing = Baseline::of_listing(&reading(&[("a", listed(3, None, 5))]), at(0)).unwrap();
        let (first, second) = (read_before(&[("a", 3, 1)]), read_before(&[("a", 3, 2)]));
        assert!(first.replaces(&listing));
        assert!(!second.replaces(&first));
        assert!(!listing.replaces(&first));
        assert!(!listing.replaces(&listing.clone()));
        assert_eq!(Baseline::of_listing(&reading(&[]), at(0)), None);
    }
}
