//! From what Flink says of a failed savepoint to a cause that people understand.
//!
//! Flink answers with a Java stack trace of 30 to 200 KB. What matters is in its chain of
//! exceptions: the `CheckpointException` says what became of the savepoint (its texts are those
//! of Flink's `CheckpointFailureReason`), the deepest one says why.

use lowtide_core::run::{Cause, CauseKind};

use crate::text::one_line;

/// Most links of a chain that are read: real ones have fewer than twenty.
const LINKS_MAX: usize = 64;

/// One exception of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link<'a> {
    /// Its class without packages.
    class: &'a str,
    message: &'a str,
}

/// What Flink's texts mean, first match first: a text in the chain, the kind, and what to do.
const TABLE: &[(&str, CauseKind, Option<&str>)] = &[
    (
        "FlinkJobNotFoundException",
        CauseKind::NotRunning,
        Some("the job ended, or was submitted again under another id"),
    ),
    (
        "Could not find Flink job",
        CauseKind::NotRunning,
        Some("the job ended, or was submitted again under another id"),
    ),
    (
        "Not all required tasks are currently running",
        CauseKind::NotReady,
        Some(NOT_READY),
    ),
    (
        "is not being executed at the moment",
        CauseKind::NotReady,
        Some(NOT_READY),
    ),
    (
        "job is currently not executing",
        CauseKind::NotReady,
        Some(NOT_READY),
    ),
    (
        "declined (tasks not ready)",
        CauseKind::NotReady,
        Some(NOT_READY),
    ),
    (
        "The maximum number of queued checkpoint requests exceeded",
        CauseKind::NotReady,
        Some("too many checkpoints wait already; look at the job's checkpoints in Flink's UI"),
    ),
    (
        "does not support CANONICAL savepoints",
        CauseKind::UnsupportedFormat,
        Some("set `format: native` for the application"),
    ),
    (
        "is not a streaming job",
        CauseKind::SavepointFailed,
        Some("only streaming jobs have savepoints"),
    ),
    (
        "Blocking output edge exists",
        CauseKind::SavepointFailed,
        Some(
            "the job has a batch part (a blocking edge): such a job has no savepoints while that runs",
        ),
    ),
    (
        "Checkpoint expired before completing",
        CauseKind::Expired,
        Some(
            "raise `execution.checkpointing.timeout` of the job, or take savepoints when it is less busy (`format: native` is faster for large state)",
        ),
    ),
    (
        "Unsupported file system scheme",
        CauseKind::Target,
        Some(SCHEME),
    ),
    (
        "UnsupportedFileSystemSchemeException",
        CauseKind::Target,
        Some(SCHEME),
    ),
    (
        "Could not find a file system implementation",
        CauseKind::Target,
        Some(SCHEME),
    ),
    (
        "Failed to create savepoint directory",
        CauseKind::Target,
        Some(JOB_MANAGER_WRITE),
    ),
    (
        "IO-problem detected",
        CauseKind::Target,
        Some(JOB_MANAGER_WRITE),
    ),
    (
        "Failure to finalize checkpoint",
        CauseKind::Target,
        Some(JOB_MANAGER_WRITE),
    ),
    (
        "Asynchronous task checkpoint failed",
        CauseKind::TaskFailed,
        Some(TASK_WRITE),
    ),
    ("Checkpoint was declined", CauseKind::TaskFailed, Some(TASK)),
    ("Task has failed", CauseKind::TaskFailed, Some(TASK)),
    (
        "Task local checkpoint failure",
        CauseKind::TaskFailed,
        Some(TASK),
    ),
    (
        "sharing the ChannelState file",
        CauseKind::TaskFailed,
        Some(TASK),
    ),
    (
        "Checkpoint Coordinator is suspending",
        CauseKind::TaskFailed,
        Some(SUSPENDING),
    ),
    (
        "CheckpointCoordinator shutdown",
        CauseKind::TaskFailed,
        Some("the job ended or failed meanwhile; look at its exceptions in Flink's UI"),
    ),
    (
        "FailoverRegion is restarting",
        CauseKind::TaskFailed,
        Some(TASK),
    ),
    ("The job has failed", CauseKind::TaskFailed, Some(TASK)),
];

const NOT_READY: &str = "the job was starting or restarting; look at its tasks in Flink's UI";
const SCHEME: &str = "the cluster has no file system for this scheme: add its plugin (`flink-s3-fs-…`) to the cluster, or choose another `target:`";
const JOB_MANAGER_WRITE: &str = "can the JobManager write to the target directory?";
const TASK_WRITE: &str = "can every TaskManager write to the target directory, and is there room? where the job tolerates no failed checkpoints, this restarts it (`execution.checkpointing.tolerable-failed-checkpoints`)";
const TASK: &str = "a task failed during the savepoint, and the job restarts; look at its exceptions in Flink's UI";
const SUSPENDING: &str = "the job failed and restarts; look at its exceptions in Flink's UI (a state backend that cannot write the format shows itself only in the JobManager's log)";

/// The cause of a savepoint that Flink says has failed.
pub(super) fn classify(stack_trace: &str) -> Cause {
    let chain = chain(stack_trace);
    let text = text(&chain);
    let found = TABLE.iter().find(|(wanted, ..)| {
        chain
            .iter()
            .any(|link| link.message.contains(wanted) || link.class == *wanted)
    });
    match found {
        Some((_, kind, hint)) => with_hint(Cause::new(*kind, text), *hint),
        None => Cause::new(CauseKind::SavepointFailed, text)
            .hint("the whole of it is in the JobManager's log"),
    }
}

/// The cause of a request that Flink refused (HTTP 400).
pub(super) fn refusal(error: &str) -> Cause {
    let text = format!("Flink refused the request: {}", message(error));
    if error.contains("savepoint-dir") || error.contains("Property [target-directory]") {
        return Cause::new(CauseKind::NoSavepointDirectory, text)
            .hint("set `target:` for the application, or a savepoint directory for the cluster");
    }
    let hint = (error.contains("Unrecognized field")
        || error.contains("did not match expected format"))
    .then_some("Lowtide needs Flink 1.15 or later");
    with_hint(Cause::new(CauseKind::Refused, text), hint)
}

fn with_hint(cause: Cause, hint: Option<&str>) -> Cause {
    match hint {
        Some(hint) => cause.hint(hint),
        None => cause,
    }
}

/// The most useful line of an error that Flink's REST API answers with: a message, or a stack
/// trace between two lines of its own.
pub(super) fn message(errors: &str) -> String {
    let own = |line: &&str| {
        let line = line.trim();
        !line.is_empty()
            && line != "Internal server error."
            && !line.starts_with("<Exception on server side")
    };
    let trace: Vec<&str> = errors.lines().filter(own).collect();
    let text = text(&chain(&trace.join("\n")));
    if text.is_empty() {
        "an error without a text".to_owned()
    } else {
        text
    }
}

/// What happened and why, in one line.
fn text(chain: &[Link<'_>]) -> String {
    let said = |link: &&Link<'_>| !link.message.is_empty();
    let reason = chain
        .iter()
        .filter(|link| link.class == "CheckpointException")
        .rfind(said);
    let deepest = chain.iter().rfind(said).or(chain.last());
    let Some(deepest) = deepest else {
        return String::new();
    };
    let why = match (deepest.message, deepest.class) {
        ("", class) => class.to_owned(),
        // A message that is only a path or a number says little without its class.
        (message, class) if speaks_for_itself(class) || class.is_empty() => message.to_owned(),
        (message, class) => format!("{class}: {message}"),
    };
    match reason {
        Some(reason) if reason != deepest => one_line(&format!(
            "{}: {why}",
            reason.message.trim_end_matches(['.', ' '])
        )),
        _ => one_line(&why),
    }
}

/// Classes whose messages are whole sentences.
fn speaks_for_itself(class: &str) -> bool {
    matches!(
        class,
        "CheckpointException"
            | "IOException"
            | "Exception"
            | "RuntimeException"
            | "FlinkException"
            | "FlinkRuntimeException"
            | "RestHandlerException"
            | "NotFoundException"
            | "FlinkJobNotFoundException"
            | "IllegalStateException"
            | "IllegalArgumentException"
            | "UnsupportedFileSystemSchemeException"
    )
}

/// The exceptions of a stack trace, outermost first. A line such as `CompletionException:
/// org.….CheckpointException: text` holds several.
fn chain(stack_trace: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    for (number, line) in stack_trace.lines().enumerate() {
        let line = line.trim();
        let Some(exception) = (match line.strip_prefix("Caused by: ") {
            None if number == 0 => Some(line),
            inner => inner,
        }) else {
            continue;
        };
        links_of(exception, &mut links);
        if links.len() >= LINKS_MAX {
            break;
        }
    }
    links
}

fn links_of<'a>(line: &'a str, links: &mut Vec<Link<'a>>) {
    let mut rest = line;
    for _ in 0..LINKS_MAX {
        let (head, tail) = rest.split_once(": ").unwrap_or((rest, ""));
        let Some(class) = class_name(head) else {
            break;
        };
        // A message may hold exceptions of its own; it belongs to the innermost of them.
        let wraps = tail.split_once(": ").map_or(tail, |(head, _)| head);
        if class_name(wraps).is_none() {
            links.push(Link {
                class,
                message: tail,
            });
            return;
        }
        links.push(Link { class, message: "" });
        rest = tail;
    }
    links.push(Link {
        class: "",
        message: rest,
    });
}

/// The last part of a qualified Java class name, if the text is one.
fn class_name(text: &str) -> Option<&str> {
    let (packages, class) = text.trim().rsplit_once('.')?;
    let identifier = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'))
    };
    let is_class = packages.split('.').all(identifier)
        && identifier(class)
        && class.starts_with(|c: char| c.is_ascii_uppercase());
    is_class.then(|| class.rsplit('$').next().unwrap_or(class))
}
