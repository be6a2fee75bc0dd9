//! The program from outside on Ververica Platform: the emulator, in front of a real Flink where a
//! savepoint is to be kept. Each trouble ends with a message and a hint, and never with a second
//! request.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use testbench::flink::{Cluster, JobHandle, JobSpec, Release};
use testbench::http::until;
use testbench::process;
use testbench::ververica::{
    Annotations, Call, Deed, DeploymentSpec, Emulator, Fault, MadeBy, Phase, Role, Savepoint,
    State, Unauthenticated,
};

/// For everything that a small job or a small command does.
const LIMIT: Duration = Duration::from_mins(2);
/// How long a simulated savepoint takes.
const TAKES: Duration = Duration::from_millis(100);

/// A cluster with one job, which the tests share: what they break is the emulator.
struct Flink {
    cluster: Arc<Cluster>,
    spec: JobSpec,
    job: JobHandle,
}

fn flink() -> Arc<Flink> {
    static SHARED: Mutex<Weak<Flink>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let cluster = Cluster::builder(Release::V2_3).start().unwrap();
        let spec = JobSpec::named("behind");
        let job = cluster.submit(&spec).unwrap();
        let started = Arc::new(Flink {
            cluster: Arc::new(cluster),
            spec,
            job,
        });
        *shared = Arc::downgrade(&started);
        started
    })
}

/// An emulator with a deployment `orders`, and a configuration that lists it.
struct Bench {
    emulator: Emulator,
    deployment: String,
    platform: String,
    rules: String,
    catalog: &'static str,
    folder: TempDir,
    // Last, so that it outlives the emulator.
    _flink: Option<Arc<Flink>>,
}

impl Bench {
    fn of(emulator: Emulator, spec: DeploymentSpec, flink: Option<Arc<Flink>>) -> Self {
        Self {
            deployment: emulator.deploy(spec).unwrap(),
            platform: String::new(),
            rules: "deadline: 30s, absent_for: 1s, patience: 500ms".to_owned(),
            catalog: "{ sqlite: catalog.db }",
            folder: tempfile::tempdir().unwrap(),
            emulator,
            _flink: flink,
        }
    }

    /// With a real job behind it.
    fn real() -> Self {
        Self::real_on(Emulator::builder().start().unwrap())
    }

    fn real_on(emulator: Emulator) -> Self {
        let flink = flink();
        let spec = DeploymentSpec::flink("orders", &flink.cluster, &flink.spec, &flink.job);
        Self::of(emulator, spec, Some(flink))
    }

    /// With nothing behind it, for what is never kept.
    fn simulated() -> Self {
        let emulator = Emulator::builder().start().unwrap();
        Self::of(emulator, DeploymentSpec::simulated("orders", TAKES), None)
    }

    /// The same, where a token is asked for.
    fn guarded() -> Self {
        let emulator = Emulator::builder()
            .bearer()
            .namespace("other")
            .start()
            .unwrap();
        Self::of(emulator, DeploymentSpec::simulated("orders", TAKES), None)
    }

    /// More keys of the platform.
    fn platform(mut self, keys: &str) -> Self {
        write!(self.platform, ", {keys}").unwrap();
        self
    }

    /// With an API token, from a file.
    fn token(self, token: &str) -> Self {
        fs::write(self.folder.path().join("token"), token).unwrap();
        self.platform("token: \"${file:token}\"")
    }

    fn rules(mut self, rules: &str) -> Self {
        rules.clone_into(&mut self.rules);
        self
    }

    fn forgetful(mut self) -> Self {
        self.catalog = "none";
        self
    }

    /// What goes wrong with the next request for a savepoint.
    fn wrong(self, deed: Deed) -> Self {
        self.emulator.fault(Fault::on(Call::CreateSavepoint, deed));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let config = self.folder.path().join("lowtide.yaml");
        let yaml = format!(
            "platforms: {{ vvp: {{ ververica: {{ url: {:?}, timeout: 5s{} }} }} }}\ncatalog: {}\ndefaults: {{ {} }}\napplications: [orders]\n",
            self.emulator.url(),
            self.platform,
            self.catalog,
            self.rules,
        );
        fs::write(&config, yaml).unwrap();
        let mut command = process::bound(env!("CARGO_BIN_EXE_lowtide"));
        command
            .args(["--config", config.to_str().unwrap()])
            .args(arguments)
            .env_remove("LOWTIDE_CONFIG")
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command of one run came to, how many requests it made, and what really exists.
    fn story(&self, arguments: &[&str]) -> String {
        self.told(&self.output(arguments))
    }

    fn told(&self, output: &Output) -> String {
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let run = &told["runs"][0];
        let mut text = format!("exit {}\n", output.status.code().unwrap_or(-1));
        for key in ["outcome", "cause", "reason", "hint"] {
            if let Some(said) = run[key].as_str() {
                writeln!(text, "{key}: {said}").unwrap();
            }
        }
        for warning in run["warnings"].as_array().unwrap() {
            writeln!(text, "warning: {}", warning.as_str().unwrap()).unwrap();
        }
        for savepoint in run["savepoints"].as_array().unwrap() {
            let word = |key: &str| savepoint[key].as_str().unwrap().to_owned();
            writeln!(
                text,
                "savepoint: {} {}",
                word("standing"),
                word("verification")
            )
            .unwrap();
        }
        writeln!(text, "requests: {}", self.requests()).unwrap();
        text.replace(self.emulator.url(), "http://vvp")
            .replace(&self.deployment, "DEPLOYMENT")
    }

    /// How many requests for a savepoint came.
    fn requests(&self) -> usize {
        self.emulator.count(Call::CreateSavepoint)
    }

    /// The savepoints that came of requests.
    fn asked_for(&self) -> Vec<Savepoint> {
        let mut all = self.emulator.savepoints(&self.deployment);
        all.retain(|one| one.made_by == MadeBy::Request);
        all
    }

    fn wait_for_request(&self) {
        until("the request", LIMIT, || {
            Ok((self.requests() > 0).then_some(()))
        })
        .unwrap();
    }
}

const TAKE: [&str; 4] = ["take", "orders", "--output", "json"];

macro_rules! snapshot {
    ($text:expr) => {
        insta::with_settings!({ filters => vec![
            (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
            (r"127\.0\.0\.1:\d+", "ADDRESS"),
        ] }, { insta::assert_snapshot!($text) })
    };
}

#[test]
fn a_savepoint_is_taken_proven_and_remembered() {
    let bench = Bench::real();
    snapshot!(bench.story(&TAKE));
    let latest = bench.output(&["latest", "orders"]);
    let location = String::from_utf8(latest.stdout).unwrap();
    let [taken] = &bench.asked_for()[..] else {
        panic!("{:?}", bench.asked_for())
    };
    let taken = taken.location.as_deref().unwrap();
    let path = |text: &str| text.trim().trim_start_matches("file:").replace("//", "/");
    assert_eq!(path(&location), path(taken));
}

#[test]
fn a_deployment_in_a_session_cluster_is_found_by_the_api() {
    let emulator = Emulator::builder().start().unwrap();
    let flink = flink();
    let spec = DeploymentSpec::flink("orders", &flink.cluster, &flink.spec, &flink.job)
        .session_cluster("shared");
    let bench = Bench::of(emulator, spec, Some(flink));
    snapshot!(bench.story(&TAKE));
}

#[test]
fn a_suspended_deployment() {
    let bench = Bench::simulated();
    bench
        .emulator
        .force_state(&bench.deployment, State::Suspended)
        .unwrap();
    let slot = ["run", "orders", "--slot", &now(), "--output", "json"];
    snapshot!(format!("{}\n{}", bench.story(&TAKE), bench.story(&slot)));
}

#[test]
fn a_cancelled_deployment_is_no_alarm_for_a_slot() {
    let bench = Bench::simulated();
    bench
        .emulator
        .force_state(&bench.deployment, State::Cancelled)
        .unwrap();
    let slot = ["run", "orders", "--slot", &now(), "--output", "json"];
    snapshot!(format!("{}\n{}", bench.story(&TAKE), bench.story(&slot)));
}

#[test]
fn a_savepoint_that_fails() {
    let bench = Bench::simulated().wrong(Deed::Fail {
        reason: "SavepointFailedInFlink".into(),
        message: "java.io.IOException: no space left on device".into(),
    });
    snapshot!(bench.story(&TAKE));
}

#[test]
fn a_lost_reply_where_annotations_are_kept() {
    let bench = Bench::real().wrong(Deed::LoseReply);
    snapshot!(bench.story(&TAKE));
    assert_eq!(bench.asked_for().len(), 1);
}

#[test]
fn a_lost_reply_where_annotations_are_dropped() {
    let bench = Bench::real().wrong(Deed::LoseReply);
    bench
        .emulator
        .set(|settings| settings.annotations = Annotations::Dropped);
    snapshot!(bench.story(&TAKE));
    assert_eq!(bench.asked_for().len(), 1);
}

#[test]
fn a_request_that_is_accepted_late() {
    let bench = Bench::real().wrong(Deed::AcceptLate(Duration::from_secs(3)));
    snapshot!(bench.story(&TAKE));
    assert_eq!(bench.asked_for().len(), 1);
}

#[test]
fn a_savepoint_of_somebody_else_at_the_same_time() {
    let bench = Bench::real().wrong(Deed::LoseReply);
    bench
        .emulator
        .set(|settings| settings.annotations = Annotations::Dropped);
    // While ours is under way, so that both are candidates when the platform is asked.
    let story = thread::scope(|scope| {
        scope.spawn(|| {
            bench.wait_for_request();
            bench.emulator.take_foreign(&bench.deployment).unwrap();
        });
        bench.story(&TAKE)
    });
    // Which of the two completes first is not ours to say.
    assert!(story.starts_with("exit 0\noutcome: kept\n"), "{story}");
    assert!(
        story.contains("it counts as foreign and is never deleted"),
        "{story}"
    );
    assert!(story.contains("savepoint: foreign verified"), "{story}");
    assert_eq!(bench.requests(), 1);
    assert_eq!(bench.asked_for().len(), 1);
}

#[test]
fn a_savepoint_of_somebody_else_does_not_take_the_place_of_ours() {
    let bench = Bench::real();
    bench.emulator.take_foreign(&bench.deployment).unwrap();
    let story = bench.story(&TAKE);
    assert!(story.contains("savepoint: kept verified"), "{story}");
    assert_eq!(bench.asked_for().len(), 1);
}

#[test]
fn a_reply_that_is_lost_with_its_request() {
    let bench = Bench::simulated()
        .wrong(Deed::Refuse)
        .rules("deadline: 1s, absent_for: 1s, patience: 0s");
    snapshot!(bench.story(&TAKE));
    assert!(bench.asked_for().is_empty());
}

#[test]
fn an_answer_of_503() {
    let bench = Bench::simulated()
        .wrong(Deed::Answer(503))
        .rules("deadline: 1s, absent_for: 1s, patience: 0s");
    snapshot!(bench.story(&TAKE));
}

#[test]
fn requests_that_the_platform_refuses() {
    let mut text = String::new();
    for status in [400, 404, 409] {
        let bench = Bench::simulated().wrong(Deed::Answer(status));
        writeln!(text, "# {status}\n{}", bench.story(&TAKE)).unwrap();
    }
    snapshot!(text);
}

#[test]
fn tokens_that_do_not_do() {
    let mut text = String::new();
    writeln!(text, "# none\n{}", Bench::guarded().story(&TAKE)).unwrap();
    let unknown = Bench::guarded().token("nobody-s");
    writeln!(text, "# unknown\n{}", unknown.story(&TAKE)).unwrap();
    let bench = Bench::guarded();
    let viewer = bench.emulator.token("default", Role::Viewer).unwrap();
    let bench = bench.token(&viewer);
    writeln!(text, "# viewer\n{}", bench.story(&TAKE)).unwrap();
    let bench = Bench::guarded();
    let other = bench.emulator.token("other", Role::Editor).unwrap();
    let bench = bench.token(&other);
    writeln!(text, "# of another namespace\n{}", bench.story(&TAKE)).unwrap();
    assert!(!text.contains(&viewer) && !text.contains(&other) && !text.contains("nobody-s"));
    snapshot!(text);
}

#[test]
fn login_pages_in_place_of_answers() {
    let mut text = String::new();
    for page in [Unauthenticated::LoginPage, Unauthenticated::RedirectToLogin] {
        let bench = Bench::guarded().rules("deadline: 1s, absent_for: 1s, patience: 0s");
        bench
            .emulator
            .set(|settings| settings.unauthenticated = page);
        writeln!(text, "# {page:?}\n{}", bench.story(&TAKE)).unwrap();
    }
    snapshot!(text);
}

#[test]
fn a_name_in_two_namespaces() {
    let bench = Bench::real_on(
        Emulator::builder()
            .bearer()
            .namespace("other")
            .start()
            .unwrap(),
    );
    let spec = DeploymentSpec::simulated("orders", TAKES).namespace("other");
    let twin = bench.emulator.deploy(spec).unwrap();
    let token = bench.emulator.token("default", Role::Editor).unwrap();
    let bench = bench.token(&token);
    snapshot!(bench.story(&TAKE));
    assert!(bench.emulator.savepoints(&twin).is_empty());
}

#[test]
fn names_are_resolved_and_checked() {
    let bench = Bench::simulated();
    let mut text = String::new();
    let mut say = |bench: &Bench, arguments: &[&str]| {
        let output = bench.output(arguments);
        let out = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        let said = format!(
            "# {}, exit {}\n{out}{err}\n",
            arguments.join(" "),
            output.status.code().unwrap()
        );
        let folder = bench.folder.path().to_str().unwrap();
        text += &said
            .replace(&bench.deployment, "DEPLOYMENT")
            .replace(folder, "FOLDER");
    };
    say(&bench, &["check", "--online"]);
    bench
        .emulator
        .force_state(&bench.deployment, State::Suspended)
        .unwrap();
    say(&bench, &["resolve"]);
    say(&bench, &["check", "--online"]);
    bench.emulator.remove(&bench.deployment).unwrap();
    let other = DeploymentSpec::simulated("orders-2", TAKES);
    bench.emulator.deploy(other).unwrap();
    say(&bench, &["resolve"]);
    say(&bench, &["take", "orders", "--target", "/elsewhere"]);
    insta::with_settings!({ filters => vec![(r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?", "TIME"), (r" {2,}", "  ")] }, {
        insta::assert_snapshot!(text);
    });
    assert_eq!(bench.requests(), 0);
}

fn now() -> String {
    Timestamp::from_second(Timestamp::now().as_second())
        .unwrap()
        .to_string()
}

#[test]
fn without_a_catalog_a_killed_process_is_taken_up_by_its_mark() {
    killed_between_request_and_reply(Annotations::Kept, "savepoint: kept verified");
}

#[test]
fn without_a_catalog_a_killed_process_is_taken_up_without_a_mark() {
    killed_between_request_and_reply(Annotations::Dropped, "savepoint: foreign verified");
}

/// A pod is killed when it has asked and not yet heard; the Job starts another one for the slot.
fn killed_between_request_and_reply(annotations: Annotations, kept: &str) {
    let bench = Bench::real()
        .forgetful()
        .rules("deadline: 2m, absent_for: 1s, patience: 500ms")
        .wrong(Deed::DelayReply(Duration::from_secs(4)));
    bench
        .emulator
        .set(|settings| settings.annotations = annotations);
    let slot = now();
    let slot = ["run", "orders", "--slot", &slot, "--output", "json"];
    let mut killed = bench.command(&slot).spawn().unwrap();
    bench.wait_for_request();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let story = bench.story(&slot);
    assert!(story.starts_with("exit 0\noutcome: kept\n"), "{story}");
    assert!(story.contains(kept), "{story}");
    let [only] = &bench.asked_for()[..] else {
        panic!("{:?}", bench.asked_for())
    };
    assert_eq!((only.phase, bench.requests()), (Phase::Completed, 1));
}

#[test]
fn without_a_catalog_some_commands_make_no_sense() {
    let bench = Bench::simulated().forgetful();
    for command in [
        &["serve"][..],
        &["list"],
        &["latest", "orders"],
        &["show", "orders"],
        &["pause", "orders"],
    ] {
        let output = bench.output(command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("there is no catalog"), "{said}");
        assert!(said.contains("hint: "), "{said}");
    }
}

#[test]
fn outside_of_a_job_there_is_no_slot_to_be_had() {
    let bench = Bench::simulated();
    let mut command = bench.command(&["run", "--slot-from-job"]);
    let output = command.env_remove("LOWTIDE_JOB_NAME").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("LOWTIDE_JOB_NAME") && said.contains("fieldPath"),
        "{said}"
    );
}
