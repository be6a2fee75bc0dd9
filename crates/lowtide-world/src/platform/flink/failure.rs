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

/// What Flink's words mean, first match first: a class, or the beginning of a reason; the kind,
/// and what to do. Beginnings, because a message may go on with a name that the user gave.
const TABLE: &[(&str, CauseKind, &str)] = &[
    ("FlinkJobNotFoundException", CauseKind::NotRunning, GONE),
    ("Could not find Flink job", CauseKind::NotRunning, GONE),
    (
        "Not all required tasks are currently running",
        CauseKind::NotReady,
        NOT_READY,
    ),
    (
        "The Flink job is currently not executing",
        CauseKind::NotReady,
        NOT_READY,
    ),
    (
        "Checkpoint was declined (tasks not ready)",
        CauseKind::NotReady,
        NOT_READY,
    ),
    (
        "The maximum number of queued checkpoint requests exceeded",
        CauseKind::NotReady,
        QUEUED,
    ),
    (
        "Configured state backend (",
        CauseKind::UnsupportedFormat,
        FORMAT,
    ),
    (
        "Blocking output edge exists",
        CauseKind::SavepointFailed,
        BLOCKING,
    ),
    (
        "Checkpoint expired before completing",
        CauseKind::Expired,
        EXPIRED,
    ),
    (
        "UnsupportedFileSystemSchemeException",
        CauseKind::Target,
        SCHEME,
    ),
    (
        "An Exception occurred while triggering the checkpoint. IO-problem",
        CauseKind::Target,
        JOB_MANAGER_WRITE,
    ),
    (
        "Failure to finalize checkpoint",
        CauseKind::Target,
        JOB_MANAGER_WRITE,
    ),
    (
        "Asynchronous task checkpoint failed",
        CauseKind::TaskFailed,
        TASK_WRITE,
    ),
    ("Checkpoint was declined", CauseKind::TaskFailed, TASK),
    ("Task has failed", CauseKind::TaskFailed, TASK),
    ("Task local checkpoint failure", CauseKind::TaskFailed, TASK),
    (
        "The checkpoint was aborted due to exception of other subtasks",
        CauseKind::TaskFailed,
        TASK,
    ),
    ("FailoverRegion is restarting", CauseKind::TaskFailed, TASK),
    ("The job has failed", CauseKind::TaskFailed, TASK),
    (
        "Checkpoint Coordinator is suspending",
        CauseKind::TaskFailed,
        SUSPENDING,
    ),
    // Said when the job reaches its end, whichever; a restart is "suspending".
    (
        "CheckpointCoordinator shutdown",
        CauseKind::NotRunning,
        SHUTDOWN,
    ),
];

const GONE: &str = "the job ended, or was submitted again under another id";
const QUEUED: &str =
    "too many checkpoints wait already; look at the job's checkpoints in Flink's UI";
const FORMAT: &str = "the job's state backend cannot write canonical savepoints: set `format: native` for the application";
const BLOCKING: &str = "a batch part of the job runs (a blocking edge), and such a job has no savepoints while it does";
const EXPIRED: &str = "raise `execution.checkpointing.timeout` of the job, or take savepoints when it is less busy (`format: native` is faster for large state)";
const SHUTDOWN: &str = "the job ended during the savepoint; look at its exceptions in Flink's UI";
const NOT_READY: &str = "the job was starting or restarting; look at its tasks in Flink's UI";
const SCHEME: &str = "the cluster has no file system for this scheme: add its plugin (`flink-s3-fs-…`) to the cluster, or choose another `target:`";
const JOB_MANAGER_WRITE: &str = "can the JobManager write to the target directory?";
const TASK_WRITE: &str = "can every TaskManager write to the target directory, and is there room? the job's exceptions in Flink's UI tell more; where the job tolerates no failed checkpoints, this restarts it (`execution.checkpointing.tolerable-failed-checkpoints`)";
const TASK: &str = "a task failed during the savepoint, and the job restarts; look at its exceptions in Flink's UI";
const SUSPENDING: &str = "the job failed and restarts; look at its exceptions in Flink's UI (a state backend that cannot write the format shows itself only in the JobManager's log)";

/// The cause of a savepoint that Flink says has failed.
pub(in crate::platform) fn classify(stack_trace: &str) -> Cause {
    let chain = chain(stack_trace);
    let text = text(&chain);
    let found = TABLE.iter().find(|(wanted, ..)| {
        chain
            .iter()
            .any(|link| link.class == *wanted || reason(link.message).starts_with(wanted))
    });
    let (kind, hint) = found.map_or(
        (
            CauseKind::SavepointFailed,
            "the whole of it is in the JobManager's log",
        ),
        |(_, kind, hint)| (*kind, *hint),
    );
    Cause::new(kind, text).hint(hint)
}

/// The cause of a request that Flink refused (HTTP 400).
pub(super) fn refusal(error: &str) -> Cause {
    let text = format!("Flink refused the request: {}", message(error));
    if error.contains("savepoint-dir") || error.contains("Property [target-directory]") {
        return Cause::new(CauseKind::NoSavepointDirectory, text)
            .hint("set `target:` for the application, or a savepoint directory for the cluster");
    }
    let cause = Cause::new(CauseKind::Refused, text);
    // Flink before 1.15 knows neither `formatType` nor `triggerId`.
    if error.contains("Unrecognized field") || error.contains("did not match expected format") {
        return cause.hint("Lowtide needs Flink 1.15 or later");
    }
    cause
}

/// The most useful line of an error that Flink's REST API answers with: a message, or a stack
/// trace between two lines of its own.
pub(super) fn message(errors: &str) -> String {
    let own = |line: &&str| {
        let line = line.trim();
        !line.is_empty()
            && !matches!(line, "Internal server error." | "Bad request received.")
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

/// What happened and why, in one line: the outermost `CheckpointException` and the deepest
/// exception that says anything.
fn text(chain: &[Link<'_>]) -> String {
    let said: Vec<&Link<'_>> = chain
        .iter()
        .filter(|link| !link.message.is_empty() && !SAYS_NOTHING.contains(&link.message))
        .collect();
    let Some((deepest, above)) = said.split_last() else {
        return chain
            .last()
            .map_or(String::new(), |link| one_line(link.class));
    };
    let mut parts = Vec::new();
    parts.extend(
        above
            .iter()
            .find(|link| is_checkpoint(link))
            .map(|link| link.message),
    );
    let class = !(deepest.class.is_empty() || speaks_for_itself(deepest.class));
    if class {
        // A message that is only a path or a number says little without what was tried.
        let tried = above.last().filter(|link| !is_checkpoint(link));
        parts.extend(tried.map(|link| link.message));
        parts.push(deepest.class);
    }
    parts.push(deepest.message);
    let mut parts: Vec<&str> = parts.into_iter().map(reason).collect();
    parts.dedup();
    if parts.len() > 1 {
        parts.retain(|part| *part != IO_PROBLEM);
    }
    one_line(&parts.join(": "))
}

/// The coordinator's word for whatever the `JobManager` cannot write; what comes below is better.
const IO_PROBLEM: &str =
    "An Exception occurred while triggering the checkpoint. IO-problem detected";
/// Messages of deepest exceptions that lead away from what is wrong: a missing plugin of Flink's
/// is not Hadoop's fault.
const SAYS_NOTHING: &[&str] = &["Hadoop is not in the classpath/dependencies."];

fn is_checkpoint(link: &Link<'_>) -> bool {
    link.class == "CheckpointException"
}

/// Flink puts the reason at the end of a longer text of its own.
fn reason(message: &str) -> &str {
    message
        .rsplit("Failure reason: ")
        .next()
        .unwrap_or(message)
        .trim_end_matches(['.', ' '])
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain as Flink 1.15.4 and 2.3.0 write it, with lines between.
    fn trace(links: &[&str]) -> String {
        let links: Vec<String> = links
            .iter()
            .map(|link| format!("{link}\n\tat org.apache.flink.A.b(A.java:1)\n\t... 3 more"))
            .collect();
        links.join("\nCaused by: ")
    }

    const COMPLETION: &str = "java.util.concurrent.CompletionException: ";
    const CHECKPOINT: &str = "org.apache.flink.runtime.checkpoint.CheckpointException: ";

    fn seen(reason: &str, below: &[&str]) -> Cause {
        let first = format!("{COMPLETION}{CHECKPOINT}{reason}");
        let second = format!("{CHECKPOINT}{reason}");
        let links: Vec<&str> = [first.as_str(), second.as_str()]
            .into_iter()
            .chain(below.iter().copied())
            .collect();
        classify(&trace(&links))
    }

    #[track_caller]
    fn expect(cause: &Cause, kind: CauseKind, text: &str) {
        assert_eq!((cause.kind, cause.text.as_str()), (kind, text));
        assert!(cause.hint.is_some());
    }

    #[test]
    fn what_flink_says_of_the_job() {
        let gone = "org.apache.flink.runtime.messages.FlinkJobNotFoundException: Could not find Flink job (0123)";
        expect(
            &classify(&trace(&[&format!("{COMPLETION}{gone}"), gone])),
            CauseKind::NotRunning,
            "Could not find Flink job (0123)",
        );
        let task = "Checkpoint triggering task Source: events -> gate (1/2) of job 60ec is not being executed at the moment. Aborting checkpoint. Failure reason: Not all required tasks are currently running.";
        expect(
            &seen(task, &[]),
            CauseKind::NotReady,
            "Not all required tasks are currently running",
        );
        expect(
            &seen("The Flink job is currently not executing.", &[]),
            CauseKind::NotReady,
            "The Flink job is currently not executing",
        );
        expect(
            &seen("Checkpoint expired before completing.", &[]),
            CauseKind::Expired,
            "Checkpoint expired before completing",
        );
    }

    #[test]
    fn what_the_job_manager_cannot_write() {
        let io = "An Exception occurred while triggering the checkpoint. IO-problem detected.";
        let mkdir = [
            "java.io.IOException: Failed to create savepoint directory at file:/f/orders/request-5",
            "java.nio.file.FileAlreadyExistsException: /f",
        ];
        expect(
            &seen(io, &mkdir),
            CauseKind::Target,
            "Failed to create savepoint directory at file:/f/orders/request-5: FileAlreadyExistsException: /f",
        );
        let scheme = [
            "org.apache.flink.core.fs.UnsupportedFileSystemSchemeException: Could not find a file system implementation for scheme 's3'.",
            "org.apache.flink.core.fs.UnsupportedFileSystemSchemeException: Hadoop is not in the classpath/dependencies.",
        ];
        let cause = seen(io, &scheme);
        expect(
            &cause,
            CauseKind::Target,
            "Could not find a file system implementation for scheme 's3'",
        );
        assert_eq!(cause.hint.as_deref(), Some(SCHEME));
        expect(&seen(io, &[]), CauseKind::Target, IO_PROBLEM);
    }

    #[test]
    fn what_restarts_the_job() {
        let materialize = [
            "java.lang.Exception: java.lang.Exception: Could not materialize checkpoint 6 for operator Source: events -> gate (1/2)#0.",
            "java.util.concurrent.ExecutionException: java.util.concurrent.ExecutionException: java.io.IOException: No space left on device",
            "java.io.IOException: java.io.IOException: No space left on device",
        ];
        expect(
            &seen("Asynchronous task checkpoint failed.", &materialize),
            CauseKind::TaskFailed,
            "Asynchronous task checkpoint failed: No space left on device",
        );
        let sync = [
            "org.apache.flink.runtime.checkpoint.CheckpointException: Task name with subtask : Source: events -> gate (2/2)#0 Failure reason: Task has failed.",
            "java.lang.Exception: Could not perform checkpoint 6 for operator Source: events -> gate (2/2)#0.",
            "org.apache.flink.runtime.checkpoint.CheckpointException: Could not complete snapshot 6 for operator Source: events -> gate (2/2)#0. Failure reason: Checkpoint was declined.",
            "java.lang.NullPointerException",
        ];
        expect(
            &seen("Task has failed.", &sync),
            CauseKind::TaskFailed,
            "Task has failed: Checkpoint was declined",
        );
        expect(
            &seen("Checkpoint Coordinator is suspending.", &[]),
            CauseKind::TaskFailed,
            "Checkpoint Coordinator is suspending",
        );
        expect(
            &seen("FailoverRegion is restarting.", &[]),
            CauseKind::TaskFailed,
            "FailoverRegion is restarting",
        );
    }

    #[test]
    fn what_nobody_foresaw_is_told_as_it_is() {
        expect(
            &classify("java.lang.IllegalStateException: Job 7 is odd\n\tat A"),
            CauseKind::SavepointFailed,
            "Job 7 is odd",
        );
        expect(
            &classify("java.lang.NullPointerException\n\tat A"),
            CauseKind::SavepointFailed,
            "NullPointerException",
        );
        expect(
            &classify("no stack trace at all: really"),
            CauseKind::SavepointFailed,
            "no stack trace at all: really",
        );
        assert_eq!(classify("").kind, CauseKind::SavepointFailed);
    }

    #[test]
    fn a_name_in_a_message_does_not_decide() {
        // The operator's name is the user's.
        let named = [
            "java.lang.Exception: Could not materialize checkpoint 6 for operator FlinkJobNotFoundException (1/1)#0.",
        ];
        let cause = seen("Asynchronous task checkpoint failed.", &named);
        assert_eq!(cause.kind, CauseKind::TaskFailed);
    }

    #[test]
    fn errors_of_the_rest_api_become_one_line() {
        for (errors, wanted) in [
            (
                "org.apache.flink.runtime.rest.NotFoundException: Job 1 not found\n\tat A",
                "Job 1 not found",
            ),
            (
                "Internal server error.\n<Exception on server side:\njava.util.concurrent.CompletionException: java.io.IOException: lost\n\tat A\n\nEnd of exception on server side>",
                "lost",
            ),
            (
                "Bad request received.\nRequest did not match expected format SavepointTriggerRequestBody.",
                "Request did not match expected format SavepointTriggerRequestBody",
            ),
            ("", "an error without a text"),
        ] {
            assert_eq!(message(errors), wanted);
        }
    }
}
