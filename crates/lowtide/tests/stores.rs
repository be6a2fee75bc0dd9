//! `verify` from outside, on files and on a real S3 server, and a savepoint that a real Flink writes
//! there.
#![allow(clippy::unwrap_used)]

#[path = "../../lowtide-world/tests/s3/metadata.rs"]
mod metadata;
mod shared;

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use metadata::{file, metadata};
use shared::{Ended, Place};
use testbench::flink::{Backend, Cluster, JobSpec, Release};
use testbench::proxy::Proxy;
use testbench::s3::{ACCESS_KEY, S3Server, SECRET_KEY};
use testbench::say;

/// What level 1 may hold of a savepoint of very many files.
const LISTED_BYTES_MAX: u64 = 200 << 20;
/// What level 2 may hold of a savepoint of any size.
const RESIDENT_BYTES_MAX: u64 = 100 << 20;
/// Bytes of a part of an upload.
const PART_BYTES: usize = 8 << 20;
/// For a process that reads gigabytes on a busy machine.
const LIMIT: Duration = Duration::from_mins(15);

/// How large the trees are: a size for every day, and the full one of `cargo xtask soak`.
struct Sizes {
    /// Files of level 1.
    files: usize,
    /// Most listings that level 1 may ask for: a page of a thousand files each, and some room.
    listings_max: usize,
    /// Parts of the one file of level 2.
    parts: usize,
}

fn sizes() -> Sizes {
    match std::env::var_os("LOWTIDE_SOAK") {
        None => Sizes {
            files: 10_000,
            listings_max: 12,
            parts: 64,
        },
        Some(_) => Sizes {
            files: 100_000,
            listings_max: 110,
            parts: 640,
        },
    }
}

fn server() -> &'static S3Server {
    static SERVER: OnceLock<S3Server> = OnceLock::new();
    SERVER.get_or_init(|| S3Server::start().unwrap())
}

/// A configuration that knows the server at `endpoint`, and a Flink at `url`.
fn place(url: &str, endpoint: &str) -> Place {
    let place = Place::new(&format!(
        "catalog: {{ sqlite: catalog.db }}\n\
         platforms: {{ session: {{ flink: {{ url: \"{url}\" }} }} }}\n\
         applications: [orders]\n\
         stores:\n  minio:\n    s3: {{ endpoint: \"{endpoint}\", access_key: \"${{file:access}}\", secret_key: \"${{file:secret}}\" }}\n"
    ));
    fs::write(place.path("access"), ACCESS_KEY).unwrap();
    fs::write(place.path("secret"), SECRET_KEY).unwrap();
    place
}

/// Without the directory's own path, which is another one each time, and without the columns that are
/// as wide as it is.
fn text(place: &Place, ended: &Ended) -> String {
    shared::narrow(&place.text(ended))
}

#[test]
fn whole_broken_and_unreadable_are_told_apart() {
    let place = Place::new("");
    let directory = place.savepoint("2.3.0/hashmap-native");
    let whole = place.run(&["verify", "savepoint-0102"]);
    assert_eq!(whole.code, 0, "{}", whole.text());
    let blind = place.run(&["verify", "savepoint-0102", "nowhere"]);
    assert_eq!(blind.code, 4, "{}", blind.text());
    let mut files = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let victim = files.find(|path| !path.ends_with("_metadata")).unwrap();
    fs::remove_file(&victim).unwrap();
    let worst = place.run(&[
        "verify",
        "nowhere",
        "savepoint-0102",
        "--deep",
        "-o",
        "json",
    ]);
    assert_eq!(worst.code, 1, "{}", worst.text());
    let told = worst.json();
    let verdict = |at: usize| {
        told["savepoints"][at]["verdict"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (verdict(0).as_str(), verdict(1).as_str()),
        ("unreadable", "broken")
    );
    let finding = told["savepoints"][1]["findings"][0].as_str().unwrap();
    assert!(
        finding.contains(victim.file_name().unwrap().to_str().unwrap()),
        "{finding}"
    );
}

#[test]
fn a_deep_reading_reads_well() {
    let place = Place::new("");
    fs::remove_file(place.path("lowtide.yaml")).unwrap();
    place.savepoint("2.3.0/hashmap-native");
    let ended = place.run(&["verify", "--deep", "savepoint-0102", "/nowhere/at/all"]);
    insta::assert_snapshot!(text(&place, &ended));
    let json = place.run(&["verify", "--deep", "savepoint-0102", "-o", "json"]);
    let told = json.json();
    let sums = told["savepoints"][0]["checksums"].as_array().unwrap();
    let total: u64 = sums.iter().map(|sum| sum["bytes"].as_u64().unwrap()).sum();
    assert_eq!(told["savepoints"][0]["read_bytes"], total);
    assert!(
        sums.iter()
            .all(|sum| sum["sha256"].as_str().unwrap().len() == 64)
    );
    // `_metadata` is one of them, by the digest that any tool gives.
    let path = place.path("savepoint-0102/_metadata");
    let digest = std::process::Command::new("sha256sum")
        .arg(path)
        .output()
        .unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap();
    let named =
        |sum: &&serde_json::Value| sum["location"].as_str().unwrap().ends_with("/_metadata");
    let own = sums.iter().find(named).unwrap();
    assert!(digest.starts_with(own["sha256"].as_str().unwrap()));
}

#[test]
fn files_of_the_right_size_with_wrong_content_are_broken() {
    for (name, told) in [
        ("2.3.0/hashmap-canonical", "key group"),
        ("2.3.0/rocks-native", "no footer of a RocksDB table"),
    ] {
        let place = Place::new("");
        place.savepoint(name);
        assert_eq!(place.run(&["verify", "savepoint-0102"]).code, 0, "{name}");
        let ended = place.run(&["verify", "--deep", "savepoint-0102"]);
        assert_eq!(ended.code, 1, "{name}: {}", ended.text());
        assert!(
            ended.stderr.contains("damaged: ") && ended.stderr.contains(told),
            "{}",
            ended.text()
        );
    }
}

#[test]
fn the_limit_holds() {
    let place = Place::new("");
    let directory = place.path("sp");
    fs::create_dir(&directory).unwrap();
    fs::write(
        directory.join("_metadata"),
        metadata(vec![file("a", 3 << 20)]),
    )
    .unwrap();
    File::create(directory.join("a"))
        .unwrap()
        .set_len(3 << 20)
        .unwrap();
    let started = Instant::now();
    let ended = place.run(&["verify", "--deep", "--limit", "2MiB", "sp"]);
    assert_eq!(ended.code, 0, "{}", ended.text());
    assert!(
        started.elapsed() >= Duration::from_millis(1_500),
        "{:?}",
        started.elapsed()
    );
    let ended = place.run(&["verify", "--limit", "2MiB", "sp"]);
    assert_eq!(ended.code, 2, "a limit of nothing: {}", ended.text());
}

#[test]
fn very_many_files_are_a_few_listings() {
    let (server, sizes) = (server(), sizes());
    server.create_bucket("many").unwrap();
    let names: Vec<String> = (0..sizes.files)
        .map(|number| format!("{number:08x}"))
        .collect();
    let handles = names.iter().map(|name| file(name, 3)).collect();
    let mut objects: Vec<(String, Vec<u8>)> = names
        .iter()
        .map(|name| (format!("sp/one/{name}"), b"abc".to_vec()))
        .collect();
    objects.push(("sp/one/_metadata".to_owned(), metadata(handles)));
    server.put_all("many", objects).unwrap();
    let proxy = Proxy::builder(server.url()).signed().start().unwrap();
    let place = place("http://127.0.0.1:9", proxy.url());
    let (ended, peak_bytes) = measured(&place, &["verify", "s3://many/sp/one", "-o", "json"]);
    assert_eq!(ended.code, 0, "{}", ended.text());
    assert_eq!(ended.json()["savepoints"][0]["files"], sizes.files);
    let requests = proxy.requests();
    let listings = requests
        .iter()
        .filter(|it| it.path.contains("list-type=2"))
        .count();
    assert!(listings <= sizes.listings_max, "{listings} listings");
    // And one for `_metadata` itself.
    assert_eq!(requests.len(), listings + 1);
    let mib = peak_bytes >> 20;
    assert!(peak_bytes < LISTED_BYTES_MAX, "{mib} MiB resident");
    say::step(format!(
        "level 1 of {} files: {listings} listings, {mib} MiB",
        sizes.files
    ));
}

#[test]
fn a_large_file_in_s3_is_read_in_little_memory() {
    let (server, sizes) = (server(), sizes());
    server.create_bucket("large").unwrap();
    let part: Vec<u8> = (0..=250).cycle().take(PART_BYTES).collect();
    server
        .put_large("large", "sp/a", &part, sizes.parts)
        .unwrap();
    let bytes = (PART_BYTES * sizes.parts) as u64;
    server
        .put("large", "sp/_metadata", metadata(vec![file("a", bytes)]))
        .unwrap();
    let place = place("http://127.0.0.1:9", server.url());
    let arguments = ["verify", "--deep", "s3://large/sp", "-o", "json"];
    let (ended, peak_bytes) = measured(&place, &arguments);
    // The server's folder outlives the process: gigabytes are not left in it.
    server.remove("large", "sp/a").unwrap();
    assert_eq!(ended.code, 0, "{}", ended.text());
    let read = ended.json()["savepoints"][0]["read_bytes"]
        .as_u64()
        .unwrap();
    assert!(read > bytes);
    let mib = peak_bytes >> 20;
    assert!(peak_bytes < RESIDENT_BYTES_MAX, "{mib} MiB resident");
    say::step(format!("level 2 of {} MiB: {mib} MiB", bytes >> 20));
}

/// Runs the program and returns, besides what it printed, the most memory that it held.
fn measured(place: &Place, arguments: &[&str]) -> (Ended, u64) {
    let mut command = place.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let peak_bytes = watched(&mut child);
    assert!(peak_bytes > 1 << 20, "the peak was not seen");
    (child.wait_with_output().unwrap().into(), peak_bytes)
}

/// Waits for a process to end, and returns the most memory that it was seen to hold (`VmHWM` of
/// proc(5), which only grows).
fn watched(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let until = Instant::now() + LIMIT;
    let mut peak_bytes = 0;
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it takes too long");
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak_bytes = peak_bytes.max(kib.unwrap_or(0) << 10);
        thread::sleep(Duration::from_millis(5));
    }
    peak_bytes
}

#[test]
fn a_savepoint_that_flink_writes_to_s3_is_kept() {
    let server = server();
    server.create_bucket("state").unwrap();
    let cluster = Cluster::builder(Release::V2_3)
        .s3(server)
        .state_in_files()
        .savepoints_in("s3://state/savepoints")
        .start()
        .unwrap();
    let job = JobSpec {
        backend: Backend::RocksDb,
        parallelism: 2,
        ..JobSpec::named("orders")
    };
    cluster.submit(&job).unwrap();
    let place = place(cluster.url(), server.url());
    let online = place.run(&["check", "--online"]);
    assert_eq!(online.code, 0, "{}", online.text());
    let taken = place.run(&["take", "orders"]);
    assert_eq!(taken.code, 0, "{}", taken.text());
    assert!(taken.stdout.contains("kept"), "{}", taken.text());
    let latest = place.run(&["latest", "orders"]);
    let location = latest.stdout.trim();
    assert!(
        location.starts_with("s3://state/savepoints/orders/"),
        "{location}"
    );
    // What level 1 listed after the savepoint was taken is compared with the first reading, and that
    // with the second.
    for with in ["listing", "first-reading"] {
        let verified = place.run(&["verify", "--deep", location, "-o", "json"]);
        assert_eq!(verified.code, 0, "{}", verified.text());
        let one = &verified.json()["savepoints"][0];
        assert_eq!(one["compared"]["with"], with, "{one:#}");
        assert_eq!(one["warnings"], serde_json::json!([]));
    }
    let inspected = place.run(&["inspect", location, "-o", "json"]);
    assert_eq!(inspected.code, 0, "{}", inspected.text());
    let told = inspected.json();
    let operators = told["operators"].as_array().unwrap();
    let accounts = operators.iter().find(|it| it["uid"] == "accounts").unwrap();
    let states = accounts["keyed_states"].as_array().unwrap();
    let mut states: Vec<_> = states
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["kind"].as_str().unwrap()))
        .filter(|(_, kind)| *kind != "timers")
        .collect();
    states.sort_unstable();
    let expected = [("balance", "value"), ("by-kind", "map"), ("recent", "list")];
    assert_eq!(states, expected, "{told:#}");
    // Canonical, so each key group's bytes are known.
    assert!(accounts["over_key_groups"]["largest_bytes"].as_u64() > Some(0));
    let shown = place.run(&["inspect", location]);
    say::step(format!(
        "inspect of a real savepoint in S3:\n{}",
        shown.text()
    ));

    let directory = location.strip_prefix("s3://state/").unwrap();
    let keys = server.keys("state", &format!("{directory}/")).unwrap();
    let key = keys
        .iter()
        .find(|key| !key.ends_with("/_metadata"))
        .unwrap();
    let original = server.get("state", key).unwrap();
    let mut bytes = original.clone();
    bytes[7] ^= 1;
    server.put("state", key, bytes).unwrap();
    assert_eq!(
        place.run(&["verify", location]).code,
        0,
        "level 1 cannot see it"
    );
    let broken = place.run(&["verify", "--deep", location]);
    assert_eq!(broken.code, 1, "{}", broken.text());
    let told = format!("changed: s3://state/{key} has other bytes ");
    assert!(broken.stderr.contains(&told), "{}", broken.text());
    assert_eq!(place.run(&["latest", "orders"]).code, 1);

    server.put("state", key, original).unwrap();
    // Another one of the same job: names are compared, which lie in headers of objects.
    assert_eq!(place.run(&["take", "orders"]).code, 0);
    let later = place.run(&["latest", "orders"]);
    let compared = place.run(&["diff", location, later.stdout.trim(), "-o", "json"]);
    assert_eq!(compared.code, 0, "{}", compared.text());
    let compared_told = compared.json();
    assert_eq!(
        compared_told["reasons"],
        serde_json::json!([]),
        "{}",
        compared.text()
    );
    assert_ne!(location, later.stdout.trim());
}
