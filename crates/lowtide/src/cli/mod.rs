//! What can be typed: the commands and their options. Their long helps are in [`help`].

// The comments on commands and options are what `--help` prints: plain words, no Markdown.
#![expect(clippy::doc_markdown)]

mod help;
mod values;

use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Effects};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use lowtide_core::savepoint::Format;

pub use values::bytes;

/// Widest help, in columns: longer lines are hard to read on wide terminals.
const HELP_COLUMNS_MAX: usize = 100;

/// Most slots shown of one application: a page that nobody reads to its end.
const SLOTS_MAX: u32 = 1_000;
/// Most savepoints listed: about 30 MB of JSON.
const LISTED_MAX: u32 = 100_000;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default());

/// Takes, checks and keeps savepoints of Apache Flink applications: by name, on schedule.
#[derive(Debug, Parser)]
#[command(
    name = "lowtide",
    version,
    styles = STYLES,
    max_term_width = HELP_COLUMNS_MAX,
    long_about = help::ABOUT,
    after_long_help = help::AFTER,
    after_help = "`lowtide help COMMAND` explains a command and shows examples.",
    disable_help_subcommand = false,
    propagate_version = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Common {
    /// The configuration file [default: what LOWTIDE_CONFIG names, else ./lowtide.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to print results: a table for people; json and yaml are stable, for programs
    #[arg(
        long,
        short,
        global = true,
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub output: Output,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Log more, to stderr; twice: everything about requests and steps
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How to write log lines
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the configuration as a whole
    #[command(long_about = help::CHECK, after_long_help = help::CHECK_EXAMPLES)]
    Check(Check),
    /// Show the slots that come next
    #[command(long_about = help::PLAN, after_long_help = help::PLAN_EXAMPLES)]
    Plan(Plan),
    /// Show which job each name means just now
    #[command(long_about = help::RESOLVE, after_long_help = help::RESOLVE_EXAMPLES)]
    Resolve(Names),
    /// Take a savepoint now, wait for it and prove it
    #[command(long_about = help::TAKE, after_long_help = help::TAKE_EXAMPLES)]
    Take(Take),
    /// Fill one slot of each application: what a CronJob calls
    #[command(long_about = help::RUN, after_long_help = help::RUN_EXAMPLES)]
    Run(RunSlot),
    /// Take savepoints on schedule until stopped
    #[command(long_about = help::SERVE, after_long_help = help::SERVE_EXAMPLES)]
    Serve,
    /// Hold an application's schedule
    #[command(long_about = help::PAUSE, after_long_help = help::PAUSE_EXAMPLES)]
    Pause(SomeNames),
    /// Let an application's schedule go on
    #[command(long_about = help::UNPAUSE, after_long_help = help::UNPAUSE_EXAMPLES)]
    Unpause(SomeNames),
    /// List savepoints, newest first, and runs under way
    #[command(long_about = help::LIST, after_long_help = help::LIST_EXAMPLES)]
    List(List),
    /// Show everything about one run or savepoint
    #[command(long_about = help::SHOW, after_long_help = help::SHOW_EXAMPLES)]
    Show(Show),
    /// Print the path of the newest verified savepoint
    #[command(long_about = help::LATEST, after_long_help = help::LATEST_EXAMPLES)]
    Latest(Latest),
    /// Show what is in any savepoint or checkpoint: operators, states, sizes
    #[command(long_about = help::INSPECT, after_long_help = help::INSPECT_EXAMPLES)]
    Inspect(Inspect),
    /// Prove savepoints whole, wherever they lie; with --deep read every byte
    #[command(long_about = help::VERIFY, after_long_help = help::VERIFY_EXAMPLES)]
    Verify(Verify),
    /// Compare two savepoints, and tell what a restore would refuse or drop
    #[command(long_about = help::DIFF, after_long_help = help::DIFF_EXAMPLES)]
    Diff(Diff),
    /// Let a savepoint that someone else took into the catalog
    #[command(long_about = help::ADOPT, after_long_help = help::ADOPT_EXAMPLES)]
    Adopt(Adopt),
    /// Show what lies under a prefix: snapshots, and files that none of them needs
    #[command(long_about = help::SCAN, after_long_help = help::SCAN_EXAMPLES)]
    Scan(Scan),
    /// Generate the files that are derived from this program
    #[command(hide = true, long_about = help::GEN, after_long_help = help::GEN_EXAMPLES)]
    Gen(Gen),
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// Also ask the platforms: reach each, resolve every name, see the savepoint directories
    #[arg(long)]
    pub online: bool,
}

/// `plan`
#[derive(Debug, Args)]
pub struct Plan {
    /// Applications; all if none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// How many slots of each application
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = values::count::<SLOTS_MAX>)]
    pub next: u32,
    /// Only slots up to this time (RFC 3339, or a duration from now such as 48h)
    #[arg(long, value_name = "TIME", value_parser = values::until)]
    pub until: Option<values::Until>,
}

/// Applications, all if none is named.
#[derive(Debug, Args)]
pub struct Names {
    /// Applications; all if none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// At least one application.
#[derive(Debug, Args)]
pub struct SomeNames {
    /// Applications, as `name` or `platform/name`
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}

/// `take`
#[derive(Debug, Args)]
pub struct Take {
    /// Applications, as `name` or `platform/name`
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Take it in this format instead of the configured one
    #[arg(long, value_name = "FORMAT", value_parser = values::format)]
    pub format: Option<Format>,
    /// Put it under this directory instead of the configured one
    #[arg(long, value_name = "LOCATION", value_parser = values::target)]
    pub target: Option<String>,
    /// How long the savepoint may wait to begin, instead of the configured time
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub deadline: Option<SignedDuration>,
    /// Give up waiting after this long (exit 3); the savepoint itself goes on
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub wait: Option<SignedDuration>,
}

/// `run`
#[derive(Debug, Args)]
pub struct RunSlot {
    /// Applications; all if none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// The slot to fill, as its nominal time in RFC 3339: then the command may be repeated
    #[arg(long, value_name = "TIME", value_parser = values::slot)]
    pub slot: Option<Timestamp>,
    /// In a pod of a Kubernetes CronJob: fill the slot that its Job was scheduled for
    #[arg(long, conflicts_with = "slot")]
    pub slot_from_job: bool,
    /// Give up waiting after this long (exit 3); the savepoints themselves go on
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub wait: Option<SignedDuration>,
}

/// `list`
#[derive(Debug, Args)]
pub struct List {
    /// Applications; all if none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Also applications that are no longer configured, and savepoints that fill no slot
    #[arg(long)]
    pub all: bool,
    /// At most this many savepoints
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = values::count::<LISTED_MAX>)]
    pub limit: u32,
}

/// `show`
#[derive(Debug, Args)]
pub struct Show {
    /// A run's id (its first digits are enough), an application (its newest run), or the
    /// location of a savepoint
    #[arg(value_name = "RUN|NAME|LOCATION")]
    pub what: String,
}

/// `latest`
#[derive(Debug, Args)]
pub struct Latest {
    /// The application, as `name` or `platform/name`
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Fail if it is older than this, such as 26h
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub max_age: Option<SignedDuration>,
}

/// `inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// The directory of a savepoint, or its `_metadata` file
    #[arg(value_name = "LOCATION")]
    pub location: String,
    /// Show every operator, not only the largest
    #[arg(long)]
    pub all: bool,
    /// Show one operator whole: its uid, its name, or its id (the first digits are enough)
    #[arg(long, value_name = "OPERATOR", conflicts_with = "all")]
    pub operator: Option<String>,
    /// Name operators by a list of uids, one a line: Flink before 2.0 writes ids only
    #[arg(long, value_name = "FILE")]
    pub uids: Option<PathBuf>,
}

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Directories of savepoints or checkpoints, or their `_metadata` files
    #[arg(value_name = "LOCATION", required = true)]
    pub locations: Vec<String>,
    /// Also read every byte: checksums, and the structure of what is inside
    #[arg(long)]
    pub deep: bool,
    /// With --deep, read no more than this in a second, such as 50MiB
    #[arg(long, value_name = "BYTES", requires = "deep", value_parser = values::bytes)]
    pub limit: Option<u64>,
}

/// `diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// The savepoint or checkpoint whose state is to be restored
    #[arg(value_name = "A")]
    pub a: String,
    /// One of the job that is to be restored
    #[arg(
        value_name = "B",
        required_unless_present = "against_job",
        conflicts_with = "against_job"
    )]
    pub b: Option<String>,
    /// Instead of B: the job that this application means just now
    #[arg(long, value_name = "NAME")]
    pub against_job: Option<String>,
    /// As Flink with --allowNonRestoredState: state of operators that B lacks may be dropped
    #[arg(long)]
    pub allow_non_restored_state: bool,
}

/// `adopt`
#[derive(Debug, Args)]
pub struct Adopt {
    /// The directory of a savepoint, or its `_metadata` file
    #[arg(value_name = "LOCATION")]
    pub location: String,
    /// Whose savepoint it is, as `name` or `platform/name`
    #[arg(long, value_name = "NAME")]
    pub application: String,
    /// It becomes Lowtide's own, and may be deleted by the rules
    #[arg(long)]
    pub own: bool,
    /// When it was taken (RFC 3339) [default: when its `_metadata` was written]
    #[arg(long, value_name = "TIME", value_parser = values::slot)]
    pub taken_at: Option<Timestamp>,
}

/// `scan`
#[derive(Debug, Args)]
pub struct Scan {
    /// A directory, or the beginning of a store's keys, with everything below it
    #[arg(value_name = "PREFIX")]
    pub prefix: String,
}

/// `gen`
#[derive(Debug, Args)]
pub struct Gen {
    /// What to generate.
    #[command(subcommand)]
    pub what: GenWhat,
}

/// What can be generated.
#[derive(Debug, Subcommand)]
pub enum GenWhat {
    /// The JSON Schema of the configuration, to stdout
    Schema,
    /// A manual page per command, into a directory
    Man {
        /// The directory; it is made if need be
        #[arg(value_name = "DIRECTORY")]
        directory: PathBuf,
    },
    /// A completion script per shell, into a directory
    Completions {
        /// The directory; it is made if need be
        #[arg(value_name = "DIRECTORY")]
        directory: PathBuf,
    },
}
