//! When savepoints are due: cron and `every`, zones, `H`, never-windows and catch-up. Pure: the
//! time of day comes in as a value, the zone database is compiled in.
//!
//! A **slot** is one due point. Its nominal time is a UTC instant, so equal instants are one
//! slot, whatever a clock on the wall shows.
//!
//! # Daylight saving
//!
//! Vixie cron's rule. A cron schedule is *wildcard* when its minute or hour field begins with
//! `*`; every other one is *fixed-time*.
//!
//! - **Wildcard** schedules follow elapsed time: a slot is every real minute whose civil time in
//!   the zone matches. `30 * * * *` fires twice in a repeated hour and not in a skipped one;
//!   `*/15 2 * * *` does not fire on a day that has no 02:00 to 03:00.
//! - **Fixed-time** schedules name civil times, and each of them becomes exactly one instant:
//!   - a time that exists once is that instant;
//!   - a time that the clock repeats (it was set back) is its first occurrence;
//!   - a time that the clock skips (it was set forward) is the first valid instant after the gap.
//!
//! What follows from that, and is tested: several times inside one gap are one slot
//! (`0,30 2 * * *` fires once, at 03:00), and a time that falls on the gap's end anyway is the
//! same slot again (`0 2,3 * * *`). A gap may be of any length and at any time: half an hour
//! (Lord Howe), midnight (Santiago: `0 0 * * *` fires at 01:00), or a day that a zone skipped
//! whole (Apia, 30 December 2011: `0 1 * * *` fires for it on the 31st at 00:00, and at 01:00 for
//! the 31st). Days, months and weekdays are those of the civil time, also of a skipped one: what
//! was due on the skipped 30th fires, although the wall calendar shows the 31st when it does.
//!
//! `every: 6h` counts whole periods from the Unix epoch and knows no zone.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

mod catch_up;
mod cron;
mod cron_error;
mod describe;
mod duration;
mod field;
mod hash;
mod never;
mod parse;
mod piece;
mod slots;
mod text_error;
mod window;
mod zone;

pub use catch_up::{
    Due, LOOKBACK_MAX, MISSED_ROWS_MAX, MissedReason, MissedSlot, ON_TIME_LATENESS_MAX, Pause, due,
};
pub use cron::Cron;
pub use cron_error::{CRON_TEXT_BYTES_MAX, CronError, CronErrorKind};
pub use duration::{
    DURATION_MAX, DurationError, DurationErrorKind, format_duration, parse_duration,
};
pub use field::Field;
pub use hash::HashSeed;
pub use never::{Hold, Never, NeverError, WINDOWS_MAX};
pub use slots::Slots;
pub use text_error::TextError;
pub use window::{Window, WindowError, WindowErrorKind};
pub use zone::{ZoneError, ZoneErrorKind, parse_zone};

/// The shortest period of `every`. A savepoint is work for the whole cluster; anything shorter
/// is what checkpoints are for.
pub const EVERY_MIN: SignedDuration = SignedDuration::from_secs(10);

/// How far ahead [`Schedule::next_after`] looks. The rarest pattern there is, 29 February on one
/// weekday, comes every 28 years, or every 40 around a century that skips its leap year.
pub const HORIZON: SignedDuration = SignedDuration::from_hours(41 * 366 * 24);

/// The period of an `every` schedule: whole seconds, at least [`EVERY_MIN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    seconds: i64,
}

impl Period {
    /// Reads `6h` and the like.
    ///
    /// # Errors
    /// What [`parse_duration`] refuses, less than [`EVERY_MIN`], and fractions of a second.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let duration = parse_duration(text)?;
        let refuse = |kind| Err(DurationError::new(0..text.len(), kind));
        if duration < EVERY_MIN {
            let minimum = format_duration(EVERY_MIN);
            return refuse(DurationErrorKind::TooShortForEvery { minimum });
        }
        if duration.subsec_nanos() != 0 {
            return refuse(DurationErrorKind::NotWholeSeconds);
        }
        Ok(Self {
            seconds: duration.as_secs(),
        })
    }

    /// The period in seconds.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// The period.
    pub fn duration(self) -> SignedDuration {
        SignedDuration::from_secs(self.seconds)
    }
}

/// The two forms of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rhythm {
    /// Civil times in a zone.
    Cron(Cron),
    /// Whole periods since the Unix epoch.
    Every(Period),
}

/// When one application is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    rhythm: Rhythm,
    zone: TimeZone,
    text: String,
}

impl Schedule {
    /// A cron schedule in a zone.
    ///
    /// # Errors
    /// [`CronError`], with its place in `text`.
    pub fn cron(text: &str, seed: &HashSeed<'_>, zone: TimeZone) -> Result<Self, CronError> {
        let rhythm = Rhythm::Cron(Cron::parse(text, seed)?);
        Ok(Self {
            rhythm,
            zone,
            text: text.to_owned(),
        })
    }

    /// An `every` schedule; the zone is only for display.
    ///
    /// # Errors
    /// [`DurationError`], with its place in `text`.
    pub fn every(text: &str, zone: TimeZone) -> Result<Self, DurationError> {
        let rhythm = Rhythm::Every(Period::parse(text)?);
        Ok(Self {
            rhythm,
            zone,
            text: text.to_owned(),
        })
    }

    /// The form.
    pub fn rhythm(&self) -> &Rhythm {
        &self.rhythm
    }

    /// The zone that governs cron, windows, retention buckets and display.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the catalog remembers having seen first at some time: all of the text that decides
    /// the slots, the zone of a cron schedule included. Spaces between fields do not count.
    pub fn identity(&self) -> String {
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        match self.rhythm {
            Rhythm::Cron(_) => format!("cron {text} in {}", self.zone_name()),
            Rhythm::Every(_) => format!("every {text}"),
        }
    }

    /// The zone's IANA name; for a zone without one, what it consists of.
    pub fn zone_name(&self) -> String {
        self.zone
            .iana_name()
            .map_or_else(|| format!("{:?}", self.zone), str::to_owned)
    }

    /// The slots after `after` up to and including `until`, in order, each once. Lazy; the work
    /// between two slots does not depend on how far apart they are in minutes.
    pub fn slots_between(&self, after: Timestamp, until: Timestamp) -> Slots<'_> {
        Slots::new(self, after, until)
    }

    /// The first slot after an instant; `None` when there is none within [`HORIZON`].
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let until = after.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        self.slots_between(after, until).next()
    }

    /// The interval that a slot opens: the time from it to the next one. Half of it caps
    /// catch-up.
    pub fn interval_after(&self, slot: Timestamp) -> Option<SignedDuration> {
        self.next_after(slot).map(|next| next.duration_since(slot))
    }

    /// The shortest time between two consecutive slots of this schedule on an ordinary day:
    /// changes of the clock, which shorten or stretch an interval, are left out. A wait that is
    /// longer contradicts the schedule and is refused when the configuration is read.
    pub fn shortest_interval(&self) -> SignedDuration {
        match &self.rhythm {
            Rhythm::Cron(cron) => cron.shortest_interval(),
            Rhythm::Every(period) => period.duration(),
        }
    }

    /// One short sentence for people, with `H` already drawn: `at 01:17 every day
    /// (Europe/Berlin)`.
    pub fn describe(&self) -> String {
        describe::sentence(self)
    }
}
