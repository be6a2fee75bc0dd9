//! The program from outside, against a real Flink: a configuration of its own, one command, and what it
//! said to programs and to people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testbench::flink::{Cluster, JobHandle, JobSpec, Release};
use testbench::http::until;
use testbench::process;

/// For everything that a small job or a small command does.
pub const LIMIT: Duration = Duration::from_mins(3);

/// The cluster that tests share which do not break it. It lives as long as a test uses it.
pub fn cluster() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let started = Cluster::builder(Release::V2_3).slots(16).start().unwrap();
        let started = Arc::new(started);
        *shared = Arc::downgrade(&started);
        started
    })
}

/// A job that is cancelled when the test is over, whatever came of it.
pub struct Job(pub JobHandle);

impl Job {
    pub fn submit(cluster: &Cluster, spec: &JobSpec) -> Self {
        Self(cluster.submit(spec).unwrap())
    }

    pub fn named(cluster: &Cluster, name: &str) -> Self {
        Self::submit(cluster, &JobSpec::named(name))
    }

    /// A job whose state is larger than what Flink keeps inside `_metadata`; returned when that is so.
    pub fn with_files(cluster: &Cluster, spec: JobSpec) -> Self {
        let spec = JobSpec {
            keys: 8,
            value_bytes: 32 << 10,
            ..spec
        };
        let job = Self::submit(cluster, &spec);
        until("state in files", LIMIT, || {
            let trigger = job.trigger_savepoint("CANONICAL")?;
            let operation = job.wait_savepoint(&trigger, LIMIT)?;
            let taken = local(operation["location"].as_str().unwrap_or_default());
            let bytes: u64 = files(&taken).iter().map(|path| size(path)).sum();
            fs::remove_dir_all(taken)?;
            Ok((bytes > 4 * (32 << 10)).then_some(()))
        })
        .unwrap();
        job
    }
}

impl std::ops::Deref for Job {
    type Target = JobHandle;

    fn deref(&self) -> &JobHandle {
        &self.0
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // It may have ended, or its cluster may be down: what counts is that none is left behind.
        let _ = self.control.unblock().and_then(|()| self.cancel());
    }
}

/// How many savepoints of a job its JobManager has begun, whatever anybody else says.
pub fn begun(cluster: &Cluster, job: &JobHandle) -> usize {
    let triggers = cluster.savepoint_triggers().unwrap();
    triggers.iter().filter(|it| it.job_id == job.id).count()
}

/// How often a job went down.
pub fn restarts(cluster: &Cluster, job: &JobHandle) -> u64 {
    let path = format!("/jobs/{}/metrics?get=numRestarts", job.id);
    until("the job's restarts", LIMIT, || {
        let metric = cluster.get(&path)?;
        Ok(metric[0]["value"]
            .as_str()
            .and_then(|text| text.parse().ok()))
    })
    .unwrap()
}

/// The same, once the job went down that often: Flink says why a savepoint failed before it counts the
/// restart.
pub fn restarts_from(cluster: &Cluster, job: &JobHandle, least: u64) -> u64 {
    until("the job to restart", LIMIT, || {
        Ok(Some(restarts(cluster, job)).filter(|seen| *seen >= least))
    })
    .unwrap()
}

/// The path of a location on this machine.
pub fn local(location: &str) -> PathBuf {
    PathBuf::from(location.strip_prefix("file:").unwrap_or(location))
}

/// All files of a savepoint but its `_metadata`.
pub fn files(savepoint: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(savepoint).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| !path.ends_with("_metadata"));
    paths.sort();
    paths
}

pub fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// A configuration and a catalog of their own.
pub struct Lowtide {
    folder: TempDir,
    platform: BTreeMap<String, String>,
    rules: BTreeMap<String, String>,
    applications: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Lowtide {
    /// One platform, `flink`, at this address; rules that make waiting short.
    pub fn on(url: &str) -> Self {
        let pairs = |pairs: &[(&str, &str)]| {
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            pairs.iter().map(own).collect()
        };
        Self {
            folder: tempfile::Builder::new()
                .prefix("lowtide-trouble-")
                .tempdir()
                .unwrap(),
            platform: pairs(&[("url", &format!("{url:?}")), ("timeout", "10s")]),
            rules: pairs(&[
                ("deadline", "3m"),
                ("patience", "500ms"),
                ("absent_for", "2s"),
            ]),
            applications: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// One more key of the platform.
    pub fn platform(mut self, key: &str, value: impl Into<String>) -> Self {
        self.platform.insert(key.to_owned(), value.into());
        self
    }

    /// One more key of `defaults`, or another value for one of ours.
    pub fn rule(mut self, key: &str, value: impl Into<String>) -> Self {
        self.rules.insert(key.to_owned(), value.into());
        self
    }

    /// One more application.
    pub fn application(mut self, name: &str) -> Self {
        self.applications.push(format!("{{ name: {name:?} }}"));
        self
    }

    /// One more variable of the environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A folder of this configuration's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.command(arguments).output().unwrap())
    }

    /// `lowtide take NAME --output json`, and the one run that it tells of.
    pub fn take(&self, name: &str) -> Told {
        Told::new(self, name, self.run(&["take", name, "--output", "json"]))
    }

    /// `lowtide run NAME --output json`, and the one run that it tells of.
    pub fn fill(&self, name: &str) -> Told {
        Told::new(self, name, self.run(&["run", name, "--output", "json"]))
    }

    /// Does something while `lowtide take NAME …` (or `run`) waits for its end.
    pub fn meanwhile(&self, arguments: &[&str], act: impl FnOnce()) -> Told {
        let mut command = self.command(arguments);
        command.args(["--output", "json"]);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut waiting = Waiting(Some(child));
        act();
        let child = waiting.0.take().unwrap();
        let ran = Ran::new(child.wait_with_output().unwrap());
        Told::new(self, arguments[1], ran)
    }

    /// Waits until the newest run of an application is as `is_so` wants it, and returns it.
    pub fn wait_until(&self, what: &str, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(what, LIMIT, || {
            let shown = self.run(&["show", name, "--output", "json"]);
            let run: Value = serde_json::from_str(&shown.stdout)?;
            if is_so(&run) {
                Ok(Some(run))
            } else {
                // Not yet; if time runs out, this is what was seen last.
                Err(std::io::Error::other(format!("{run:#}")).into())
            }
        })
        .unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let config = self.folder().join("lowtide.yaml");
        // Another command may be reading it just now.
        let yaml = self.yaml();
        if fs::read_to_string(&config).ok().as_ref() != Some(&yaml) {
            fs::write(&config, yaml).unwrap();
        }
        let mut command = process::bound(env!("CARGO_BIN_EXE_lowtide"));
        command.arg("--config").arg(config).args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn yaml(&self) -> String {
        let map = |pairs: &BTreeMap<String, String>| {
            let pairs = pairs.iter().map(|(key, value)| format!("{key}: {value}"));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        };
        let mut yaml = format!(
            "platforms: {{ flink: {{ flink: {} }} }}\n",
            map(&self.platform)
        );
        writeln!(yaml, "catalog: {{ sqlite: catalog.db }}").unwrap();
        writeln!(yaml, "defaults: {}", map(&self.rules)).unwrap();
        writeln!(yaml, "applications: [{}]", self.applications.join(", ")).unwrap();
        yaml
    }
}

/// A command that is killed if the test fails while it waits.
struct Waiting(Option<Child>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended meanwhile.
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Asserts that this stands on stderr.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no {text:?} in {self:#?}");
        self
    }
}

/// What came of one run, as told to programs (JSON) and to people (stderr, and `show` afterwards).
#[derive(Debug)]
pub struct Told {
    pub ran: Ran,
    pub run: Value,
    shown: String,
}

impl Told {
    fn new(lowtide: &Lowtide, name: &str, ran: Ran) -> Self {
        let mut told = ran.json();
        Self {
            run: told["runs"][0].take(),
            shown: lowtide.run(&["show", name]).stdout,
            ran,
        }
    }

    /// Asserts the exit code, the outcome and the cause's word, which is `null` for none.
    #[track_caller]
    fn ended(&self, code: i32, outcome: &str, cause: Option<&str>) -> &Self {
        let ended = (
            self.ran.code,
            self.run["outcome"].as_str(),
            self.run["cause"].as_str(),
        );
        assert_eq!(ended, (code, Some(outcome), cause), "{self:#?}");
        self
    }

    /// Kept: the savepoint is there, and proven.
    #[track_caller]
    pub fn kept(&self) -> &Self {
        self.ended(0, "kept", None);
        let location = self.run["location"].as_str().unwrap();
        assert!(local(location).join("_metadata").is_file(), "{self:#?}");
        let savepoints = self.run["savepoints"].as_array().unwrap().iter();
        let mut kept = savepoints.filter(|it| it["standing"] == "kept");
        assert_eq!(
            kept.next().unwrap()["verification"],
            "verified",
            "{self:#?}"
        );
        assert_eq!(kept.next(), None, "{self:#?}");
        self
    }

    /// Failed with this cause.
    #[track_caller]
    pub fn failed(&self, cause: &str) -> &Self {
        self.ended(1, "failed", Some(cause))
    }

    /// Skipped by this rule.
    #[track_caller]
    pub fn skipped(&self, rule: &str) -> &Self {
        self.ended(0, "skipped", Some(rule))
    }

    /// Taken, but not readable.
    #[track_caller]
    pub fn unverified(&self) -> &Self {
        self.ended(4, "unverified", None)
    }

    /// The reason is told, to programs, at the end of the command, and whenever somebody looks.
    #[track_caller]
    pub fn because(&self, text: &str) -> &Self {
        self.everywhere("reason", text, text)
    }

    /// So is what to do about it.
    #[track_caller]
    pub fn hints(&self, text: &str) -> &Self {
        self.everywhere("hint", text, "\nhint: ")
    }

    #[track_caller]
    fn everywhere(&self, key: &str, text: &str, shown: &str) -> &Self {
        let told = self.run[key].as_str().unwrap_or_default();
        assert!(told.contains(text), "no {text:?} in the {key} of {self:#?}");
        for place in [&self.ran.stderr, &self.shown] {
            assert!(
                place.contains(told) && place.contains(shown),
                "no {told:?} in {place}"
            );
        }
        self
    }

    /// What people should know is told, too.
    #[track_caller]
    pub fn warns(&self, text: &str) -> &Self {
        let warnings = self.run["warnings"].as_array().unwrap().iter();
        let mut warnings = warnings.filter_map(Value::as_str);
        let warning = warnings.find(|warning| warning.contains(text));
        let warning = warning.unwrap_or_else(|| panic!("no warning {text:?} in {self:#?}"));
        for place in [&self.ran.stderr, &self.shown] {
            assert!(place.contains(warning), "no {warning:?} in {place}");
        }
        self
    }

    #[track_caller]
    pub fn attempts(&self, count: usize) -> &Self {
        assert_eq!(
            self.run["attempts"].as_array().unwrap().len(),
            count,
            "{self:#?}"
        );
        self
    }

    /// How long it took, from the request to the end.
    pub fn took(&self) -> Duration {
        Duration::from_millis(self.run["duration_ms"].as_u64().unwrap())
    }
}
