//! What waits to be written at the same moment goes to the disk together.
//!
//! Hundreds of runs walk at once, and each commit must be on the disk before its run goes on. One
//! after the other that is a wait for the disk each; together it is one wait for all. So one task
//! writes: whatever has come while it waited for the disk is its next transaction. Nobody waits
//! longer than alone, and each answer comes after the transaction is on the disk.
//!
//! A write that is refused (stale, busy) fails alone, because it is refused before it has changed
//! anything: the checks read, and the one statement that may still refuse changes nothing when it
//! does. A write that breaks may have done half of its work, or have cost the others the
//! transaction: then nothing of the group stands, and the others are done again without it.

use jiff::Timestamp;
use lowtide_core::baseline::Baseline;
use lowtide_core::name::{AppKey, Location};
use lowtide_core::ports::{CatalogError, Claim, Commit};
use lowtide_core::run::Run;
use lowtide_core::savepoint::Savepoint;
use sqlx::{Pool, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{mpsc, oneshot};

use crate::port::{claim_all, commit_one, end};
use crate::readings::put_baseline;
use crate::rows::broken;
use crate::sql;

type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// Writes in one transaction at most: other processes wait for the file meanwhile, and a write
/// takes a tenth of a millisecond.
const GROUP_MAX: usize = 256;

/// Whoever writes for this handle of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct Writes {
    queue: mpsc::Sender<Asked>,
}

/// A write and who waits for it.
#[derive(Debug)]
struct Asked {
    write: Write,
    reply: oneshot::Sender<Result<Vec<Claim>>>,
}

/// One step of the port, which is done whole or not at all.
#[derive(Debug)]
enum Write {
    Claim {
        runs: Vec<Run>,
        considered: Option<(AppKey, Timestamp)>,
    },
    Commit {
        run: Box<Run>,
        savepoints: Vec<Savepoint>,
        begins: bool,
        cap: Option<u32>,
    },
    Baseline {
        location: Location,
        baseline: Baseline,
    },
}

impl Writes {
    /// Starts the task that writes; it ends with the last handle.
    pub(crate) fn through(writer: Pool<Sqlite>) -> Self {
        let (queue, waiting) = mpsc::channel(GROUP_MAX);
        tokio::spawn(write_all(writer, waiting));
        Self { queue }
    }

    pub(crate) async fn claim(
        &self,
        runs: &[Run],
        considered: Option<(&AppKey, Timestamp)>,
    ) -> Result<Vec<Claim>> {
        self.ask(Write::Claim {
            runs: runs.to_vec(),
            considered: considered.map(|(key, until)| (key.clone(), until)),
        })
        .await
    }

    pub(crate) async fn commit(&self, commit: Commit<'_>) -> Result<()> {
        self.ask(Write::Commit {
            run: Box::new(commit.run.clone()),
            savepoints: commit.savepoints.to_vec(),
            begins: commit.begins,
            cap: commit.cap,
        })
        .await
        .map(|_| ())
    }

    pub(crate) async fn baseline(&self, location: &Location, baseline: &Baseline) -> Result<()> {
        self.ask(Write::Baseline {
            location: location.clone(),
            baseline: baseline.clone(),
        })
        .await
        .map(|_| ())
    }

    async fn ask(&self, write: Write) -> Result<Vec<Claim>> {
        let gone = || CatalogError::Broken("whoever writes to it has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let asked = Asked { write, reply };
        self.queue.send(asked).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn write_all(writer: Pool<Sqlite>, mut waiting: mpsc::Receiver<Asked>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while waiting.recv_many(&mut group, GROUP_MAX).await > 0 {
        // Who has stopped waiting may not be told that it was done: then better it is not.
        group.retain(|asked| !asked.reply.is_closed());
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
    let mut transaction = match begin(writer).await {
        Ok(transaction) => transaction,
        Err(error) => return Together::Nothing(error),
    };
    let mut answers = Vec::with_capacity(group.len());
    for (index, asked) in group.iter().enumerate() {
        match asked.write.on(&mut transaction).await {
            Err(error @ CatalogError::Broken(_)) => return Together::Broke(index, error),
            answer => answers.push(answer),
        }
    }
    // Where all were refused there is nothing to put on the disk.
    if answers.iter().any(Result::is_ok)
        && let Err(error) = end(transaction).await
    {
        return Together::Nothing(error);
    }
    Together::Answered(answers)
}

impl Asked {
    fn answer(self, answer: Result<Vec<Claim>>) {
        // Who has stopped waiting meanwhile finds it in the row.
        let _ = self.reply.send(answer);
    }
}

impl Write {
    async fn on(&self, connection: &mut SqliteConnection) -> Result<Vec<Claim>> {
        match self {
            Self::Claim { runs, considered } => {
                claim_all(connection, runs, considered.as_ref()).await
            }
            Self::Commit {
                run,
                savepoints,
                begins,
                cap,
            } => {
                let commit = Commit {
                    run,
                    savepoints,
                    begins: *begins,
                    cap: *cap,
                };
                commit_one(connection, &commit).await?;
                Ok(Vec::new())
            }
            Self::Baseline { location, baseline } => {
                put_baseline(connection, location, baseline).await?;
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
