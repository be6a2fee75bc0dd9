//! What is due now, and what was missed while Lowtide was down.
//!
//! Of all slots that have come since the last look, at most one fires: the newest. It fires when
//! it is on time, or late by no more than `catch_up`, which is capped at half the interval that
//! the slot opens: a savepoint nearer to the next slot than to its own is better taken by that.
//! The older ones collapse into it. A newest slot that is too late is missed, and so are the
//! older ones. Each of them is recorded with its reason.
//!
//! - The caller never passes a `considered_until` before it first saw this schedule's text, so
//!   creating or editing a schedule fires nothing.
//! - Slots within a pause are not missed and not recorded, only counted. Slots before the end of
//!   a pause never fire afterwards, so unpausing fires nothing.
//! - A clock that runs backwards fires nothing: what was considered stays considered.
//! - Never-windows are not asked here: a slot is claimed when it is due, and its run waits for
//!   the window's end or is skipped with that reason (`Never::hold`).

use std::collections::VecDeque;
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::{Schedule, format_duration};

/// Late by no more than this is on time, whatever `catch_up` says. A tick can find the machine or
/// the catalog busy, and its owner can die: owners lapse after 30 s, and the next one still finds
/// the slot fresh.
pub const ON_TIME_LATENESS_MAX: SignedDuration = SignedDuration::from_secs(30);

/// The most missed slots that are returned, the newest ones. `every: 10s` over a week-end would
/// be 20,000 rows that nobody reads.
pub const MISSED_ROWS_MAX: usize = 1_000;

/// How far back slots are looked for and counted. Longer than any sensible outage, and short
/// enough that a clock that jumped by centuries does not keep a processor busy.
pub const LOOKBACK_MAX: SignedDuration = SignedDuration::from_hours(366 * 24);

/// A time during which an application was paused: from `from` until before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// When it began.
    pub from: Timestamp,
    /// When it ended; `None` while it lasts.
    pub until: Option<Timestamp>,
}

impl Pause {
    fn contains(&self, instant: Timestamp) -> bool {
        self.from <= instant && self.until.is_none_or(|until| instant < until)
    }

    /// Whether some of the pause lies after this instant.
    fn ends_after(&self, instant: Timestamp) -> bool {
        self.until.is_none_or(|until| instant < until)
    }
}

/// Why a slot did not fire by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissedReason {
    /// A newer slot fired in its place.
    CollapsedInto(Timestamp),
    /// It was found this late, and no more than `limit` was allowed.
    TooLate {
        /// How late it was found.
        late: SignedDuration,
        /// The catch-up that applied, already capped.
        limit: SignedDuration,
    },
    /// The application was paused before the slot could fire.
    PausedBeforeFiring,
}

impl fmt::Display for MissedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CollapsedInto(newest) => write!(f, "collapsed into the slot of {newest}"),
            Self::TooLate { late, limit } => write!(
                f,
                "Lowtide was not running: found {} late, catch-up allows {}",
                format_duration(*late),
                format_duration(*limit)
            ),
            Self::PausedBeforeFiring => f.write_str("the application was paused before it fired"),
        }
    }
}

/// A slot that came and did not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissedSlot {
    /// Its nominal time.
    pub nominal: Timestamp,
    /// Why it did not fire.
    pub reason: MissedReason,
    /// How many older slots this row stands for besides itself: not zero only in the oldest row
    /// of a list that was cut at [`MISSED_ROWS_MAX`].
    pub earlier_count: u64,
}

impl fmt::Display for MissedSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        match self.earlier_count {
            0 => Ok(()),
            1 => write!(f, "; so was 1 earlier slot"),
            count => write!(f, "; so were {count} earlier slots"),
        }
    }
}

/// What [`due`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The slot that fires now.
    pub fire: Option<Timestamp>,
    /// The slots that came and did not fire, oldest first, at most [`MISSED_ROWS_MAX`].
    pub missed: Vec<MissedSlot>,
    /// How many missed slots are older than the first row; also in that row's text.
    pub earlier_missed_count: u64,
    /// How many slots fell into a pause.
    pub paused_count: u64,
    /// Slots after the `considered_until` that was passed and up to here were older than
    /// [`LOOKBACK_MAX`]: neither fired nor counted. `None` as a rule.
    pub uncounted_until: Option<Timestamp>,
    /// Up to here all slots have been dealt with: pass it the next time. Never goes back.
    pub considered_until: Timestamp,
    /// The next slot after `considered_until`: when to look again.
    pub next: Option<Timestamp>,
}

/// Finds what fires now and what was missed among the slots after `considered_until` up to `now`.
///
/// `considered_until` is what the last call returned, and at first when the catalog first saw
/// this schedule's text. `catch_up` is the configured one, not yet capped.
pub fn due(
    schedule: &Schedule,
    considered_until: Timestamp,
    now: Timestamp,
    catch_up: SignedDuration,
    pauses: &[Pause],
) -> Due {
    let upto = considered_until.max(now);
    let oldest = now.checked_sub(LOOKBACK_MAX).unwrap_or(Timestamp::MIN);
    let mut due = Due {
        fire: None,
        missed: Vec::new(),
        earlier_missed_count: 0,
        paused_count: 0,
        uncounted_until: (considered_until < oldest).then_some(oldest),
        considered_until: upto,
        next: schedule.next_after(upto),
    };
    let mut came = VecDeque::new();
    for slot in schedule.slots_between(considered_until.max(oldest), now) {
        if pauses.iter().any(|pause| pause.contains(slot)) {
            due.paused_count += 1;
            continue;
        }
        // One more than the rows: the newest may fire and then is none of them.
        if came.len() > MISSED_ROWS_MAX {
            came.pop_front();
            due.earlier_missed_count += 1;
        }
        came.push_back(slot);
    }
    let Some(newest) = came.back().copied() else {
        return due;
    };
    let verdict = verdict(schedule, newest, now, catch_up, pauses);
    if verdict.is_none() {
        came.pop_back();
        due.fire = Some(newest);
    } else if came.len() > MISSED_ROWS_MAX {
        came.pop_front();
        due.earlier_missed_count += 1;
    }
    due.missed = came
        .into_iter()
        .map(|slot| missed(slot, newest, now, verdict))
        .collect();
    if let Some(oldest) = due.missed.first_mut() {
        oldest.earlier_count = due.earlier_missed_count;
    }
    due
}

/// Why the newest slot does not fire; `None` if it does.
fn verdict(
    schedule: &Schedule,
    newest: Timestamp,
    now: Timestamp,
    catch_up: SignedDuration,
    pauses: &[Pause],
) -> Option<MissedReason> {
    let paused_since = |pause: &Pause| pause.ends_after(newest) && pause.from <= now;
    if pauses.iter().any(paused_since) {
        return Some(MissedReason::PausedBeforeFiring);
    }
    let half_interval = schedule
        .interval_after(newest)
        .map_or(SignedDuration::MAX, |i| i / 2);
    let limit = catch_up.min(half_interval).max(ON_TIME_LATENESS_MAX);
    let late = now.duration_since(newest);
    (late > limit).then_some(MissedReason::TooLate { late, limit })
}

/// The row of one slot that did not fire, given what became of the newest.
fn missed(
    slot: Timestamp,
    newest: Timestamp,
    now: Timestamp,
    verdict: Option<MissedReason>,
) -> MissedSlot {
    let reason = match verdict {
        None => MissedReason::CollapsedInto(newest),
        Some(MissedReason::TooLate { limit, .. }) => MissedReason::TooLate {
            late: now.duration_since(slot),
            limit,
        },
        Some(other) => other,
    };
    MissedSlot {
        nominal: slot,
        reason,
        earlier_count: 0,
    }
}
