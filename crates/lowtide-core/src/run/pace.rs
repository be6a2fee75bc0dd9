//! How often to ask: often enough to add nearly nothing to a savepoint, seldom enough to cost a
//! `JobManager` nearly nothing.

use jiff::SignedDuration;

use super::seen::{Context, Usual};
use crate::name::RunId;

/// Longest wait between two questions, in seconds: what takes minutes may be seen a minute late.
const POLL_S_MAX: f64 = 75.0;
/// Shortest wait between two questions, in seconds, while nothing tells that the end is near: a
/// savepoint takes longer than that to be accepted.
const POLL_S_MIN: f64 = 0.003;
/// Shortest wait between two questions around the expected end, in seconds: a question on
/// loopback takes about as long.
const NEAR_S_MIN: f64 = 0.000_5;

/// The end is near from this share of the time that the quickest took, which was measured when the
/// end was seen, so a little late.
const NEAR_FROM: f64 = 0.97;
/// One question at this share of that time: where the end had been seen late, as with no history,
/// the next savepoint is seen sooner, and the one after that sooner again.
const PROBE_AT: f64 = 0.85;
/// Who is quicker than ever is first asked after this share of that time.
const EARLY_SHARE: f64 = 0.25;
/// An end that is this near, in seconds, is waited for: where hundreds of savepoints are under way
/// at once, each question that is too early holds up a request, and nobody waits long.
const EARLY_S_MIN: f64 = 1.0;
/// Unless it is nearer than this, in seconds: then questions tell more than what was measured, of
/// which they are a large part themselves.
const SHORT_S: f64 = 0.100;
/// How much of what was measured, in seconds, is the answer's way and not the savepoint.
const ANSWER_S: f64 = 0.005;
/// The end is near until this multiple of the usual time.
const NEAR_UNTIL: f64 = 1.25;
/// Questions while the end is near: so many that the answer is late by about a fiftieth, so few
/// that 40 are enough with what comes before and after.
const NEAR_QUESTIONS: f64 = 13.0;
/// How long a question takes at least, in seconds, as a `JobManager` needs twice that even for a neighbour:
/// only what is left of the time between two questions is waited.
const ROUND_TRIP_S: f64 = 0.000_5;
/// What a question costs in processor time, in seconds, both sides together.
const QUESTION_S: f64 = 0.000_1;
/// It is a crowd where one question about each takes longer than this share of a savepoint: then questions that are
/// too early make all of them late.
const CROWD_SHARE: f64 = 0.05;
/// In a crowd one run of so many asks before the others of its application would, and finds out whether the end is
/// sooner; they go by that.
const SCOUT_ONE_IN: u8 = 8;
/// At these shares of the time that the quickest took: fewer questions than who is alone puts around the end.
const SCOUT_AT: [f64; 3] = [PROBE_AT, 0.92, NEAR_FROM];
/// Where fewer savepoints are known than this, every run asks as if it were alone.
const KNOWN: usize = 5;
/// Up to this multiple of the usual time a savepoint is slow, and asked about after each such share of its
/// time: most end there that did not end as usual. Beyond, nobody knows what it is.
const SLOW_UNTIL: f64 = 2.5;
const SLOW_SHARE: f64 = 0.12;

/// First backoff, in milliseconds.
const BACKOFF_FIRST_MS: u64 = 500;
/// Longest backoff, in milliseconds: a cluster that came back is found within half a minute.
const BACKOFF_LAST_MS: u64 = 30_000;

/// How long to wait before asking again about a savepoint that was accepted `elapsed` ago, where
/// earlier ones took what is usual.
///
/// The wait grows with the time passed, so that the answer is late by a share of the savepoint's
/// own time and the number of questions grows with its logarithm: at most 40 for ten minutes.
/// Where earlier savepoints tell how long this one will take, the questions are saved for the
/// time around its end; in a crowd most of these are saved, too.
pub fn poll_delay(run: RunId, elapsed: SignedDuration, context: &Context) -> SignedDuration {
    let elapsed = elapsed.as_secs_f64().max(0.0);
    let usual = context.usual.filter(|usual| usual.middle.is_positive());
    let delay = match usual {
        Some(usual) => with_history(elapsed, usual, part(run, usual, context.company)),
        None => without_history(elapsed),
    };
    SignedDuration::from_secs_f64(delay.min(POLL_S_MAX))
}

fn without_history(elapsed: f64) -> f64 {
    // Small jobs are many, and a share of a moment is next to nothing.
    let share = if elapsed < 0.100 { 0.25 } else { 0.50 };
    (share * elapsed).max(POLL_S_MIN)
}

fn with_history(elapsed: f64, usual: Usual, part: Part) -> f64 {
    let middle = usual.middle.as_secs_f64();
    let seen_early = usual.early.as_secs_f64().min(middle);
    let early = (seen_early - ANSWER_S).max(0.0);
    let (probe_at, near_from) = match part {
        Part::Alone => (early * PROBE_AT, early * NEAR_FROM),
        Part::Scout => {
            let mut probes = SCOUT_AT.map(|share| early * share).into_iter();
            let next = probes.find(|at| elapsed < *at);
            (next.unwrap_or(seen_early), seen_early)
        }
        Part::GoesByOthers => (seen_early, seen_early),
    };
    let near_until = middle * NEAR_UNTIL;
    if elapsed < probe_at {
        // In case that it is quicker than ever; but come back right when the end is near.
        let sooner_than = if early < SHORT_S {
            POLL_S_MIN
        } else {
            EARLY_S_MIN
        };
        let by_age = elapsed.max(early * EARLY_SHARE).max(sooner_than);
        by_age.min((probe_at - elapsed).max(NEAR_S_MIN))
    } else if elapsed < near_from {
        (near_from - elapsed).max(NEAR_S_MIN)
    } else if elapsed < near_until {
        ((near_until - near_from) / NEAR_QUESTIONS - ROUND_TRIP_S).max(NEAR_S_MIN)
    } else if elapsed < middle * SLOW_UNTIL {
        (SLOW_SHARE * elapsed).max(NEAR_S_MIN)
    } else {
        (0.90 * elapsed).max(POLL_S_MIN)
    }
}

/// What a run does to find out when exactly a savepoint ends.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// All of it, by itself.
    Alone,
    /// It asks a few times before it is likely.
    Scout,
    /// It leaves that to other runs of its application.
    GoesByOthers,
}

fn part(run: RunId, usual: Usual, company: u32) -> Part {
    let is_crowd = f64::from(company) * QUESTION_S > usual.early.as_secs_f64() * CROWD_SHARE;
    if !is_crowd || usual.known < KNOWN {
        Part::Alone
    } else if run.as_bytes()[0].is_multiple_of(SCOUT_ONE_IN) {
        Part::Scout
    } else {
        Part::GoesByOthers
    }
}

/// Full-jitter backoff after `faults` faults in a row: anywhere between nothing and a bound that
/// doubles. The jitter is drawn from the run and the count, so that the same row decides the
/// same.
pub fn backoff(run: RunId, faults: u32) -> SignedDuration {
    let bound = (BACKOFF_FIRST_MS << faults.saturating_sub(1).min(10)).min(BACKOFF_LAST_MS);
    let draw = run.as_bytes().iter().fold(
        u64::from(faults).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        |acc, byte| (acc ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3),
    );
    // At least a tenth of a second: "full" jitter must not become a busy loop.
    let ms = 100 + (draw >> 16) % bound;
    SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOUT: RunId = RunId::from_bytes([0; 16]);
    const OTHER: RunId = RunId::from_bytes([1; 16]);

    /// How many questions, the last of which is answered as soon as can be, and how late that one is put.
    fn questions(total: SignedDuration, context: &Context) -> (u32, SignedDuration) {
        questions_of(OTHER, total, context)
    }

    fn questions_of(run: RunId, total: SignedDuration, context: &Context) -> (u32, SignedDuration) {
        let round_trip = SignedDuration::from_secs_f64(ROUND_TRIP_S);
        let mut at = SignedDuration::ZERO;
        let mut count = 0;
        while at < total {
            if count > 0 {
                at += round_trip;
            }
            at += poll_delay(run, at, context);
            count += 1;
        }
        (count, at - total)
    }

    /// One savepoint, many savepoints of this application known.
    fn alone(early: SignedDuration, middle: SignedDuration) -> Context {
        in_company(early, middle, 1)
    }

    fn in_company(early: SignedDuration, middle: SignedDuration, company: u32) -> Context {
        Context {
            usual: Some(Usual {
                early,
                middle,
                known: 20,
            }),
            median_bytes: None,
            company,
        }
    }

    /// What was usual for a savepoint that now takes `total`: shorter, longer, always the same,
    /// and now this and now that; alone and among many.
    fn histories(total: SignedDuration) -> impl Iterator<Item = Context> {
        let middles = [1, 2, 3, 5, 10, 100, 10_000].map(|share| total / share);
        middles.into_iter().chain([total * 2]).flat_map(|middle| {
            [1, 2, 5, 100].into_iter().flat_map(move |share| {
                [1, 200, 5_000].map(|company| in_company(middle / share, middle, company))
            })
        })
    }

    #[test]
    fn at_most_forty_questions_for_ten_minutes() {
        for seconds in 1..=600 {
            let total = SignedDuration::from_secs(seconds);
            for context in histories(total).chain([Context::default()]) {
                let (count, _) = questions(total, &context);
                assert!(
                    count <= 40,
                    "{count} questions for {seconds} s, with {context:?}"
                );
            }
        }
    }

    /// And what a question takes by itself.
    #[test]
    fn a_usual_end_is_met_within_a_twentieth() {
        let round_trip = SignedDuration::from_secs_f64(ROUND_TRIP_S);
        for ms in [20, 40, 400, 4_000, 400_000] {
            let total = SignedDuration::from_millis(ms);
            for early in [total, total * 2 / 3] {
                let (_, late) = questions(total, &alone(early, total));
                assert!(late <= total / 20 + round_trip, "{late:?} late for {ms} ms");
            }
        }
    }

    #[test]
    fn in_a_crowd_most_ask_once_and_scouts_a_little_sooner() {
        let total = SignedDuration::from_millis(200);
        let context = in_company(total, total, 200);
        assert_eq!(questions(total, &context), (1, SignedDuration::ZERO));
        assert_eq!(
            questions_of(SCOUT, total, &context),
            (4, SignedDuration::ZERO)
        );
    }

    #[test]
    fn company_matters_little_to_what_takes_long() {
        let total = SignedDuration::from_secs(60);
        let early = total * 9 / 10;
        let (_, late_alone) = questions(total, &alone(early, total));
        let (_, late) = questions(total, &in_company(early, total, 200));
        assert!(late <= late_alone + total / 100, "{late:?}, {late_alone:?}");
    }

    #[test]
    fn a_slow_one_is_late_by_an_eighth_at_most() {
        for ms in [20, 40, 400, 4_000, 400_000] {
            let usual = SignedDuration::from_millis(ms);
            for percent in (110..250).step_by(10) {
                let total = SignedDuration::from_millis(ms) * percent / 100;
                let (_, late) = questions(total, &alone(usual, usual));
                assert!(
                    late <= total / 8 + SignedDuration::from_millis(1),
                    "{late:?} late for {total:?}, where {ms} ms are usual"
                );
            }
        }
    }

    /// What is usual is measured when the answer is there: too late a first time must not stay.
    #[test]
    fn a_late_beginning_is_made_up_for() {
        for (total_ms, answer_ms) in [(15, 2), (15, 8), (40, 8), (200, 2), (200, 20), (4_000, 20)] {
            let total = SignedDuration::from_millis(total_ms);
            let answer = SignedDuration::from_millis(answer_ms);
            let mut seen = total * 3 / 2 + answer;
            for _ in 0..10 {
                let context = alone(seen, seen);
                let mut at = SignedDuration::ZERO;
                while at < total {
                    at += poll_delay(OTHER, at, &context) + answer;
                }
                seen = at;
            }
            assert!(
                seen <= total * 21 / 20 + answer * 2,
                "{seen:?} for {total_ms} ms, answers take {answer_ms} ms"
            );
        }
    }

    /// In a crowd the scouts of an application tell the others.
    #[test]
    fn a_late_beginning_is_made_up_for_in_a_crowd() {
        let total = SignedDuration::from_millis(200);
        let answer = SignedDuration::from_millis(20);
        let mut seen = vec![total * 3 / 2 + answer];
        for number in 0..80 {
            let mut latest: Vec<_> = seen.iter().rev().take(20).copied().collect();
            latest.sort();
            let mut context = in_company(
                latest[(latest.len() - 1) / 10],
                latest[(latest.len() - 1) / 2],
                200,
            );
            context.usual = context.usual.map(|usual| Usual {
                known: latest.len(),
                ..usual
            });
            let run = RunId::from_bytes([number; 16]);
            let mut at = SignedDuration::ZERO;
            while at < total {
                at += poll_delay(run, at, &context) + answer;
            }
            seen.push(at);
        }
        let last = seen.split_off(60);
        assert!(
            last.iter()
                .all(|seen| *seen <= total * 21 / 20 + answer * 2),
            "{last:?}"
        );
    }

    #[test]
    fn without_history_it_is_late_by_half_at_most() {
        for ms in [20, 40, 400, 4_000, 100_000] {
            let total = SignedDuration::from_millis(ms);
            let (_, late) = questions(total, &Context::default());
            assert!(late <= total / 2, "{late:?} late for {ms} ms");
        }
    }

    #[test]
    fn backoff_grows_and_stays_bounded() {
        let runs = (0..=u8::MAX).map(|byte| RunId::from_bytes([byte; 16]));
        let longest = runs.clone().map(|run| backoff(run, 1)).max().expect("some");
        assert!(longest <= SignedDuration::from_millis(600));
        let longest = runs.map(|run| backoff(run, 1_000)).max().expect("some");
        assert!(
            longest > SignedDuration::from_secs(20)
                && longest <= SignedDuration::from_millis(30_100)
        );
    }
}
