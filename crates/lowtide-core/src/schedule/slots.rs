//! From the civil line to instants: the one place where zones and daylight saving are met.
//!
//! A *fixed-time* pattern is a list of civil times. Each stands for one instant: itself where it
//! exists once, its first occurrence where the clock was set back, and the first valid instant
//! after the gap where it was skipped. That mapping never runs backwards, so walking the civil
//! matches in order gives the slots in order, and equal instants are next to each other.
//!
//! A *wildcard* pattern follows elapsed time: every real minute whose civil time matches. Between
//! two changes of the clock the offset is constant, so each such stretch is walked by itself.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::cron::Cron;
use super::{Period, Rhythm, Schedule};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

/// How long a civil time can lie ahead of its instant's own civil time, in days: a clock that was
/// set back by a whole day repeats it. One more for the time of day.
const CIVIL_AHEAD_DAYS_MAX: i64 = 2;

/// The slots of one schedule between two instants, in order. See [`Schedule::slots_between`].
#[derive(Debug, Clone)]
pub struct Slots<'a> {
    walk: Option<Walk<'a>>,
    until: Timestamp,
}

#[derive(Debug, Clone)]
enum Walk<'a> {
    Every {
        period_s: i64,
        next_s: i64,
    },
    Fixed {
        cron: &'a Cron,
        zone: &'a TimeZone,
        from: DateTime,
        after: Timestamp,
        last_day: Date,
    },
    Wildcard {
        cron: &'a Cron,
        zone: &'a TimeZone,
        from: Timestamp,
        stretch: Stretch,
    },
}

/// A stretch of time with one offset from UTC.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    offset: Offset,
    /// The next change of the clock, if there is one.
    end: Option<Timestamp>,
}

impl Stretch {
    fn at(zone: &TimeZone, instant: Timestamp) -> Self {
        Self {
            offset: zone.to_offset(instant),
            end: zone
                .following(instant)
                .next()
                .map(|change| change.timestamp()),
        }
    }
}

impl<'a> Slots<'a> {
    pub(super) fn new(schedule: &'a Schedule, after: Timestamp, until: Timestamp) -> Self {
        Self {
            walk: Walk::new(schedule, after, until),
            until,
        }
    }
}

impl<'a> Walk<'a> {
    fn new(schedule: &'a Schedule, after: Timestamp, until: Timestamp) -> Option<Self> {
        let zone = schedule.zone();
        match schedule.rhythm() {
            Rhythm::Every(period) => Some(Self::every(*period, after)),
            Rhythm::Cron(cron) if cron.is_wildcard() => {
                let from = after.checked_add(NANOSECOND).ok()?;
                Some(Self::Wildcard {
                    cron,
                    zone,
                    from,
                    stretch: Stretch::at(zone, from),
                })
            }
            Rhythm::Cron(cron) => Some(Self::Fixed {
                cron,
                zone,
                from: zone.to_datetime(after),
                after,
                last_day: last_civil_day(zone, until),
            }),
        }
    }

    fn every(period: Period, after: Timestamp) -> Self {
        let period_s = period.seconds();
        // Timestamps before the epoch have their whole seconds rounded towards zero.
        let floor_s = after.as_second() - i64::from(after.subsec_nanosecond() < 0);
        let next_s = (floor_s.div_euclid(period_s) + 1) * period_s;
        Self::Every { period_s, next_s }
    }

    /// The next slot up to `until`; `None` ends the walk.
    fn next(&mut self, until: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every { period_s, next_s } => {
                let slot = Timestamp::from_second(*next_s)
                    .ok()
                    .filter(|slot| *slot <= until)?;
                *next_s += *period_s;
                Some(slot)
            }
            Self::Fixed {
                cron,
                zone,
                from,
                after,
                last_day,
            } => loop {
                let civil = cron.first_match(*from, *last_day)?;
                *from = civil.checked_add(MINUTE).ok()?;
                let slot = first_instant(zone, civil)?;
                if slot > until {
                    return None;
                }
                if slot > *after {
                    *after = slot;
                    return Some(slot);
                }
            },
            Self::Wildcard {
                cron,
                zone,
                from,
                stretch,
            } => loop {
                if *from > until {
                    return None;
                }
                if let Some(slot) = first_in_stretch(cron, *stretch, *from, until) {
                    *from = slot.checked_add(MINUTE).ok()?;
                    return Some(slot);
                }
                *from = stretch.end?;
                *stretch = Stretch::at(zone, *from);
            },
        }
    }
}

/// The first matching minute of a stretch, from `from` to `until` or the end of the stretch.
fn first_in_stretch(
    cron: &Cron,
    stretch: Stretch,
    from: Timestamp,
    until: Timestamp,
) -> Option<Timestamp> {
    let offset = stretch.offset;
    let last = stretch.end.map_or(until, |end| end.min(until));
    let civil = cron.first_match(offset.to_datetime(from), offset.to_datetime(last).date())?;
    let slot = offset.to_timestamp(civil).ok()?;
    let in_stretch = stretch.end.is_none_or(|end| slot < end);
    (in_stretch && slot <= until).then_some(slot)
}

/// The last civil day that can hold a match whose instant is not after `until`.
fn last_civil_day(zone: &TimeZone, until: Timestamp) -> Date {
    zone.to_datetime(until)
        .date()
        .saturating_add(CIVIL_AHEAD_DAYS_MAX.days())
}

/// The instant of a civil time: the first of two, and the first valid one after a gap.
/// `None` only beyond the range of timestamps.
pub(super) fn first_instant(zone: &TimeZone, civil: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
        AmbiguousOffset::Gap { before, after } => gap_end(zone, civil, before, after),
    }
}

/// Like [`first_instant`], but the second of two.
pub(super) fn last_instant(zone: &TimeZone, civil: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Fold { after, .. } => after.to_timestamp(civil).ok(),
        _ => first_instant(zone, civil),
    }
}

/// The change of the clock that skipped `civil`. Read with the offset after the change, a skipped
/// time lies before it; read with the offset before, at or after it.
fn gap_end(zone: &TimeZone, civil: DateTime, before: Offset, after: Offset) -> Option<Timestamp> {
    let earliest = after.to_timestamp(civil).ok()?;
    let latest = before.to_timestamp(civil).ok()?;
    zone.following(earliest)
        .map(|change| change.timestamp())
        .take_while(|change| *change <= latest)
        .find(|change| zone.to_offset(*change) == after)
}

impl Iterator for Slots<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        let slot = self.walk.as_mut()?.next(self.until);
        if slot.is_none() {
            self.walk = None;
        }
        slot
    }
}

impl std::iter::FusedIterator for Slots<'_> {}
