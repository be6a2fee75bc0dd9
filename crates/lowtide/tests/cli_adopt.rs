//! `adopt` from outside: savepoints that someone else took, and what `list`, `show` and `latest` say of
//! them.
#![allow(clippy::unwrap_used)]

#[path = "../../lowtide-world/tests/s3/metadata.rs"]
mod metadata;
mod shared;

use std::fs;

use jiff::Timestamp;
use lowtide_catalog::Catalog;
use lowtide_core::name::{AppKey, ApplicationName, JobId, Location, PlatformName, RunId};
use lowtide_core::savepoint::{Format, Provenance, Savepoint, Standing, Verification};
use metadata::{file, metadata};
use shared::{Ended, Place, TWO};

/// When the savepoint was taken, where the files cannot tell.
const TAKEN_AT: &str = "2026-11-20T01:00:00Z";

fn place_with_savepoint() -> Place {
    let place = Place::new(TWO);
    place.savepoint("2.3.0/hashmap-native");
    place
}

fn adopt(place: &Place, more: &[&str]) -> Ended {
    let mut args = vec![
        "adopt",
        "savepoint-0102",
        "--application",
        "orders",
        "--taken-at",
        TAKEN_AT,
    ];
    args.extend(more);
    place.run(&args)
}

fn listed(place: &Place) -> Vec<serde_json::Value> {
    let told = place.run(&["list", "--all", "-o", "json"]).json();
    told["savepoints"].as_array().unwrap().clone()
}

/// Without the directory's own path, which is another one each time, and without times of now.
fn text(place: &Place, ended: &Ended) -> String {
    let text = place.text(ended);
    let lines = text.lines().map(|line| {
        let timed = ["adopted: ", "verified: "]
            .iter()
            .any(|key| line.trim_start().starts_with(key));
        match line.find("20") {
            Some(at) if timed => format!("{}TIME", &line[..at]),
            _ => line.to_owned(),
        }
    });
    shared::narrow(&lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn what_is_adopted_is_listed_shown_and_an_answer() {
    let place = place_with_savepoint();
    insta::assert_snapshot!("adopt", text(&place, &adopt(&place, &[])));
    insta::assert_snapshot!("adopt_list", text(&place, &place.run(&["list"])));
    let location = place.path("savepoint-0102");
    let shown = place.run(&["show", location.to_str().unwrap()]);
    insta::assert_snapshot!("adopt_show", text(&place, &shown));
    let json = place.run(&["show", location.to_str().unwrap(), "-o", "json"]);
    assert_eq!(json.json()["standing"], "foreign");
    assert_eq!(json.json()["run"], serde_json::Value::Null);
    assert_eq!(json.json()["taken_at"], TAKEN_AT);
    let latest = place.run(&["latest", "orders"]);
    assert_eq!(latest.code, 0, "{}", latest.text());
    assert_eq!(latest.stdout, format!("file:{}\n", location.display()));
    assert_eq!(place.run(&["latest", "payments"]).code, 1);
}

#[test]
fn adopting_again_makes_no_second_entry() {
    let place = place_with_savepoint();
    assert_eq!(adopt(&place, &["-o", "json"]).json()["change"], "entered");
    let again = adopt(&place, &[]);
    assert_eq!(again.code, 0, "{}", again.text());
    assert!(again.stderr.contains("already"), "{}", again.text());
    // By its file, and in another spelling.
    let file = format!(
        "file://{}//_metadata",
        place.path("savepoint-0102").display()
    );
    let spelled = place.run(&[
        "adopt",
        &file,
        "--application",
        "session/orders",
        "-o",
        "json",
    ]);
    assert_eq!(spelled.json()["change"], "none");
    assert_eq!(listed(&place).len(), 1);

    let owned = adopt(&place, &["--own", "-o", "json"]).json();
    assert_eq!(
        (owned["change"].as_str(), owned["standing"].as_str()),
        (Some("changed"), Some("kept"))
    );
    // Not back by a second `adopt`.
    assert_eq!(adopt(&place, &["-o", "json"]).json()["standing"], "kept");
    let all = listed(&place);
    assert_eq!((all.len(), all[0]["standing"].as_str()), (1, Some("kept")));
}

#[test]
fn who_adopted_it_for_the_wrong_application_can_say_so() {
    let place = place_with_savepoint();
    adopt(&place, &[]);
    let moved = place.run(&["adopt", "savepoint-0102", "--application", "payments"]);
    assert_eq!(moved.code, 0, "{}", moved.text());
    assert!(
        moved.stderr.contains("foreign of session/orders"),
        "{}",
        moved.text()
    );
    let all = listed(&place);
    assert_eq!(
        (all.len(), all[0]["application"].as_str()),
        (1, Some("payments"))
    );
    // What is ours is not given away.
    place.run(&[
        "adopt",
        "savepoint-0102",
        "--application",
        "payments",
        "--own",
    ]);
    let refused = adopt(&place, &[]);
    assert_eq!(refused.code, 1, "{}", refused.text());
    assert!(
        refused.stderr.contains("session/payments"),
        "{}",
        refused.text()
    );
}

#[test]
fn what_is_broken_or_cannot_be_read_is_refused() {
    let place = place_with_savepoint();
    let nowhere = place.run(&["adopt", "/nowhere/at/all", "--application", "orders"]);
    assert_eq!(nowhere.code, 4, "{}", nowhere.text());
    let unknown = place.run(&["adopt", "savepoint-0102", "--application", "order"]);
    assert_eq!(unknown.code, 2, "{}", unknown.text());
    assert!(unknown.stderr.contains("`orders`"), "{}", unknown.text());
    let files = fs::read_dir(place.path("savepoint-0102")).unwrap();
    let mut files = files.map(|entry| entry.unwrap().path());
    let victim = files.find(|path| !path.ends_with("_metadata")).unwrap();
    fs::remove_file(&victim).unwrap();
    let broken = adopt(&place, &[]);
    assert_eq!(broken.code, 1, "{}", broken.text());
    let name = victim.file_name().unwrap().to_str().unwrap();
    assert!(
        broken.stderr.contains("missing: ") && broken.stderr.contains(name),
        "{}",
        broken.text()
    );
    assert!(!place.path("catalog.db").exists(), "nothing was recorded");
}

#[test]
fn without_a_catalog_there_is_nothing_to_adopt_into() {
    let place = Place::new(&TWO.replace("{ sqlite: catalog.db }", "none"));
    place.savepoint("2.3.0/hashmap-native");
    let ended = adopt(&place, &[]);
    assert_eq!(ended.code, 2, "{}", ended.text());
}

#[test]
fn a_mounted_place_has_the_platforms_name() {
    let place = Place::new("");
    place.savepoint("2.3.0/hashmap-native");
    let mount = place.path("");
    let config = TWO.replace(
        "\"http://127.0.0.1:9\" }",
        &format!(
            "\"http://127.0.0.1:9\", paths: {{ \"s3://state\": \"{}\" }} }}",
            mount.display()
        ),
    );
    fs::write(place.path("lowtide.yaml"), config).unwrap();
    let adopted = adopt(&place, &["-o", "json"]);
    assert_eq!(adopted.json()["location"], "s3://state/savepoint-0102");
    let same = place.run(&[
        "adopt",
        "s3://state/savepoint-0102",
        "--application",
        "orders",
        "-o",
        "json",
    ]);
    assert_eq!(same.json()["change"], "none");
    assert_eq!(listed(&place).len(), 1);
}

#[test]
fn a_checkpoint_stays_someone_elses() {
    let place = Place::new(TWO);
    let directory = place.path("chk-7");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("a"), "abc").unwrap();
    fs::write(directory.join("_metadata"), metadata(vec![file("a", 3)])).unwrap();
    let own = place.run(&["adopt", "chk-7", "--application", "orders", "--own"]);
    assert_eq!(own.code, 1, "{}", own.text());
    assert!(own.stderr.contains("it is a checkpoint"), "{}", own.text());
    let foreign = place.run(&["adopt", "chk-7", "--application", "orders"]);
    assert_eq!(foreign.code, 0, "{}", foreign.text());
    assert!(
        foreign.stderr.contains("warning: it is a checkpoint"),
        "{}",
        foreign.text()
    );
    // When its `_metadata` was written.
    let taken_at: Timestamp = listed(&place)[0]["taken_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let modified = fs::metadata(directory.join("_metadata"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(taken_at, Timestamp::try_from(modified).unwrap());
}

#[test]
fn what_a_run_left_is_known_already() {
    let place = place_with_savepoint();
    let location = Location::new(place.path("savepoint-0102").to_str().unwrap());
    let left = |standing, verification| Savepoint {
        location: location.clone(),
        application: AppKey {
            platform: PlatformName::new("session").unwrap(),
            application: ApplicationName::new("orders").unwrap(),
        },
        provenance: Provenance::Run {
            run: RunId::from_bytes([7; 16]),
            attempt: 1,
            job: JobId::new("f36b"),
        },
        standing,
        format: Format::Native,
        taken_at: "2026-11-19T01:00:00Z".parse().unwrap(),
        duration_ms: None,
        verification,
        verify_at: None,
        read_at: None,
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let catalog = Catalog::open(place.path("catalog.db")).await.unwrap();
            let orphan = left(Standing::Orphan, Verification::Nothing);
            assert_eq!(catalog.adopt(&orphan, &[]).await.unwrap(), None);
            catalog.close().await;
        });
    let adopted = adopt(&place, &["--own", "-o", "json"]).json();
    assert_eq!(adopted["standing"], "late");
    assert_eq!(adopted["verification"], "verified");
    assert_eq!(adopted["attempt"], 1, "it stays what the run left");
    assert_eq!(listed(&place).len(), 1);
}
