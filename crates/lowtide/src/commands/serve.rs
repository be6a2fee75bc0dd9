//! `serve`: claims slots when they are due and walks every run to its end, until it is told to
//! stop.
//!
//! One task a run: a panic in one does not end the others. The loop itself only reads and writes
//! the catalog; what may take long, platforms and stores, happens in tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use lowtide_core::engine::{Engine, Walked};
use lowtide_core::name::PlatformName;
use lowtide_core::policy::Policy;
use lowtide_core::ports::{Catalog, CatalogError, Clock, World};
use lowtide_core::run::Run;
use lowtide_core::savepoint::Savepoint;
use lowtide_world::kubernetes::Source;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use crate::cli::Common;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::rotating;
use crate::setup::{self, RealEngine, Setup};
use crate::signals::Signals;
use crate::trouble::Trouble;
use crate::walking::{self, SCAN_EVERY};

/// How often ended runs are looked back at, as far as due; one small query if none is.
const LOOK_BACK_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// How long before a slot its job is asked for, so that the answers are there when it is due: less than
/// they may be old, more than most clusters need.
const ASK_BEFORE: SignedDuration = SignedDuration::from_millis(500);
/// Slots claimed at once: at midnight hundreds are due, and those that wait for the disk together wait
/// once. A few times as many as read the catalog at once.
const CLAIMS_AT_ONCE: usize = 32;
/// How long to wait after the catalog refused to work.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(5);

/// `lowtide serve`
pub async fn serve(common: Common) -> Result<Exit, Trouble> {
    let setup = Setup::read(&common)?;
    setup.must_remember("serve")?;
    let signals = Signals::listen().map_err(|source| Trouble::Start {
        doing: "listen for signals",
        source,
    })?;
    let catalog = setup.catalog().await?;
    let platforms: BTreeSet<&PlatformName> = setup.config.platforms.keys().collect();
    let hands = setup.hands(&platforms, Source::Watch)?;
    let progress = Progress::to_log();
    let watch = move |run: &Run, _: Option<&[Savepoint]>| progress.saw(run);
    let engine = Arc::new(setup::engine(catalog, hands, watch)?);
    tracing::info!(
        config = %setup.config.path.display(),
        catalog = %setup.config.catalog,
        applications = setup.config.applications.len(),
        owner = %engine.me,
        "serving"
    );
    Ok(Serve::new(setup, engine).until_told_to_stop(signals).await)
}

/// A slot that is to come.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Timestamp,
    /// Whether the platform has been asked for what the run will need.
    is_asked: bool,
}

impl Due {
    fn at(at: Timestamp) -> Self {
        Self {
            at,
            is_asked: false,
        }
    }

    /// When something is to be done about it.
    fn wake(&self) -> Timestamp {
        if self.is_asked {
            self.at
        } else {
            self.at - ASK_BEFORE
        }
    }
}

/// The loop and what it keeps in mind; all of it can be lost at any time.
struct Serve {
    setup: Arc<Setup>,
    engine: Arc<RealEngine>,
    /// When each application's next slot is due; `None` if it has none.
    due: Vec<Option<Due>>,
    walks: JoinSet<Result<Walked, CatalogError>>,
    /// The runs being walked.
    open: BTreeMap<Id, Run>,
    scan_at: Timestamp,
    look_back_at: Timestamp,
    looking_back: Option<tokio::task::JoinHandle<()>>,
    rotating: Option<tokio::task::JoinHandle<()>>,
}

impl Serve {
    fn new(setup: Setup, engine: Arc<RealEngine>) -> Self {
        let now = engine.clock.now();
        let due = setup
            .config
            .applications
            .iter()
            .map(|application| application.policy.schedule.as_ref().map(|_| Due::at(now)))
            .collect();
        let setup = Arc::new(setup);
        let rotating = setup.config.reading.map(|rules| {
            let (setup, engine) = (Arc::clone(&setup), Arc::clone(&engine));
            tokio::spawn(rotating::for_ever(setup, engine, rules))
        });
        Self {
            setup,
            engine,
            due,
            walks: JoinSet::new(),
            open: BTreeMap::new(),
            scan_at: now,
            look_back_at: now,
            looking_back: None,
            rotating,
        }
    }

    async fn until_told_to_stop(mut self, mut signals: Signals) -> Exit {
        loop {
            self.round().await;
            let wake = self.wake();
            let engine = Arc::clone(&self.engine);
            tokio::select! {
                () = signals.next() => break,
                Some(joined) = self.walks.join_next_with_id() => self.walked(joined),
                () = engine.clock.sleep_until(wake) => {}
            }
        }
        tracing::info!(runs = self.open.len(), "stopping: giving the runs back");
        tokio::select! {
            () = self.give_back() => Exit::Fine,
            () = signals.next() => {
                tracing::warn!("stopped at once: runs not given back lapse by themselves");
                Exit::Interrupted
            }
        }
    }

    /// Does what is due. A catalog that does not work is tried again, for as long as it takes.
    async fn round(&mut self) {
        let now = self.engine.clock.now();
        if now >= self.scan_at {
            self.scan_at = now + SCAN_EVERY;
            if let Err(wrong) = self.take_over().await {
                tracing::error!("cannot take over runs, trying again: {wrong}");
            }
        }
        self.ask_ahead(now);
        if let Err(wrong) = self.claim(now).await {
            tracing::error!("cannot claim slots, trying again: {wrong}");
            for due in self.due.iter_mut().flatten() {
                due.at = due.at.max(now + AGAIN_AFTER);
            }
        }
        if now >= self.look_back_at {
            self.look_back_at = now + LOOK_BACK_EVERY;
            self.look_back();
        }
    }

    /// When the next thing is due.
    fn wake(&self) -> Timestamp {
        self.due
            .iter()
            .flatten()
            .map(Due::wake)
            .chain([self.scan_at, self.look_back_at])
            .min()
            .unwrap_or(self.scan_at)
    }

    async fn take_over(&mut self) -> Result<(), CatalogError> {
        let (setup, now) = (Arc::clone(&self.setup), self.engine.clock.now());
        let jobs = walking::take_over_lapsed(&*self.engine, |run| setup.policy(run, now)).await?;
        for job in jobs {
            tracing::info!(application = %job.run.application, run = %job.run.id, "taken over");
            self.walk(job.run, job.policy);
        }
        Ok(())
    }

    /// Asks for the jobs of slots that are due in a moment.
    fn ask_ahead(&mut self, now: Timestamp) {
        let mut soon = Vec::new();
        for (application, due) in self.setup.config.applications.iter().zip(&mut self.due) {
            let Some(due) = due
                .as_mut()
                .filter(|due| now >= due.wake() && !due.is_asked)
            else {
                continue;
            };
            due.is_asked = true;
            if due.at > now {
                soon.push((&application.key.platform, application.policy.job.as_str()));
            }
        }
        if !soon.is_empty() {
            self.engine.world.ask_ahead(soon);
        }
    }

    async fn claim(&mut self, now: Timestamp) -> Result<(), CatalogError> {
        let (setup, engine) = (Arc::clone(&self.setup), Arc::clone(&self.engine));
        let all = setup.config.applications.iter().zip(&self.due).enumerate();
        let due: Vec<_> = all
            .filter(|(_, (_, due))| due.is_some_and(|due| due.at <= now))
            .map(|(index, (application, _))| (index, application))
            .collect();
        let tick = |(index, application)| {
            let tick = engine.tick(application);
            async move { (index, application, tick.await) }.boxed()
        };
        let ticks: Vec<_> = due.into_iter().map(tick).collect();
        let mut ticks = stream::iter(ticks).buffer_unordered(CLAIMS_AT_ONCE);
        let mut outcome = Ok(());
        while let Some((index, application, ticked)) = ticks.next().await {
            match ticked {
                Ok(ticked) => {
                    self.due[index] = ticked.next.map(Due::at);
                    if let Some(run) = ticked.claimed {
                        self.walk(run, application.policy.clone());
                    }
                }
                // The others may have been claimed: their runs are to be walked.
                Err(wrong) => outcome = Err(wrong),
            }
        }
        outcome
    }

    fn walk(&mut self, run: Run, policy: Policy) {
        let engine = Arc::clone(&self.engine);
        let row = run.clone();
        let task: AbortHandle = self
            .walks
            .spawn(async move { Box::pin(engine.walk(row, &policy)).await });
        self.open.insert(task.id(), run);
    }

    fn walked(&mut self, joined: Result<(Id, Result<Walked, CatalogError>), JoinError>) {
        let id = match &joined {
            Ok((id, _)) => *id,
            Err(panicked) => panicked.id(),
        };
        let Some(run) = self.open.remove(&id) else {
            return;
        };
        let application = &run.application;
        match joined {
            Ok((_, Ok(Walked::Ended(_)))) => {}
            Ok((_, Ok(Walked::Yielded))) => {
                tracing::info!(%application, run = %run.id, "another process walks it now");
            }
            Ok((_, Err(wrong))) => {
                tracing::error!(%application, run = %run.id, "left until its claim lapses: {wrong}");
            }
            Err(panicked) => {
                let text = walking::panic_text(panicked);
                tracing::error!(%application, run = %run.id, "left until its claim lapses, by a defect of Lowtide: {text}");
            }
        }
    }

    /// Looks back in a task of its own: a store that hangs must not hold slots up.
    fn look_back(&mut self) {
        if self
            .looking_back
            .as_ref()
            .is_some_and(|task| !task.is_finished())
        {
            return;
        }
        let (setup, engine) = (Arc::clone(&self.setup), Arc::clone(&self.engine));
        self.looking_back = Some(tokio::spawn(async move {
            if let Err(wrong) = look_back(&setup, &engine).await {
                tracing::error!("cannot look back at ended runs, trying again: {wrong}");
            }
        }));
    }

    async fn give_back(&mut self) {
        let others = [self.looking_back.take(), self.rotating.take()];
        for task in others.into_iter().flatten() {
            task.abort();
            // Until it has ended, it may claim something.
            let _ = task.await;
        }
        if let Err(wrong) = self.engine.catalog.release_readings(&self.engine.me).await {
            tracing::warn!("what was being read lapses by itself: {wrong}");
        }
        // A walk may be dropped at any await point.
        self.walks.shutdown().await;
        for run in self.open.values() {
            if let Err(wrong) = self.engine.release(run).await {
                tracing::warn!(application = %run.application, run = %run.id, "not given back, so it lapses by itself: {wrong}");
            }
        }
        self.engine.catalog.close().await;
    }
}

async fn look_back<W, C, K, O>(
    setup: &Setup,
    engine: &Engine<W, C, K, O>,
) -> Result<(), CatalogError>
where
    W: World,
    C: Catalog,
    K: Clock,
    O: Fn(&Run, Option<&[Savepoint]>) + Send + Sync,
{
    engine
        .look_back(|application| setup.config.platforms.contains_key(&application.platform))
        .await
}
