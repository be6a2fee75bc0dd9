//! Proof: savepoints that Flink calls complete and that are not, or that Lowtide cannot look at.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use testbench::flink::JobSpec;
use testbench::proxy::{Proxy, Reply, Rule};

use crate::bench::{Job, Lowtide, begun, cluster, files, local, size};

/// Does something to a savepoint after Flink has completed it and before Lowtide hears of that.
fn when_complete(act: impl Fn(&Path) + Send + Sync + 'static) -> Rule {
    Rule::on("GET", "/jobs/*/savepoints/*").after(move |_, reply| {
        if let Some(location) = location(reply) {
            act(&location);
        }
    })
}

fn location(reply: &Reply) -> Option<PathBuf> {
    let answer: Value = serde_json::from_slice(&reply.body).ok()?;
    answer["operation"]["location"].as_str().map(local)
}

fn truncate(path: &Path, left: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(left).unwrap();
}

#[test]
fn a_truncated_metadata_is_broken() {
    broken("torn", "`_metadata`: ", |savepoint| {
        let metadata = savepoint.join("_metadata");
        truncate(&metadata, size(&metadata) - 1);
    });
}

#[test]
fn no_metadata_at_all_is_broken() {
    broken("blank", "the directory has no `_metadata`", |savepoint| {
        fs::remove_file(savepoint.join("_metadata")).unwrap();
    });
}

#[test]
fn a_missing_file_is_broken() {
    broken("holed", "missing: file:", |savepoint| {
        fs::remove_file(&files(savepoint)[0]).unwrap();
    });
}

#[test]
fn a_short_file_is_broken() {
    broken("cut", "short: file:", |savepoint| {
        let file = &files(savepoint)[0];
        truncate(file, size(file) - 1);
    });
}

fn broken(name: &str, finding: &str, damage: impl Fn(&Path) + Send + Sync + 'static) {
    let cluster = cluster();
    let job = Job::with_files(&cluster, JobSpec::named(name));
    let before = begun(&cluster, &job);
    let proxy = Proxy::start(cluster.url()).unwrap();
    let seen = Arc::new(Mutex::new(None));
    let damaged = Arc::clone(&seen);
    proxy.rule(when_complete(move |savepoint| {
        // Once: the answer may be asked for again.
        let mut damaged = damaged.lock().unwrap();
        if damaged.is_none() {
            damage(savepoint);
            *damaged = Some(savepoint.to_owned());
        }
    }));
    let lowtide = Lowtide::on(proxy.url())
        .application(name)
        .rule("attempts", "1");
    let told = lowtide.take(name);
    told.failed("broken")
        .because(finding)
        .hints("`lowtide inspect ")
        .attempts(1);
    let savepoint = &told.run["savepoints"][0];
    assert_eq!(savepoint["standing"], "orphan", "{told:#?}");
    assert_eq!(savepoint["verification"], "broken", "{told:#?}");
    let location = savepoint["location"].as_str().unwrap();
    assert_eq!(
        seen.lock().unwrap().as_deref(),
        Some(local(location).as_path())
    );
    // The hint's own command says the same.
    let inspected = lowtide.run(&["inspect", location]);
    assert_eq!(inspected.code, 1, "{inspected:#?}");
    let printed = format!("{}{}", inspected.stdout, inspected.stderr);
    assert!(
        printed.contains(finding),
        "no {finding:?} in {inspected:#?}"
    );
    assert_eq!(lowtide.run(&["latest", name]).code, 1);
    assert_eq!(begun(&cluster, &job), before + 1);
}

#[test]
fn a_broken_savepoint_is_made_good_by_one_more_attempt() {
    let cluster = cluster();
    let job = Job::with_files(&cluster, JobSpec::named("mended"));
    let before = begun(&cluster, &job);
    let proxy = Proxy::start(cluster.url()).unwrap();
    let done = Mutex::new(false);
    proxy.rule(when_complete(move |savepoint| {
        if !std::mem::replace(&mut *done.lock().unwrap(), true) {
            fs::remove_file(&files(savepoint)[0]).unwrap();
        }
    }));
    let lowtide = Lowtide::on(proxy.url()).application("mended");
    let told = lowtide.take("mended");
    told.kept().attempts(2);
    assert_eq!(
        told.run["savepoints"].as_array().unwrap().len(),
        2,
        "{told:#?}"
    );
    assert_eq!(begun(&cluster, &job), before + 2);
    let latest = lowtide.run(&["latest", "mended"]);
    assert_eq!(latest.stdout.trim(), told.run["location"].as_str().unwrap());
}

#[test]
fn a_directory_that_is_not_mounted_here_is_unverified_and_not_broken() {
    let cluster = cluster();
    let job = Job::named(&cluster, "remote");
    let root = cluster.savepoint_root();
    let lowtide = Lowtide::on(cluster.url()).application("remote");
    let away = lowtide.folder().join("not-mounted");
    let paths = format!("{{ \"file:{}\": {:?} }}", root.display(), away);
    let lowtide = lowtide.platform("paths", paths);
    let checked = lowtide.run(&["check", "--online"]);
    assert_eq!(checked.code, 4, "{checked:#?}");
    checked.says("hint: is it mounted where Lowtide runs? `paths:`");
    let told = lowtide.take("remote");
    told.unverified()
        .because("no such directory")
        .because(away.to_str().unwrap())
        .hints("`paths:` of the platform says where Lowtide reaches what Flink writes")
        .attempts(1);
    let location = told.run["location"].as_str().unwrap();
    assert!(
        local(location).join("_metadata").is_file(),
        "Flink did take it: {told:#?}"
    );
    assert_eq!(begun(&cluster, &job), 1, "and is never asked again");
    // It fills its slot, but nobody should restore from it unseen.
    let latest = lowtide.run(&["latest", "remote"]);
    assert_eq!(latest.code, 1, "{latest:#?}");
    latest.says("has no verified savepoint").says("hint: ");
}

#[test]
fn paths_lead_to_where_lowtide_reaches_what_flink_wrote() {
    let cluster = cluster();
    let _job = Job::with_files(&cluster, JobSpec::named("mapped"));
    let proxy = Proxy::start(cluster.url()).unwrap();
    let (target, mount) = (
        cluster.scratch().join("theirs"),
        cluster.scratch().join("ours"),
    );
    fs::create_dir(&target).unwrap();
    // What Flink wrote is at another place for Lowtide, and only there.
    let (from, to) = (target.clone(), mount.clone());
    let moved = Mutex::new(false);
    proxy.rule(when_complete(move |_| {
        if !std::mem::replace(&mut *moved.lock().unwrap(), true) {
            fs::rename(&from, &to).unwrap();
        }
    }));
    let told = Lowtide::on(proxy.url())
        .platform(
            "paths",
            format!("{{ \"file:{}\": {mount:?} }}", target.display()),
        )
        .rule("target", target.to_str().unwrap())
        .application("mapped")
        .take("mapped");
    assert_eq!(told.ran.code, 0, "{told:#?}");
    assert_eq!(
        told.run["savepoints"][0]["verification"], "verified",
        "{told:#?}"
    );
    assert!(
        told.run["savepoints"][0]["report"]["files"].as_u64() > Some(0),
        "{told:#?}"
    );
    // The catalog keeps the platform's name: that is what a job is restored from.
    let location = local(told.run["location"].as_str().unwrap());
    assert!(
        location.starts_with(&target) && !location.exists(),
        "{told:#?}"
    );
}
