//! Opening the file: where it may lie, whose it is, which schema it has.
//!
//! A file is ours if it carries our application id, and new if it has no objects at all. Anything
//! else is left exactly as it is. Migrations only ever go forward, each in a transaction with the
//! record of its number, so that two processes that open a new file at once agree.
//!
//! A connection is a thread of its own, and opening it reads the write-ahead log. A program that
//! stays has one for writing and a few for reading, so that nobody who reads waits for the disk; a
//! command that ends has a single one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Pool, Row, Sqlite, SqliteConnection};

use crate::contexts::Contexts;
use crate::group::Writes;
use crate::mounts::network_file_system;
use crate::rows::{is_locked, primary_code};
use crate::sql;

/// How long to wait for another process that holds the file. A transaction takes milliseconds;
/// the longest hold is a checkpoint of the write-ahead log on a slow disk.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long to wait for a connection of this process: those before may each wait for the file.
const TURN_WAIT: Duration = Duration::from_secs(30);
/// Reading connections at most; each is a thread, opened when first needed.
const READERS_MAX: u32 = 4;
/// Pages of the write-ahead log from which it is folded into the file, where a command that ends
/// has the file open: the next command reads the whole log before it does anything. SQLite's own
/// 1,000 are 4 MB to read each time; these are about ten savepoints.
const LOG_PAGES_BRIEFLY: &str = "250";
/// How often to try again where SQLite does not wait by itself: changing the journal mode and
/// the recovery of a log take a lock that the busy timeout does not cover.
const LOCKED_TRIES: u32 = 50;
/// Time between two such tries; together they last about as long as [`BUSY_WAIT`].
const LOCKED_PAUSE: Duration = Duration::from_millis(100);
/// What our files carry in their header: "Lowt".
const APPLICATION_ID: i64 = 0x4c6f_7774;

/// The schema, step by step. A released migration never changes.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../migrations/0001_first.sql")),
    (2, include_str!("../migrations/0002_triggered.sql")),
    (3, include_str!("../migrations/0003_adopted.sql")),
    (4, include_str!("../migrations/0004_baseline.sql")),
    (5, include_str!("../migrations/0005_measures.sql")),
];

/// Why a catalog could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory above could not be made.
    #[error("the directory {} cannot be created", directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite's locks and shared memory cannot be trusted there.
    #[error("{} lies on a network file system ({kind})", path.display())]
    Network {
        /// Where the catalog would lie.
        path: PathBuf,
        /// The kind, as the operating system names it.
        kind: String,
    },
    /// There is a directory of that name.
    #[error("{} is a directory, not a file", path.display())]
    IsDirectory {
        /// Which.
        path: PathBuf,
    },
    /// There is a file, and it is something else.
    #[error("{} is not a catalog of Lowtide: {what}", path.display())]
    NotACatalog {
        /// Which.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// There is a file, and it is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// A later release wrote it.
    #[error(
        "{} was written by a newer release of Lowtide: its schema is version {found}, this release knows {known}",
        path.display()
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// The schema's version.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
    },
    /// It cannot be created or written.
    #[error("{} cannot be opened for writing", path.display())]
    NotWritable {
        /// Which.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// Another process holds it.
    #[error("{} is held by another process for more than {} s", path.display(), BUSY_WAIT.as_secs())]
    Locked {
        /// Which.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// Anything else.
    #[error("{} cannot be opened", path.display())]
    Other {
        /// Which.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
}

impl OpenError {
    /// What a person can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Directory { .. } => {
                "create it, or name another place under `catalog: { sqlite: PATH }`"
            }
            Self::Network { .. } => {
                "two processes could corrupt it there: put it on a local disk or a block volume, with `catalog: { sqlite: PATH }`"
            }
            Self::IsDirectory { .. } => {
                "name a file in it, for instance `catalog.db`, under `catalog: { sqlite: PATH }`"
            }
            Self::NotACatalog { .. } => {
                "it was left untouched: name another file under `catalog: { sqlite: PATH }`"
            }
            Self::Damaged { .. } => {
                "restore it from a backup, together with the files of its name that end in `-wal` and `-shm`; or move all of them away to begin with an empty catalog, which forgets every run"
            }
            Self::Newer { .. } => "run that release, or a later one; catalogs never go back",
            Self::NotWritable { .. } => {
                "Lowtide must be able to write the file and create others beside it: look at the rights of both, and whether the file system is mounted read-only or full"
            }
            Self::Locked { .. } => {
                "another program has it open, perhaps a backup or an SQLite shell: end it, and try again"
            }
            Self::Other { .. } => "look at the file and at the disk",
        }
    }
}

/// The catalog: one SQLite file.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(crate) writer: Pool<Sqlite>,
    pub(crate) readers: Pool<Sqlite>,
    pub(crate) writes: Writes,
    pub(crate) contexts: Contexts,
    /// Whether it is open for a command that ends.
    pub(crate) is_brief: bool,
}

impl Catalog {
    /// Opens the catalog, and creates it with the directories above it if it is not there.
    ///
    /// # Errors
    /// [`OpenError`], each with a hint; a file that is not a catalog is not changed.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path.as_ref(), Some(READERS_MAX)).await
    }

    /// The same with a single connection, which is ready sooner: for a command that ends.
    ///
    /// # Errors
    /// As for [`Catalog::open`].
    pub async fn open_briefly(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path.as_ref(), None).await
    }

    async fn open_with(path: &Path, readers_max: Option<u32>) -> Result<Self, OpenError> {
        // Absolute: SQLite would take `file:…` for a URI and `:memory:` for no file.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let is_new = prepare_place(&path, network_file_system)?;
        let options = options(&path);
        let writing = options.clone().create_if_missing(true);
        let catalog = if let Some(readers_max) = readers_max {
            let readers = pool(readers_max, options.pragma("query_only", "on"));
            Self::over(pool(1, writing), readers, false)
        } else {
            let only = pool(1, writing.pragma("wal_autocheckpoint", LOG_PAGES_BRIEFLY));
            Self::over(only.clone(), only, true)
        };
        match catalog.prepare(&path).await {
            Ok(()) => {}
            Err(error) => {
                catalog.close().await;
                return Err(error);
            }
        }
        if is_new {
            sync_directory(&path)?;
        }
        Ok(catalog)
    }

    /// A catalog that nobody else sees and that ends with this value: for a process that keeps no
    /// memory.
    ///
    /// # Errors
    /// [`OpenError::Other`], if SQLite has no memory to give.
    pub async fn in_memory() -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::new()
            .in_memory(true)
            .foreign_keys(true)
            .disable_statement_logging();
        // Memory belongs to one connection, so reading and writing share it.
        let only = pool(1, options);
        let catalog = Self::over(only.clone(), only, false);
        catalog.prepare(Path::new(":memory:")).await?;
        Ok(catalog)
    }

    fn over(writer: Pool<Sqlite>, readers: Pool<Sqlite>, is_brief: bool) -> Self {
        Self {
            writes: Writes::through(writer.clone()),
            contexts: Contexts::through(readers.clone()),
            writer,
            readers,
            is_brief,
        }
    }

    /// Ends all connections; the last one of all processes folds the write-ahead log into the
    /// file, which costs several waits for the disk. Not needed for safety, as what was committed
    /// is on the disk: see [`Catalog::leave`].
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Has the connection of a command that ends go with the process, as by a crash: what was
    /// committed is on the disk, and folding the log into the file would make a command that has
    /// nothing else to do wait for the disk once more. Merely dropping the catalog begins to fold
    /// it in another thread, and the end of the process then waits for that.
    pub async fn leave(&self) {
        // Acquired first: whoever had it last gives it back in a task of its own.
        if let Ok(connection) = self.writer.acquire().await {
            std::mem::forget(connection.leak());
        }
    }

    async fn prepare(&self, path: &Path) -> Result<(), OpenError> {
        let mut tries = 0;
        loop {
            let outcome = match self.writer.acquire().await {
                Ok(mut connection) => prepare_schema(&mut connection).await,
                Err(error) => Err(error.into()),
            };
            match outcome {
                Err(Unfit::Sqlite(error)) if is_locked(&error) && tries < LOCKED_TRIES => {
                    tries += 1;
                    tokio::time::sleep(LOCKED_PAUSE).await;
                }
                other => return other.map_err(|unfit| unfit.at(path)),
            }
        }
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_WAIT)
        .foreign_keys(true)
        // What a statement for hundreds of rows keeps so that it can be taken back.
        .pragma("temp_store", "memory")
        // With NORMAL, a power cut may take a commit back: then a savepoint is taken twice.
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
}

fn pool(connections: u32, options: SqliteConnectOptions) -> Pool<Sqlite> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN_WAIT)
        // A file does not hang up: no probing before use, and nothing to expire.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options)
}

/// Makes the directories above and says whether the file is still to be created.
pub(crate) fn prepare_place(
    path: &Path,
    network_kind: impl Fn(&Path) -> Option<String>,
) -> Result<bool, OpenError> {
    if path.is_dir() {
        return Err(OpenError::IsDirectory {
            path: path.to_owned(),
        });
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|above| !above.exists())
        .collect();
    // Asked before anything is made there.
    let there = missing.last().map_or(directory, |lowest| {
        lowest.parent().unwrap_or(Path::new("/"))
    });
    if let Some(kind) = network_kind(there) {
        return Err(OpenError::Network {
            path: path.to_owned(),
            kind,
        });
    }
    let cannot = |source| OpenError::Directory {
        directory: directory.to_owned(),
        source,
    };
    fs::create_dir_all(directory).map_err(cannot)?;
    // A directory's own entry must survive a power cut as well.
    for made in missing {
        let above = made.parent().unwrap_or(Path::new("/"));
        File::open(above)
            .and_then(|above| above.sync_all())
            .map_err(cannot)?;
    }
    Ok(!path.exists())
}

/// Puts a new file's directory entry on the disk; SQLite does so for its journals only.
fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| OpenError::Directory {
            directory: directory.to_owned(),
            source,
        })
}

/// Why a file that could be opened is of no use.
enum Unfit {
    Sqlite(sqlx::Error),
    Foreign,
    Newer(i64),
}

impl From<sqlx::Error> for Unfit {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Unfit {
    /// As the caller is told; result codes from <https://sqlite.org/rescode.html>.
    fn at(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::Foreign => OpenError::NotACatalog {
                path,
                what: "it is the SQLite database of another program",
            },
            Self::Newer(found) => OpenError::Newer {
                path,
                found,
                known: newest(),
            },
            Self::Sqlite(source) => match primary_code(&source) {
                Some(26) => OpenError::NotACatalog {
                    path,
                    what: "it is no SQLite database",
                },
                Some(11) => OpenError::Damaged { path, source },
                // PERM, READONLY, FULL, CANTOPEN
                Some(3 | 8 | 13 | 14) => OpenError::NotWritable { path, source },
                _ if is_locked(&source) => OpenError::Locked { path, source },
                _ => OpenError::Other { path, source },
            },
        }
    }
}

fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, _)| *version)
}

async fn prepare_schema(connection: &mut SqliteConnection) -> Result<(), Unfit> {
    let state = sqlx::query(sql::STATE).fetch_one(&mut *connection).await?;
    let is_ours = state.try_get::<i64, _>("application_id")? == APPLICATION_ID;
    let is_empty = state.try_get::<i64, _>("objects")? == 0;
    if !is_ours && !is_empty {
        return Err(Unfit::Foreign);
    }
    if state.try_get::<&str, _>("journal_mode")? != "wal" {
        sqlx::query(sql::JOURNAL_WAL)
            .fetch_one(&mut *connection)
            .await?;
    }
    let version = if is_ours && !is_empty {
        version(connection).await?
    } else {
        0
    };
    match version {
        current if current == newest() => Ok(()),
        newer if newer > newest() => Err(Unfit::Newer(newer)),
        _ => migrate(connection).await,
    }
}

async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(sql::SCHEMA_VERSION)
        .fetch_one(connection)
        .await
}

/// Applies what is missing, in one transaction.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), Unfit> {
    let mut transaction = sqlx::Connection::begin_with(connection, sql::BEGIN).await?;
    // Asked again now that nobody else can write: another process may have been faster.
    let state = sqlx::query(sql::STATE).fetch_one(&mut *transaction).await?;
    let has_schema = state.try_get::<i64, _>("objects")? > 0;
    let from = if has_schema {
        version(&mut transaction).await?
    } else {
        0
    };
    if from > newest() {
        return Err(Unfit::Newer(from));
    }
    for (number, text) in MIGRATIONS.iter().filter(|(number, _)| *number > from) {
        sqlx::raw_sql(*text).execute(&mut *transaction).await?;
        sqlx::query(sql::RECORD_VERSION)
            .bind(*number)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}
