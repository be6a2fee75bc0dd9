//! Shows runs on the way: a spinner for each on a terminal, else one plain line for each change,
//! in `serve` one log line for each change.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use lowtide_core::name::RunId;
use lowtide_core::run::{Outcome, Phase, Run};

use crate::printer::Printer;
use crate::status;

/// How often a spinner turns.
const TURN_EVERY: Duration = Duration::from_millis(120);

/// Where changes go.
#[derive(Debug)]
enum Way {
    /// To a terminal, moving.
    Bars(MultiProgress),
    /// To stderr, a line each.
    Lines(Printer),
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
    pub fn for_people(printer: Printer) -> Self {
        Self::new(if std::io::stderr().is_terminal() {
            Way::Bars(MultiProgress::new())
        } else {
            Way::Lines(printer)
        })
    }

    /// For `serve`.
    pub fn to_log() -> Self {
        Self::new(Way::Log)
    }

    fn new(way: Way) -> Self {
        Self {
            way,
            shown: Mutex::default(),
        }
    }

    /// A run as it is now.
    pub fn saw(&self, run: &Run) {
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
            Way::Lines(printer) => printer.say(&format!("{}: {line}\n", run.application)),
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
        matches!(self.way, Way::Lines(_))
            && all
                .get(&run.id)
                .is_some_and(|shown| shown.line == status::line(run))
    }

    /// Takes the spinners away, so that results stand alone.
    pub fn end(&self) {
        if let Way::Bars(bars) = &self.way {
            // A terminal that is gone needs no clearing.
            let _ = bars.clear();
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
