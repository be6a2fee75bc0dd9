//! What `diff` says of a restore, and what a real Flink does: they must agree.
//!
//! One release of the application after another is started afresh and leaves a savepoint; `diff`
//! compares two of them; then the later release is really started from the earlier one's savepoint.
#![allow(clippy::unwrap_used)]

mod shared;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use shared::{Ended, Place};
use testbench::flink::{Backend, Cluster, JobHandle, JobSpec, Release};
use testbench::say;

const SAVEPOINT_LIMIT: Duration = Duration::from_mins(4);
/// Subtasks of the application, unless a release changes that.
const PARALLELISM: u32 = 2;

/// The application `orders`, with what a release changes.
fn release(parallelism: u32, arguments: &[(&'static str, &str)]) -> JobSpec {
    let arguments = arguments.iter();
    JobSpec {
        parallelism,
        // What fails at its start is to be seen to have failed.
        restarts: 0,
        arguments: arguments
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        ..JobSpec::named("orders")
    }
}

/// A cluster, and a directory with a configuration that names it.
struct Scene {
    cluster: Cluster,
    place: Place,
}

/// What Flink did.
#[derive(Debug)]
enum Did {
    Run(JobHandle),
    /// Why not, as a stack trace.
    Fail(String),
}

impl Scene {
    fn new(release: Release) -> Self {
        // In files: that names of keyed states are found there is part of it.
        let cluster = Cluster::builder(release).state_in_files();
        let cluster = cluster.start().unwrap();
        let place = Place::new(&format!(
            "platforms: {{ session: {{ flink: {{ url: \"{}\" }} }} }}\napplications: [orders]\n",
            cluster.url()
        ));
        Self { cluster, place }
    }

    /// The savepoint of a release that was started afresh.
    fn savepoint(&self, spec: &JobSpec) -> String {
        let job = self.cluster.submit(spec).unwrap();
        let location = savepoint_of(&job);
        job.cancel().unwrap();
        location
    }

    fn restore(&self, spec: &JobSpec, from: &str, allow: bool) -> Did {
        let spec = JobSpec {
            restore: Some(from.to_owned()),
            allow_non_restored_state: allow,
            ..spec.clone()
        };
        let job = match self.cluster.submit_without_waiting(&spec) {
            Ok(job) => job,
            Err(error) => return Did::Fail(format!("{error:#}")),
        };
        match job.wait_running() {
            Ok(()) => Did::Run(job),
            Err(error) => Did::Fail(format!("{error:#}")),
        }
    }

    fn diff(&self, a: &str, b: &str, allow: bool) -> Ended {
        let mut arguments = vec!["diff", a, b, "-o", "json"];
        arguments.extend(allow.then_some("--allow-non-restored-state"));
        self.place.run(&arguments)
    }

    /// Says what `diff` must, has Flink do it, and returns what Flink did.
    fn agree(&self, what: &str, said: &Said, (from, spec, to): (&str, &JobSpec, &str)) -> Did {
        let told = self.diff(from, to, said.allow);
        let shown = told.text();
        assert_eq!(told.code, said.exit, "{what}: {shown}");
        let told = told.json();
        assert_eq!(told["verdict"], said.verdict, "{what}: {shown}");
        let rules = rules(&told);
        let expected: BTreeSet<String> = said.rules.iter().map(ToString::to_string).collect();
        assert_eq!(rules, expected, "{what}: {shown}");
        let did = self.restore(spec, from, said.allow);
        match (&did, said.flink) {
            (Did::Run(_), None) => {}
            (Did::Fail(why), Some(text)) => assert!(why.contains(text), "{what}: {why}"),
            (did, _) => panic!("{what}: diff says {shown}, and Flink did {did:?}"),
        }
        say::step(format!("{what}: {}, and Flink agrees", said.verdict));
        did
    }

    /// As [`Scene::agree`], and cancels what runs then.
    fn agree_and_end(&self, what: &str, said: &Said, case: (&str, &JobSpec, &str)) {
        if let Did::Run(job) = self.agree(what, said, case) {
            job.cancel().unwrap();
        }
    }
}

/// What `diff` says, and what Flink does.
struct Said {
    allow: bool,
    exit: i32,
    verdict: &'static str,
    rules: &'static [&'static str],
    /// What Flink says where it does not run the job.
    flink: Option<&'static str>,
}

fn savepoint_of(job: &JobHandle) -> String {
    let trigger = job.trigger_savepoint("CANONICAL").unwrap();
    let operation = job.wait_savepoint(&trigger, SAVEPOINT_LIMIT).unwrap();
    let location = operation["location"].as_str();
    location.unwrap_or_else(|| panic!("{operation}")).to_owned()
}

fn rules(told: &Value) -> BTreeSet<String> {
    let reasons = told["reasons"].as_array().unwrap();
    let rules = reasons.iter().map(|it| it["rule"].as_str().unwrap());
    rules.map(str::to_owned).collect()
}

/// The labels of operators of which a rule is told.
fn labels(told: &Value, rule: &str) -> BTreeSet<String> {
    let reasons = told["reasons"].as_array().unwrap().iter();
    let of_rule = reasons.filter(|it| it["rule"] == rule);
    of_rule
        .map(|it| it["label"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn flink_2_3_does_as_diff_says() {
    flink_does_as_diff_says(Release::V2_3);
}

#[test]
fn flink_1_15_does_as_diff_says() {
    flink_does_as_diff_says(Release::V1_15);
}

fn flink_does_as_diff_says(release_of_flink: Release) {
    let scene = Scene::new(release_of_flink);
    let base = release(PARALLELISM, &[]);
    let smaller = release(PARALLELISM, &[("without-judge", "true")]);
    let wider = release(2 * PARALLELISM, &[]);
    let few_groups = release(PARALLELISM, &[("max-parallelism", "2")]);
    let other_groups = release(PARALLELISM, &[("max-parallelism", "64")]);
    let other_kind = release(PARALLELISM, &[("recent", "map")]);
    let unasked = release(PARALLELISM, &[("recent", "none"), ("seen", "none")]);

    let from_base = scene.savepoint(&base);
    let to_base = scene.savepoint(&base);
    let works = Said {
        allow: false,
        exit: 0,
        verdict: "works",
        rules: &[],
        flink: None,
    };
    scene.agree_and_end("the same program", &works, (&from_base, &base, &to_base));

    let to_wider = scene.savepoint(&wider);
    let case = (from_base.as_str(), &wider, to_wider.as_str());
    scene.agree_and_end("twice as many subtasks", &works, case);

    let to_smaller = scene.savepoint(&smaller);
    let case = (from_base.as_str(), &smaller, to_smaller.as_str());
    let refused = Said {
        exit: 1,
        verdict: "refused",
        rules: &["operator-missing"],
        flink: Some("Cannot map checkpoint/savepoint state for operator"),
        ..works
    };
    scene.agree_and_end("fewer operators", &refused, case);
    let drops = Said {
        allow: true,
        exit: 0,
        verdict: "drops-state",
        flink: None,
        ..refused
    };
    scene.agree_and_end("fewer operators, allowed", &drops, case);

    let from_few = scene.savepoint(&few_groups);
    let refused = Said {
        // The rules' source has one subtask in both, and only the number of key groups against it.
        rules: &["max-parallelism-differs", "parallelism-above-max"],
        flink: Some("is lower than the configured parallelism"),
        ..refused
    };
    let case = (from_few.as_str(), &wider, to_wider.as_str());
    scene.agree_and_end("more subtasks than key groups", &refused, case);

    // Which of the two, only the program tells.
    let to_other_groups = scene.savepoint(&other_groups);
    let depends = Said {
        exit: 3,
        verdict: "cannot-tell",
        rules: &["max-parallelism-differs"],
        ..works
    };
    let refused_for_groups = Said {
        flink: Some("Max parallelism mismatch"),
        ..depends
    };
    let case = (from_base.as_str(), &other_groups, to_other_groups.as_str());
    scene.agree_and_end("another max parallelism, set", &refused_for_groups, case);
    let case = (to_other_groups.as_str(), &base, to_base.as_str());
    scene.agree_and_end("another max parallelism, not set", &depends, case);

    let to_other_kind = scene.savepoint(&other_kind);
    let fails = Said {
        rules: &["state-kind-differs"],
        flink: Some("Incompatible key/value state types"),
        ..refused
    };
    let case = (from_base.as_str(), &other_kind, to_other_kind.as_str());
    scene.agree_and_end("a state of another kind", &fails, case);

    let other_mode = release(PARALLELISM, &[("seen", "union")]);
    let to_other_mode = scene.savepoint(&other_mode);
    let fails = Said {
        flink: Some("Incompatible state assignment modes"),
        ..fails
    };
    let case = (from_base.as_str(), &other_mode, to_other_mode.as_str());
    scene.agree_and_end("a list that is dealt out otherwise", &fails, case);

    let to_unasked = scene.savepoint(&unasked);
    let unclaimed = Said {
        rules: &["state-unclaimed"],
        ..works
    };
    let case = (from_base.as_str(), &unasked, to_unasked.as_str());
    scene.agree_and_end("states that nobody asks for", &unclaimed, case);
    for backend in [Backend::HashMap, Backend::RocksDb] {
        let spec = JobSpec {
            backend,
            ..unasked.clone()
        };
        let Did::Run(job) = scene.restore(&spec, &from_base, false) else {
            panic!("it runs");
        };
        let after = scene.diff(&from_base, &savepoint_of(&job), false);
        let text = after.text();
        let reasons = after.json()["reasons"].take();
        assert_eq!(
            reasons,
            Value::Array(vec![]),
            "it is kept by {backend:?}: {text}"
        );
        job.cancel().unwrap();
    }
}

#[test]
fn a_running_job_shows_the_heads_of_its_chains() {
    let scene = Scene::new(Release::V2_3);
    let base = release(PARALLELISM, &[]);
    let few = scene.savepoint(&release(PARALLELISM, &[("max-parallelism", "2")]));
    let from = scene.savepoint(&base);
    let against = |a: &str| {
        let arguments = ["diff", a, "--against-job", "orders", "-o", "json"];
        scene.place.run(&arguments)
    };
    let nobody = against(&from);
    assert_eq!(nobody.code, 1, "{}", nobody.text());
    assert!(
        nobody.stderr.contains("no running job"),
        "{}",
        nobody.text()
    );

    let job = scene.cluster.submit(&base).unwrap();
    let ended = against(&from);
    assert_eq!(ended.code, 3, "{}", ended.text());
    let told = ended.json();
    assert_eq!(told["job"]["id"], job.id.as_str());
    // `gate` is chained to `events`; all others are heads, and were found by their ids.
    assert_eq!(
        labels(&told, "operator-not-seen"),
        BTreeSet::from(["gate".to_owned()]),
        "{}",
        ended.text()
    );
    assert_eq!(told["same_operators"], 4, "{}", ended.text());
    job.cancel().unwrap();

    let job = scene
        .cluster
        .submit(&release(2 * PARALLELISM, &[]))
        .unwrap();
    let ended = against(&few);
    assert_eq!(ended.code, 1, "{}", ended.text());
    let above = labels(&ended.json(), "parallelism-above-max");
    assert!(above.contains("accounts"), "{}", ended.text());
    job.cancel().unwrap();
}
