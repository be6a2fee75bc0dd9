//! Level 2 in turns: which savepoint is read to its end next, and when.
//!
//! Every byte that may be restored from is read once within a period. One savepoint at a time, the
//! one whose last reading is the oldest, no faster than a limit. Reading sooner than necessary costs
//! bandwidth for nothing, so the next reading begins when the time that is left before somebody's
//! period ends is just enough for all that is to be read until then, with room to spare. Where it is
//! not enough, reading goes on without a pause, still the oldest first.
//!
//! What was never read counts from when it was taken: Flink has just written it, and level 1 has seen
//! it.

use jiff::{SignedDuration, Timestamp};

use crate::name::{AppKey, Location};

/// Default for within which time every kept byte is read: product's promise.
pub const READ_EVERY: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Default for how many bytes a second are read at most: 2.8 TB a day, and a quarter of what a
/// network card of a gigabit a second carries.
pub const BYTES_PER_S_MAX: u64 = 32 << 20;
/// How long a claim on a reading lasts without being renewed: after a crash, nobody reads that
/// savepoint for so long.
pub const CLAIM_LASTS: SignedDuration = SignedDuration::from_mins(2);
/// How often a claim is renewed, so that one or two renewals may fail.
pub const CLAIM_RENEWED_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// How much slower than the limit a reading may be: stores have bad hours.
const SLOWER: u64 = 2;
/// What a reading takes besides its bytes: listings, and first answers.
const OPENING: SignedDuration = SignedDuration::from_secs(10);
/// Which part of the period is kept in reserve, for when nothing runs.
const RESERVE: i64 = 10;
/// The first and the longest time after which what could not be read is tried again.
const AGAIN_FIRST: SignedDuration = SignedDuration::from_mins(10);
/// See [`AGAIN_FIRST`].
const AGAIN_MAX: SignedDuration = SignedDuration::from_hours(24);

/// How often, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Within which time every byte is read; not zero.
    pub every: SignedDuration,
    /// How many bytes a second are read at most.
    pub bytes_per_s_max: u64,
}

/// A savepoint that is read again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Whose it is.
    pub application: AppKey,
    /// Where it lies.
    pub location: Location,
    /// When it was last read, or taken.
    pub since: Timestamp,
    /// About how many bytes it has.
    pub bytes: u64,
    /// Until when nobody else is to read it: somebody is at it, or it could not be read.
    pub held_until: Option<Timestamp>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn<'a> {
    /// Read this one.
    Read(&'a Candidate),
    /// Nothing before this time, as far as is known now.
    Wait(Timestamp),
    /// There is nothing to read.
    Nothing,
}

/// Whose turn it is. What is held is left out: it is being read, or waits for another try.
pub fn turn<'a>(
    candidates: impl IntoIterator<Item = &'a Candidate>,
    rules: Rules,
    now: Timestamp,
) -> Turn<'a> {
    let mut free: Vec<&Candidate> = Vec::new();
    let mut freed_at: Option<Timestamp> = None;
    for candidate in candidates {
        match candidate.held_until.filter(|until| *until > now) {
            None => free.push(candidate),
            Some(until) => freed_at = Some(freed_at.map_or(until, |at| at.min(until))),
        }
    }
    free.sort_by_key(|it| (it.since, &it.location));
    match (free.first(), begin(&free, rules)) {
        (Some(oldest), Some(at)) if at <= now => Turn::Read(oldest),
        (_, at) => match at.into_iter().chain(freed_at).min() {
            Some(at) => Turn::Wait(at),
            None => Turn::Nothing,
        },
    }
}

/// When reading has to begin, so that each of these is read in time, one after the other.
fn begin(oldest_first: &[&Candidate], rules: Rules) -> Option<Timestamp> {
    let every_ms = ms(rules.every);
    let mut before_ms: i64 = 0;
    let begins = oldest_first.iter().map(|it| {
        before_ms = before_ms.saturating_add(lasts_ms(it.bytes, rules.bytes_per_s_max));
        let due_ms = it.since.as_millisecond().saturating_add(every_ms);
        due_ms.saturating_sub(before_ms)
    });
    let begin_ms = begins.min()?.saturating_sub(every_ms / RESERVE);
    Some(Timestamp::from_millisecond(begin_ms).unwrap_or(Timestamp::MIN))
}

/// How long a reading may take.
fn lasts_ms(bytes: u64, bytes_per_s_max: u64) -> i64 {
    let ms_a_byte = u128::from(SLOWER) * 1_000;
    let reading = u128::from(bytes) * ms_a_byte / u128::from(bytes_per_s_max.max(1));
    i64::try_from(reading)
        .unwrap_or(i64::MAX)
        .saturating_add(ms(OPENING))
}

fn ms(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// When what could not be read, after so many times before, is tried again.
pub fn again_at(tries: u32, now: Timestamp) -> Timestamp {
    now + (AGAIN_FIRST * (1 << tries.min(10))).min(AGAIN_MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::name::{ApplicationName, PlatformName};

    const DAY_S: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn candidate(name: &str, since_s: i64, bytes: u64) -> Candidate {
        Candidate {
            application: AppKey {
                platform: PlatformName::new("flink").unwrap(),
                application: ApplicationName::new("orders").unwrap(),
            },
            location: Location::new("/sp").join(name),
            since: at(since_s),
            bytes,
            held_until: None,
        }
    }

    fn rules() -> Rules {
        Rules {
            every: READ_EVERY,
            bytes_per_s_max: BYTES_PER_S_MAX,
        }
    }

    #[test]
    fn one_that_was_just_taken_waits_for_most_of_its_period() {
        let one = [candidate("a", 0, 1 << 30)];
        let Turn::Wait(begin) = turn(&one, rules(), at(0)) else {
            panic!("it is new");
        };
        // A tenth of thirty days before its end, less twice the 32 s that a GiB takes, less 10 s.
        assert_eq!(begin, at(27 * DAY_S - 64 - 10));
        assert_eq!(turn(&one, rules(), begin), Turn::Read(&one[0]));
        assert_eq!(turn(&[], rules(), at(0)), Turn::Nothing);
    }

    #[test]
    fn many_that_end_together_begin_early_and_the_oldest_goes_first() {
        let tebibyte = 1 << 40;
        let many: Vec<_> = (0..20)
            .map(|n| candidate(&format!("{n:02}"), -n, tebibyte))
            .collect();
        let Turn::Wait(begin) = turn(&many, rules(), at(0)) else {
            panic!("there is time for 20 TiB");
        };
        // Twenty times 32,768 s, twice as long to be safe: fifteen days.
        assert!(begin < at(27 * DAY_S - 15 * DAY_S), "{begin}");
        assert_eq!(turn(&many, rules(), begin), Turn::Read(&many[19]));
    }

    #[test]
    fn what_is_held_keeps_nobody_from_reading_the_next() {
        let late = 40 * DAY_S;
        let mut two = [candidate("a", 0, 1), candidate("b", 1, 1)];
        two[0].held_until = Some(at(late + 600));
        assert_eq!(turn(&two, rules(), at(late)), Turn::Read(&two[1]));
        two[1].held_until = Some(at(late + 60));
        assert_eq!(turn(&two, rules(), at(late)), Turn::Wait(at(late + 60)));
        assert_eq!(turn(&two, rules(), at(late + 60)), Turn::Read(&two[1]));
    }

    #[test]
    fn what_cannot_be_read_is_tried_ever_more_seldom() {
        let waits: Vec<i64> = [0, 1, 7, 8, u32::MAX]
            .map(|tries| again_at(tries, at(0)).duration_since(at(0)).as_secs())
            .into();
        assert_eq!(waits, [600, 1_200, 76_800, DAY_S, DAY_S]);
    }

    proptest! {
        /// Whatever is to be read, if it can be read in time at half the limit, it is; and nothing
        /// is read in the first half of its period where there is little to read.
        #[test]
        fn every_byte_is_read_within_the_period(
            files in proptest::collection::vec((0..25 * DAY_S, 0..40_u64), 1..40),
            slower in 1..=2_i64,
        ) {
            let rules = rules();
            let gib_s = 32 * slower;
            let mut all: Vec<Candidate> = files
                .iter()
                .enumerate()
                .map(|(n, (age_s, gib))| candidate(&format!("{n:02}"), -age_s, gib << 30))
                .collect();
            let mut now = 0;
            let mut readings = 0;
            while now < 100 * DAY_S {
                let turned = match turn(&all, rules, at(now)) {
                    Turn::Nothing => unreachable!("there are some"),
                    Turn::Wait(until) => {
                        now = (until.as_second() - 1_800_000_000).max(now + 1);
                        continue;
                    }
                    Turn::Read(candidate) => candidate.location.clone(),
                };
                let one = all.iter_mut().find(|it| it.location == turned).unwrap();
                let reading_s = i64::try_from(one.bytes >> 30).unwrap() * gib_s + 1;
                now += reading_s;
                let age = at(now).duration_since(one.since);
                prop_assert!(age <= rules.every, "read after {age:?}");
                prop_assert!(age >= rules.every / 2, "read after {age:?} already");
                one.since = at(now);
                readings += 1;
            }
            prop_assert!(readings >= all.len());
        }
    }
}
