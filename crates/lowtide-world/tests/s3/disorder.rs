//! What level 1 finds where files are missing, short, far apart, or where nobody can see.

use std::collections::BTreeSet;

use flink_metadata::StreamHandle;
use lowtide_core::fault::FaultKind;
use lowtide_core::name::Location;
use lowtide_core::verify::{self, Reading};
use lowtide_world::store::deep::Pace;
use testbench::proxy::{Proxy, Rule};

use super::metadata::{file, metadata};
use super::shared::{read, read_deep, server, settings, stores, wait};

fn findings(reading: &Reading) -> Vec<String> {
    verify::judge(reading, None).findings
}

#[test]
fn what_is_missing_short_or_a_stranger_is_told() {
    let server = server();
    server.create_bucket("broken").unwrap();
    let handles = vec![file("whole", 3), file("short", 3), file("missing", 3)];
    for (name, bytes) in [
        ("_metadata", metadata(handles)),
        ("whole", b"abc".to_vec()),
        ("short", b"ab".to_vec()),
        ("stranger", b"".to_vec()),
        // What Flink's S3 client leaves for a directory.
        ("", b"".to_vec()),
    ] {
        server.put("broken", &format!("sp/{name}"), bytes).ok();
    }
    for spelling in [
        "s3://broken/sp",
        "s3a://broken/sp/",
        "s3p://broken/sp/_metadata",
    ] {
        let reading = read(spelling, settings(server.url())).unwrap();
        let scheme = spelling.split_once(':').unwrap().0;
        assert_eq!(
            findings(&reading),
            [
                format!("missing: {scheme}://broken/sp/missing"),
                format!("short: {scheme}://broken/sp/short has 2 of 3 bytes"),
            ]
        );
        assert_eq!(reading.extra, ["stranger"]);
    }
}

/// With entropy, Flink puts each data file below a prefix of its own and names it absolutely
/// (`EntropyInjector`, `FsCheckpointStreamFactory`).
#[test]
fn files_with_entropy_in_their_paths_are_found() {
    let server = server();
    server.create_bucket("entropy").unwrap();
    let keys: BTreeSet<String> = (0_u32..300)
        .map(|number| {
            let entropy = number.wrapping_mul(2_654_435_761) >> 16;
            format!("{entropy:04x}/sp/one/{number}")
        })
        .collect();
    let handles = keys.iter().map(|key| StreamHandle::File {
        path: format!("s3://entropy/{key}"),
        size: Some(3),
    });
    let mut objects: Vec<(String, Vec<u8>)> = keys
        .iter()
        .map(|key| (key.clone(), b"abc".to_vec()))
        .collect();
    objects.push(("sp/one/_metadata".to_owned(), metadata(handles.collect())));
    server.put_all("entropy", objects).unwrap();
    let reading = read("s3://entropy/sp/one", settings(server.url())).unwrap();
    assert_eq!(findings(&reading), [""; 0]);
    // In a bucket full of others the listing is given up, and the result is the same.
    let others = (0..2_500).map(|number| (format!("8000/cp/{number}"), Vec::new()));
    server.put_all("entropy", others.collect()).unwrap();
    let victim = keys.iter().nth(200).unwrap();
    server.remove("entropy", victim).unwrap();
    let reading = read("s3://entropy/sp/one", settings(server.url())).unwrap();
    assert_eq!(
        findings(&reading),
        [format!("missing: s3://entropy/{victim}")]
    );
}

#[test]
fn what_cannot_be_seen_is_not_broken() {
    let server = server();
    server.create_bucket("seen").unwrap();
    let kind = |location: &str| read(location, settings(server.url())).unwrap_err().kind;
    assert_eq!(kind("s3://seen/nothing/here"), FaultKind::Gone);
    assert_eq!(kind("s3://no-such-bucket/x"), FaultKind::Permanent);
    let mut wrong = settings(server.url());
    wrong.keys = Some(("testbench".into(), "wr0ng-s3cret".into()));
    let fault = read("s3://seen/x", wrong).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Permanent);
    assert!(fault.hint.is_some() && !fault.text.contains("wr0ng-s3cret"));
    let closed = read("s3://seen/x", settings("http://127.0.0.1:1")).unwrap_err();
    assert_eq!(closed.kind, FaultKind::Transient, "{closed}");
    // A file in a bucket that is not there is not missing: nobody can see.
    let handle = StreamHandle::File {
        path: "s3://no-such-bucket/shared/x".to_owned(),
        size: Some(3),
    };
    server
        .put("seen", "sp/_metadata", metadata(vec![handle]))
        .unwrap();
    assert_eq!(kind("s3://seen/sp"), FaultKind::Permanent);
}

#[test]
fn one_client_serves_all_who_ask() {
    let server = server();
    server.create_bucket("shared").unwrap();
    server
        .put("shared", "sp/_metadata", metadata(vec![]))
        .unwrap();
    let stores = stores(settings(server.url()));
    let location = Location::new("s3://shared/sp");
    wait(async {
        for _ in 0..2 {
            lowtide_world::read(&location, stores.clone())
                .await
                .unwrap();
        }
    });
}

#[test]
fn a_reading_that_is_cut_off_goes_on() {
    let server = server();
    server.create_bucket("cut").unwrap();
    for (key, bytes) in [
        (
            "sp/_metadata",
            metadata(vec![file("a", 3), file("empty", 0)]),
        ),
        ("sp/a", b"abc".to_vec()),
        ("sp/empty", Vec::new()),
    ] {
        server.put("cut", key, bytes).unwrap();
    }
    let proxy = Proxy::builder(server.url()).signed().start().unwrap();
    proxy.rule(Rule::on("GET", "/cut/sp/a").times(2).refuse());
    let pace = Pace::new(None);
    let deep = read_deep("s3://cut/sp", settings(proxy.url()), &pace).unwrap();
    assert_eq!(deep.findings, [""; 0]);
    let sizes: Vec<u64> = deep.digests.values().map(|it| it.bytes).skip(1).collect();
    assert_eq!(sizes, [3, 0]);
    assert_eq!(proxy.count("GET", "/cut/sp/a"), 3);
    // One that never comes is given up, and is not broken.
    proxy.rule(Rule::on("GET", "/cut/sp/a").refuse());
    let fault = read_deep("s3://cut/sp", settings(proxy.url()), &pace).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
}
