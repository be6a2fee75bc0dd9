//! Every error that a user can meet at the command line, what to do about it, and its exit code.
//!
//! `Display` says what went wrong, never its source: [`render`] prints the whole chain once, then
//! `hint:` lines. A test renders an example of every variant; a variant without one fails it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use lowtide_core::adopt::Refusal;
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::name::{AppKey, Location, PlatformName};
use lowtide_core::ports::CatalogError;
use lowtide_core::verify::Report;
use lowtide_world::flink::SettingsError;

use crate::config::ConfigError;
use crate::exit::Exit;
use crate::human;
use crate::style::{self, BAD};
use crate::uids::UidsError;

/// Most names listed in a hint: with more, `lowtide check` is the better place to look.
const NAMES_LISTED_MAX: usize = 8;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(test, derive(strum::VariantNames, strum::IntoStaticStr))]
pub enum Trouble {
    /// The configuration cannot be found, read or understood. It renders itself, with carets.
    #[error(transparent)]
    Config(ConfigError),
    /// A name that means no known application.
    #[error("no application is named `{name}`")]
    UnknownName {
        /// As typed.
        name: String,
        /// What may have been meant.
        suggestions: Vec<String>,
        /// How many applications are known.
        known: usize,
    },
    /// A bare name that several platforms have.
    #[error("`{name}` is the name of {} applications", candidates.len())]
    AmbiguousName {
        /// As typed.
        name: String,
        /// With their platforms.
        candidates: Vec<String>,
    },
    /// `run --slot` with a time that has not come.
    #[error("the slot {} has not come yet: it is {} away", human::time_utc(*slot), human::duration(*away))]
    SlotAhead {
        /// As given.
        slot: Timestamp,
        /// How far ahead.
        away: SignedDuration,
    },
    /// A command that reads or needs a memory, where the configuration says that there is none.
    #[error("there is no catalog, and `{command}` needs one")]
    NoCatalog {
        /// Which command.
        command: &'static str,
    },
    /// `take --target` on a platform that chooses directories itself.
    #[error("the platform of `{application}` chooses the directory of savepoints itself")]
    NoTarget {
        /// Which.
        application: AppKey,
    },
    /// `run --slot-from-job` where nothing says which Job that is.
    #[error("the environment variable {variable} does not name a Job")]
    NoJobName {
        /// Which variable.
        variable: &'static str,
    },
    /// `run --slot-from-job`, and Kubernetes did not tell.
    #[error("cannot find out which slot the Job `{job}` is for")]
    NoSlot {
        /// Which Job.
        job: String,
        /// Why.
        #[source]
        source: Fault,
    },
    /// `latest` of an application without a verified savepoint.
    #[error("`{application}` has no verified savepoint")]
    NoneVerified {
        /// Which.
        application: AppKey,
    },
    /// `latest --max-age` and the newest is older.
    #[error("the newest verified savepoint of `{application}` is {} old, more than {}", human::duration(*age), human::duration(*age_max))]
    TooOld {
        /// Which.
        application: AppKey,
        /// Where it lies.
        location: Location,
        /// How old it is.
        age: SignedDuration,
        /// How old it may be.
        age_max: SignedDuration,
    },
    /// `show` of something that the catalog does not know.
    #[error("the catalog knows no run, application or savepoint `{what}`")]
    NothingKnown {
        /// As typed.
        what: String,
        /// What may have been meant.
        suggestions: Vec<String>,
    },
    /// `show` of an application that has no run yet.
    #[error("`{application}` has no runs yet")]
    NoRuns {
        /// Which.
        application: AppKey,
    },
    /// First digits that several runs share.
    #[error("several runs begin with `{digits}`")]
    AmbiguousRun {
        /// As typed.
        digits: String,
        /// Their ids.
        candidates: Vec<String>,
    },
    /// `inspect` of something that cannot be read: broken is something else.
    #[error("cannot read {location}")]
    Unreadable {
        /// As typed, in Flink's spelling.
        location: Location,
        /// Why.
        #[source]
        source: Fault,
    },
    /// `inspect --uids` with a list that is none.
    #[error("the list of uids {} cannot be used", path.display())]
    Uids {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: UidsError,
    },
    /// `inspect --operator` with an operator that is not there.
    #[error("no operator has the uid, the name or the id `{operator}`")]
    NoOperator {
        /// As typed.
        operator: String,
        /// What may have been meant.
        suggestions: Vec<String>,
    },
    /// `diff` of something whose metadata cannot be understood.
    #[error("{location} is broken: {what}")]
    Broken {
        /// In Flink's spelling.
        location: Location,
        /// What is wrong.
        what: String,
    },
    /// `diff --against-job` of a name that means no running job, or several.
    #[error("`{application}` has no job to compare with: {reason}")]
    NoJob {
        /// Which.
        application: AppKey,
        /// What there is instead.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// `diff --against-job` where the job's plan cannot be had.
    #[error("cannot read the plan of the job of `{application}`")]
    NoPlan {
        /// Which.
        application: AppKey,
        /// Why.
        #[source]
        source: Fault,
    },
    /// `scan` of a directory in which everything belongs to snapshots beside it.
    #[error("{location} holds what snapshots beside it share")]
    SharedPrefix {
        /// Where it lies.
        location: Location,
    },
    /// `adopt` of something that is broken.
    #[error("{location} is broken")]
    NotWhole {
        /// Where it lies.
        location: Location,
        /// What is wrong with it.
        report: Box<Report>,
    },
    /// `adopt` of something that cannot be what was asked for.
    #[error("cannot adopt {location}")]
    NotAdopted {
        /// Where it lies.
        location: Location,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// The catalog cannot be opened.
    #[error("cannot open the catalog")]
    CatalogOpen {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
        /// What to do.
        hint: Option<String>,
    },
    /// The catalog stopped working.
    #[error("cannot {doing}")]
    Catalog {
        /// What was tried, as a verb phrase.
        doing: &'static str,
        /// Why.
        #[source]
        source: CatalogError,
    },
    /// A platform's client cannot be set up: a certificate that cannot be read, for instance.
    #[error("cannot set up the platform `{platform}`")]
    Platform {
        /// Which.
        platform: PlatformName,
        /// Why.
        #[source]
        source: Box<SettingsError>,
    },
    /// A task of this process panicked.
    #[error("walking the run of `{application}` ended by a defect of Lowtide: {text}")]
    Defect {
        /// Whose run.
        application: AppKey,
        /// What the panic said.
        text: String,
    },
    /// The system gave no randomness.
    #[error("the system gives no random numbers: {text}")]
    Randomness {
        /// Its own words.
        text: String,
    },
    /// The process could not be set up.
    #[error("cannot {doing}")]
    Start {
        /// What was tried.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A result could not be written.
    #[error("cannot write {to}")]
    Write {
        /// Where to.
        to: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Trouble {
    /// A failure of the catalog while doing something.
    pub fn catalog(doing: &'static str) -> impl FnOnce(CatalogError) -> Self {
        move |source| Self::Catalog { doing, source }
    }

    /// Its exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            | Self::UnknownName { .. }
            | Self::AmbiguousName { .. }
            | Self::AmbiguousRun { .. }
            | Self::SlotAhead { .. }
            | Self::NoCatalog { .. }
            | Self::NoTarget { .. }
            | Self::NoJobName { .. }
            | Self::Uids { .. }
            | Self::NoOperator { .. }
            | Self::SharedPrefix { .. }
            | Self::CatalogOpen { .. }
            | Self::Platform { .. } => Exit::Usage,
            Self::Unreadable { .. } | Self::NoPlan { .. } => Exit::Unverified,
            // Nothing was asked of any platform: another pod of the Job may find out.
            Self::NoSlot { source, .. } if source.kind == FaultKind::Transient => Exit::Unknown,
            Self::NoSlot { .. }
            | Self::NoneVerified { .. }
            | Self::TooOld { .. }
            | Self::NothingKnown { .. }
            | Self::NoRuns { .. }
            | Self::Broken { .. }
            | Self::NoJob { .. }
            | Self::NotWhole { .. }
            | Self::NotAdopted { .. }
            | Self::Catalog { .. }
            | Self::Defect { .. }
            | Self::Randomness { .. }
            | Self::Start { .. }
            | Self::Write { .. } => Exit::Failed,
        }
    }

    /// What a person can do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownName {
                suggestions, known, ..
            } => vec![match (suggestions.as_slice(), known) {
                ([], 0) => "the configuration lists no applications".to_owned(),
                ([], _) => "`lowtide check` lists the names that there are".to_owned(),
                (some, _) => format!("did you mean {}?", alternatives(some)),
            }],
            Self::AmbiguousName { candidates, .. } | Self::AmbiguousRun { candidates, .. } => {
                vec![format!("say which: {}", alternatives(candidates))]
            }
            Self::SlotAhead { .. } => vec![
                "leave `--slot` out to take one now, or let `lowtide serve` wait for its slots"
                    .to_owned(),
            ],
            Self::NoCatalog { command: "serve" } => vec![
                "write `catalog: { sqlite: PATH }` with a place that outlives the process, or have a CronJob call `lowtide run --slot TIME`"
                    .to_owned(),
            ],
            Self::NoCatalog { .. } => vec![
                "the configuration says `catalog: none`, so nothing is remembered; `catalog: { sqlite: PATH }` remembers"
                    .to_owned(),
            ],
            Self::NoTarget { .. } => vec![
                "leave `--target` out; the deployment's `state.savepoints.dir`, or the platform's Universal Blob Storage, decides"
                    .to_owned(),
            ],
            Self::NoJobName { variable } => vec![
                format!("in the pod template: `- name: {variable}`, `valueFrom: {{ fieldRef: {{ fieldPath: \"metadata.labels['batch.kubernetes.io/job-name']\" }} }}`"),
                "outside of Kubernetes, name the slot: `--slot TIME`".to_owned(),
            ],
            Self::NoneVerified { application } => vec![
                format!("take one: lowtide take {application}"),
                format!("what became of the last try: lowtide show {application}"),
            ],
            Self::TooOld {
                application,
                location,
                ..
            } => vec![
                format!("it lies at {location}"),
                format!("what became of the last try: lowtide show {application}"),
            ],
            Self::NothingKnown { suggestions, .. } => vec![match suggestions.as_slice() {
                [] => "`lowtide list --all` lists what there is".to_owned(),
                some => format!("did you mean {}?", alternatives(some)),
            }],
            Self::NoRuns { application } => vec![format!("take one: lowtide take {application}")],
            Self::Uids { source, .. } => source.hint().map(str::to_owned).into_iter().collect(),
            Self::NoOperator { suggestions, .. } => vec![match suggestions.as_slice() {
                [] => "`lowtide inspect --all` lists the operators that there are".to_owned(),
                some => format!("did you mean {}?", alternatives(some)),
            }],
            Self::Broken { .. } => vec!["Flink cannot restore from it either".to_owned()],
            Self::Unreadable { source, .. }
            | Self::NoPlan { source, .. }
            | Self::NoSlot { source, .. } => source.hint.clone().into_iter().collect(),
            Self::SharedPrefix { .. } => vec![
                "scan the directory above it: without the snapshots, all of it would look like orphans"
                    .to_owned(),
            ],
            Self::NotWhole { .. } => {
                vec!["nothing was recorded: a job could not be restored from it".to_owned()]
            }
            Self::NotAdopted { source, .. } => vec![match source {
                Refusal::OfAnother { .. } => {
                    "one place is recorded once: adopt it for that application, or a copy of it"
                        .to_owned()
                }
                Refusal::Checkpoint => {
                    "leave `--own` out, or take a savepoint of a job restored from it".to_owned()
                }
                Refusal::BrokenWithin { .. } => {
                    "bring back what `lowtide show` names, and `lowtide verify --deep` it".to_owned()
                }
            }],
            Self::Platform { source, .. } => vec![source.hint()],
            Self::Config(wrong) => wrong.hints(),
            Self::NoJob { hint, .. } | Self::CatalogOpen { hint, .. } => {
                hint.clone().into_iter().collect()
            }
            Self::Catalog { .. } => vec![
                "nothing is lost: what was committed is in the catalog, and the next `run`, `take` or `serve` goes on from there"
                    .to_owned(),
            ],
            Self::Defect { .. } => vec![
                "the run is in the catalog as it stood: the next `run`, `take` or `serve` goes on from there"
                    .to_owned(),
            ],
            Self::Randomness { .. } | Self::Start { .. } | Self::Write { .. } => Vec::new(),
        }
    }
}

fn alternatives(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_LISTED_MAX)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = names.len() - shown.len();
    let listed = match shown.as_slice() {
        [first @ .., last] if !first.is_empty() && more == 0 => {
            format!("{} or {last}", first.join(", "))
        }
        all => all.join(", "),
    };
    if more == 0 {
        listed
    } else {
        format!("{listed} or {more} others")
    }
}

/// The whole chain once, then the hints; with colours as escape sequences, which the stream
/// strips where they do not belong. `color` is for the carets of the configuration.
pub fn render(trouble: &Trouble, color: bool) -> String {
    // Writing to a String cannot fail.
    let mut text = match trouble {
        Trouble::Config(wrong) if !wrong.problems().is_empty() => {
            format!("{}\n", wrong.render(color))
        }
        _ => format!("{BAD}error{BAD:#}: {trouble}\n"),
    };
    if let Trouble::NotWhole { report, .. } = trouble {
        text.push_str(&human::findings(&report.findings, report.findings_total));
    }
    let mut cause = trouble.source();
    while let Some(source) = cause {
        let _ = writeln!(text, "  because: {source}");
        cause = source.source();
    }
    for hint in trouble.hints() {
        text.push_str(&style::hint(&hint));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::io;

    use lowtide_core::name::ApplicationName;
    use strum::VariantNames;

    use super::*;

    fn orders() -> AppKey {
        AppKey {
            platform: PlatformName::new("session").unwrap(),
            application: ApplicationName::new("orders").unwrap(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn denied() -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, "permission denied")
    }

    /// At least one of every variant; more where the hints differ.
    fn examples() -> Vec<Trouble> {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        vec![
            Trouble::Config(ConfigError::NotFound {
                default: "lowtide.yaml".into(),
            }),
            Trouble::Config(ConfigError::Unreadable {
                path: "/etc/lowtide.yaml".into(),
                source: denied(),
            }),
            Trouble::Config(
                crate::config::parse("lowtide.yaml", "platfroms: {}\n", &crate::config::fetch)
                    .unwrap_err(),
            ),
            Trouble::UnknownName {
                name: "Orders".into(),
                suggestions: names(&["orders", "orders-eu"]),
                known: 12,
            },
            Trouble::UnknownName {
                name: "zebra".into(),
                suggestions: vec![],
                known: 12,
            },
            Trouble::UnknownName {
                name: "orders".into(),
                suggestions: vec![],
                known: 0,
            },
            Trouble::AmbiguousName {
                name: "orders".into(),
                candidates: names(&["session/orders", "vvp/orders"]),
            },
            Trouble::SlotAhead {
                slot: at("2026-11-23T01:00:00Z"),
                away: SignedDuration::from_mins(754),
            },
            Trouble::NoCatalog { command: "serve" },
            Trouble::NoCatalog { command: "list" },
            Trouble::NoTarget {
                application: orders(),
            },
            Trouble::NoJobName {
                variable: "LOWTIDE_JOB_NAME",
            },
            Trouble::NoSlot {
                job: "lowtide-29300100".into(),
                source: Fault::permanent("the API server says no").hint("the Role lacks a verb"),
            },
            Trouble::SharedPrefix {
                location: Location::new("/checkpoints/5f9c/shared"),
            },
            Trouble::NotWhole {
                location: Location::new("/savepoints/savepoint-1-2"),
                report: Box::new(Report {
                    findings: names(&["missing: file:/savepoints/savepoint-1-2/a"]),
                    findings_total: 3,
                    ..Report::default()
                }),
            },
            Trouble::NotAdopted {
                location: Location::new("/savepoints/savepoint-1-2"),
                source: Refusal::OfAnother {
                    application: orders(),
                    standing: lowtide_core::savepoint::Standing::Kept,
                },
            },
            Trouble::NotAdopted {
                location: Location::new("/checkpoints/5f9c/chk-42"),
                source: Refusal::Checkpoint,
            },
            Trouble::NotAdopted {
                location: Location::new("/savepoints/savepoint-1-2"),
                source: Refusal::BrokenWithin {
                    at: Timestamp::UNIX_EPOCH,
                },
            },
            Trouble::NoneVerified {
                application: orders(),
            },
            Trouble::TooOld {
                application: orders(),
                location: Location::new("/savepoints/orders/20261122T010000Z-1/savepoint-1-2"),
                age: SignedDuration::from_hours(30),
                age_max: SignedDuration::from_hours(26),
            },
            Trouble::NothingKnown {
                what: "oders".into(),
                suggestions: names(&["orders"]),
            },
            Trouble::NothingKnown {
                what: "/savepoints/x".into(),
                suggestions: vec![],
            },
            Trouble::NoRuns {
                application: orders(),
            },
            Trouble::AmbiguousRun {
                digits: "cc69".into(),
                candidates: (0..10).map(|n| format!("cc69{n:028x}")).collect(),
            },
            Trouble::Unreadable {
                location: Location::new("s3://bucket/savepoint-1-2"),
                source: Fault::permanent("the region is not known").hint("set AWS_REGION"),
            },
            Trouble::Uids {
                path: "orders.uids".into(),
                source: UidsError::Twice {
                    line: 7,
                    first: 3,
                    uid: "sessions".into(),
                },
            },
            Trouble::Uids {
                path: "orders.uids".into(),
                source: UidsError::Unreadable(denied()),
            },
            Trouble::NoOperator {
                operator: "session".into(),
                suggestions: names(&["sessions"]),
            },
            Trouble::NoOperator {
                operator: "zebra".into(),
                suggestions: vec![],
            },
            Trouble::Broken {
                location: Location::new("s3://bucket/savepoint-1-2"),
                what: "the directory has no `_metadata`".into(),
            },
            Trouble::NoJob {
                application: orders(),
                reason: "no running job is named `orders`".into(),
                hint: Some("instead of `orders` there is `order`: did you mean that?".into()),
            },
            Trouble::NoPlan {
                application: orders(),
                source: Fault::transient("connection refused").hint("is the JobManager running?"),
            },
            Trouble::CatalogOpen {
                source: Box::new(denied()),
                hint: Some("Lowtide must be able to write the file".into()),
            },
            Trouble::Catalog {
                doing: "claim the run",
                source: CatalogError::Broken("writing: disk I/O error".into()),
            },
            Trouble::Platform {
                platform: PlatformName::new("session").unwrap(),
                source: Box::new(SettingsError::Scheme("ftp".into())),
            },
            Trouble::Defect {
                application: orders(),
                text: "index out of bounds".into(),
            },
            Trouble::Randomness {
                text: "no such device".into(),
            },
            Trouble::Start {
                doing: "listen for signals",
                source: denied(),
            },
            Trouble::Write {
                to: "target/man".into(),
                source: denied(),
            },
        ]
    }

    #[test]
    fn every_variant_has_an_example() {
        let shown: BTreeSet<&'static str> = examples().iter().map(Into::into).collect();
        let all: BTreeSet<&'static str> = Trouble::VARIANTS.iter().copied().collect();
        assert_eq!(shown, all);
    }

    #[test]
    fn every_error_reads_well() {
        let mut text = String::new();
        for trouble in examples() {
            let variant: &'static str = (&trouble).into();
            let plain = anstream::adapter::strip_str(&render(&trouble, false)).to_string();
            let _ = writeln!(text, "# {variant}, exit {}\n{plain}", trouble.exit().code());
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_chain_is_printed_once() {
        for trouble in examples() {
            let text = render(&trouble, false);
            let mut cause = trouble.source();
            while let Some(source) = cause {
                let line = source.to_string();
                assert_eq!(text.matches(&line).count(), 1, "{text}");
                cause = source.source();
            }
        }
    }
}
