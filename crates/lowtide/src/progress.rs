//! Shows what takes time. Runs on the way: a spinner for each on a terminal, else one plain line for each change,
//! in `serve` one log line for each change. And bytes that are read: a bar with their rate and the
//! time left, or a line once in a while.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use lowtide_core::name::{Location, RunId};
use lowtide_core::run::{Outcome, Phase, Run};
use tokio::time::Instant;

use crate::human;
use crate::printer::Printer;
use crate::status;

/// How often a spinner turns.
const TURN_EVERY: Duration = Duration::from_millis(120);

/// Where changes go.
#[derive(Debug)]
enum Way {
    /// To a terminal, moving.
    Bars(MultiProgress),
    /// To stderr, a line each; what is said at the same moment goes there together.
    Lines {
        printer: Printer,
        unsaid: Mutex<String>,
    },
    /// To the log.
    Log,
}

/// What is shown of one run.
#[derive(Debug, Default)]
struct Shown {
    line: String,
    bar: Option<ProgressBar>,
}

/// Shows what it is told of, once per change.
#[derive(Debug)]
pub struct Progress {
    way: Way,
    shown: Mutex<BTreeMap<RunId, Shown>>,
}

impl Progress {
    /// For people who wait: spinners where stderr is a terminal, else lines.
    pub fn for_people(printer: Printer) -> Arc<Self> {
        Self::new(if std::io::stderr().is_terminal() {
            Way::Bars(MultiProgress::new())
        } else {
            Way::Lines {
                printer,
                unsaid: Mutex::default(),
            }
        })
    }

    /// For `serve`.
    pub fn to_log() -> Arc<Self> {
        Self::new(Way::Log)
    }

    fn new(way: Way) -> Arc<Self> {
        Arc::new(Self {
            way,
            shown: Mutex::default(),
        })
    }

    /// A run as it is now.
    pub fn saw(self: &Arc<Self>, run: &Run) {
        let line = status::line(run);
        // Whatever panicked meanwhile, the lines in the map are whole.
        let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = all.entry(run.id).or_default();
        if shown.line == line {
            return;
        }
        shown.line.clone_from(&line);
        match &self.way {
            Way::Bars(bars) => {
                let bar = shown.bar.get_or_insert_with(|| spinner(bars, run));
                bar.set_message(line);
                if run.outcome.is_some() {
                    bar.finish();
                }
            }
            Way::Lines { unsaid, .. } => {
                self.say_soon(unsaid, &format!("{}: {line}\n", run.application));
            }
            Way::Log => log(run, &line),
        }
        if run.outcome.is_some() && matches!(self.way, Way::Log) {
            // `serve` lives long, and an ended run never changes again.
            all.remove(&run.id);
        }
    }

    /// Whether people have read how this run stands already and still see it: lines stay, spinners
    /// are taken away.
    pub fn has_told(&self, run: &Run) -> bool {
        let all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(self.way, Way::Lines { .. })
            && all
                .get(&run.id)
                .is_some_and(|shown| shown.line == status::line(run))
    }

    /// Says a line once all tasks that are ready now have had their turn: a commit wakes hundreds of runs, each of
    /// which has one to say.
    fn say_soon(self: &Arc<Self>, unsaid: &Mutex<String>, line: &str) {
        let mut unsaid = unsaid.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = unsaid.is_empty();
        unsaid.push_str(line);
        if is_first {
            let progress = Arc::clone(self);
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                progress.say_all();
            });
        }
    }

    fn say_all(&self) {
        if let Way::Lines { printer, unsaid } = &self.way {
            let text = std::mem::take(&mut *unsaid.lock().unwrap_or_else(PoisonError::into_inner));
            if !text.is_empty() {
                printer.say(&text);
            }
        }
    }

    /// Says what is still to be said, and takes the spinners away, so that results stand alone.
    pub fn end(&self) {
        self.say_all();
        if let Way::Bars(bars) = &self.way {
            // A terminal that is gone needs no clearing.
            let _ = bars.clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.say_all();
    }
}

/// How often a bar of bytes moves.
const MOVE_EVERY: Duration = Duration::from_millis(100);
/// How often a line is said of bytes where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Shows how far a long reading has come.
#[derive(Debug)]
pub struct BytesRead {
    place: String,
    total: u64,
    printer: Printer,
    bar: Option<ProgressBar>,
}

impl BytesRead {
    /// Of `total` bytes, which lie at `place`.
    pub fn new(place: &Location, total: u64, printer: Printer) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style)
        });
        Self {
            place: place.to_string(),
            total,
            printer,
            bar,
        }
    }

    /// Does the work, and shows meanwhile how many bytes `read` says were read.
    pub async fn beside<T>(self, work: impl Future<Output = T>, read: impl Fn() -> u64) -> T {
        let show = |took| self.show(read(), took);
        let done = ticking(self.bar.is_some(), work, show).await;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        done
    }

    fn show(&self, read: u64, took: Duration) {
        if let Some(bar) = &self.bar {
            bar.set_position(read);
        } else {
            let line = said(read, self.total, took);
            self.printer.say(&format!("{}: {line}\n", self.place));
        }
    }
}

/// Shows how far something has come of which nobody knows the end.
#[derive(Debug)]
pub struct Counted {
    printer: Printer,
    bar: Option<ProgressBar>,
}

impl Counted {
    /// A spinner where stderr is a terminal, else a line once in a while.
    pub fn new(printer: Printer) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed:>4}  {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        });
        Self { printer, bar }
    }

    /// Does the work, and shows meanwhile what `far` says.
    pub async fn beside<T>(self, work: impl Future<Output = T>, far: impl Fn() -> String) -> T {
        let show = || match &self.bar {
            Some(bar) => {
                bar.set_message(far());
                bar.tick();
            }
            None => self.printer.say(&format!("{}\n", far())),
        };
        let done = ticking(self.bar.is_some(), work, |_| show()).await;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        done
    }
}

/// Does the work, and calls `show` every so often meanwhile, with the time since it began.
async fn ticking<T>(
    is_terminal: bool,
    work: impl Future<Output = T>,
    show: impl Fn(Duration),
) -> T {
    let every = if is_terminal { MOVE_EVERY } else { SAY_EVERY };
    let started = Instant::now();
    let mut ticks = tokio::time::interval_at(started + every, every);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => show(started.elapsed()),
        }
    }
}

/// How far it is, how fast it goes and how long it will take.
fn said(read: u64, total: u64, took: Duration) -> String {
    let ms = took.as_millis().max(1);
    let per_s = u64::try_from(u128::from(read) * 1_000 / ms).unwrap_or(u64::MAX);
    let far = format!("{} of {}", human::bytes(read), human::bytes(total));
    match per_s {
        0 => format!("{far}, nothing comes"),
        per_s => {
            let left_ms = total.saturating_sub(read).saturating_mul(1_000) / per_s;
            let left = human::duration_ms(left_ms);
            format!("{far}, {}/s, {left} left", human::bytes(per_s))
        }
    }
}

fn spinner(bars: &MultiProgress, run: &Run) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix}  {elapsed:>4}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    // A run that was taken over is older than this process.
    let age = Timestamp::now().duration_since(run.created_at);
    let bar = bars.add(
        ProgressBar::new_spinner()
            .with_style(style)
            .with_prefix(run.application.to_string())
            .with_elapsed(Duration::try_from(age).unwrap_or_default()),
    );
    bar.enable_steady_tick(TURN_EVERY);
    bar
}

fn log(run: &Run, line: &str) {
    let application = run.application.to_string();
    let slot = run.nominal().map(|nominal| nominal.to_string());
    let attempt = run.attempts.len();
    let outcome = run.outcome.as_ref().map(Outcome::short);
    let (id, phase) = (run.id, run.phase.as_str());
    if matches!(
        run.outcome,
        Some(Outcome::Failed { .. } | Outcome::Unverified { .. })
    ) {
        tracing::warn!(%application, run = %id, slot, phase, attempt, outcome, "{line}");
    } else if run.phase == Phase::Due && run.hold.is_none() {
        tracing::info!(%application, run = %id, slot, phase, attempt, outcome, "claimed");
    } else {
        tracing::info!(%application, run = %id, slot, phase, attempt, outcome, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_rate_and_time_left_are_said() {
        let ten_s = Duration::from_secs(10);
        assert_eq!(
            said(100 << 20, 400 << 20, ten_s),
            "100.0 MiB of 400.0 MiB, 10.0 MiB/s, 30.0 s left"
        );
        assert_eq!(said(0, 5, ten_s), "0 B of 5 B, nothing comes");
    }
}
