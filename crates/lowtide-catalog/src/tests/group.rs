//! Many who write at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use lowtide_core::baseline::Baseline;
use lowtide_core::ports::{Catalog as _, CatalogError, Claim, Commit};
use lowtide_core::run::{Phase, Run};
use lowtide_core::savepoint::{Savepoint, Standing};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::open_in;
use super::records::{at, key, savepoint, slot, step, verified};

/// Runs that are there at once: more than one group holds.
const MANY: usize = 400;
/// So few that SQLite does not fold the log by itself.
const FEW: usize = 120;

fn plain(run: &Run) -> Commit<'_> {
    Commit {
        run,
        savepoints: &[],
        begins: false,
        cap: None,
    }
}

fn runs(count: usize) -> Vec<Run> {
    (0..count)
        .map(|number| slot(&key(&format!("a{number}")), 0))
        .collect()
}

/// Commits in the write-ahead log: frames that say how large the file is then
/// (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).
fn commits_in_log(directory: &Path) -> usize {
    const HEADER: usize = 32;
    const FRAME_HEADER: usize = 24;
    let log = fs::read(directory.join("catalog.db-wal")).unwrap();
    let page = u32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
    // Frames of an earlier use of the log have another salt.
    let salt = &log[16..24];
    log[HEADER..]
        .chunks_exact(FRAME_HEADER + page)
        .filter(|frame| frame[8..16] == *salt && frame[4..8] != [0; 4])
        .count()
}

/// How many runs the file has, without its log.
async fn runs_in_file(directory: &Path) -> i64 {
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("catalog.db");
    fs::copy(directory.join("catalog.db"), &path).unwrap();
    let options = SqliteConnectOptions::new().filename(&path);
    let mut connection = options.connect().await.unwrap();
    let count = sqlx::query_scalar("select count(*) from runs")
        .fetch_one(&mut connection)
        .await;
    // A copy made while the file is written, or before it has a schema.
    count.unwrap_or(0)
}

#[tokio::test]
async fn the_log_is_folded_when_nobody_writes() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let runs = runs(FEW);
    let new: Vec<[Run; 1]> = runs.into_iter().map(|run| [run]).collect();
    let claims = join_all(new.iter().map(|run| catalog.claim(run, None))).await;
    assert!(claims.iter().all(Result::is_ok));
    let wanted = i64::try_from(FEW).unwrap();
    while runs_in_file(directory.path()).await < wanted {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn many_commits_at_once_are_few_waits_for_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let runs = runs(MANY);
    catalog.claim(&runs, None).await.unwrap();
    let before = commits_in_log(directory.path());
    let steps: Vec<Run> = runs.iter().map(|run| step(run, Phase::Waiting)).collect();
    let committed = join_all(steps.iter().map(|run| catalog.commit(plain(run)))).await;
    assert!(committed.iter().all(Result::is_ok));
    let waits = commits_in_log(directory.path()) - before;
    assert!((2..=4).contains(&waits), "{waits} transactions");
    assert_eq!(catalog.open_runs().await.unwrap().len(), MANY);
    for run in &steps {
        assert_eq!(catalog.run(run.id).await.unwrap().as_ref(), Some(run));
    }
}

#[tokio::test]
async fn who_is_stale_or_busy_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let runs = runs(10);
    catalog.claim(&runs, None).await.unwrap();
    let mut steps: Vec<Run> = runs
        .iter()
        .map(|run| step(run, Phase::Triggering))
        .collect();
    steps[3].version += 1;
    let caps = [Some(6); 10];
    let commits = steps.iter().zip(caps).map(|(run, cap)| {
        let commit = Commit { cap, ..plain(run) };
        catalog.commit(commit)
    });
    let answers = join_all(commits).await;
    // In the order in which they asked, each sees those before it.
    for (index, answer) in answers.iter().enumerate() {
        let right = match index {
            3 => *answer == Err(CatalogError::Stale),
            0..=6 => answer.is_ok(),
            _ => matches!(answer, Err(CatalogError::Busy(_))),
        };
        assert!(right, "{index}: {answer:?}");
    }
    let triggered = catalog.open_runs().await.unwrap();
    let triggered = triggered
        .iter()
        .filter(|run| run.phase == Phase::Triggering);
    assert_eq!(triggered.count(), 6);
}

#[tokio::test]
async fn of_two_that_begin_at_once_one_is_busy() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let (first, second): (Vec<Run>, Vec<Run>) = (0..5)
        .map(|number| key(&format!("a{number}")))
        .map(|key| (slot(&key, 0), slot(&key, 60)))
        .unzip();
    let all: Vec<Run> = first.into_iter().chain(second).collect();
    catalog.claim(&all, None).await.unwrap();
    let steps: Vec<Run> = all.iter().map(|run| step(run, Phase::Resolving)).collect();
    let commits = steps.iter().map(|run| {
        catalog.commit(Commit {
            begins: true,
            ..plain(run)
        })
    });
    let answers = join_all(commits).await;
    for (index, answer) in answers.iter().enumerate() {
        let right = match index {
            0..5 => answer.is_ok(),
            _ => matches!(answer, Err(CatalogError::Busy(_))),
        };
        assert!(right, "{index}: {answer:?}");
    }
}

#[tokio::test]
async fn savepoints_and_baselines_of_many_are_all_there() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let runs = runs(MANY);
    catalog.claim(&runs, None).await.unwrap();
    let steps: Vec<Run> = runs.iter().map(|run| step(run, Phase::Verifying)).collect();
    let kept: Vec<Savepoint> = steps
        .iter()
        .map(|run| savepoint(run, "kept", 1, Standing::Kept, verified(7)))
        .collect();
    let commits = steps.iter().zip(&kept).map(|(run, kept)| {
        catalog.commit(Commit {
            savepoints: std::slice::from_ref(kept),
            ..plain(run)
        })
    });
    // Two of each place: the second replaces the first.
    let listed = Baseline::Listed {
        at: at(1),
        files: BTreeMap::new(),
    };
    let read = Baseline::Read {
        at: at(2),
        files: BTreeMap::new(),
    };
    let noted = kept.iter().flat_map(|kept| {
        let record = |baseline| catalog.record_baseline(&kept.location, baseline);
        [record(&listed), record(&read)]
    });
    let (committed, noted) = futures_util::join!(join_all(commits), join_all(noted));
    assert!(committed.iter().chain(&noted).all(Result::is_ok));
    for (run, kept) in steps.iter().zip(&kept) {
        let stored = catalog.savepoints_of(run.id).await.unwrap();
        assert_eq!(stored, std::slice::from_ref(kept));
        let stored = catalog.baseline(&kept.location).await;
        assert_eq!(stored, Ok(Some(read.clone())));
    }
}

/// On the way of a slot to its savepoint each step waits for the disk once, and the last one with all that it
/// leaves.
#[tokio::test]
async fn what_a_step_leaves_waits_for_the_disk_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let run = slot(&key("a"), 0);
    let before = commits_in_log(directory.path());
    catalog
        .claim(std::slice::from_ref(&run), Some((&key("a"), at(0))))
        .await
        .unwrap();
    let ended = step(&run, Phase::Verifying);
    let kept = savepoint(&ended, "kept", 1, Standing::Kept, verified(7));
    let baseline = Baseline::Listed {
        at: at(1),
        files: BTreeMap::new(),
    };
    let commit = Commit {
        savepoints: std::slice::from_ref(&kept),
        ..plain(&ended)
    };
    let (committed, noted) = futures_util::join!(
        catalog.commit(commit),
        catalog.record_baseline(&kept.location, &baseline)
    );
    assert_eq!((committed, noted), (Ok(()), Ok(())));
    assert_eq!(commits_in_log(directory.path()) - before, 2);
    assert_eq!(catalog.run(run.id).await, Ok(Some(ended)));
    assert_eq!(catalog.savepoints_of(run.id).await, Ok(vec![kept.clone()]));
    assert_eq!(catalog.baseline(&kept.location).await, Ok(Some(baseline)));
}

#[tokio::test]
async fn each_that_asks_at_once_what_is_usual_hears_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let runs = runs(MANY);
    catalog.claim(&runs, None).await.unwrap();
    let steps: Vec<Run> = runs.iter().map(|run| step(run, Phase::Verifying)).collect();
    // One in two has left a savepoint, each of its own size.
    let kept: Vec<Option<Savepoint>> = (1..)
        .zip(&steps)
        .map(|(bytes, run)| {
            (bytes % 2 == 0).then(|| savepoint(run, "kept", 1, Standing::Kept, verified(bytes)))
        })
        .collect();
    let commits = steps.iter().zip(&kept).map(|(run, kept)| {
        catalog.commit(Commit {
            savepoints: kept.as_slice(),
            ..plain(run)
        })
    });
    assert!(join_all(commits).await.iter().all(Result::is_ok));
    let asked = steps.iter().map(|run| catalog.context(&run.application));
    let contexts = join_all(asked).await;
    for (bytes, context) in (1..).zip(contexts) {
        let own = (bytes % 2 == 0).then_some(bytes);
        assert_eq!(context.unwrap().median_bytes, own);
    }
}

/// What SQLite would cut is refused: nothing is recorded under another place's name.
#[tokio::test]
async fn a_location_with_a_nul_is_refused_alone() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let runs = runs(2);
    catalog.claim(&runs, None).await.unwrap();
    let steps: Vec<Run> = runs.iter().map(|run| step(run, Phase::Verifying)).collect();
    let kept = |run, name| savepoint(run, name, 1, Standing::Kept, verified(7));
    let kept = [kept(&steps[0], "a\0b"), kept(&steps[1], "a")];
    let commits = steps.iter().zip(&kept).map(|(run, kept)| {
        catalog.commit(Commit {
            savepoints: std::slice::from_ref(kept),
            ..plain(run)
        })
    });
    let answers = join_all(commits).await;
    assert!(matches!(answers[0], Err(CatalogError::Broken(_))));
    assert_eq!(answers[1], Ok(()));
    assert_eq!(catalog.savepoints_of(runs[0].id).await, Ok(Vec::new()));
    assert_eq!(catalog.run(runs[0].id).await, Ok(Some(runs[0].clone())));
    let stored = catalog.savepoints_of(runs[1].id).await.unwrap();
    assert_eq!(stored, [kept[1].clone()]);
}

#[tokio::test]
async fn who_breaks_it_breaks_alone() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let runs = runs(5);
    catalog.claim(&runs, None).await.unwrap();
    let mut steps: Vec<Run> = runs.iter().map(|run| step(run, Phase::Waiting)).collect();
    // Done, and with no outcome: the table itself refuses it.
    for broken in [1, 4] {
        steps[broken].phase = Phase::Done;
    }
    let late = slot(&key("late"), 0);
    let (answers, claims) = futures_util::join!(
        join_all(steps.iter().map(|run| catalog.commit(plain(run)))),
        catalog.claim(std::slice::from_ref(&late), None),
    );
    for (index, answer) in answers.iter().enumerate() {
        let breaks = [1, 4].contains(&index);
        assert_eq!(
            matches!(answer, Err(CatalogError::Broken(_))),
            breaks,
            "{index}: {answer:?}"
        );
        let row = catalog.run(steps[index].id).await.unwrap().unwrap();
        assert_eq!(row == steps[index], !breaks, "{index}");
    }
    assert_eq!(claims, Ok(vec![Claim::Claimed]));
}

#[tokio::test]
async fn later_writes_of_a_group_see_the_earlier_ones() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let run = slot(&key("a"), 0);
    let first = step(&run, Phase::Resolving);
    let second = step(&first, Phase::Waiting);
    let (claims, one, other, again) = futures_util::join!(
        catalog.claim(std::slice::from_ref(&run), None),
        catalog.commit(plain(&first)),
        catalog.commit(plain(&second)),
        catalog.commit(plain(&first)),
    );
    assert_eq!(claims, Ok(vec![Claim::Claimed]));
    assert_eq!(
        (one, other, again),
        (Ok(()), Ok(()), Err(CatalogError::Stale))
    );
    assert_eq!(catalog.run(run.id).await, Ok(Some(second)));
}
