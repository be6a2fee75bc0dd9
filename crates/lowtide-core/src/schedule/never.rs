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

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::parse::WEEKDAY_NAMES;
use super::piece::Piece;
use super::slots::{first_instant, last_instant};
use super::text_error::TextError;

/// The most windows of one application; beyond any calendar that a person keeps by hand.
pub const WINDOWS_MAX: usize = 64;

/// The longest text of one window.
const WINDOW_TEXT_BYTES_MAX: usize = 128;

const DAY_MINUTES: u16 = 24 * 60;

/// How many days before an instant a window that contains it can have begun: yesterday's window
/// over midnight, and one more for a day that a zone skipped whole.
const BEGUN_DAYS_BEFORE: i32 = 2;

/// How many weeks of touching windows are followed. Windows that leave a minute of the week open
/// touch for longer only where the change of the clock swallows that very minute.
const TOUCHING_WEEKS_MAX: usize = 3;

/// A window that cannot be read.
pub type WindowError = TextError<WindowErrorKind>;

/// What is wrong with a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowErrorKind {
    /// Nothing was written.
    #[error("the window is empty")]
    Empty,
    /// Far longer than any window.
    #[error("the window is longer than {WINDOW_TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// Not a weekday.
    #[error("`{text}` is not a weekday")]
    NotAWeekday {
        /// What stands there.
        text: String,
    },
    /// Not `HH:MM-HH:MM`.
    #[error("`{text}` is not a range of times")]
    NotARange {
        /// What stands there.
        text: String,
    },
    /// Not `HH:MM`.
    #[error("`{text}` is not a time of day")]
    NotATime {
        /// What stands there.
        text: String,
    },
    /// Start and end are the same.
    #[error("the window begins and ends at {text}")]
    NoLength {
        /// The time.
        text: String,
    },
    /// Something after the times.
    #[error("unexpected `{text}` after the times")]
    Trailing {
        /// What stands there.
        text: String,
    },
}

/// One window of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Bit w: the window begins on that weekday, Sunday is 0.
    days: u8,
    /// Minutes after midnight.
    start_minute: u16,
    /// Minutes after the midnight before the start; beyond 24 h where it runs over midnight.
    end_minute: u16,
}

impl Window {
    /// Reads one window, such as `Mon-Fri 08:00-18:00`.
    ///
    /// # Errors
    /// [`WindowError`] with the bytes that are wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, WindowError> {
        if text.len() > WINDOW_TEXT_BYTES_MAX {
            return Err(WindowError::new(0..text.len(), WindowErrorKind::TooLong));
        }
        let words = Piece::whole(text).words();
        let (days, rest) = match &words[..] {
            [] => {
                let error = WindowError::new(0..text.len(), WindowErrorKind::Empty);
                return Err(error.with_hint(EXAMPLE));
            }
            [days, rest @ ..] if days.text.starts_with(char::is_alphabetic) => {
                (parse_days(*days)?, rest)
            }
            times => (EVERY_DAY, times),
        };
        let (start_minute, end_minute) = match rest {
            [] => (0, DAY_MINUTES),
            [times] => parse_times(*times)?,
            [_, more, ..] => {
                let kind = WindowErrorKind::Trailing { text: more.owned() };
                return Err(WindowError::new(more.span(), kind).with_hint(EXAMPLE));
            }
        };
        Ok(Self {
            days,
            start_minute,
            end_minute,
        })
    }

    /// The instants at which the window that begins on this civil day begins and ends.
    fn on(self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let weekday = day.weekday().to_sunday_zero_offset();
        if self.days & (1 << weekday) == 0 {
            return None;
        }
        let edge = |minute: u16| {
            let midnight = day.at(0, 0, 0, 0);
            midnight.checked_add(i64::from(minute).minutes()).ok()
        };
        let start = first_instant(zone, edge(self.start_minute)?)?;
        let end = last_instant(zone, edge(self.end_minute)?)?;
        Some((start, end))
    }
}

const EXAMPLE: &str = "write a window such as Mon-Fri 08:00-18:00 or 22:00-04:00";
const EVERY_DAY: u8 = 0b0111_1111;

/// `Mon-Fri`, `Sat,Sun`, `Fri-Mon` (over the end of the week).
fn parse_days(word: Piece<'_>) -> Result<u8, WindowError> {
    let mut days = 0;
    for item in word.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (mut day, last) = (weekday(first)?, weekday(last)?);
        days |= 1 << day;
        while day != last {
            day = (day + 1) % 7;
            days |= 1 << day;
        }
    }
    Ok(days)
}

/// A weekday by its first three letters or its whole English name, Sunday is 0.
fn weekday(name: Piece<'_>) -> Result<u8, WindowError> {
    let is = |weekday: u8| {
        let short = WEEKDAY_NAMES[usize::from(weekday)];
        let long = Weekday::from_sunday_zero_offset(weekday.cast_signed())
            .map(|day| format!("{day:?}"))
            .unwrap_or_default();
        name.text.eq_ignore_ascii_case(short) || name.text.eq_ignore_ascii_case(&long)
    };
    (0..7).find(|weekday| is(*weekday)).ok_or_else(|| {
        WindowError::new(
            name.span(),
            WindowErrorKind::NotAWeekday { text: name.owned() },
        )
        .with_hint("the weekdays are Mon, Tue, Wed, Thu, Fri, Sat and Sun")
    })
}

/// `08:00-18:00`, as minutes after the midnight before the start.
fn parse_times(word: Piece<'_>) -> Result<(u16, u16), WindowError> {
    let Some((start_text, end_text)) = word.split_once('-') else {
        let kind = WindowErrorKind::NotARange { text: word.owned() };
        return Err(WindowError::new(word.span(), kind).with_hint(EXAMPLE));
    };
    let (start, end) = (time_of_day(start_text)?, time_of_day(end_text)?);
    if start == DAY_MINUTES {
        let kind = WindowErrorKind::NotATime {
            text: start_text.owned(),
        };
        return Err(WindowError::new(start_text.span(), kind).with_hint("a day begins at 00:00"));
    }
    if start == end {
        let kind = WindowErrorKind::NoLength {
            text: start_text.owned(),
        };
        return Err(WindowError::new(word.span(), kind).with_hint("a whole day is 00:00-24:00"));
    }
    Ok((start, if end < start { end + DAY_MINUTES } else { end }))
}

/// `HH:MM` up to `24:00`, in minutes.
fn time_of_day(time: Piece<'_>) -> Result<u16, WindowError> {
    let number = |digits: &str| {
        let plain = matches!(digits.len(), 1 | 2) && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse::<u16>().ok()).flatten()
    };
    let minutes = time
        .text
        .split_once(':')
        .filter(|(_, minute)| minute.len() == 2)
        .and_then(|(hour, minute)| Some((number(hour)?, number(minute)?)))
        .filter(|(_, minute)| *minute < 60)
        .map(|(hour, minute)| hour * 60 + minute)
        .filter(|minutes| *minutes <= DAY_MINUTES);
    minutes.ok_or_else(|| {
        WindowError::new(
            time.span(),
            WindowErrorKind::NotATime { text: time.owned() },
        )
        .with_hint("write a time from 00:00 to 24:00")
    })
}

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
        let days =
            (-1..=BEGUN_DAYS_BEFORE).filter_map(|before| today.checked_sub(before.days()).ok());
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
    const WEEK_MINUTES: usize = 7 * DAY_MINUTES as usize;
    let mut closed = vec![false; WEEK_MINUTES];
    for window in windows {
        for day in (0..7_usize).filter(|day| window.days & (1 << day) != 0) {
            for minute in window.start_minute..window.end_minute {
                let minute = day * usize::from(DAY_MINUTES) + usize::from(minute);
                closed[minute % WEEK_MINUTES] = true;
            }
        }
    }
    closed.iter().all(|closed| *closed)
}
