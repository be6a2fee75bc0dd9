//! One never-window: days and times of the week, read from `Mon-Fri 08:00-18:00` and the like.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::field::WEEKDAY_NAMES;
use super::piece::Piece;
use super::slots::{first_instant, last_instant};
use super::text_error::TextError;

/// The longest text of one window.
const WINDOW_TEXT_BYTES_MAX: usize = 128;

const DAY_MINUTES: u16 = 24 * 60;
/// Minutes of a week.
pub(super) const WEEK_MINUTES: usize = 7 * DAY_MINUTES as usize;

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

    /// The minutes of a week without clock changes that it closes, Sunday 00:00 being 0.
    pub(super) fn minutes_of_week(self) -> impl Iterator<Item = usize> {
        let days = (0..7_usize).filter(move |day| self.days & (1 << day) != 0);
        days.flat_map(move |day| {
            (self.start_minute..self.end_minute)
                .map(move |minute| day * usize::from(DAY_MINUTES) + usize::from(minute))
                .map(|minute| minute % WEEK_MINUTES)
        })
    }

    /// The instants at which the window that begins on this civil day begins and ends.
    pub(super) fn on(self, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
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
