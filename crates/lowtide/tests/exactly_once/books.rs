//! Two sets of books: what Flink did, and what Lowtide says of it.
//!
//! Flink's are the `Triggering checkpoint N (type=SavepointType…` lines in the logs of all
//! JobManagers, and the directories on disk. Lowtide's are the rows of its catalog. Every line and
//! every directory must be explained by a row, and every row by lines and directories.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use lowtide_catalog::{Catalog, RunFilter, SavepointFilter};
use lowtide_core::name::{Location, RunId};
use lowtide_core::run::{Attempt, AttemptEnd, Outcome, OwnDirectory, Run};
use lowtide_core::savepoint::{Provenance, Savepoint, Standing, Verification};
use testbench::flink::{Cluster, JobHandle, SavepointTrigger};
use testbench::http::until;

use crate::program::{Home, Listed};

/// More rows than any of these tests makes.
const ROWS_MAX: u32 = 100_000;

/// What the catalog says.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Every run.
    pub runs: Vec<Run>,
    /// Every savepoint.
    pub savepoints: Vec<Savepoint>,
}

impl Ledger {
    /// Reads the catalog; one that is not there yet is empty.
    pub fn read(catalog: &Path) -> Result<Self> {
        if !catalog.exists() {
            return Ok(Self::default());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let catalog = Catalog::open(catalog).await.context("open the catalog")?;
            let runs = catalog
                .runs(&RunFilter {
                    applications: None,
                    outcome: None,
                    limit: ROWS_MAX,
                })
                .await?;
            let savepoints = catalog
                .savepoints(&SavepointFilter {
                    applications: None,
                    standings: None,
                    only_good: false,
                    limit: ROWS_MAX,
                })
                .await?;
            catalog.close().await;
            Ok(Self { runs, savepoints })
        })
    }
}

/// What came of it all; the summary line of a test.
#[derive(Debug, Default)]
pub struct Tally {
    slots: usize,
    outcomes: BTreeMap<String, usize>,
    triggered: usize,
    calls_repeated: usize,
    whole: usize,
    torn: usize,
    standings: BTreeMap<&'static str, usize>,
    /// Slots for which Flink took more than one savepoint, by why that was allowed.
    repeated: BTreeMap<String, usize>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} slots: {}; savepoints triggered (Flink's log): {}; directories with _metadata: {}, \
             without: {}; in the catalog: {}; same request repeated: {}; second savepoints: {}",
            self.slots,
            list(&self.outcomes),
            self.triggered,
            self.whole,
            self.torn,
            list(&self.standings),
            self.calls_repeated,
            if self.repeated.is_empty() {
                "none".to_owned()
            } else {
                list(&self.repeated)
            },
        )
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.slots += other.slots;
        self.triggered += other.triggered;
        self.calls_repeated += other.calls_repeated;
        self.whole += other.whole;
        self.torn += other.torn;
        add(&mut self.outcomes, other.outcomes);
        add(&mut self.standings, other.standings);
        add(&mut self.repeated, other.repeated);
    }
}

fn add<K: Ord>(all: &mut BTreeMap<K, usize>, more: BTreeMap<K, usize>) {
    for (what, count) in more {
        *all.entry(what).or_default() += count;
    }
}

fn list<K: fmt::Display>(counts: &BTreeMap<K, usize>) -> String {
    counts
        .iter()
        .map(|(what, count)| format!("{count} {what}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whose books are compared: several tests may share a cluster.
#[derive(Debug, Default)]
pub struct Scope {
    /// The applications.
    pub applications: BTreeSet<String>,
    /// The id of every job that ever carried one of their names.
    pub jobs: BTreeSet<String>,
}

impl Scope {
    /// One more job of an application.
    pub fn add(&mut self, job: &JobHandle) {
        self.applications.insert(job.name.clone());
        self.jobs.insert(job.id.clone());
    }
}

/// Compares both sets of books.
///
/// # Errors
/// Everything that breaks the promise, all of it in one message.
pub fn compare(cluster: &Cluster, ledger: &Ledger, scope: &Scope) -> Result<Tally> {
    let mut audit = Audit {
        ledger,
        tally: Tally::default(),
        breaches: Vec::new(),
    };
    let applications = &scope.applications;
    let mut lines = cluster.savepoint_triggers()?;
    lines.retain(|line| scope.jobs.contains(&line.job_id));
    let attributed = audit.attribute(&lines);
    for run in &ledger.runs {
        if applications.contains(run.application.application.as_str()) {
            audit.run(run, &attributed);
        }
    }
    for directory in cluster.savepoint_directories()? {
        let inside = directory
            .path
            .strip_prefix(cluster.savepoint_root())?
            .to_owned();
        let application = inside
            .iter()
            .next()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if applications.contains(&application) {
            audit.directory(&directory.path, directory.has_metadata);
        }
    }
    for savepoint in &ledger.savepoints {
        if applications.contains(savepoint.application.application.as_str()) {
            audit.savepoint(savepoint);
        }
    }
    ensure!(
        audit.breaches.is_empty(),
        "the promise is broken:\n{}",
        audit.breaches.join("\n")
    );
    Ok(audit.tally)
}

/// The longest until a directory that nobody waits for any more is in the catalog: runs that ended
/// in trouble are looked back at after 15 s and after 2 min; and the machine is busy.
const SETTLED: Duration = Duration::from_mins(5);

/// As [`compare`], once everything that is left behind has been looked at: a `serve` without a
/// schedule does that.
pub fn settled(cluster: &Cluster, home: &Home, scope: &Scope) -> Result<Tally> {
    let now = || compare(cluster, &Ledger::read(&home.catalog())?, scope);
    if let Ok(tally) = now() {
        return Ok(tally);
    }
    let names = &scope.applications;
    let listed: Vec<Listed<'_>> = names
        .iter()
        .map(|name| Listed { name, every: None })
        .collect();
    let config = home.config("settle", cluster.url(), &listed)?;
    let _serve = home.start(&config, &["serve"], &[])?;
    until("the books to agree", SETTLED, || now().map(Some))
}

/// How often Flink took a savepoint for an attempt.
type Attributed = BTreeMap<(RunId, u32), usize>;

struct Audit<'l> {
    ledger: &'l Ledger,
    tally: Tally,
    breaches: Vec<String>,
}

impl Audit<'_> {
    fn breach(&mut self, text: String) {
        self.breaches.push(text);
    }

    /// Runs of one application do not overlap, and `sent` is committed before the call: so a line
    /// belongs to the attempt on its job that was the last to be sent when Flink wrote it.
    fn attribute(&mut self, lines: &[SavepointTrigger]) -> Attributed {
        let mut attributed = Attributed::new();
        let ledger = self.ledger;
        for line in lines {
            let at = i64::try_from(line.at_ms).unwrap_or(i64::MAX);
            let sent = |attempt: &Attempt| attempt.sent_at.map(Timestamp::as_millisecond);
            let asked = ledger
                .runs
                .iter()
                .flat_map(|run| run.attempts.iter().map(move |attempt| (run, attempt)))
                .filter(|(_, attempt)| attempt.job.as_str() == line.job_id)
                .filter(|(_, attempt)| sent(attempt).is_some_and(|sent| sent <= at))
                .max_by_key(|(_, attempt)| sent(attempt));
            match asked {
                Some((run, attempt)) => {
                    *attributed.entry((run.id, attempt.number)).or_default() += 1;
                }
                None => self.breach(format!("no row asked for what Flink triggered: {line:?}")),
            }
        }
        self.tally.triggered = lines.len();
        attributed
    }

    fn run(&mut self, run: &Run, attributed: &Attributed) {
        let name = named(run);
        self.tally.slots += 1;
        let Some(outcome) = &run.outcome else {
            return self.breach(format!("{name} has no end: {:?}", run.phase));
        };
        *self.tally.outcomes.entry(outcome.short()).or_default() += 1;
        if !has_reason(outcome) {
            self.breach(format!("{name} ended without a reason: {outcome:?}"));
        }
        let taken: Vec<(&Attempt, usize)> = run
            .attempts
            .iter()
            .map(|attempt| {
                (
                    attempt,
                    attributed
                        .get(&(run.id, attempt.number))
                        .copied()
                        .unwrap_or(0),
                )
            })
            .collect();
        for (attempt, count) in &taken {
            if *count > 1 {
                self.breach(format!(
                    "{name}: Flink took {count} savepoints for attempt {}",
                    attempt.number
                ));
            }
            if attempt.calls > 1 {
                self.tally.calls_repeated += 1;
            }
        }
        let triggered: Vec<&Attempt> = taken
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(attempt, _)| *attempt)
            .collect();
        for earlier in triggered.iter().rev().skip(1) {
            self.proven(run, earlier);
        }
        let kept = self.kept_by(run);
        match outcome {
            Outcome::Kept { location } | Outcome::Unverified { location, .. } => {
                if kept != [location] {
                    self.breach(format!(
                        "{name} says it kept {location}, the catalog {kept:?}"
                    ));
                }
                let last = run.attempt().map(|attempt| attempt.number);
                if triggered.last().map(|attempt| attempt.number) != last {
                    self.breach(format!(
                        "{name} kept what Flink did not take for its last attempt"
                    ));
                }
            }
            Outcome::Failed { .. } | Outcome::Skipped { .. } | Outcome::Missed { .. } => {
                if !kept.is_empty() {
                    self.breach(format!(
                        "{name} ended as {}, yet kept {kept:?}",
                        outcome.short()
                    ));
                }
            }
        }
    }

    /// An attempt that another one followed must have ended for good, and left nothing whole.
    fn proven(&mut self, run: &Run, attempt: &Attempt) {
        let why = match &attempt.end {
            Some(AttemptEnd::Failed { cause }) => format!("after failed({})", cause.kind.as_str()),
            Some(AttemptEnd::Lost { .. }) => "after a proven loss".to_owned(),
            Some(AttemptEnd::NotSent { .. } | AttemptEnd::Completed | AttemptEnd::LostSight)
            | None => {
                return self.breach(format!(
                    "{} took another savepoint although attempt {} had ended as {:?}",
                    named(run),
                    attempt.number,
                    attempt.end
                ));
            }
        };
        *self.tally.repeated.entry(why).or_default() += 1;
        let whole = |savepoint: &&Savepoint| {
            matches!(&savepoint.provenance, Provenance::Run { run: of, attempt: number, .. }
                if *of == run.id && *number == attempt.number)
                && savepoint.standing != Standing::Orphan
        };
        if let Some(savepoint) = self.ledger.savepoints.iter().find(whole) {
            self.breach(format!(
                "{}: attempt {} was given up, and left {}",
                named(run),
                attempt.number,
                savepoint.location
            ));
        }
    }

    fn kept_by(&self, run: &Run) -> Vec<&Location> {
        self.ledger
            .savepoints
            .iter()
            .filter(|savepoint| {
                savepoint.run() == Some(run.id) && savepoint.standing == Standing::Kept
            })
            .map(|savepoint| &savepoint.location)
            .collect()
    }

    fn directory(&mut self, path: &Path, has_metadata: bool) {
        if has_metadata {
            self.tally.whole += 1;
        } else {
            self.tally.torn += 1;
        }
        let location = Location::new(path.to_string_lossy());
        let Some(known) = self
            .ledger
            .savepoints
            .iter()
            .find(|known| known.location == location)
        else {
            return self.breach(format!(
                "{location} (_metadata: {has_metadata}) is not in the catalog"
            ));
        };
        let fits = match known.standing {
            Standing::Kept | Standing::Late => has_metadata,
            Standing::Orphan => {
                !has_metadata || matches!(known.verification, Verification::Broken { .. })
            }
            Standing::Foreign => false,
        };
        if !fits {
            self.breach(format!(
                "{location} (_metadata: {has_metadata}) is {} in the catalog, {}",
                known.standing.as_str(),
                known.verification.word()
            ));
        }
    }

    fn savepoint(&mut self, savepoint: &Savepoint) {
        *self
            .tally
            .standings
            .entry(savepoint.standing.as_str())
            .or_default() += 1;
        let path = savepoint.location.as_str().trim_start_matches("file:");
        if savepoint.standing == Standing::Kept && !Path::new(path).join("_metadata").is_file() {
            self.breach(format!("{} is kept, but is not there", savepoint.location));
        }
    }
}

fn has_reason(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Kept { .. } => true,
        Outcome::Unverified { reason, .. } | Outcome::Missed { reason } => !reason.is_empty(),
        Outcome::Failed { cause } => !cause.text.is_empty(),
        Outcome::Skipped { text, .. } => !text.is_empty(),
    }
}

fn named(run: &Run) -> String {
    match run.nominal() {
        Some(nominal) => format!("slot {nominal} of {}", run.application),
        None => format!("request {} of {}", run.id, run.application),
    }
}

/// What would be a breach is told as one: books that always agree prove nothing.
mod tests {
    use jiff::SignedDuration;
    use jiff::tz::TimeZone;
    use lowtide_core::name::{AppKey, ApplicationName, JobId, PlatformName, TriggerId};
    use lowtide_core::policy::Policy;
    use lowtide_core::run::{Cause, CauseKind, Phase};
    use lowtide_core::savepoint::Format;
    use lowtide_core::schedule::Never;

    use super::*;

    const JOB: &str = "0123456789abcdef0123456789abcdef";

    /// A run that ended as failed, with an attempt sent at each of these seconds.
    fn run(sent: &[i64], end: &AttemptEnd) -> Run {
        let policy = Policy {
            job: "orders".to_owned(),
            schedule: None,
            never: Never::new(Vec::new(), TimeZone::UTC).unwrap(),
            format: Format::Canonical,
            target: None,
            deadline: SignedDuration::from_secs(60),
            attempts: 3,
            patience: SignedDuration::ZERO,
            absent_for: SignedDuration::ZERO,
            catch_up: SignedDuration::ZERO,
            concurrency: 1,
        };
        let key = AppKey {
            platform: PlatformName::new("flink").unwrap(),
            application: ApplicationName::new("orders").unwrap(),
        };
        let start = Timestamp::UNIX_EPOCH;
        let mut run = Run::of_slot(key, start, None, start, &policy);
        let cause = Cause::new(CauseKind::LostSight, "nobody knows");
        run.phase = Phase::Done;
        run.outcome = Some(Outcome::Failed { cause });
        for (number, at) in (1..).zip(sent) {
            let trigger_id = TriggerId::of_attempt(run.id, number);
            run.attempts.push(Attempt {
                directory: Some(OwnDirectory {
                    target: Location::new("/savepoints/orders/1"),
                    base: Location::new("/savepoints"),
                }),
                sent_at: Some(Timestamp::from_second(*at).unwrap()),
                calls: 1,
                end: Some(end.clone()),
                ..Attempt::frozen(
                    number,
                    JobId::new(JOB),
                    start,
                    trigger_id,
                    Format::Canonical,
                    start,
                )
            });
        }
        run
    }

    /// The breaches where Flink triggered at these milliseconds.
    fn breaches(run: Run, at_ms: &[u64]) -> Vec<String> {
        let ledger = Ledger {
            runs: vec![run],
            savepoints: Vec::new(),
        };
        let lines: Vec<SavepointTrigger> = at_ms
            .iter()
            .map(|at_ms| SavepointTrigger {
                checkpoint_id: 1,
                job_id: JOB.to_owned(),
                at_ms: *at_ms,
                kind: "SavepointType{}".to_owned(),
            })
            .collect();
        let mut audit = Audit {
            ledger: &ledger,
            tally: Tally::default(),
            breaches: Vec::new(),
        };
        let attributed = audit.attribute(&lines);
        audit.run(&ledger.runs[0], &attributed);
        audit.breaches
    }

    fn lost() -> AttemptEnd {
        AttemptEnd::Lost {
            text: "nothing is there".to_owned(),
        }
    }

    #[test]
    fn what_is_allowed_is_no_breach() {
        assert!(breaches(run(&[1], &AttemptEnd::LostSight), &[1_500]).is_empty());
        assert!(breaches(run(&[1, 5], &lost()), &[1_500, 5_500]).is_empty());
        assert!(breaches(run(&[1, 5], &AttemptEnd::LostSight), &[5_500]).is_empty());
    }

    #[test]
    fn two_savepoints_for_one_attempt_are_told() {
        let told = breaches(run(&[1], &lost()), &[1_500, 1_600]);
        assert!(told[0].contains("took 2 savepoints"), "{told:?}");
    }

    #[test]
    fn a_second_savepoint_without_a_proven_end_is_told() {
        let told = breaches(run(&[1, 5], &AttemptEnd::LostSight), &[1_500, 5_500]);
        assert!(told[0].contains("took another savepoint"), "{told:?}");
    }

    #[test]
    fn a_savepoint_that_no_row_asked_for_is_told() {
        let told = breaches(run(&[1], &lost()), &[900]);
        assert!(told[0].contains("no row asked"), "{told:?}");
    }

    #[test]
    fn a_run_without_an_end_is_told() {
        let mut open = run(&[], &lost());
        open.outcome = None;
        let told = breaches(open, &[]);
        assert!(told[0].contains("has no end"), "{told:?}");
    }
}
