//! Reads every byte of what may be restored from, in turns, beside everything else that `serve`
//! does.
//!
//! Whose turn it is, the core decides from the catalog each time; here is only the loop: claim,
//! read, compare, record. It is one task of its own that reads one savepoint at a time and no faster
//! than the limit, so that no savepoint that is to be taken waits for one that is read. Nothing is
//! kept in mind: after a restart the catalog knows what was read and when.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lowtide_catalog::ReadOutcome;
use lowtide_core::baseline::{self, Compared};
use lowtide_core::fault::Fault;
use lowtide_core::ports::{Catalog, CatalogError, Clock, World};
use lowtide_core::rotation::{self, CLAIM_LASTS, CLAIM_RENEWED_EVERY, Candidate, Rules, Turn};
use lowtide_core::verify::{self, FINDINGS_MAX};
use lowtide_world::store::deep::Pace;

use crate::human;
use crate::setup::{RealEngine, Setup};

/// How often it is asked anew whose turn it is, while it is nobody's: savepoints come and go.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(5);
/// How long to wait after the catalog refused to work, or another process was faster.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// Reads in turns until the task is ended.
pub async fn for_ever(setup: Arc<Setup>, engine: Arc<RealEngine>, rules: Rules) {
    let rotation = Rotation {
        setup,
        engine,
        rules,
        pace: Pace::new(Some(rules.bytes_per_s_max)),
    };
    loop {
        let until = match rotation.once().await {
            Ok(until) => until,
            Err(wrong) => {
                tracing::error!("cannot read savepoints in turns, trying again: {wrong}");
                Some(rotation.engine.clock.now() + AGAIN_AFTER)
            }
        };
        if let Some(until) = until {
            rotation.engine.clock.sleep_until(until).await;
        }
    }
}

struct Rotation {
    setup: Arc<Setup>,
    engine: Arc<RealEngine>,
    rules: Rules,
    /// One for all readings: the limit is for them together.
    pace: Pace,
}

/// How a reading ended.
enum Read {
    /// With this.
    Done(Box<ReadOutcome>, Compared),
    /// It could not be read.
    Not(Fault),
    /// Somebody else is at it now.
    TakenOver,
}

impl Rotation {
    /// Reads the one whose turn it is; else, until when to wait.
    async fn once(&self) -> Result<Option<Timestamp>, CatalogError> {
        let now = self.engine.clock.now();
        let readings = self.engine.catalog.readings().await?;
        let platforms = &self.setup.config.platforms;
        let ours = readings
            .iter()
            .filter(|it| platforms.contains_key(&it.application.platform));
        let candidate = match rotation::turn(ours, self.rules, now) {
            Turn::Read(candidate) => candidate,
            Turn::Wait(until) => return Ok(Some(until.min(now + LOOK_EVERY))),
            Turn::Nothing => return Ok(Some(now + LOOK_EVERY)),
        };
        let (catalog, me) = (&self.engine.catalog, &self.engine.me);
        let claimed = catalog.claim_reading(candidate, me, now, now + CLAIM_LASTS);
        let Some(tries) = claimed.await? else {
            return Ok(Some(now + AGAIN_AFTER));
        };
        self.read_claimed(candidate, tries).await?;
        Ok(None)
    }

    async fn read_claimed(&self, candidate: &Candidate, tries: u32) -> Result<(), CatalogError> {
        let application = &candidate.application;
        let location = &candidate.location;
        tracing::debug!(%application, %location, "reading every byte");
        let (catalog, me) = (&self.engine.catalog, &self.engine.me);
        match self.while_held(candidate, self.read(candidate)).await? {
            Read::Done(outcome, compared) => {
                catalog.end_reading(location, &outcome).await?;
                say(candidate, &outcome, compared);
            }
            Read::Not(fault) => {
                let again = rotation::again_at(tries, self.engine.clock.now());
                catalog.put_reading_off(location, me, again).await?;
                let again = human::time_utc(again);
                tracing::warn!(%application, %location, "cannot be read to its end, again at {again}: {}", fault.text);
            }
            Read::TakenOver => {
                tracing::info!(%application, %location, "another process reads it now");
            }
        }
        Ok(())
    }

    /// Renews the claim while it is read.
    async fn while_held(
        &self,
        candidate: &Candidate,
        work: impl Future<Output = Result<Read, CatalogError>>,
    ) -> Result<Read, CatalogError> {
        let (engine, location) = (&self.engine, &candidate.location);
        let mut work = std::pin::pin!(work);
        loop {
            let soon = engine.clock.now() + CLAIM_RENEWED_EVERY;
            tokio::select! {
                read = &mut work => return read,
                () = engine.clock.sleep_until(soon) => {}
            }
            let until = engine.clock.now() + CLAIM_LASTS;
            let renewed = engine.catalog.renew_reading(location, &engine.me, until);
            match renewed.await {
                Ok(true) => {}
                Ok(false) => return Ok(Read::TakenOver),
                // The next one may work; if none does, it lapses, and somebody else reads as well.
                Err(wrong) => tracing::warn!(%location, "a claim was not renewed: {wrong}"),
            }
        }
    }

    async fn read(&self, candidate: &Candidate) -> Result<Read, CatalogError> {
        let Candidate {
            application,
            location,
            ..
        } = candidate;
        let (engine, platform) = (&self.engine, &application.platform);
        let reading = match engine.world.read(platform, location).await {
            Ok(reading) => reading,
            Err(fault) => return Ok(Read::Not(fault)),
        };
        let report = verify::judge(&reading, None);
        if !report.is_whole() {
            let outcome = ReadOutcome {
                at: engine.clock.now(),
                report,
                every_byte: false,
                first: None,
            };
            return Ok(Read::Done(Box::new(outcome), Compared::First));
        }
        let deep = engine
            .world
            .read_deep(platform, location, &reading, &self.pace);
        let deep = match deep.await {
            Ok(deep) => deep,
            Err(fault) => return Ok(Read::Not(fault)),
        };
        let baseline = engine.catalog.baseline(location).await?;
        let at = engine.clock.now();
        let judged = baseline::judge(report, &reading, &deep, baseline.as_ref(), at);
        let outcome = ReadOutcome {
            at,
            report: judged.report,
            every_byte: true,
            first: judged.first,
        };
        Ok(Read::Done(Box::new(outcome), judged.compared))
    }
}

/// One line for the log.
fn say(candidate: &Candidate, outcome: &ReadOutcome, compared: Compared) {
    let application = &candidate.application;
    let location = &candidate.location;
    if !outcome.report.is_whole() {
        let first = outcome.report.findings.first();
        let first = first.map(String::as_str).unwrap_or_default();
        let more = match outcome.report.findings_total.saturating_sub(1) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        tracing::error!(%application, %location, "is broken and no longer counts as verified: {first}{more}");
        return;
    }
    for warning in outcome.report.warnings.iter().take(FINDINGS_MAX) {
        tracing::warn!(%application, %location, "{warning}");
    }
    let how = match compared {
        Compared::First => "for the first time".to_owned(),
        Compared::Listing(at) => format!("for the first time since {}", human::time_utc(at)),
        Compared::Reading(at) => format!("as when it was first read, {}", human::time_utc(at)),
    };
    tracing::info!(%application, %location, "every byte was read: whole, {how}");
}
