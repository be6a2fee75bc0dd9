//! Commits: a step that was decided on the row as it is, or nothing.

use futures_util::future::join_all;

use super::sample::{
    at, begin, claim, commit, commit_with, full, key, request, savepoint, slot, step, stored,
    trigger, verified,
};
use crate::ports::{Catalog, CatalogError, Commit};
use crate::run::{Phase, Run};
use crate::savepoint::Standing;

/// Between due and done.
const UNDER_WAY: [Phase; 5] = [
    Phase::Resolving,
    Phase::Waiting,
    Phase::Triggering,
    Phase::Following,
    Phase::Verifying,
];

fn is_busy(answer: &Result<(), CatalogError>) -> bool {
    matches!(answer, Err(CatalogError::Busy(why)) if !why.is_empty())
}

/// A step replaces all of the row; so does the next one.
pub async fn a_commit_replaces_the_row<C: Catalog>(catalog: &C) {
    let run = slot(&key("flink", "orders"), 0);
    claim(catalog, std::slice::from_ref(&run)).await;
    let first = full(&run);
    assert_eq!(commit(catalog, &first).await, Ok(()));
    assert_eq!(stored(catalog, &run).await, first);
    let second = step(&run, Phase::Done);
    let second = Run {
        version: first.version + 1,
        ..second
    };
    assert_eq!(commit(catalog, &second).await, Ok(()));
    assert_eq!(stored(catalog, &run).await, second);
}

/// A step from a version that is past, or yet to come, or of a run that is not there.
pub async fn a_stale_commit_changes_nothing<C: Catalog>(catalog: &C) {
    let run = slot(&key("flink", "orders"), 0);
    assert_eq!(
        commit(catalog, &step(&run, Phase::Done)).await,
        Err(CatalogError::Stale),
        "a run that was never claimed"
    );
    assert_eq!(catalog.run(run.id).await, Ok(None));

    claim(catalog, std::slice::from_ref(&run)).await;
    let current = full(&run);
    commit(catalog, &current).await.expect("a commit");
    for version in [
        0,
        current.version,
        current.version + 2,
        current.version + 100,
    ] {
        let stale = Run {
            version,
            ..step(&run, Phase::Done)
        };
        let left = savepoint(&run, "stale", Standing::Kept, verified(1));
        assert_eq!(
            commit_with(catalog, &stale, &[left]).await,
            Err(CatalogError::Stale),
            "version {version} over {}",
            current.version
        );
    }
    assert_eq!(stored(catalog, &run).await, current);
    assert_eq!(catalog.savepoints_of(run.id).await, Ok(Vec::new()));
}

/// Of several steps from one version one is committed.
pub async fn committers_at_once_get_one_step<C: Catalog>(catalog: &C) {
    let run = slot(&key("flink", "orders"), 0);
    claim(catalog, std::slice::from_ref(&run)).await;
    let steps: Vec<_> = (0..8)
        .map(|committer| Run {
            phase_since: at(committer),
            ..step(&run, Phase::Resolving)
        })
        .collect();
    let answers = join_all(steps.iter().map(|step| commit(catalog, step))).await;
    let winners: Vec<_> = steps
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.is_ok())
        .collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Ok(()) | Err(CatalogError::Stale)))
    );
    assert_eq!(stored(catalog, &run).await, *winners[0].0);
}

/// While a run is between due and done, no other of its application begins; one of another
/// application does, and of the same name on another platform.
pub async fn a_begun_run_blocks_its_application<C: Catalog>(catalog: &C) {
    let application = key("flink", "orders");
    let mut first = request(&application, 1, 0);
    let second = request(&application, 2, 10);
    let elsewhere = request(&key("other", "orders"), 3, 10);
    let other = request(&key("flink", "payments"), 4, 10);
    claim(
        catalog,
        &[
            first.clone(),
            second.clone(),
            elsewhere.clone(),
            other.clone(),
        ],
    )
    .await;

    for phase in UNDER_WAY {
        let next = step(&first, phase);
        let answer = if phase == Phase::Resolving {
            // The second one is due and blocks nothing.
            begin(catalog, &next).await
        } else {
            commit(catalog, &next).await
        };
        assert_eq!(answer, Ok(()), "{phase:?}");
        first = next;
        let answer = begin(catalog, &step(&second, Phase::Resolving)).await;
        assert!(is_busy(&answer), "while the first is {phase:?}: {answer:?}");
        assert_eq!(stored(catalog, &second).await, second, "it stays due");
    }
    assert_eq!(
        begin(catalog, &step(&elsewhere, Phase::Resolving)).await,
        Ok(())
    );
    assert_eq!(
        begin(catalog, &step(&other, Phase::Resolving)).await,
        Ok(())
    );

    // A run that is held may be committed while it waits, and ended.
    let mut held = second.clone();
    held.version += 1;
    assert_eq!(commit(catalog, &held).await, Ok(()));
    commit(catalog, &step(&first, Phase::Done))
        .await
        .expect("a commit");
    assert_eq!(begin(catalog, &step(&held, Phase::Resolving)).await, Ok(()));
}

/// Of several runs of an application that begin at once one does.
pub async fn beginners_at_once_get_one_place<C: Catalog>(catalog: &C) {
    let application = key("flink", "orders");
    let runs: Vec<_> = (1..=8)
        .map(|number| request(&application, number, i64::from(number)))
        .collect();
    claim(catalog, &runs).await;
    let steps: Vec<_> = runs.iter().map(|run| step(run, Phase::Resolving)).collect();
    let answers = join_all(steps.iter().map(|step| begin(catalog, step))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| answer.is_ok() || is_busy(answer))
    );
    let begun = catalog
        .open_runs()
        .await
        .expect("a read")
        .into_iter()
        .filter(|run| run.phase != Phase::Due)
        .count();
    assert_eq!(begun, 1);
}

/// Runs of the platform that are triggering or following count; itself, those before and after,
/// and those of other platforms do not.
pub async fn a_cap_counts_what_is_under_way<C: Catalog>(catalog: &C) {
    let on = async |platform, name, number, phase| {
        let run = request(&key(platform, name), number, i64::from(number));
        claim(catalog, std::slice::from_ref(&run)).await;
        let run = step(&run, phase);
        commit(catalog, &run).await.expect("a commit");
        run
    };
    let waiting = on("flink", "a", 1, Phase::Waiting).await;
    on("flink", "b", 2, Phase::Resolving).await;
    on("flink", "c", 3, Phase::Verifying).await;
    on("flink", "d", 4, Phase::Done).await;
    on("other", "a", 5, Phase::Triggering).await;
    let following = on("flink", "e", 6, Phase::Following).await;

    let triggering = step(&waiting, Phase::Triggering);
    let answer = trigger(catalog, &triggering, 1).await;
    assert!(is_busy(&answer), "one follows, one may: {answer:?}");
    assert_eq!(stored(catalog, &waiting).await, waiting, "it stays waiting");
    assert_eq!(trigger(catalog, &triggering, 2).await, Ok(()));

    // Its own row does not count against itself.
    let next = step(&triggering, Phase::Triggering);
    assert_eq!(trigger(catalog, &next, 2).await, Ok(()));

    let last = on("flink", "f", 7, Phase::Waiting).await;
    let answer = trigger(catalog, &step(&last, Phase::Triggering), 2).await;
    assert!(is_busy(&answer), "two are under way, two may: {answer:?}");
    commit(catalog, &step(&following, Phase::Done))
        .await
        .expect("a commit");
    assert_eq!(
        trigger(catalog, &step(&last, Phase::Triggering), 2).await,
        Ok(())
    );
}

/// However many trigger at once, no more than the cap do.
pub async fn capped_at_once_keep_the_cap<C: Catalog>(catalog: &C) {
    let mut steps = Vec::new();
    for number in 1..=8 {
        let application = key("flink", &format!("application-{number}"));
        let run = request(&application, number, i64::from(number));
        claim(catalog, std::slice::from_ref(&run)).await;
        let waiting = step(&run, Phase::Waiting);
        commit(catalog, &waiting).await.expect("a commit");
        steps.push(step(&waiting, Phase::Triggering));
    }
    let answers = join_all(steps.iter().map(|step| trigger(catalog, step, 3))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert!(
        answers
            .iter()
            .all(|answer| answer.is_ok() || is_busy(answer))
    );
}

/// A process that acts on a row that has changed is told so first: it has to read it anyway.
pub async fn stale_comes_before_busy<C: Catalog>(catalog: &C) {
    let application = key("flink", "orders");
    let first = request(&application, 1, 0);
    let second = request(&application, 2, 10);
    claim(catalog, &[first.clone(), second.clone()]).await;
    commit(catalog, &step(&first, Phase::Following))
        .await
        .expect("a commit");
    let stale = Run {
        version: 5,
        ..step(&second, Phase::Triggering)
    };
    let answer = catalog
        .commit(Commit {
            run: &stale,
            savepoints: &[],
            begins: true,
            cap: Some(1),
        })
        .await;
    assert_eq!(answer, Err(CatalogError::Stale));
}
