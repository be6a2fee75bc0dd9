//! Several handles and processes on one file, and processes that are killed.

#![allow(
    clippy::print_stdout,
    reason = "a child tells its parent what it has done"
)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use lowtide_core::ports::{Catalog as _, CatalogError, Claim, Commit};
use lowtide_core::run::{Phase, Run};
use lowtide_core::savepoint::Standing;

use super::open_in;
use super::records::{key, savepoint, slot, step, verified};
use crate::{BUSY_WAIT, Catalog};

/// Set in a child of these tests: the directory of the catalog.
const CHILD: &str = "LOWTIDE_CATALOG_TEST_CHILD";

const SIGKILL: i32 = 9;

/// This very test in a process of its own, with [`CHILD`] set.
fn child(test: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn plain<'a>(run: &'a Run, savepoints: &'a [lowtide_core::savepoint::Savepoint]) -> Commit<'a> {
    Commit {
        run,
        savepoints,
        begins: false,
        cap: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_claim_each_slot_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut workers = Vec::new();
    for _ in 0..2 {
        let catalog = open_in(directory.path()).await;
        workers.push(tokio::spawn(async move { claim_all(&catalog, 100).await }));
    }
    let mut claimed = 0;
    for worker in workers {
        claimed += worker.await.unwrap();
    }
    assert_eq!(claimed, 100);
}

async fn claim_all(catalog: &Catalog, slots: i64) -> usize {
    let mut claimed = 0;
    for number in 0..slots {
        let claims = catalog
            .claim(&[slot(&key("a"), number)], None)
            .await
            .unwrap();
        claimed += usize::from(claims == [Claim::Claimed]);
    }
    claimed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_lose_no_step_of_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let run = slot(&key("a"), 0);
    open_in(directory.path())
        .await
        .claim(std::slice::from_ref(&run), None)
        .await
        .unwrap();
    let mut workers = Vec::new();
    for _ in 0..3 {
        let catalog = open_in(directory.path()).await;
        let id = run.id;
        workers.push(tokio::spawn(async move {
            let mut committed = 0;
            while committed < 40 {
                let row = catalog.run(id).await.unwrap().unwrap();
                let mut next = step(&row, Phase::Waiting);
                next.looks += 1;
                match catalog.commit(plain(&next, &[])).await {
                    Ok(()) => committed += 1,
                    Err(CatalogError::Stale) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    let row = open_in(directory.path())
        .await
        .run(run.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.version, row.looks), (120, 120));
}

#[tokio::test]
async fn what_one_handle_commits_the_other_reads() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (
        open_in(directory.path()).await,
        open_in(directory.path()).await,
    );
    let mut run = slot(&key("a"), 0);
    one.claim(std::slice::from_ref(&run), None).await.unwrap();
    for round in 0..20 {
        assert_eq!(other.run(run.id).await.unwrap(), Some(run.clone()));
        let (writer, reader) = if round % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        let next = step(&run, Phase::Waiting);
        writer.commit(plain(&next, &[])).await.unwrap();
        assert_eq!(
            reader.commit(plain(&next, &[])).await,
            Err(CatalogError::Stale)
        );
        run = next;
    }
}

#[tokio::test]
async fn a_held_file_is_waited_for_and_then_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let holder = open_in(directory.path()).await;
    let run = slot(&key("a"), 0);
    holder
        .claim(std::slice::from_ref(&run), None)
        .await
        .unwrap();
    let held = holder.begin().await.unwrap();
    // Opening and reading need no right to write.
    let other = open_in(directory.path()).await;
    assert_eq!(other.run(run.id).await.unwrap(), Some(run.clone()));
    let next = step(&run, Phase::Waiting);
    let began = Instant::now();
    let error = other.commit(plain(&next, &[])).await.unwrap_err();
    let waited = began.elapsed();
    assert!(matches!(error, CatalogError::Broken(_)), "{error:?}");
    assert!(error.to_string().contains("another process"), "{error}");
    assert!(waited >= BUSY_WAIT && waited < BUSY_WAIT * 3, "{waited:?}");
    // And it goes on where the holder is done within that time.
    let (committed, released) = futures_util::join!(other.commit(plain(&next, &[])), async {
        held.rollback().await
    });
    released.unwrap();
    assert_eq!(committed, Ok(()));
}

#[tokio::test]
async fn a_dropped_commit_leaves_the_writer_free() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let mut run = slot(&key("a"), 0);
    catalog
        .claim(std::slice::from_ref(&run), None)
        .await
        .unwrap();
    // Dropped after so many polls: before, in and after the transaction.
    for polls in 0..60 {
        let next = step(&run, Phase::Waiting);
        let mut commit = Box::pin(catalog.commit(plain(&next, &[])));
        for _ in 0..polls {
            if futures_util::poll!(&mut commit).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(commit);
        // Whole or not at all.
        let row = catalog.run(run.id).await.unwrap().unwrap();
        assert!(row == run || row == next, "{row:?}");
        // Decided by now: no commit of the past arrives later.
        let claims = catalog
            .claim(std::slice::from_ref(&run), None)
            .await
            .unwrap();
        let [Claim::Taken(row)] = &claims[..] else {
            panic!("{claims:?}");
        };
        run = (**row).clone();
    }
}

#[tokio::test]
async fn two_processes_claim_each_slot_once() {
    const SLOTS: i64 = 60;
    if let Some(directory) = std::env::var_os(CHILD) {
        let catalog = open_in(Path::new(&directory)).await;
        println!("\nclaimed {}", claim_all(&catalog, SLOTS).await);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let name = "tests::processes::two_processes_claim_each_slot_once";
    let children = [(); 3].map(|()| child(name, directory.path()));
    let mut claimed = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("claimed "));
        claimed += count.unwrap().parse::<i64>().unwrap();
    }
    assert_eq!(claimed, SLOTS);
}

/// A child commits steps, each with a savepoint, and says which one it has committed; it is
/// killed in the middle. Whatever it said is there, at most one step more, and no half of one.
#[tokio::test]
async fn nothing_committed_is_lost_when_a_process_is_killed() {
    const KILLS: usize = 12;
    let run = slot(&key("a"), 0);
    if let Some(directory) = std::env::var_os(CHILD) {
        return commit_for_ever(Path::new(&directory), &run).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let name = "tests::processes::nothing_committed_is_lost_when_a_process_is_killed";
    let mut last_version = 0;
    for kill in 1..=KILLS {
        let mut child = child(name, directory.path());
        let mut said = 0;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for (count, version) in lines
            .map(|line| line.unwrap())
            .filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok())
            .enumerate()
        {
            said = version;
            // Killed after another number of steps each time; what it still says, it did.
            if count == 5 * kill {
                child.kill().unwrap();
            }
        }
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(SIGKILL), "{status}");
        let catalog = open_in(directory.path()).await;
        let row = catalog.run(run.id).await.unwrap().unwrap();
        assert!(
            (said..=said + 1).contains(&row.version),
            "said {said}, found {}",
            row.version
        );
        assert!(row.version > last_version, "each child went on");
        last_version = row.version;
        let savepoints = catalog.savepoints_of(run.id).await.unwrap();
        assert_eq!(savepoints.len() as u64, row.version, "one with each step");
        let whole: String = sqlx::query_scalar("pragma integrity_check")
            .fetch_one(&catalog.writer)
            .await
            .unwrap();
        assert_eq!(whole, "ok");
        catalog.close().await;
    }
}

async fn commit_for_ever(directory: &Path, run: &Run) {
    let catalog = open_in(directory).await;
    catalog
        .claim(std::slice::from_ref(run), None)
        .await
        .unwrap();
    let mut row = catalog.run(run.id).await.unwrap().unwrap();
    // More than the parent ever lets it do.
    for _ in 0..100_000 {
        row = step(&row, Phase::Waiting);
        let left = savepoint(
            run,
            &row.version.to_string(),
            i64::try_from(row.version).unwrap(),
            Standing::Kept,
            verified(1),
        );
        catalog.commit(plain(&row, &[left])).await.unwrap();
        println!("\ncommitted {}", row.version);
    }
}
