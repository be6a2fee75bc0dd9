//! What waits to be written at the same moment goes to the disk together.
//!
//! Hundreds of runs walk at once, and each commit must be on the disk before its run goes on. One
//! after the other that is a wait for the disk each; together it is one wait for all. So one task
//! writes: whatever has come while it waited for the disk is its next transaction. Each answer comes
//! after the transaction is on the disk, and who writes alone waits for nobody; in a crowd [a
//! moment](queue).
//!
//! What is usual is done [at one go](one_go). Otherwise it is a transaction that goes step by step:
//! steps of a group are one statement as far as nothing speaks against them; whatever is left is done
//! one by one after them, in the order in which it came. A write that is refused (stale, busy) fails
//! alone, because it is refused before it has changed anything: the checks read, and the one statement
//! that may still refuse changes nothing when it does. A write that breaks may have done half of its
//! work, or have cost the others the transaction: then nothing of the group stands, and the others are
//! done again without it.

mod one_go;
mod queue;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use lowtide_core::baseline::Baseline;
use lowtide_core::name::{AppKey, Location, RunId};
use lowtide_core::ports::{CatalogError, Claim, Commit};
use lowtide_core::run::{Phase, Run};
use lowtide_core::savepoint::Savepoint;
use queue::Queue;
use sqlx::{Pool, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{mpsc, oneshot};

use crate::port::{NewRuns, claims, commit_many, commit_one, end, insert_runs};
use crate::readings::{insert_baselines, put_baseline};
use crate::rows::broken;
use crate::sql;

type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// An answer for each write of a group that has one already.
type Answers = Vec<Option<Result<Vec<Claim>>>>;

/// Writes in one transaction at most: other processes wait for the file meanwhile, and a write
/// takes a tenth of a millisecond.
const GROUP_MAX: usize = 256;
/// After so many writes, each of which adds some pages to the log, the log is folded into the file as soon as nobody
/// has anything to write [for a while](Queue::is_quiet): savepoints are then under way. Otherwise it is SQLite that
/// folds it, at the end of a commit that somebody waits for.
const FOLD_AFTER: usize = 100;
/// The largest baseline, in bytes, that is recorded together with others: a whole group of them has to have
/// room in memory, several times. Those of most savepoints have a few hundred.
const BASELINE_AT_ONCE_MAX: usize = 16 * 1024;

/// Whoever writes for this handle of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct Writes {
    queue: mpsc::Sender<Asked>,
    open: Open,
}

/// The runs that were claimed through this handle of the catalog, and are neither ended nor somebody else's.
type Open = Arc<Mutex<BTreeSet<RunId>>>;

fn lock(open: &Open) -> MutexGuard<'_, BTreeSet<RunId>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A write and who waits for it.
#[derive(Debug)]
struct Asked {
    write: Write,
    since: Instant,
    reply: oneshot::Sender<Result<Vec<Claim>>>,
}

/// One step of the port, which is done whole or not at all.
#[derive(Debug)]
enum Write {
    Claim(New),
    Commit(Box<Step>),
    Baseline {
        location: Location,
        baseline: Baseline,
        /// As it is stored.
        body: Vec<u8>,
    },
}

/// [`NewRuns`] of its own.
#[derive(Debug)]
struct New {
    runs: Vec<Run>,
    considered: Option<(AppKey, Timestamp)>,
}

impl New {
    fn runs(&self) -> NewRuns<'_> {
        NewRuns {
            runs: &self.runs,
            considered: self.considered.as_ref().map(|(key, until)| (key, *until)),
        }
    }
}

/// A [`Commit`] of its own.
#[derive(Debug)]
struct Step {
    run: Run,
    savepoints: Vec<Savepoint>,
    begins: bool,
    cap: Option<u32>,
}

impl Step {
    fn commit(&self) -> Commit<'_> {
        Commit {
            run: &self.run,
            savepoints: &self.savepoints,
            begins: self.begins,
            cap: self.cap,
        }
    }
}

impl Writes {
    /// Starts the task that writes; it ends with the last handle.
    pub(crate) fn through(writer: Pool<Sqlite>) -> Self {
        let (queue, waiting) = mpsc::channel(GROUP_MAX);
        let open = Open::default();
        tokio::spawn(write_all(writer, Queue::new(waiting, Arc::clone(&open))));
        Self { queue, open }
    }

    pub(crate) async fn claim(
        &self,
        runs: &[Run],
        considered: Option<(&AppKey, Timestamp)>,
    ) -> Result<Vec<Claim>> {
        let new = Write::Claim(New {
            runs: runs.to_vec(),
            considered: considered.map(|(key, until)| (key.clone(), until)),
        });
        let claims = self.ask(new).await?;
        let claimed = runs
            .iter()
            .zip(&claims)
            .filter(|(run, claim)| **claim == Claim::Claimed && run.phase != Phase::Done);
        lock(&self.open).extend(claimed.map(|(run, _)| run.id));
        Ok(claims)
    }

    pub(crate) async fn commit(&self, commit: Commit<'_>) -> Result<()> {
        let step = Step {
            run: commit.run.clone(),
            savepoints: commit.savepoints.to_vec(),
            begins: commit.begins,
            cap: commit.cap,
        };
        let answer = self.ask(Write::Commit(Box::new(step))).await;
        if let Err(CatalogError::Stale) = answer {
            // It is somebody else's now.
            lock(&self.open).remove(&commit.run.id);
        }
        answer.map(|_| ())
    }

    pub(crate) async fn baseline(&self, location: &Location, baseline: &Baseline) -> Result<()> {
        self.ask(Write::Baseline {
            location: location.clone(),
            baseline: baseline.clone(),
            body: baseline.encode(),
        })
        .await
        .map(|_| ())
    }

    async fn ask(&self, write: Write) -> Result<Vec<Claim>> {
        let gone = || CatalogError::Broken("whoever writes to it has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let since = Instant::now();
        let asked = Asked {
            write,
            since,
            reply,
        };
        self.queue.send(asked).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn write_all(writer: Pool<Sqlite>, mut queue: Queue) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut unfolded = 0;
    loop {
        if unfolded >= FOLD_AFTER && queue.is_quiet(&mut group).await {
            // A log that stays as it is costs no more than time later.
            let _ = sqlx::query(sql::FOLD).execute(&writer).await;
            unfolded = 0;
        }
        if !queue.next(&mut group).await {
            return;
        }
        unfolded += group.len();
        // Who has stopped waiting may not be told that it was done: then better it is not.
        group.retain(|asked| !asked.reply.is_closed());
        one_go::answer(&writer, &mut group).await;
        while !group.is_empty() {
            match together(&writer, &group).await {
                Together::Answered(answers) => {
                    for (asked, answer) in group.drain(..).zip(answers) {
                        asked.answer(answer);
                    }
                }
                Together::Broke(which, error) => group.remove(which).answer(Err(error)),
                Together::Nothing(error) => {
                    for asked in group.drain(..) {
                        asked.answer(Err(error.clone()));
                    }
                }
            }
        }
    }
}

/// What came of a group.
enum Together {
    /// It is on the disk; one answer for each.
    Answered(Vec<Result<Vec<Claim>>>),
    /// Nothing was done, because of this one.
    Broke(usize, CatalogError),
    /// Nothing was done, because of none of them.
    Nothing(CatalogError),
}

async fn together(writer: &Pool<Sqlite>, group: &[Asked]) -> Together {
    let begun = async {
        let mut transaction = begin(writer).await?;
        if let Ok(answers) = at_once(&mut transaction, group).await {
            return Ok((transaction, answers));
        }
        // Which of them broke it is found one by one, from the beginning.
        drop(transaction);
        Ok((begin(writer).await?, vec![None; group.len()]))
    };
    let (mut transaction, mut answers) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return Together::Nothing(error),
    };
    for (index, asked) in group.iter().enumerate() {
        if answers[index].is_some() {
            continue;
        }
        match asked.write.on(&mut transaction).await {
            Err(error @ CatalogError::Broken(_)) => return Together::Broke(index, error),
            answer => answers[index] = Some(answer),
        }
    }
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    // Where all were refused there is nothing to put on the disk.
    if answers.iter().any(Result::is_ok)
        && let Err(error) = end(transaction).await
    {
        return Together::Nothing(error);
    }
    Together::Answered(answers)
}

/// Does what can be done in one statement for all of a kind: what nothing speaks against has its answer then.
async fn at_once(connection: &mut SqliteConnection, group: &[Asked]) -> Result<Answers> {
    let steps = steps_at_once(connection, group).await?;
    let baselines = baselines_at_once(connection, group).await?;
    Ok(answers(group.len(), steps.into_iter().chain(baselines)))
}

async fn steps_at_once(connection: &mut SqliteConnection, group: &[Asked]) -> Result<Vec<usize>> {
    let (indices, commits) = first_steps(group);
    if commits.len() < 2 {
        return Ok(Vec::new());
    }
    let are_done = commit_many(connection, &commits).await?;
    Ok(done(indices, are_done).collect())
}

/// Of several steps of one application only the first, as the others may depend on it; and where they stand in
/// the group.
fn first_steps(group: &[Asked]) -> (Vec<usize>, Vec<Commit<'_>>) {
    let mut applications = BTreeSet::new();
    group
        .iter()
        .enumerate()
        .filter_map(|(index, asked)| match &asked.write {
            Write::Commit(step) => Some((index, step.commit())),
            _ => None,
        })
        .filter(|(_, commit)| applications.insert(&commit.run.application))
        .unzip()
}

fn done(indices: Vec<usize>, are_done: Vec<bool>) -> impl Iterator<Item = usize> {
    let all = indices.into_iter().zip(are_done);
    all.filter_map(|(index, is_done)| is_done.then_some(index))
}

/// The answers of a group of which these are done.
fn answers(count: usize, done: impl IntoIterator<Item = usize>) -> Answers {
    let mut answers = vec![None; count];
    for index in done {
        answers[index] = Some(Ok(Vec::new()));
    }
    answers
}

async fn baselines_at_once(
    connection: &mut SqliteConnection,
    group: &[Asked],
) -> Result<Vec<usize>> {
    let (indices, baselines) = first_baselines(group);
    if baselines.len() < 2 {
        return Ok(Vec::new());
    }
    let inserted = insert_baselines(connection, &baselines).await?;
    let all = indices.into_iter().zip(&baselines);
    Ok(all
        .filter_map(|(index, (location, _))| inserted.contains(location.as_str()).then_some(index))
        .collect())
}

/// Of several of one place only the first, as it is known only then whether another replaces it; and where they
/// stand in the group. A large one has a statement of its own.
fn first_baselines(group: &[Asked]) -> (Vec<usize>, Vec<(&Location, &[u8])>) {
    let mut places = BTreeSet::new();
    group
        .iter()
        .enumerate()
        .filter_map(|(index, asked)| match &asked.write {
            Write::Baseline { location, body, .. } if body.len() <= BASELINE_AT_ONCE_MAX => {
                Some((index, (location, body.as_slice())))
            }
            _ => None,
        })
        .filter(|(_, (location, _))| places.insert(*location))
        .unzip()
}

impl Asked {
    fn answer(self, answer: Result<Vec<Claim>>) {
        // Who has stopped waiting meanwhile finds it in the row.
        let _ = self.reply.send(answer);
    }
}

impl Write {
    fn new_runs(&self) -> Option<NewRuns<'_>> {
        match self {
            Self::Claim(new) => Some(new.runs()),
            Self::Commit(_) | Self::Baseline { .. } => None,
        }
    }

    /// Whether nothing is held up by it: a savepoint is on its way, and the run asks how far it is a while later.
    fn has_time(&self) -> bool {
        self.plain_step()
            .is_some_and(|step| step.run.phase == Phase::Following)
    }

    /// The run that ends with it.
    fn ended(&self) -> Option<RunId> {
        match self {
            Self::Commit(step) => (step.run.phase == Phase::Done).then_some(step.run.id),
            Self::Claim(_) | Self::Baseline { .. } => None,
        }
    }

    /// Whether it is the end of a run, or recorded beside one.
    fn is_end(&self) -> bool {
        matches!(self, Self::Baseline { .. }) || self.ended().is_some()
    }

    /// A step that leaves no savepoint.
    fn plain_step(&self) -> Option<&Step> {
        match self {
            Self::Commit(step) => step.savepoints.is_empty().then_some(&**step),
            Self::Claim(_) | Self::Baseline { .. } => None,
        }
    }

    async fn on(&self, connection: &mut SqliteConnection) -> Result<Vec<Claim>> {
        match self {
            Self::Claim(new) => {
                let new = new.runs();
                let mut inserted = insert_runs(connection, sql::CLAIM, &[new])
                    .await
                    .map_err(broken("claiming runs"))?;
                claims(connection, new, &mut inserted).await
            }
            Self::Commit(step) => {
                commit_one(connection, &step.commit()).await?;
                Ok(Vec::new())
            }
            Self::Baseline {
                location,
                baseline,
                body,
            } => {
                put_baseline(connection, location, baseline, body).await?;
                Ok(Vec::new())
            }
        }
    }
}

/// Begins a transaction that may write.
pub(crate) async fn begin(writer: &Pool<Sqlite>) -> Result<Transaction<'static, Sqlite>> {
    writer
        .begin_with(sql::BEGIN)
        .await
        .map_err(broken("beginning to write"))
}
