//! The long helps. They teach: what a command does, what it promises, how it ends, and an
//! example that works.

pub(super) const ABOUT: &str = "\
Takes, checks and keeps savepoints of Apache Flink applications: by name, on schedule.

One YAML file lists applications by name. `lowtide serve` takes a savepoint of each when it is \
due, follows it to its end, reads it back to prove it, and remembers it. `lowtide take NAME` does \
the same once, now.";

pub(super) const AFTER: &str = "\
The smallest configuration:
  platforms:
    session:
      flink: { url: \"http://localhost:8081\" }
  schedule: \"0 1 * * *\"
  applications: [orders, payments]

Exit codes of all commands (of several applications, the worst, in this order):
  130  interrupted
    2  wrong usage or configuration
    1  failed, broken, or none found
    3  not known yet, or still under way when waiting was given up
    4  unverified, or cannot be read
    0  kept, whole, or skipped by rule

Results go to stdout, progress and logs to stderr.
`lowtide help COMMAND` explains a command and shows examples.";

pub(super) const CHECK: &str = "\
Checks the configuration as a whole, as every command does before it begins, and prints what it \
means: each application, its platform and its schedule in words.

With --online it also asks each platform for its jobs, resolves every name, and looks whether the \
savepoint directories can be read from here. A name that means no running job, or several, makes \
it exit 1. Nothing is changed anywhere.";

pub(super) const CHECK_EXAMPLES: &str = "\
Examples:
  lowtide check
      Is lowtide.yaml right? Exits 2 and points at the mistake if not.
  lowtide check --online --config staging.yaml
      Would a savepoint of every application work from here?";

pub(super) const PLAN: &str = "\
Shows the slots that come next, each in its schedule's zone and in UTC. Daylight saving, H and \
never-windows are already in it: what is shown is what `serve` will do.";

pub(super) const PLAN_EXAMPLES: &str = "\
Examples:
  lowtide plan
      The next three slots of every application.
  lowtide plan orders --next 10
      The next ten of one.
  lowtide plan --until 48h --next 100 --output json
      Everything that is due within two days, for a program.";

pub(super) const RESOLVE: &str = "\
Asks the platforms which running job each name means just now. Names are exact. No job, or \
several of one name, is refused with what there is instead; then it exits 1.";

pub(super) const RESOLVE_EXAMPLES: &str = "\
Examples:
  lowtide resolve
      Every configured application and its job.
  lowtide resolve orders session/payments
      Two of them; `platform/name` where one name is on several platforms.";

pub(super) const TAKE: &str = "\
Takes a savepoint of each application named, now, and waits until it is complete and proven: \
its metadata read, every file that it needs present with its right size. Prints a table of what \
came of it.

Ignores the schedule and its never-windows. Still waits while the job is not fit: restarting, or \
with another savepoint in progress. Works beside a running `serve` on one catalog.

First takes over runs of this configuration that another process left behind, and walks them to \
their end.

Ctrl-C stops the waiting, not the savepoint: it says how to look after it, and exits 130.";

pub(super) const TAKE_EXAMPLES: &str = "\
Examples:
  lowtide take orders
      Before a release: waits, and fails loudly.
  lowtide take orders payments --format native
      Two at once, in the state backend's own format.
  lowtide take orders --target s3://state/before-upgrade --deadline 10m
      Somewhere else, and not later than in ten minutes.";

pub(super) const RUN: &str = "\
Fills one slot of each application: what a Kubernetes CronJob or a CI job calls. Ignores the \
schedule, honours its never-windows, waits for the end and prints a table.

With --slot the command may be repeated: a slot is filled once. If it is filled already, what \
came of it is printed; if another process is at it, this one waits for its end; if that process \
died, this one goes on from where it stopped. Without --slot each call is a request of its own.

With --slot-from-job the slot is the time that Kubernetes scheduled the pod's own Job for (1.28 \
and later). LOWTIDE_JOB_NAME and LOWTIDE_JOB_NAMESPACE say which Job: its label \
`batch.kubernetes.io/job-name` and its namespace, by the downward API. A Job that somebody made by \
hand was scheduled for no time, and is a request of its own.

Where the configuration says `catalog: none`, the platform is the memory: the first half minute \
is waited for what an earlier pod may have asked for, then the platform is asked what the slot \
already has.

First takes over runs of this configuration that another process left behind, and walks them to \
their end.

Ctrl-C stops the waiting, not the savepoint: it says how to look after it, and exits 130.";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  lowtide run --slot 2026-11-22T01:00:00Z
      The slot of one o'clock, of every application; safe to repeat.
  lowtide run orders
      A savepoint of one, at a time when its never-windows allow it.
  lowtide run --slot-from-job
      In a CronJob: a pod that is retried fills the same slot.";

pub(super) const SERVE: &str = "\
Takes savepoints on schedule until it is stopped. Each slot is a row in the catalog: it is filled \
once, whatever is restarted, and several `serve` on one catalog do no harm.

Slots that fell due while nothing ran are made up for by one savepoint, or recorded as missed, \
as `catch_up` says. A new or changed schedule never fires by itself.

Beside that it reads every byte of each savepoint that may be restored from once in 30 days \
(`read_every`), the one read longest ago first, one at a time and no faster than 32 MiB a second \
(`read_limit`), and compares it with the first reading. What is found broken no longer counts as \
verified.

One line is logged to stderr for each change of a run. SIGTERM or Ctrl-C: it claims nothing more, \
gives its runs back so that the next process goes on at once, and exits 0. A second signal ends \
it at once.";

pub(super) const SERVE_EXAMPLES: &str = "\
Examples:
  lowtide serve
      With ./lowtide.yaml.
  lowtide serve --config /etc/lowtide/lowtide.yaml --log-format json
      In a container.";

pub(super) const PAUSE: &str = "\
Holds the schedule of each application named, for every process on this catalog, until \
`unpause`. Runs under way go on; `take` and `run` still work. Paused slots are not missed, and \
are not made up for later.";

pub(super) const PAUSE_EXAMPLES: &str = "\
Examples:
  lowtide pause orders
      During a migration, say.";

pub(super) const UNPAUSE: &str = "\
Lets the schedule of each application named go on, from its next slot. Unpausing never takes a \
savepoint by itself.";

pub(super) const UNPAUSE_EXAMPLES: &str = "\
Examples:
  lowtide unpause orders";

pub(super) const LIST: &str = "\
Lists savepoints from the catalog, newest first, and the runs under way: those that fill slots, \
and those that are adopted or otherwise someone else's (foreign). With --all also those \
of applications that are no longer configured (marked as unlisted), and late and orphaned \
directories.";

pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  lowtide list
      The newest fifty of all configured applications.
  lowtide list orders --limit 5 --output json
      The newest five of one, for a program.
  lowtide list --all
      Everything that the catalog knows.";

pub(super) const SHOW: &str = "\
Shows everything that is known of one run: its phases, every attempt with its request and its \
end, its savepoints with what verification found, warnings, and what to do. For an application, \
its newest run; for a location, the run that left it, or the savepoint itself where it was \
adopted.";

pub(super) const SHOW_EXAMPLES: &str = "\
Examples:
  lowtide show orders
      What became of the newest run of orders?
  lowtide show cc69af89
      A run by the first digits of its id.
  lowtide show file:/savepoints/orders/20261122T010000Z-1/savepoint-aeb210-3f00d8f1a3c2
      Where does this directory come from?";

pub(super) const LATEST: &str = "\
Prints the path of the application's newest verified savepoint, and nothing else, on stdout. \
Savepoints that are unverified or broken do not count, and newer ones that were found broken are \
named on stderr; someone else's count, once adopted. Also answers for applications that are no \
longer configured. Exits 1 if there is none, or none young enough.";

pub(super) const LATEST_EXAMPLES: &str = "\
Examples:
  flink run -s \"$(lowtide latest orders)\" orders.jar
      Start from the newest savepoint that is proven whole.
  lowtide latest orders --max-age 26h > /dev/null || page-someone
      Is there a good one younger than promised?";

pub(super) const INSPECT: &str = "\
Reads a savepoint or checkpoint wherever it lies, with no catalog, no Flink and no JVM: whether \
every file that it needs is there with its right size, and what is in it. Operators come largest \
first, each with its states by name and kind; what is worth a look stands at the end. json and yaml \
hold every operator. What lies in a store is reached as `lowtide verify` does.

Names of keyed states are not in `_metadata`: they are read from the beginning of one state file an \
operator, that of its largest subtask. Where that cannot be read, the operator says why.

SKEW is what the largest subtask holds of the operator's keyed state, divided by the mean of all \
subtasks: 1.00 is even. Key groups dealt unevenly make it less than 2; what is above is in the \
keys. With --operator the same is told of single key groups, where `_metadata` says where each \
begins: in canonical savepoints and in all of the heap backend, not in files of RocksDB and ForSt.

Flink before 2.0 writes the ids of operators and no names. --uids names them by a list of uids, \
one a line as in the program; empty lines and lines that begin with # are passed over.

Exits 0 if it is whole, 1 if it is broken, 4 if it cannot be read. Unreadable is not broken: it \
may be whole, but nothing is proven.";

pub(super) const INSPECT_EXAMPLES: &str = "\
Examples:
  lowtide inspect /savepoints/orders/savepoint-aeb210-3f00d8f1a3c2
      What is in it, the largest first?
  lowtide inspect --operator sessions s3://state/savepoints/savepoint-aeb210-3f00d8f1a3c2
      Everything about one operator.
  lowtide inspect --uids orders.uids file:/checkpoints/5f9c/chk-42 --output json
      A retained checkpoint of Flink 1.x, with names, for a program.";

pub(super) const VERIFY: &str = "\
Proves savepoints and checkpoints whole, wherever they lie: in files, in S3 and what speaks its \
protocol, Google Cloud Storage, Azure Storage, Alibaba Cloud OSS, HDFS. Needs no catalog, no Flink \
and no JVM. Where a location is no file, the stores of the configuration count if there is one; \
else credentials come from where the store's own tools find them.

Level 1 reads `_metadata` and looks, by listings, whether every file that it needs is there with \
its right size. With --deep, level 2 then reads every byte: a SHA-256 of each file (in json and \
yaml), the footers of RocksDB tables, the key groups of canonical savepoints. On a terminal it \
shows bytes, rate and time left.

Where there is a configuration and its catalog knows the savepoint, level 2 also compares each file \
with the first reading, whose checksums the catalog keeps, or before that with what was listed when \
the savepoint was verified. What it finds is recorded there: a savepoint that is found broken no \
longer counts as verified.

Exits 0 if all are whole, 1 if one is broken, 4 if one cannot be read. Unreadable is not broken: it \
may be whole, but nothing is proven.";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  lowtide verify s3://state/savepoints/savepoint-aeb210-3f00d8f1a3c2
      Is it all there?
  lowtide verify --deep --limit 50MiB /savepoints/orders/savepoint-aeb210-3f00d8f1a3c2
      Can every byte be read? Slowly, beside other work.
  lowtide verify --deep --output json s3://archive/savepoint-aeb210-3f00d8f1a3c2
      With the checksum of each file, for a program.";

pub(super) const DIFF: &str = "\
Compares two savepoints or checkpoints, wherever they lie, and tells what Flink would do with the \
state of A in the job of B: which state it would refuse or drop, and which operators and states \
were added, removed, resized, re-parallelised or changed in kind. Needs no Flink and no JVM.

With --against-job, A is compared with the job that an application of the configuration means \
just now, on a Flink cluster. Flink shows the first operator of each chain of a running job, with \
its parallelism, and neither the others nor states: what depends on those cannot be told.

The rules are Flink's own. Sizes are those of whole operators. Names and kinds of keyed states are \
read from the header of one state file of each operator. Not looked at, because only the program \
knows: whether its serializers can read the values.

Exits 0 if a restore works, 1 if it is refused or drops state, 3 if that cannot be told, 4 if \
something cannot be read. With --allow-non-restored-state, what is dropped is shown and exits 0.";

pub(super) const DIFF_EXAMPLES: &str = "\
Examples:
  lowtide diff /savepoints/orders/before /savepoints/orders/after
      What did the release change, and does it take the state of the one before?
  lowtide diff s3://state/orders/sp-1 --against-job orders
      Could the job that runs now start from there?
  lowtide diff --allow-non-restored-state \"$(lowtide latest orders)\" s3://state/orders/sp-1
      Which state would be lost on the way back to the release that left sp-1?";

pub(super) const ADOPT: &str = "\
Lets a savepoint that someone else took into the catalog. It is read first, as `lowtide verify` \
does at level 1: what is broken, or cannot be read, is refused.

It enters as foreign: listed, and an answer of `latest`, but never deleted. With --own it becomes \
Lowtide's own. One place is recorded once, under the platform's name for it (`paths`); adopting it \
again only changes what the options ask for. A checkpoint stays foreign: it shares files with \
others of its job.

Exits 0 if it is in the catalog, 1 if it is broken or refused, 4 if it cannot be read.";

pub(super) const ADOPT_EXAMPLES: &str = "\
Examples:
  lowtide adopt s3://state/manual/savepoint-aeb210-3f00d8f1a3c2 --application orders
      From now on `lowtide list` knows it, and `lowtide latest` if it is the newest.
  lowtide adopt /savepoints/savepoint-aeb210-3f00d8f1a3c2 --application orders --own
      It is Lowtide's to keep and to delete.
  lowtide adopt /copies/savepoint-1 --application orders --taken-at 2026-11-22T01:00:00Z
      A copy, whose file says when it was copied.";

pub(super) const SCAN: &str = "\
Lists everything under a prefix, wherever it lies, and reads the `_metadata` of each snapshot there: \
savepoints and retained checkpoints. It changes nothing, and needs no configuration; with one that \
has a catalog, it also says which application a snapshot is of, and as what it is known.

  whole       every file that it needs is there with its right size
  broken      it was read, and is wrong
  unreadable  it could not be read: it may be whole
  aborted     a directory of a snapshot without `_metadata`
  unfinished  the same, written to within ten minutes: it may be in progress

The standing of what the catalog does not know is foreign. `own` is what lies in a snapshot's own \
directory, `elsewhere` what it needs besides: retained checkpoints of one job share files.

Orphans are files that no whole snapshot under the prefix needs, and that lie in the directory of no \
other. What runs is not asked: a job may use files that no snapshot names yet. So scan the directory \
above all checkpoints of a job, and think before anything is deleted.

Exits 0, or 1 if a snapshot is broken or there is none, 4 if one cannot be read.";

pub(super) const SCAN_EXAMPLES: &str = "\
Examples:
  lowtide scan s3://state/checkpoints/5f9c2a
      What retains a job's checkpoints, and what is left over?
  lowtide scan /savepoints --output json
      Everything, file by file, for a program.";

pub(super) const GEN: &str = "\
Generates the files that are derived from this program; `cargo xtask gen` calls it, and a test \
fails when they are stale.";

pub(super) const GEN_EXAMPLES: &str = "\
Examples:
  lowtide gen schema > lowtide.schema.json
  lowtide gen man target/man
  lowtide gen completions target/completions";
