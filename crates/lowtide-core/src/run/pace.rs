//! How often to ask: often enough to add nearly nothing to a savepoint, seldom enough to cost a
//! `JobManager` nearly nothing.

use jiff::SignedDuration;

use crate::name::RunId;

/// Longest wait between two questions, in seconds: what takes minutes may be seen a minute late.
const POLL_S_MAX: f64 = 75.0;
/// Shortest wait between two questions, in seconds: a request on loopback takes about as long.
const POLL_S_MIN: f64 = 0.003;

/// First backoff, in milliseconds.
const BACKOFF_FIRST_MS: u64 = 500;
/// Longest backoff, in milliseconds: a cluster that came back is found within half a minute.
const BACKOFF_LAST_MS: u64 = 30_000;

/// How long to wait before asking again about a savepoint that was asked for `elapsed` ago and
/// will probably take `expected`.
///
/// The wait grows with the time passed, so that the answer is late by a share of the savepoint's
/// own time and the number of questions grows with its logarithm: at most 40 for ten minutes.
/// Where earlier savepoints tell how long this one will take, the questions meet its end.
pub fn poll_delay(elapsed: SignedDuration, expected: Option<SignedDuration>) -> SignedDuration {
    let elapsed = elapsed.as_secs_f64().max(0.0);
    let by_age = if elapsed < 0.100 {
        0.35 * elapsed
    } else {
        0.50 * elapsed
    };
    let expected = expected
        .map(|expected| expected.as_secs_f64())
        .filter(|expected| *expected > 0.0);
    let delay = match expected {
        // Just before the expected end, come back right at it.
        Some(expected) if elapsed < expected * 0.97 => by_age.min(expected * 0.97 - elapsed),
        // Around it, ask in small steps.
        Some(expected) if elapsed < expected * 1.10 => by_age.min(expected / 25.0),
        // It takes longer than ever: nobody knows how long.
        Some(_) => 0.90 * elapsed,
        None => by_age,
    };
    SignedDuration::from_secs_f64(delay.clamp(POLL_S_MIN, POLL_S_MAX))
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

    fn questions(total: SignedDuration, expected: Option<SignedDuration>) -> (u32, SignedDuration) {
        let mut at = SignedDuration::ZERO;
        let mut count = 0;
        while at < total {
            at += poll_delay(at, expected);
            count += 1;
        }
        (count, at - total)
    }

    #[test]
    fn at_most_forty_questions_for_ten_minutes() {
        for seconds in 1..=600 {
            let total = SignedDuration::from_secs(seconds);
            let shares = [1, 2, 3, 5, 10, 100, 10_000].map(|share| Some(total / share));
            for expected in shares.into_iter().chain([None, Some(total * 2)]) {
                let (count, _) = questions(total, expected);
                assert!(
                    count <= 40,
                    "{count} questions for {seconds} s, expecting {expected:?}"
                );
            }
        }
    }

    #[test]
    fn an_expected_end_is_met_within_a_twentieth() {
        for ms in [40, 400, 4_000, 400_000] {
            let total = SignedDuration::from_millis(ms);
            let (_, late) = questions(total, Some(total));
            assert!(
                late.as_millis() <= i128::from(ms / 20).max(3),
                "{late:?} late for {ms} ms"
            );
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
