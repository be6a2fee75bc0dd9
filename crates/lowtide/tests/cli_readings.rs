//! What the catalog knows of a savepoint's bytes: `verify --deep` compares with it, and `serve` reads
//! in turns.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod shared;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lowtide_catalog::Catalog;
use lowtide_core::baseline::{Baseline, Listed};
use lowtide_core::name::{AppKey, ApplicationName, JobId, Location, PlatformName, RunId};
use lowtide_core::policy::Policy;
use lowtide_core::ports::{Catalog as _, Commit};
use lowtide_core::rotation::Candidate;
use lowtide_core::run::{Origin, Outcome, Phase, Run};
use lowtide_core::savepoint::{Format, Provenance, Savepoint, Standing, Verification};
use lowtide_core::schedule::Never;
use lowtide_core::verify::Report;
use shared::running::Running;
use shared::{Place, TWO};

/// Long enough ago for its turn to have come by the default of `read_every`.
const LONG_AGO: &str = "2026-10-01T01:00:00Z";

/// For a few milliseconds of work on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

fn blocked<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

fn policy() -> Policy {
    Policy {
        job: "orders".into(),
        schedule: None,
        never: Never::new(Vec::new(), TimeZone::UTC).unwrap(),
        format: Format::Native,
        target: None,
        deadline: SignedDuration::from_hours(1),
        attempts: 3,
        patience: SignedDuration::from_mins(5),
        absent_for: SignedDuration::from_mins(10),
        catch_up: SignedDuration::from_hours(6),
        concurrency: 16,
    }
}

/// A place with a savepoint that Flink wrote, which fills a slot of `orders`, and is verified.
fn place(config: &str) -> (Place, Location) {
    let place = Place::new(config);
    let directory = place.savepoint("2.3.0/hashmap-native");
    let location = Location::new(directory.to_str().unwrap());
    keep(&place, 1, &location, LONG_AGO);
    (place, location)
}

/// Records a verified savepoint of `orders`.
fn keep(place: &Place, number: u8, location: &Location, taken_at: &str) {
    let key = AppKey {
        platform: PlatformName::new("session").unwrap(),
        application: ApplicationName::new("orders").unwrap(),
    };
    let taken_at: Timestamp = taken_at.parse().unwrap();
    let id = RunId::from_bytes([number; 16]);
    let due = Run::of_request(key.clone(), id, Origin::Take, taken_at, &policy());
    let mut run = due.clone();
    run.version += 1;
    run.phase = Phase::Done;
    run.outcome = Some(Outcome::Kept {
        location: location.clone(),
    });
    run.ended_at = Some(taken_at);
    let savepoint = Savepoint {
        location: location.clone(),
        application: key,
        provenance: Provenance::Run {
            run: id,
            attempt: 1,
            job: JobId::new("f36b0f5a5d6a4ab8a3ed5bd1f5b2f0aa"),
        },
        standing: Standing::Kept,
        format: Format::Native,
        taken_at,
        duration_ms: Some(2_400),
        verification: Verification::Verified {
            at: taken_at,
            report: Report::default(),
        },
        verify_at: None,
        read_at: None,
    };
    blocked(async {
        let catalog = Catalog::open(place.path("catalog.db")).await.unwrap();
        catalog.claim(&[due], None).await.unwrap();
        let commit = Commit {
            run: &run,
            savepoints: &[savepoint],
            begins: false,
            cap: None,
        };
        catalog.commit(commit).await.unwrap();
        catalog.close().await;
    });
}

/// Changes one bit of a state file, or changes it back.
fn flip(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| !path.ends_with("_metadata")).collect();
    paths.sort();
    let path = paths.swap_remove(0);
    let file = fs::File::options().read(true).write(true).open(&path);
    let file = file.unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 3).unwrap();
    byte[0] ^= 0x10;
    file.write_all_at(&byte, 3).unwrap();
    path
}

fn listed(place: &Place) -> serde_json::Value {
    let list = place.run(&["list", "-o", "json"]).json();
    list["savepoints"][0].clone()
}

fn readings(place: &Place) -> Vec<Candidate> {
    blocked(async {
        let catalog = Catalog::open(place.path("catalog.db")).await.unwrap();
        let readings = catalog.readings().await.unwrap();
        catalog.close().await;
        readings
    })
}

/// Waits until the reading of the savepoint is like this.
fn until(place: &Place, is: impl Fn(&Candidate) -> bool) {
    let limit = Instant::now() + LIMIT;
    while !is(&readings(place)[0]) {
        assert!(Instant::now() < limit, "{:?}", readings(place));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Without what is another each time: the directory, and the time.
fn text(place: &Place, text: &str) -> String {
    let path = place.path("");
    let text = text.replace(path.to_str().unwrap().trim_end_matches('/'), "/DIR");
    let words = text.split(' ').map(|word| {
        let at = word.trim_end_matches(['\n', ':', ';', ',']);
        match at.parse::<Timestamp>() {
            Ok(_) => word.replace(at, "TIME"),
            Err(_) => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_deep_reading_is_compared_with_the_first() {
    let (place, location) = place(TWO);
    let verify = |output: &str| {
        let ended = place.run(&["verify", "--deep", location.as_str(), "-o", output]);
        (ended.code, ended)
    };
    let (code, first) = verify("json");
    assert_eq!(code, 0, "{}", first.text());
    let compared = &first.json()["savepoints"][0]["compared"];
    assert_eq!(compared["with"], "nothing");
    assert_eq!(compared["recorded"], true);
    assert!(listed(&place)["read_at"].is_string());

    let (code, again) = verify("table");
    assert_eq!(code, 0, "{}", again.text());
    insta::assert_snapshot!("as_when_first_read", text(&place, &again.stderr));

    flip(&place.path("savepoint-0102"));
    let (code, changed) = verify("table");
    assert_eq!(code, 1, "{}", changed.text());
    insta::assert_snapshot!("other_bytes", text(&place, &changed.stderr));
    assert_eq!(listed(&place)["verification"], "broken");
    let latest = place.run(&["latest", "orders"]);
    assert_eq!(latest.code, 1, "{}", latest.text());
    let shown = place.run(&["show", "orders"]);
    for told in ["broken: ", "changed: ", "every byte, at "] {
        assert!(shown.stdout.contains(told), "{told}: {}", shown.text());
    }

    // An older one is offered instead, and it is said why.
    keep(&place, 2, &Location::new("/older"), "2026-09-01T01:00:00Z");
    let latest = place.run(&["latest", "orders"]);
    assert_eq!(latest.stdout, "file:/older\n", "{}", latest.text());
    insta::assert_snapshot!("passed_over", text(&place, &latest.stderr));

    // Brought back from a backup.
    flip(&place.path("savepoint-0102"));
    let (code, whole) = verify("json");
    assert_eq!(code, 0, "{}", whole.text());
    let compared = &whole.json()["savepoints"][0]["compared"];
    assert_eq!(compared["with"], "first-reading");
    assert_eq!(compared["recorded"], false);
    let latest = place.run(&["latest", "orders"]);
    assert_eq!(latest.stdout.trim(), location.as_str(), "{}", latest.text());
}

#[test]
fn what_was_listed_at_level_1_is_compared_with_the_first_reading() {
    let (place, location) = place(TWO);
    let metadata = location.join("_metadata");
    let size = fs::metadata(place.path("savepoint-0102/_metadata"));
    let then = Listed {
        bytes: size.unwrap().len(),
        etag: None,
        modified_ms: Some(1_000),
    };
    let baseline = Baseline::Listed {
        at: LONG_AGO.parse().unwrap(),
        files: [(metadata, then)].into(),
    };
    blocked(async {
        let catalog = Catalog::open(place.path("catalog.db")).await.unwrap();
        let recorded = catalog.record_baseline(&location, &baseline).await;
        recorded.unwrap();
        catalog.close().await;
    });
    let ended = place.run(&["verify", "--deep", location.as_str()]);
    assert_eq!(ended.code, 0, "{}", ended.text());
    insta::assert_snapshot!("modified_since_listed", text(&place, &ended.stderr));
}

#[test]
fn a_catalog_that_cannot_be_asked_is_told_and_none_is_not() {
    let (place, location) = place(TWO);
    let deep = ["verify", "--deep", location.as_str()];
    fs::write(place.path("catalog.db"), "something else entirely").unwrap();
    let ended = place.run(&deep);
    assert_eq!(ended.code, 0, "{}", ended.text());
    assert!(
        ended
            .stderr
            .contains("not compared with an earlier reading: ")
            && ended.stderr.contains("is not a catalog of Lowtide"),
        "{}",
        ended.text()
    );
    fs::write(place.path("lowtide.yaml"), "applications: 7").unwrap();
    let ended = place.run(&deep);
    assert_eq!(ended.code, 0, "{}", ended.text());
    assert!(
        ended.stderr.contains("the configuration is wrong"),
        "{}",
        ended.text()
    );
    fs::remove_file(place.path("lowtide.yaml")).unwrap();
    let ended = place.run(&deep);
    assert_eq!((ended.code, &*ended.stderr), (0, ""), "{}", ended.text());
}

#[test]
fn serve_reads_what_is_due_once_and_tells_what_is_broken() {
    let (place, location) = place(TWO);
    // Two of them, and the bytes are read once.
    let mut serves = [(); 2].map(|()| Running::start(&place, &["serve"]));
    until(&place, |reading| reading.since.to_string() != LONG_AGO);
    for serve in &mut serves {
        serve.wait_for("serving");
        serve.signal("-TERM");
    }
    let ended = serves.map(Running::end);
    let read = |text: &str| {
        text.matches("every byte was read: whole, for the first time")
            .count()
    };
    assert_eq!(
        ended.iter().map(|it| read(&it.stderr)).sum::<usize>(),
        1,
        "{}{}",
        ended[0].text(),
        ended[1].text()
    );
    // It is not due again, unless it is to be read every second.
    let often = format!("read_every: 1s\n{TWO}");
    fs::write(place.path("lowtide.yaml"), often).unwrap();
    let mut serve = Running::start(&place, &["serve"]);
    serve.wait_for("every byte was read: whole, as when it was first read, ");
    let path = flip(&place.path("savepoint-0102"));
    serve.wait_for("is broken and no longer counts as verified: changed: ");
    serve.signal("-TERM");
    let ended = serve.end();
    assert_eq!(ended.code, 0, "{}", ended.text());
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(ended.stderr.contains(name), "{}", ended.text());
    assert_eq!(listed(&place)["verification"], "broken");
    assert_eq!(listed(&place)["location"], location.as_str());
    assert_eq!(place.run(&["latest", "orders"]).code, 1);
    assert_eq!(readings(&place), []);
}

#[test]
fn a_long_reading_holds_nothing_up_and_is_given_back() {
    let slowly = TWO.replace("schedule: \"0 1 * * *\"", "every: 10s");
    let (place, _) = place(&format!("read_limit: 1B\n{slowly}"));
    let mut serve = Running::start(&place, &["serve"]);
    until(&place, |reading| reading.held_until.is_some());
    // Reading it would take hours; slots are claimed all the same.
    serve.wait_for("claimed");
    serve.signal("-TERM");
    let ended = serve.end();
    assert_eq!(ended.code, 0, "{}", ended.text());
    assert_eq!(readings(&place)[0].held_until, Some(Timestamp::UNIX_EPOCH));
}

#[test]
fn nothing_is_read_where_nobody_asks_for_it() {
    let often = TWO.replace("schedule: \"0 1 * * *\"", "every: 10s");
    let (place, _) = place(&format!("read_every: 0s\n{often}"));
    let mut serve = Running::start(&place, &["serve"]);
    serve.wait_for("claimed");
    serve.signal("-TERM");
    assert_eq!(serve.end().code, 0);
    let reading = &readings(&place)[0];
    assert_eq!(reading.since.to_string(), LONG_AGO);
    assert_eq!(reading.held_until, None);
}
