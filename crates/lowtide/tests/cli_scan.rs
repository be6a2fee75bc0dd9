//! `scan` from outside: trees as Flink leaves them, in files and on a real S3 server, with damage in them,
//! and what a real Flink retains.
#![allow(clippy::unwrap_used)]

#[path = "../../lowtide-world/tests/s3/metadata.rs"]
mod metadata;
mod shared;

use std::fs::{self, File};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use flink_metadata::StreamHandle;
use metadata::{file, metadata};
use serde_json::Value;
use shared::{Ended, Place, TWO};
use testbench::flink::{Backend, Cluster, JobSpec, Release};
use testbench::proxy::Proxy;
use testbench::s3::{ACCESS_KEY, S3Server, SECRET_KEY};

/// A busy machine of two cores may need this long for a savepoint.
const LIMIT: Duration = Duration::from_mins(2);
/// Longer ago than a checkpoint takes.
const LONG_AGO: Duration = Duration::from_hours(1);

fn server() -> &'static S3Server {
    static SERVER: OnceLock<S3Server> = OnceLock::new();
    SERVER.get_or_init(|| S3Server::start().unwrap())
}

/// A file elsewhere.
fn at(uri: String, bytes: u64) -> StreamHandle {
    StreamHandle::File {
        path: uri,
        size: Some(bytes),
    }
}

/// What is left of a job at `base`: two retained checkpoints that share a file, one that was never completed,
/// what nobody needs, and two savepoints, of which one has lost a file.
fn tree(base: &str) -> Vec<(&'static str, Vec<u8>)> {
    let shared = |name: &str, bytes| at(format!("{base}/job/shared/{name}"), bytes);
    let bytes = |count| vec![7; count];
    vec![
        (
            "job/chk-7/_metadata",
            metadata(vec![file("own", 10), shared("both", 1_000)]),
        ),
        ("job/chk-7/own", bytes(10)),
        (
            "job/chk-8/_metadata",
            metadata(vec![shared("both", 1_000), shared("eight", 200)]),
        ),
        ("job/chk-9/begun", bytes(300)),
        ("job/shared/both", bytes(1_000)),
        ("job/shared/eight", bytes(200)),
        ("job/shared/left-1", bytes(40)),
        ("job/shared/left-2", bytes(2)),
        ("savepoint-aa-1/_metadata", metadata(vec![file("a", 5)])),
        ("savepoint-aa-1/a", bytes(5)),
        (
            "savepoint-aa-2/_metadata",
            metadata(vec![file("a", 5), file("lost", 6)]),
        ),
        ("savepoint-aa-2/a", bytes(5)),
    ]
}

/// Lays it out in `state` as if it had been written long ago.
fn lay_out(place: &Place) {
    let base = place.path("state");
    for (path, bytes) in tree(&format!("file:{}", base.display())) {
        let path = base.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        age(&path);
    }
    for directory in ["job/chk-9", "job", ""] {
        age(&base.join(directory));
    }
}

fn age(path: &Path) {
    let then = SystemTime::now() - LONG_AGO;
    File::open(path).unwrap().set_modified(then).unwrap();
}

fn by_path<'a>(told: &'a Value, end: &str) -> &'a Value {
    let mut all = told["snapshots"].as_array().unwrap().iter();
    let found = all.find(|one| one["location"].as_str().unwrap().ends_with(end));
    found.unwrap_or_else(|| panic!("{end}: {told:#}"))
}

fn verdicts(told: &Value) -> Vec<(&str, &str)> {
    let all = told["snapshots"].as_array().unwrap().iter();
    all.map(|one| {
        let location = one["location"].as_str().unwrap();
        (
            location.rsplit('/').next().unwrap(),
            one["verdict"].as_str().unwrap(),
        )
    })
    .collect()
}

fn orphans(told: &Value) -> Vec<&str> {
    let all = told["orphans"].as_array().unwrap().iter();
    all.map(|one| {
        one["location"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
    })
    .collect()
}

/// Without the directory's own path and without times of now, each other ones each time, and without the
/// columns that are as wide as they are.
fn text(place: &Place, ended: &Ended) -> String {
    let text = place.text(ended);
    let lines = text.lines().map(|line| {
        let cells = line
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty());
        let is_time = |cell: &str| cell.starts_with("20") && cell.ends_with("UTC");
        let cells = cells.map(|cell| if is_time(cell) { "TIME" } else { cell });
        cells.collect::<Vec<_>>().join("  ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The same tree under a name of the platform's, which is mounted at `state`.
fn mounted() -> Place {
    let place = Place::new("");
    let mount = place.path("state");
    let paths = format!(", paths: {{ \"s3://state\": \"{}\" }} }}", mount.display());
    let config = TWO.replace("9\" }", &format!("9\"{paths}"));
    assert_ne!(config, TWO);
    fs::write(place.path("lowtide.yaml"), config).unwrap();
    for (path, bytes) in tree("s3://state") {
        let path = mount.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        age(&path);
    }
    age(&mount.join("job/chk-9"));
    place
}

#[test]
fn a_scan_reads_well() {
    let place = mounted();
    let ended = place.run(&["scan", "s3://state"]);
    insta::assert_snapshot!(text(&place, &ended));
}

#[test]
fn no_configuration_is_needed() {
    let place = Place::new("");
    fs::remove_file(place.path("lowtide.yaml")).unwrap();
    lay_out(&place);
    let ended = place.run(&["scan", "state"]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    assert!(
        ended.stdout.contains("3 whole, 1 broken, 1 aborted"),
        "{}",
        ended.text()
    );
}

#[test]
fn every_file_is_told_once() {
    let place = Place::new(TWO);
    lay_out(&place);
    let ended = place.run(&["scan", "state", "-o", "json"]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    let told = ended.json();
    assert_eq!(
        verdicts(&told),
        [
            ("chk-7", "whole"),
            ("chk-8", "whole"),
            ("chk-9", "aborted"),
            ("savepoint-aa-1", "whole"),
            ("savepoint-aa-2", "broken"),
        ]
    );
    let lost = by_path(&told, "aa-2")["findings"][0].as_str().unwrap();
    assert!(
        lost.starts_with("missing: ") && lost.ends_with("/lost"),
        "{lost}"
    );
    assert_eq!(orphans(&told), ["left-1", "left-2"]);
    assert_eq!(told["orphan_bytes"], 42);
    let seven = by_path(&told, "chk-7");
    assert_eq!(
        (seven["elsewhere_bytes"].as_u64(), seven["kind"].as_str()),
        (Some(1_000), Some("checkpoint"))
    );
    assert_eq!(by_path(&told, "chk-8")["elsewhere_bytes"], 1_200);
    // Each file is in one of three sums.
    let all = told["snapshots"].as_array().unwrap();
    let own: u64 = all
        .iter()
        .map(|one| one["own_bytes"].as_u64().unwrap())
        .sum();
    let sum = own + told["shared_bytes"].as_u64().unwrap() + 42;
    assert_eq!(told["bytes"], sum);
    assert_eq!(told["files"], 12);
    // Without a catalog nobody knows whose they are.
    assert_eq!(seven["standing"], Value::Null);
}

#[test]
fn the_catalog_says_whose_they_are() {
    let place = Place::new(TWO);
    lay_out(&place);
    let adopted = place.run(&[
        "adopt",
        "state/savepoint-aa-1",
        "--application",
        "orders",
        "--own",
    ]);
    assert_eq!(adopted.code, 0, "{}", adopted.text());
    let told = place.run(&["scan", "state", "-o", "json"]).json();
    let ours = by_path(&told, "aa-1");
    assert_eq!(
        (ours["standing"].as_str(), ours["application"].as_str()),
        (Some("kept"), Some("session/orders"))
    );
    let other = by_path(&told, "chk-7");
    assert_eq!(
        (other["standing"].as_str(), &other["application"]),
        (Some("foreign"), &Value::Null)
    );
}

#[test]
fn orphans_are_not_told_while_a_snapshot_cannot_be_read() {
    let place = Place::new(TWO);
    lay_out(&place);
    // Of a Flink that is not there yet: the magic number, and version 7.
    let mut later = 0x4960_672d_u32.to_be_bytes().to_vec();
    later.extend(7_u32.to_be_bytes());
    fs::write(place.path("state/job/chk-8/_metadata"), later).unwrap();
    fs::remove_dir_all(place.path("state/savepoint-aa-2")).unwrap();
    let ended = place.run(&["scan", "state"]);
    assert_eq!(ended.code, 4, "{}", ended.text());
    assert!(ended.stdout.contains("cannot be told"), "{}", ended.text());
    assert!(
        ended.stderr.contains("chk-8 is unreadable"),
        "{}",
        ended.text()
    );
    let told = place.run(&["scan", "state", "-o", "json"]).json();
    assert_eq!(told["orphans"], Value::Null);
}

#[test]
fn what_is_young_may_be_in_progress() {
    let place = Place::new(TWO);
    lay_out(&place);
    fs::write(place.path("state/job/chk-9/more"), "abc").unwrap();
    fs::write(place.path("state/job/shared/young"), "abc").unwrap();
    let ended = place.run(&["scan", "state/job"]);
    assert_eq!(ended.code, 0, "{}", ended.text());
    assert!(
        ended.stdout.contains("2 whole, 1 unfinished"),
        "{}",
        ended.text()
    );
    assert!(
        ended.stderr.contains("warning: 1 of the orphans"),
        "{}",
        ended.text()
    );
}

#[test]
fn a_narrow_an_empty_and_a_missing_prefix() {
    let place = Place::new(TWO);
    lay_out(&place);
    let narrow = place.run(&["scan", "state/job/shared"]);
    assert_eq!(narrow.code, 2, "{}", narrow.text());
    fs::create_dir(place.path("empty")).unwrap();
    let empty = place.run(&["scan", "empty"]);
    assert_eq!(empty.code, 1, "{}", empty.text());
    assert!(empty.stdout.contains("no snapshots"), "{}", empty.text());
    let missing = place.run(&["scan", "nowhere"]);
    assert_eq!(missing.code, 4, "{}", missing.text());
    // A retained checkpoint by itself, with what lies beside it.
    let one = place.run(&["scan", "state/job/chk-7", "-o", "json"]);
    assert_eq!(one.code, 0, "{}", one.text());
    assert_eq!(one.json()["snapshots"][0]["elsewhere_bytes"], 1_000);
}

#[test]
fn a_mounted_tree_is_scanned_under_either_name() {
    let place = mounted();
    for prefix in ["s3://state/job", "state/job"] {
        let told = place.run(&["scan", prefix, "-o", "json"]).json();
        let whole = [("chk-7", "whole"), ("chk-8", "whole"), ("chk-9", "aborted")];
        assert_eq!(verdicts(&told), whole, "{prefix}");
        assert_eq!(orphans(&told), ["left-1", "left-2"], "{prefix}");
    }
}

/// A configuration that knows the server at `endpoint`.
fn with_store(endpoint: &str) -> Place {
    let place = Place::new(&format!(
        "{TWO}stores:\n  minio:\n    s3: {{ endpoint: \"{endpoint}\", access_key: \"${{file:access}}\", secret_key: \"${{file:secret}}\" }}\n"
    ));
    fs::write(place.path("access"), ACCESS_KEY).unwrap();
    fs::write(place.path("secret"), SECRET_KEY).unwrap();
    place
}

#[test]
fn a_bucket_is_scanned_by_listings() {
    let server = server();
    server.create_bucket("scanned").unwrap();
    // As many as two pages hold, on top.
    let many = (0..2_000).map(|number| (format!("sp/job/shared/more-{number:05}"), vec![1]));
    let named = tree("s3://scanned/sp").into_iter();
    let named = named.map(|(path, bytes)| (format!("sp/{path}"), bytes));
    server
        .put_all("scanned", many.chain(named).collect())
        .unwrap();
    let place = with_store(server.url());
    let ended = place.run(&["scan", "s3a://scanned/sp", "-o", "json"]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    let told = ended.json();
    assert_eq!(
        verdicts(&told),
        [
            ("chk-7", "whole"),
            ("chk-8", "whole"),
            ("chk-9", "unfinished"),
            ("savepoint-aa-1", "whole"),
            ("savepoint-aa-2", "broken"),
        ]
    );
    assert_eq!(orphans(&told).len(), 2_002);
    assert_eq!(told["orphan_bytes"], 2_042);

    // What is whole costs its `_metadata`, and nothing else but the pages of one listing.
    server
        .remove("scanned", "sp/savepoint-aa-2/_metadata")
        .unwrap();
    let proxy = Proxy::builder(server.url()).signed().start().unwrap();
    let place = with_store(proxy.url());
    let ended = place.run(&["scan", "s3a://scanned/sp", "-o", "json"]);
    assert_eq!(ended.code, 0, "{}", ended.text());
    let requests = proxy.requests();
    let paths: Vec<&str> = requests.iter().map(|it| it.path.as_str()).collect();
    let listings = paths
        .iter()
        .filter(|path| path.contains("list-type=2"))
        .count();
    assert_eq!((listings, paths.len()), (3, 3 + 3), "{paths:#?}");
}

#[test]
fn what_a_real_flink_retains() {
    let server = server();
    server.create_bucket("state").unwrap();
    let cluster = Cluster::builder(Release::V2_3)
        .s3(server)
        .state_in_files()
        .savepoints_in("s3://state/savepoints")
        .config("execution.checkpointing.dir", "s3://state/checkpoints")
        .config("execution.checkpointing.num-retained", "3")
        .start()
        .unwrap();
    let set = [
        ("execution.checkpointing.incremental", "true"),
        (
            "execution.checkpointing.externalized-checkpoint-retention",
            "RETAIN_ON_CANCELLATION",
        ),
    ];
    let job = JobSpec {
        backend: Backend::RocksDb,
        checkpoint_interval: Some(Duration::from_hours(1)),
        config: set
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
        ..JobSpec::named("orders")
    };
    let job = cluster.submit(&job).unwrap();
    for _ in 0..3 {
        job.checkpoint(LIMIT).unwrap();
    }
    let trigger = job.trigger_savepoint("CANONICAL").unwrap();
    job.wait_savepoint(&trigger, LIMIT).unwrap();
    job.cancel().unwrap();
    let place = with_store(server.url());
    let scan = || place.run(&["scan", "s3://state", "-o", "json"]);

    let before = scan();
    assert_eq!(before.code, 0, "{}", before.text());
    let told = before.json();
    let kinds = |kind: &str| {
        let all = told["snapshots"].as_array().unwrap().iter();
        all.filter(|one| one["kind"] == kind).collect::<Vec<_>>()
    };
    let checkpoints = kinds("checkpoint");
    assert_eq!(
        (checkpoints.len(), kinds("savepoint").len()),
        (3, 1),
        "{told:#}"
    );
    assert!(
        checkpoints
            .iter()
            .all(|one| one["elsewhere_bytes"].as_u64() > Some(0)),
        "they share files: {told:#}"
    );
    assert_eq!(orphans(&told), Vec::<&str>::new(), "{told:#}");

    // What the newest checkpoint alone needs becomes an orphan when it is undone.
    let key = |location: &str| location.strip_prefix("s3://state/").unwrap().to_owned();
    let newest = key(checkpoints[2]["location"].as_str().unwrap());
    server
        .remove("state", &format!("{newest}/_metadata"))
        .unwrap();
    server.put("state", "savepoints/stray", vec![0; 9]).unwrap();
    let undone = scan().json();
    let location = format!("s3://state/{newest}");
    assert_eq!(by_path(&undone, &location)["verdict"], "unfinished");
    assert!(orphans(&undone).contains(&"stray"), "{undone:#}");
    // A file that both others share, if they share one, breaks both; one of the savepoint only that.
    let savepoint = key(kinds("savepoint")[0]["location"].as_str().unwrap());
    let files = server.keys("state", &savepoint).unwrap();
    let victim = files
        .iter()
        .find(|file| !file.ends_with("_metadata"))
        .unwrap();
    server.remove("state", victim).unwrap();
    let damaged = scan();
    assert_eq!(damaged.code, 1, "{}", damaged.text());
    let told = damaged.json();
    assert_eq!(by_path(&told, &savepoint)["verdict"], "broken");
    let others = told["snapshots"].as_array().unwrap().iter();
    assert_eq!(
        others.filter(|one| one["verdict"] == "whole").count(),
        2,
        "{told:#}"
    );
    // What `verify` says of each is the same.
    for one in told["snapshots"].as_array().unwrap() {
        let verified = place
            .run(&["verify", one["location"].as_str().unwrap(), "-o", "json"])
            .json();
        let verdict = match one["verdict"].as_str().unwrap() {
            "unfinished" => "broken",
            other => other,
        };
        assert_eq!(verified["savepoints"][0]["verdict"], verdict, "{one:#}");
    }
}
