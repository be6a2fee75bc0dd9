//! Deep readings: one process reads, and what it found is recorded once.

use lowtide_core::baseline::{Baseline, Digest};
use lowtide_core::name::{Location, OwnerId};
use lowtide_core::ports::{Catalog as _, Commit};
use lowtide_core::run::Phase;
use lowtide_core::savepoint::{Savepoint, Standing, Verification};
use lowtide_core::verify::Report;

use super::open_in;
use super::records::{at, key, savepoint, slot, step, unread, verified};
use crate::{Catalog, ReadOutcome, SavepointFilter};

/// Two that may be restored from, and three that may not.
async fn filled(catalog: &Catalog) -> Vec<Savepoint> {
    let run = slot(&key("a"), 0);
    catalog
        .claim(std::slice::from_ref(&run), None)
        .await
        .unwrap();
    let savepoints = vec![
        savepoint(&run, "1", 10, Standing::Kept, verified(7)),
        savepoint(&run, "2", 20, Standing::Foreign, verified(8)),
        savepoint(&run, "3", 30, Standing::Kept, unread()),
        savepoint(&run, "4", 40, Standing::Orphan, verified(9)),
        savepoint(&run, "5", 50, Standing::Orphan, Verification::Nothing),
    ];
    let commit = Commit {
        run: &step(&run, Phase::Waiting),
        savepoints: &savepoints,
        begins: false,
        cap: None,
    };
    catalog.commit(commit).await.unwrap();
    savepoints
}

fn found(findings: &[&str], seconds: i64) -> ReadOutcome {
    ReadOutcome {
        at: at(seconds),
        report: Report {
            findings: findings.iter().map(ToString::to_string).collect(),
            findings_total: findings.len() as u64,
            ..Report::default()
        },
        every_byte: true,
        first: None,
    }
}

#[tokio::test]
async fn what_may_be_restored_from_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let savepoints = filled(&catalog).await;
    let mut readings = catalog.readings().await.unwrap();
    readings.sort_by_key(|it| it.since);
    let seen: Vec<_> = readings
        .iter()
        .map(|it| (&it.location, it.since.as_second(), it.bytes, it.held_until))
        .collect();
    let wanted: Vec<_> = savepoints[..2]
        .iter()
        .zip([7, 8])
        .map(|(it, bytes)| (&it.location, it.taken_at.as_second(), bytes, None))
        .collect();
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn of_two_one_reads() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let other = open_in(directory.path()).await;
    filled(&catalog).await;
    let (me, you) = (OwnerId::new("me"), OwnerId::new("you"));
    let seen = catalog.readings().await.unwrap().remove(0);
    let claim = |catalog: Catalog, who: OwnerId, now, until| {
        let seen = seen.clone();
        async move {
            let claimed = catalog.claim_reading(&seen, &who, at(now), at(until));
            claimed.await.unwrap()
        }
    };
    let both = futures_util::future::join(
        claim(catalog.clone(), me.clone(), 100, 200),
        claim(other.clone(), you.clone(), 100, 200),
    );
    let (mine, yours) = both.await;
    assert_eq!([mine, yours].iter().flatten().count(), 1);
    let (me, you) = if mine.is_some() { (me, you) } else { (you, me) };
    // It is seen, and lasts until its end unless it is renewed.
    let held = catalog.readings().await.unwrap().remove(0).held_until;
    assert_eq!(held.unwrap().as_second(), at(200).as_second());
    let renewed = catalog.renew_reading(&seen.location, &me, at(300)).await;
    assert!(renewed.unwrap());
    assert_eq!(claim(other.clone(), you.clone(), 299, 400).await, None);
    assert_eq!(claim(other.clone(), you.clone(), 301, 400).await, Some(0));
    let renewed = catalog.renew_reading(&seen.location, &me, at(500)).await;
    assert!(!renewed.unwrap(), "it is another's now");
    // What could not be read waits, and its tries are counted.
    let put_off = other.put_reading_off(&seen.location, &you, at(600)).await;
    assert!(put_off.unwrap());
    assert_eq!(claim(catalog.clone(), me.clone(), 599, 700).await, None);
    assert_eq!(claim(catalog.clone(), me.clone(), 600, 700).await, Some(1));
    // What is given back is free at once.
    catalog.release_readings(&me).await.unwrap();
    assert_eq!(claim(other.clone(), you, 601, 700).await, Some(1));
    // What was read meanwhile is not read again, though nobody holds it.
    let ended = other.end_reading(&seen.location, &found(&[], 650)).await;
    assert!(ended.unwrap());
    assert_eq!(claim(catalog.clone(), me, 701, 800).await, None);
}

#[tokio::test]
async fn what_is_found_broken_no_longer_counts_as_verified() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let savepoints = filled(&catalog).await;
    let location = &savepoints[0].location;
    let at_place = || async { catalog.savepoint_by_location(location).await.unwrap() };

    let first = Baseline::Read {
        at: at(100),
        files: [(
            location.join("_metadata"),
            Digest {
                bytes: 1,
                sha256: [7; 32],
            },
        )]
        .into(),
    };
    let whole = ReadOutcome {
        first: Some(first.clone()),
        ..found(&[], 100)
    };
    assert!(catalog.end_reading(location, &whole).await.unwrap());
    let read = at_place().await.unwrap();
    assert_eq!(read.read_at, Some(at(100)));
    assert_eq!(read.verification, savepoints[0].verification);
    assert_eq!(catalog.baseline(location).await, Ok(Some(first)));
    let since = |readings: Vec<lowtide_core::rotation::Candidate>| {
        let one = readings.into_iter().find(|it| it.location == *location);
        one.map(|it| it.since.as_second())
    };
    let readings = catalog.readings().await.unwrap();
    assert_eq!(since(readings), Some(at(100).as_second()));

    let broken = found(&["changed: a"], 200);
    assert!(catalog.end_reading(location, &broken).await.unwrap());
    let read = at_place().await.unwrap();
    assert_eq!(read.read_at, Some(at(200)));
    assert_eq!(read.standing, Standing::Kept);
    let report = read.verification.report().unwrap();
    assert_eq!(report.findings, ["changed: a"]);
    let good = SavepointFilter {
        applications: None,
        standings: Some(vec![Standing::Kept]),
        only_good: true,
        limit: 10,
    };
    assert_eq!(catalog.savepoints(&good).await.unwrap(), []);
    assert_eq!(since(catalog.readings().await.unwrap()), None);

    // What level 1 finds broken was not read to its end.
    let short = ReadOutcome {
        every_byte: false,
        ..found(&["missing: a"], 250)
    };
    assert!(catalog.end_reading(location, &short).await.unwrap());
    assert_eq!(at_place().await.unwrap().read_at, Some(at(200)));

    // Brought back from a backup, and read by hand.
    let whole = found(&[], 300);
    assert!(catalog.end_reading(location, &whole).await.unwrap());
    assert!(at_place().await.unwrap().is_good());
    let nowhere = Location::new("/nowhere");
    assert!(!catalog.end_reading(&nowhere, &whole).await.unwrap());
}
