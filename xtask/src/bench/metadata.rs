//! `cargo xtask bench metadata`: reading a `_metadata` of a million handles, beside Flink's own reader.
//!
//! Three readers of one file. Flink's `Checkpoints.loadCheckpointMetadata` in a warm JVM, which builds its
//! objects of everything. [`flink_metadata::EventReader`], which checks everything, sees each handle and keeps
//! none: what looks files up needs no more. And [`flink_metadata::parse`], which builds structures of
//! everything as Flink does. Each is a process of its own that reads the file anew in its turn. The goals are
//! those of the event reader; `parse` is printed beside it.
//!
//! Memory is for Flink the smallest heap (`-Xmx`) with which a JVM reads the file once, which leaves out all
//! that a JVM needs besides its heap; for ours the peak resident memory of the whole process.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use flink_metadata::{
    BackendFile, Event, EventReader, IncrementalDetails, IncrementalHandle, KeyGroupRange,
    KeyedStateHandle, Metadata, Operator, OperatorId, Properties, SnapshotKind, StreamHandle,
    StreamRef, Subtask, SubtaskState, parse, write,
};
use testbench::flink::{Release, load_metadata};
use testbench::process::bound;

use super::measure::{extremes, load, median};
use crate::stage::say;

/// Operators with keyed state.
const OPERATORS: u32 = 50;
/// Subtasks of each.
const SUBTASKS: u32 = 100;
/// Key groups of each operator.
const KEY_GROUPS: u32 = 1_000;
/// Files of each subtask that other checkpoints may share.
const SHARED_FILES: u32 = 195;
/// Files of each subtask of this checkpoint alone; its `meta` stream comes to them.
const PRIVATE_FILES: u32 = 4;
/// Handles in all.
const HANDLES: u32 = OPERATORS * SUBTASKS * (SHARED_FILES + PRIVATE_FILES + 1);
const _: () = assert!(HANDLES == 1_000_000);

/// Turns that do not count: the JVM compiles what it runs often.
const WARM_TURNS: usize = 6;
/// Turns that count.
const ROUNDS: usize = 9;
/// Times that the smallest heap is looked for, and our peak is measured.
const MEMORY_ROUNDS: usize = 3;
/// The heap of the JVM that is timed: many times what it needs.
const WARM_HEAP: &str = "-Xmx4g";
/// A heap in which it surely cannot be read, and one in which it surely can, in MiB.
const HEAP_BOUNDS_MIB: (u64, u64) = (32, 4_096);
/// The heap is found to within this, in MiB.
const HEAP_STEP_MIB: u64 = 16;
/// A JVM that only collects garbage has not enough memory.
const HEAP_TRIAL_MAX: Duration = Duration::from_mins(2);
/// At least this many times faster than Flink.
const FASTER_MIN: f64 = 20.0;
/// At most this part of Flink's heap.
const MEMORY_MAX: f64 = 0.1;

/// How to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Event by event
    Events,
    /// Everything at once
    Parse,
}

/// What the process of one of our readers does.
#[derive(Debug, Args)]
pub struct Order {
    /// How to read
    how: How,
    /// The `_metadata`
    path: PathBuf,
}

/// Reads the file once for each line of the standard input; prints nanoseconds, bytes of state, and peak
/// resident memory in KiB.
pub fn read_turns(order: &Order) -> Result<bool> {
    for turn in std::io::stdin().lines() {
        turn.context("read the standard input")?;
        let start = Instant::now();
        let bytes = match order.how {
            How::Events => by_events(&order.path)?,
            How::Parse => {
                let bytes = fs::read(&order.path).context("read the file")?;
                parse(&bytes)?.state_bytes()
            }
        };
        let took = start.elapsed().as_nanos();
        say(&format!("{took} {bytes} {}", peak_kib()?));
    }
    Ok(true)
}

fn by_events(path: &Path) -> Result<u64> {
    let mut reader = EventReader::new(File::open(path).context("open the file")?);
    let mut bytes = 0;
    while let Some(event) = reader.next_event()? {
        let Event::Handle(handle) = &event else {
            continue;
        };
        bytes += match &handle.stream {
            StreamRef::File { size, .. } | StreamRef::Relative { size, .. } => size.unwrap_or(0),
            StreamRef::Inline { size, .. } | StreamRef::Segment { size, .. } => *size,
            _ => 0,
        };
    }
    Ok(bytes)
}

/// The process's largest resident memory so far (`VmHWM`).
fn peak_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let line = |line: &str| {
        let number = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
        number.parse().ok()
    };
    let peak = status.lines().find_map(line);
    peak.context("the kernel does not tell the peak of resident memory")
}

/// Measures; says whether the goals were reached.
pub fn run() -> Result<bool> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let path = folder.path().join("_metadata");
    say(&format!("writing a _metadata of {HANDLES} handles"));
    let bytes = write(&large()).context("write the metadata")?;
    let file_mib = bytes.len() as f64 / f64::from(1 << 20);
    fs::write(&path, bytes).context("write the file")?;
    let mut readers = [
        Reader::start(
            "Flink 2.3.0, warm JVM",
            load_metadata(Release::V2_3, &path, &[WARM_HEAP])?,
        )?,
        Reader::start("EventReader", ours(How::Events, &path)?)?,
        Reader::start("parse", ours(How::Parse, &path)?)?,
    ];
    for turn in 0..WARM_TURNS + ROUNDS {
        let mut told = Vec::new();
        for reader in &mut readers {
            let (ms, bytes) = reader.turn()?;
            told.push(bytes);
            if turn >= WARM_TURNS {
                reader.walls_ms.push(ms);
            }
        }
        ensure!(
            told.iter().all(|bytes| *bytes == told[0]),
            "the readers count different bytes of state: {told:?}"
        );
    }
    let walls = readers.map(|reader| (reader.name, reader.walls_ms.clone()));
    let heap_mib = medians(|| smallest_heap_mib(&path))?;
    let events_mib = medians(|| own_peak_mib(How::Events, &path))?;
    let parse_mib = medians(|| own_peak_mib(How::Parse, &path))?;
    Ok(tell(file_mib, &walls, [heap_mib, events_mib, parse_mib]))
}

fn medians(mut measure: impl FnMut() -> Result<f64>) -> Result<f64> {
    let values: Vec<f64> = (0..MEMORY_ROUNDS)
        .map(|_| measure())
        .collect::<Result<_>>()?;
    Ok(median(&values))
}

fn ours(how: How, path: &Path) -> Result<Command> {
    let mut command = bound(std::env::current_exe().context("find this program")?);
    let how = how.to_possible_value().context("every way has a name")?;
    command.arg("read-metadata").arg(how.get_name()).arg(path);
    Ok(command)
}

/// A process that reads in turns.
struct Reader {
    name: &'static str,
    child: Child,
    turns: ChildStdin,
    answers: BufReader<ChildStdout>,
    walls_ms: Vec<f64>,
}

impl Reader {
    fn start(name: &'static str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let turns = child.stdin.take().context("no standard input")?;
        let answers = child.stdout.take().context("no standard output")?;
        Ok(Self {
            name,
            child,
            turns,
            answers: BufReader::new(answers),
            walls_ms: Vec::new(),
        })
    }

    /// Milliseconds, and bytes of state that were counted.
    fn turn(&mut self) -> Result<(f64, u64)> {
        let (nanos, bytes, _) = self.answer()?;
        Ok((nanos / 1e6, bytes))
    }

    fn answer(&mut self) -> Result<(f64, u64, Option<f64>)> {
        writeln!(self.turns).with_context(|| format!("{} is gone", self.name))?;
        let mut line = String::new();
        self.answers.read_line(&mut line).context("read a turn")?;
        let mut words = line.split_whitespace();
        let mut next = || words.next().map(str::parse::<u64>).transpose();
        let (Some(nanos), Some(bytes)) = (next()?, next()?) else {
            bail!("{} says {line:?}", self.name)
        };
        Ok((nanos as f64, bytes, next()?.map(|kib| kib as f64 / 1024.0)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Peak resident memory of a process that reads the file once, in MiB.
fn own_peak_mib(how: How, path: &Path) -> Result<f64> {
    let (_, _, peak) = Reader::start("the reader", ours(how, path)?)?.answer()?;
    peak.context("no peak was printed")
}

/// The smallest heap with which a JVM reads the file once, in MiB.
fn smallest_heap_mib(path: &Path) -> Result<f64> {
    let (mut fails, mut succeeds) = HEAP_BOUNDS_MIB;
    ensure!(
        fits(path, succeeds)?,
        "Flink cannot read it in {succeeds} MiB"
    );
    while succeeds - fails > HEAP_STEP_MIB {
        let middle = u64::midpoint(fails, succeeds);
        if fits(path, middle)? {
            succeeds = middle;
        } else {
            fails = middle;
        }
    }
    Ok(succeeds as f64)
}

/// Whether a JVM with this heap reads the file once. The serial collector needs the least.
fn fits(path: &Path, heap_mib: u64) -> Result<bool> {
    let heap = format!("-Xmx{heap_mib}m");
    let mut command = load_metadata(Release::V2_3, path, &[&heap, "-XX:+UseSerialGC"])?;
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command
        .stderr(Stdio::null())
        .spawn()
        .context("start Java")?;
    let mut turns = child.stdin.take().context("no standard input")?;
    // It reads one line, then the end of its input, and ends.
    writeln!(turns).context("Java is gone")?;
    drop(turns);
    let begin = Instant::now();
    while begin.elapsed() < HEAP_TRIAL_MAX {
        if let Some(status) = child.try_wait().context("wait for Java")? {
            return Ok(status.success());
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().context("end Java")?;
    child.wait().context("wait for Java")?;
    Ok(false)
}

/// Prints all times and ratios; says whether the goals were reached.
fn tell(file_mib: f64, walls: &[(&str, Vec<f64>); 3], memory_mib: [f64; 3]) -> bool {
    say(&format!(
        "\n{HANDLES} handles in {file_mib:.0} MiB; wall time in ms, {ROUNDS} rounds in turns after \
         {WARM_TURNS} to warm up; memory in MiB, median of {MEMORY_ROUNDS}; {}",
        load()
    ));
    say(&format!(
        "{:>10} {:>10} {:>10} {:>8} {:>10}  reader",
        "median", "min", "max", "ratio", "memory"
    ));
    let flink_ms = median(&walls[0].1);
    for ((name, walls_ms), mib) in walls.iter().zip(memory_mib) {
        let (low, high) = extremes(walls_ms);
        let ms = median(walls_ms);
        let ratio = flink_ms / ms;
        say(&format!(
            "{ms:10.1} {low:10.1} {high:10.1} {ratio:7.1}x {mib:10.1}  {name}"
        ));
    }
    let faster = flink_ms / median(&walls[1].1);
    let part = memory_mib[1] / memory_mib[0];
    let mut held = true;
    for (what, value, reached) in [
        (
            "times faster than Flink, at least 20",
            faster,
            faster >= FASTER_MIN,
        ),
        (
            "part of Flink's smallest heap, at most 0.1",
            part,
            part <= MEMORY_MAX,
        ),
    ] {
        held &= reached;
        let word = if reached { "held" } else { "BROKEN" };
        say(&format!("{what}: {value:.3}, {word}"));
    }
    held
}

/// The metadata of an incremental checkpoint of a large job on `RocksDB`.
fn large() -> Metadata {
    Metadata {
        version: 6,
        checkpoint_id: 4_711,
        master_states: Vec::new(),
        operators: (0..OPERATORS).map(operator).collect(),
        properties: Some(Properties {
            kind: SnapshotKind::Checkpoint,
            format: None,
            forced: false,
            discard_cancelled: false,
            discard_failed: false,
            discard_finished: true,
            discard_subsumed: true,
            discard_suspended: true,
            unclaimed: false,
        }),
    }
}

fn operator(number: u32) -> Operator {
    let uid = format!("operator-{number}");
    Operator {
        name: Some(format!("Operator {number}")),
        id: OperatorId::from_uid(&uid),
        uid: Some(uid),
        parallelism: SUBTASKS,
        max_parallelism: KEY_GROUPS,
        coordinator: None,
        fully_finished: false,
        subtasks: (0..SUBTASKS).map(|index| subtask(number, index)).collect(),
    }
}

fn subtask(operator: u32, index: u32) -> Subtask {
    let count = KEY_GROUPS / SUBTASKS;
    let first = (operator * SUBTASKS + index) * (SHARED_FILES + PRIVATE_FILES + 1);
    let shared = (0..SHARED_FILES).map(|file| BackendFile {
        local_path: format!("{file:06}.sst"),
        stream: StreamHandle::File {
            path: format!(
                "s3://flink-state/checkpoints/c70d61dac6a5af3a4ba0c5d7b8e5d3f1/shared/{}",
                name(first + file)
            ),
            size: Some(u64::from(64_000_000 + file)),
        },
    });
    let private = (0..PRIVATE_FILES).map(|file| BackendFile {
        local_path: format!("OPTIONS-{file:06}"),
        stream: StreamHandle::Relative {
            path: name(first + SHARED_FILES + file),
            size: Some(u64::from(40_000 + file)),
        },
    });
    let handle = IncrementalHandle {
        checkpoint_id: 4_711,
        backend_id: name(operator),
        range: KeyGroupRange {
            start: index * count,
            count,
        },
        meta: StreamHandle::Relative {
            path: name(first + SHARED_FILES + PRIVATE_FILES),
            size: Some(30_000),
        },
        shared: shared.collect(),
        private: private.collect(),
        details: Some(IncrementalDetails {
            checkpointed_bytes: Some(70_000_000),
            state_handle_id: name(first),
        }),
    };
    let state = SubtaskState {
        managed_keyed: Some(KeyedStateHandle::Incremental(handle)),
        ..SubtaskState::default()
    };
    Subtask {
        index,
        state: Some(Box::new(state)),
    }
}

/// A name like the UUIDs that Flink gives files.
fn name(number: u32) -> String {
    format!(
        "{number:08x}-5c7e-4a0b-9d21-{:012x}",
        u64::from(number) * 7_919
    )
}
