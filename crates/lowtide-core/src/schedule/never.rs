//! Never-windows: times of the week at which no savepoint may begin.
//!
//! `Mon-Fri 08:00-18:00`, `Sat,Sun 00:00-24:00`, `22:00-04:00` (every day, over midnight), or
//! days alone for whole days. A window that runs over midnight belongs to the day on which it
//! begins: `Fri 22:00-04:00` ends on Saturday.
//!
//! Edges are civil times in the schedule's zone. An edge that the clock skips is the first valid
//! instant after the gap. Where the clock is set back, a window begins at the first occurrence of
//! its start and ends at the second of its end: a person who said never does not get a savepoint
//! for the sake of an hour that came twice. The end itself is outside the window.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::window::{WEEK_MINUTES, Window};

/// The most windows of one application; beyond any calendar that a person keeps by hand.
pub const WINDOWS_MAX: usize = 64;

/// The civil days on which a window that contains an instant can have begun, counted back from
/// the instant's own: yesterday, where it runs over midnight, and tomorrow, where the clock has
/// gone back over midnight since it began.
const BEGUN_DAYS_BEFORE: [i64; 3] = [1, 0, -1];

/// How many weeks of touching windows are followed. Windows that leave a minute of the week open
/// touch for longer only where the change of the clock swallows that very minute.
const TOUCHING_WEEKS_MAX: usize = 3;

/// A set of windows that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeverError {
    /// No savepoint could ever begin.
    #[error("the never-windows cover the whole week: no savepoint could ever begin")]
    WholeWeek,
    /// More than [`WINDOWS_MAX`].
    #[error("there are {found} never-windows, at most {WINDOWS_MAX} are allowed")]
    TooMany {
        /// How many there are.
        found: usize,
    },
}

/// What a never-window says to a slot that wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// No window: it may begin.
    Open,
    /// It waits until the window's end, which is within its deadline.
    Until(Timestamp),
    /// The window ends after its deadline: it is skipped. Holds the window's end.
    BeyondDeadline(Timestamp),
}

/// The never-windows of one application, in the zone of its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Never {
    windows: Vec<Window>,
    zone: TimeZone,
}

impl Never {
    /// A set of windows; an empty one never holds anything.
    ///
    /// # Errors
    /// When the windows cover the whole week, and when there are more than [`WINDOWS_MAX`].
    pub fn new(windows: Vec<Window>, zone: TimeZone) -> Result<Self, NeverError> {
        if windows.len() > WINDOWS_MAX {
            return Err(NeverError::TooMany {
                found: windows.len(),
            });
        }
        if covers_week(&windows) {
            return Err(NeverError::WholeWeek);
        }
        Ok(Self { windows, zone })
    }

    /// The end of the windows that contain this instant, touching and overlapping ones taken
    /// together; `None` outside all of them.
    pub fn held_until(&self, instant: Timestamp) -> Option<Timestamp> {
        let mut end = self.window_end(instant)?;
        for _ in 0..self.windows.len() * 7 * TOUCHING_WEEKS_MAX {
            match self.window_end(end) {
                Some(later) => end = later,
                None => break,
            }
        }
        Some(end)
    }

    /// Whether a slot with this deadline may begin now, waits, or is skipped. A slot whose window
    /// ends exactly at its deadline still begins.
    pub fn hold(&self, now: Timestamp, deadline: Timestamp) -> Hold {
        match self.held_until(now) {
            None => Hold::Open,
            Some(end) if end <= deadline => Hold::Until(end),
            Some(end) => Hold::BeyondDeadline(end),
        }
    }

    /// The latest end of the single windows that contain this instant.
    fn window_end(&self, instant: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(instant).date();
        let days = BEGUN_DAYS_BEFORE
            .iter()
            .filter_map(|before| today.checked_sub(before.days()).ok());
        days.flat_map(|day| {
            self.windows
                .iter()
                .filter_map(move |w| w.on(day, &self.zone))
        })
        .filter(|(start, end)| *start <= instant && instant < *end)
        .map(|(_, end)| end)
        .max()
    }
}

/// Whether no minute of a week without clock changes is left open.
fn covers_week(windows: &[Window]) -> bool {
    let mut closed = vec![false; WEEK_MINUTES];
    for minute in windows.iter().flat_map(|window| window.minutes_of_week()) {
        closed[minute] = true;
    }
    closed.iter().all(|closed| *closed)
}
