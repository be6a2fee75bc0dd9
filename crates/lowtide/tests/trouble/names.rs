//! What a name means: nothing, several jobs, a job that has ended, one that is not fit just now.

use std::ops::Range;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use testbench::control::Part;
use testbench::flink::JobSpec;
use testbench::http::until;

use crate::bench::{Job, LIMIT, Lowtide, begun, cluster};

/// How old Flink's metrics are to be, in milliseconds, when `lowtide take` is started: it believes them from a second
/// on, and ten seconds after the last fetch its question sets off the next.
const BELIEVED_MS: Range<i64> = 1_000..5_000;

#[test]
fn an_unknown_name_is_refused_at_once_with_what_may_have_been_meant() {
    let cluster = cluster();
    let _other_case = Job::named(&cluster, "Ledger");
    let _longer = Job::named(&cluster, "ledger-eu");
    let lowtide = Lowtide::on(cluster.url())
        .rule("absent_for", "1m")
        .application("ledger");
    let told = lowtide.take("ledger");
    told.failed("not-running")
        .because("no running job is named `ledger`")
        .hints("did you mean `Ledger` or `ledger-eu`?")
        .attempts(0);
    assert!(told.took() < Duration::from_mins(1), "{told:#?}");

    let resolved = lowtide.run(&["resolve", "--output", "json"]);
    assert_eq!(resolved.code, 1, "{resolved:#?}");
    let resolution = &resolved.json()["applications"][0];
    assert_eq!(resolution["means"], "none");
    assert_eq!(
        resolution["suggestions"],
        serde_json::json!(["Ledger", "ledger-eu"])
    );
    resolved.says("hint: ").says("`Ledger`").says("`ledger-eu`");

    let checked = lowtide.run(&["check", "--online"]);
    assert_eq!(checked.code, 1, "{checked:#?}");
    checked.says("hint: did you mean `Ledger` or `ledger-eu`?");
    assert!(
        checked.stdout.contains("no running job is named `ledger`"),
        "{checked:#?}"
    );

    // `run` first waits: a JobManager that restarts has no jobs for a while.
    let told = lowtide.fill("ledger");
    told.failed("not-running")
        .hints("did you mean `Ledger` or `ledger-eu`?");
    assert!(told.took() >= Duration::from_secs(2), "{told:#?}");
}

#[test]
fn a_name_that_is_not_configured_is_refused_before_anything_is_asked() {
    let ran = Lowtide::on("http://127.0.0.1:9")
        .application("orders")
        .run(&["take", "Orders"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    ran.says("no application is named `Orders`")
        .says("hint: did you mean `orders`?");
}

#[test]
fn two_jobs_of_one_name_are_refused_with_their_ids() {
    let cluster = cluster();
    let (one, two) = (Job::named(&cluster, "twins"), Job::named(&cluster, "twins"));
    let lowtide = Lowtide::on(cluster.url()).application("twins");
    for told in [lowtide.take("twins"), lowtide.fill("twins")] {
        told.failed("ambiguous")
            .because(&one.id)
            .because(&two.id)
            .hints("cancel all but one")
            .attempts(0);
    }
    let resolved = lowtide.run(&["resolve"]);
    assert_eq!(resolved.code, 1, "{resolved:#?}");
    resolved.says("hint: ");
    assert!(
        resolved.stdout.contains(&one.id) && resolved.stdout.contains(&two.id),
        "{resolved:#?}"
    );
    assert_eq!(begun(&cluster, &one) + begun(&cluster, &two), 0);
}

#[test]
fn what_has_ended_is_skipped_by_run_and_refused_by_take() {
    let cluster = cluster();
    let finished = Job::named(&cluster, "finished");
    finished.control.finish().unwrap();
    finished.wait_state("FINISHED", LIMIT).unwrap();
    let cancelled = Job::named(&cluster, "cancelled");
    cancelled.cancel().unwrap();
    let lowtide = |absent_for: &str| {
        Lowtide::on(cluster.url())
            .rule("absent_for", absent_for)
            .application("finished")
            .application("cancelled")
    };
    let (two_seconds, one_minute) = (lowtide("2s"), lowtide("1m"));
    for (job, word) in [(&finished, "finished"), (&cancelled, "cancelled")] {
        let told = two_seconds.fill(&job.name);
        told.skipped(word).because(&job.id);
        assert!(told.took() >= Duration::from_secs(2), "{told:#?}");
        let told = one_minute.take(&job.name);
        told.failed("not-running")
            .because(&job.id)
            .because(word)
            .hints("start it again");
        assert!(told.took() < Duration::from_mins(1), "{told:#?}");
    }
}

#[test]
fn a_failed_job_is_a_failure() {
    let cluster = cluster();
    let spec = JobSpec {
        restarts: 0,
        ..JobSpec::named("dead")
    };
    let job = Job::submit(&cluster, &spec);
    job.control.crash().unwrap();
    job.wait_state("FAILED", LIMIT).unwrap();
    let lowtide = Lowtide::on(cluster.url()).application("dead");
    for told in [lowtide.take("dead"), lowtide.fill("dead")] {
        told.failed("not-running")
            .because(&job.id)
            .because("failed")
            .hints("exceptions");
    }
}

#[test]
fn a_restarting_job_is_waited_for_until_the_deadline() {
    let cluster = cluster();
    let job = Job::named(&cluster, "limping");
    job.control.crash().unwrap();
    job.wait_state("RESTARTING", LIMIT).unwrap();
    let lowtide = Lowtide::on(cluster.url()).application("limping");
    let hurried = Lowtide::on(cluster.url())
        .application("limping")
        .rule("deadline", "3s");
    hurried
        .take("limping")
        .failed("not-ready")
        .hints("exceptions")
        .attempts(0);
    assert_eq!(begun(&cluster, &job), 0);
    // It comes back: then it gets its savepoint, although it restarted a moment ago.
    let told = lowtide.meanwhile(&["take", "limping"], || {
        lowtide.wait_until("the gate to hold", "limping", |run| run["hold"].is_object());
        job.control.heal().unwrap();
    });
    told.kept().warns("the job restarted").attempts(1);
    assert_eq!(begun(&cluster, &job), 1);
}

#[test]
fn a_job_without_checkpoints_gets_its_savepoint_and_a_warning() {
    let cluster = cluster();
    let job = Job::named(&cluster, "unsafe");
    let told = Lowtide::on(cluster.url())
        .application("unsafe")
        .take("unsafe");
    told.kept().warns("checkpointing is disabled").attempts(1);
    assert_eq!(begun(&cluster, &job), 1);
}

#[test]
fn somebody_elses_savepoint_is_waited_for() {
    let cluster = cluster();
    let job = Job::named(&cluster, "shared");
    job.control.block(Part::Async).unwrap();
    job.trigger_savepoint("CANONICAL").unwrap();
    job.control.wait_blocked(1, LIMIT).unwrap();
    let hurried = Lowtide::on(cluster.url())
        .application("shared")
        .rule("deadline", "2s");
    hurried
        .take("shared")
        .failed("not-ready")
        .because("another savepoint")
        .hints("`deadline:`");
    let lowtide = Lowtide::on(cluster.url()).application("shared");
    let told = lowtide.meanwhile(&["take", "shared"], || {
        let held = |run: &serde_json::Value| {
            run["hold"]["why"]
                .as_str()
                .is_some_and(|why| why.contains("another savepoint"))
        };
        lowtide.wait_until("the gate to hold", "shared", held);
        assert_eq!(begun(&cluster, &job), 1);
        job.control.unblock().unwrap();
    });
    told.kept().attempts(1);
    assert_eq!(begun(&cluster, &job), 2);
}

#[test]
fn a_checkpoint_in_progress_is_waited_for_as_long_as_patience_lasts() {
    let cluster = cluster();
    let spec = JobSpec {
        checkpoint_interval: Some(Duration::from_millis(500)),
        ..JobSpec::named("busy")
    };
    let job = Job::submit(&cluster, &spec);
    job.control.block(Part::Async).unwrap();
    job.control.wait_blocked(1, LIMIT).unwrap();
    let lowtide = Lowtide::on(cluster.url()).application("busy");
    let told = lowtide.meanwhile(&["take", "busy"], || {
        lowtide.wait_until("the savepoint to begin", "busy", |run| {
            run["phase"] == "following"
        });
        job.control.unblock().unwrap();
    });
    told.kept()
        .warns("a checkpoint is in progress, and still so after")
        .attempts(1);
}

#[test]
fn a_job_under_back_pressure_is_waited_for_as_long_as_patience_lasts() {
    let cluster = cluster();
    // More than the operator behind the source can write: 64 KB for each record.
    let spec = JobSpec {
        rate: 1_000_000,
        keys: 16,
        value_bytes: 64 << 10,
        ..JobSpec::named("jammed")
    };
    let job = Job::submit(&cluster, &spec);
    let details = cluster.get(&format!("/jobs/{}", job.id)).unwrap();
    let mut vertices = details["vertices"].as_array().unwrap().iter();
    let source = vertices.find(|it| it["name"].as_str().unwrap().contains("events"));
    let source = source.unwrap()["id"].as_str().unwrap();
    // Flink fetches these numbers only while somebody asks, and every 10 s at most; a question after that is answered
    // before its fetch has come back, and Lowtide believes no such answer. So the test asks before it does.
    let path = format!("/jobs/{}/vertices/{source}/backpressure", job.id);
    let is_known = || {
        let told = cluster.get(&path)?;
        let fetched_ms = told["end-timestamp"].as_i64().context("no fetch yet")?;
        let age_ms = Timestamp::now().as_millisecond() - fetched_ms;
        let is_high = told["backpressureLevel"] == "high";
        Ok((is_high && BELIEVED_MS.contains(&age_ms)).then_some(()))
    };
    // They are averages, and on a busy machine they waver: so not the first savepoint has to meet it.
    let lowtide = Lowtide::on(cluster.url()).application("jammed");
    let told = until("a savepoint under back-pressure", LIMIT * 2, || {
        until("back-pressure", LIMIT, is_known)?;
        let told = lowtide.take("jammed");
        told.kept().attempts(1);
        let warnings = told.run["warnings"].to_string();
        Ok(warnings.contains("back-pressure").then_some(told))
    })
    .unwrap();
    told.warns("the job is under back-pressure, and still so after");
}
