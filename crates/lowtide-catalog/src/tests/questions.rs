//! What the program asks for people.

use lowtide_core::ports::{Catalog as _, Commit};
use lowtide_core::run::{Phase, Run};
use lowtide_core::savepoint::{Savepoint, Standing, Verification};

use super::open_in;
use super::records::{at, key, request, savepoint, slot, step, unread, verified};
use crate::{Catalog, Paused, RunFilter, SavepointFilter};

pub(super) async fn commit(catalog: &Catalog, run: &Run, savepoints: &[Savepoint]) {
    let commit = Commit {
        run,
        savepoints,
        begins: false,
        cap: None,
    };
    catalog.commit(commit).await.unwrap();
}

fn of(keys: Option<&[&str]>) -> RunFilter {
    RunFilter {
        applications: keys.map(|keys| keys.iter().map(|name| key(name)).collect()),
        outcome: None,
        limit: 100,
    }
}

#[tokio::test]
async fn what_many_runs_left_is_one_question() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let runs: Vec<_> = ["a", "b", "c"].map(|name| slot(&key(name), 0)).into();
    catalog.claim(&runs, None).await.unwrap();
    for (run, seconds) in [(&runs[0], 20), (&runs[2], 10), (&runs[1], 30)] {
        let left = savepoint(run, "s", seconds, Standing::Kept, verified(1));
        commit(&catalog, &step(run, Phase::Waiting), &[left]).await;
    }
    let asked = [runs[0].id, runs[2].id];
    let left = catalog.savepoints_of_runs(&asked).await.unwrap();
    let of: Vec<_> = left.iter().filter_map(Savepoint::run).collect();
    assert_eq!(of, [runs[2].id, runs[0].id]);
    assert_eq!(catalog.savepoints_of_runs(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn runs_are_listed_newest_first() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let runs = [
        slot(&key("a"), 0),
        slot(&key("b"), 10),
        slot(&key("a"), 20),
        slot(&key("c"), 30),
    ];
    catalog.claim(&runs, None).await.unwrap();
    let ended = step(&runs[0], Phase::Done);
    commit(&catalog, &ended, &[]).await;
    let [_, b, a, c] = runs;

    let all = catalog.runs(&of(None)).await.unwrap();
    assert_eq!(all, [c.clone(), a.clone(), b.clone(), ended.clone()]);
    let some = catalog.runs(&of(Some(&["a", "b", "a"]))).await.unwrap();
    assert_eq!(some, [a.clone(), b, ended.clone()]);
    assert_eq!(catalog.runs(&of(Some(&[]))).await.unwrap(), []);
    for keys in [None, Some(&["a", "c"][..])] {
        let limited = RunFilter {
            limit: 2,
            ..of(keys)
        };
        assert_eq!(
            catalog.runs(&limited).await.unwrap(),
            [c.clone(), a.clone()]
        );
        let failed = RunFilter {
            outcome: Some("failed"),
            ..of(keys)
        };
        assert_eq!(
            catalog.runs(&failed).await.unwrap(),
            std::slice::from_ref(&ended)
        );
    }
    assert_eq!(catalog.last_run(&key("a")).await.unwrap(), Some(a));
    assert_eq!(catalog.last_run(&key("d")).await.unwrap(), None);
}

#[tokio::test]
async fn a_run_is_found_by_the_beginning_of_its_id() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let one = request(&key("a"), 0xabcd_0000_0000_0000_0000_0000_0000_0001, 0);
    let other = request(&key("a"), 0xabcf_0000_0000_0000_0000_0000_0000_0001, 1);
    let last = request(&key("a"), u128::MAX, 2);
    let all = [one.clone(), other.clone(), last.clone()];
    catalog.claim(&all, None).await.unwrap();
    for (prefix, wanted) in [
        ("abc", vec![&one, &other]),
        ("ABCD", vec![&one]),
        (&*one.id.to_string(), vec![&one]),
        ("f", vec![&last]),
        (&"f".repeat(32), vec![&last]),
        (&"f".repeat(33), vec![]),
        ("0", vec![]),
        ("", vec![]),
        ("abc%", vec![]),
        ("g", vec![]),
    ] {
        let found = catalog.runs_by_prefix(prefix).await.unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{prefix}");
    }
}

#[tokio::test]
async fn savepoints_are_listed_and_the_latest_good_one_found() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let (run, other) = (slot(&key("a"), 0), slot(&key("b"), 0));
    catalog
        .claim(&[run.clone(), other.clone()], None)
        .await
        .unwrap();
    let good = savepoint(&run, "1", 10, Standing::Kept, verified(1));
    let late = savepoint(&run, "2", 20, Standing::Late, verified(1));
    let unread = savepoint(&run, "3", 30, Standing::Late, unread());
    let orphan = savepoint(&run, "4", 40, Standing::Orphan, Verification::Nothing);
    let stray = savepoint(&run, "5", 50, Standing::Orphan, verified(1));
    let all = [&good, &late, &unread, &orphan, &stray].map(Clone::clone);
    commit(&catalog, &step(&run, Phase::Done), &all).await;
    let foreign = savepoint(&other, "6", 60, Standing::Foreign, verified(1));
    commit(
        &catalog,
        &step(&other, Phase::Done),
        std::slice::from_ref(&foreign),
    )
    .await;

    let filter = SavepointFilter {
        applications: None,
        standings: None,
        only_good: false,
        limit: 100,
    };
    let listed = |filter| {
        let catalog = catalog.clone();
        async move { catalog.savepoints(&filter).await.unwrap() }
    };
    let newest_first = [&foreign, &stray, &orphan, &unread, &late, &good].map(Clone::clone);
    assert_eq!(listed(filter.clone()).await, newest_first);
    let of_a = SavepointFilter {
        applications: Some(vec![key("a")]),
        ..filter.clone()
    };
    assert_eq!(listed(of_a.clone()).await, newest_first[1..]);
    let of_both = SavepointFilter {
        applications: Some(vec![key("a"), key("b"), key("a")]),
        limit: 2,
        ..filter.clone()
    };
    assert_eq!(listed(of_both).await, newest_first[..2]);
    let good_ones = SavepointFilter {
        only_good: true,
        ..of_a.clone()
    };
    assert_eq!(
        listed(good_ones).await,
        [stray.clone(), late.clone(), good.clone()]
    );
    let late_ones = SavepointFilter {
        standings: Some(vec![Standing::Late]),
        ..filter
    };
    assert_eq!(listed(late_ones).await, [unread, late.clone()]);

    assert_eq!(catalog.latest_good(&key("a")).await.unwrap(), Some(late));
    assert_eq!(
        catalog.latest_good(&key("b")).await.unwrap(),
        Some(foreign.clone())
    );
    assert_eq!(catalog.latest_good(&key("c")).await.unwrap(), None);
    assert_eq!(
        catalog
            .savepoint_by_location(&foreign.location)
            .await
            .unwrap(),
        Some(foreign.clone())
    );
    assert_eq!(
        catalog
            .savepoint_by_location(&foreign.location.join("deeper"))
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn pausing_twice_changes_nothing_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let (a, b) = (key("a"), key("b"));
    assert_eq!(catalog.unpause(&a, at(0)).await, Ok(false));
    assert_eq!(catalog.pause(&b, at(1)).await, Ok(true));
    assert_eq!(catalog.pause(&a, at(2)).await, Ok(true));
    assert_eq!(catalog.pause(&a, at(3)).await, Ok(false));
    let paused = |application: &_, since| Paused {
        application: Clone::clone(application),
        since,
    };
    assert_eq!(
        catalog.pauses().await,
        Ok(vec![paused(&a, at(2)), paused(&b, at(1))])
    );
    assert_eq!(catalog.unpause(&a, at(4)).await, Ok(true));
    assert_eq!(catalog.unpause(&a, at(5)).await, Ok(false));
    assert_eq!(catalog.pauses().await, Ok(vec![paused(&b, at(1))]));
    // A clock that went back ends a pause where it began.
    assert_eq!(catalog.unpause(&b, at(0)).await, Ok(true));
    let memory = catalog.schedule(&b, "A", at(-10)).await.unwrap();
    assert_eq!(memory.pauses.len(), 1);
    assert_eq!(memory.pauses[0].until, Some(at(1)));
}

#[tokio::test]
async fn every_application_ever_seen_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    assert_eq!(catalog.applications().await, Ok(Vec::new()));
    catalog.claim(&[slot(&key("run"), 0)], None).await.unwrap();
    catalog
        .schedule(&key("schedule"), "A", at(0))
        .await
        .unwrap();
    catalog.pause(&key("pause"), at(0)).await.unwrap();
    catalog.pause(&key("run"), at(0)).await.unwrap();
    assert_eq!(
        catalog.applications().await,
        Ok(vec![key("pause"), key("run"), key("schedule")])
    );
}

#[tokio::test]
async fn the_index_holds_where_a_step_does_not_say_that_it_begins() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let (first, second) = (slot(&key("a"), 0), slot(&key("a"), 60));
    catalog
        .claim(&[first.clone(), second.clone()], None)
        .await
        .unwrap();
    commit(&catalog, &step(&first, Phase::Resolving), &[]).await;
    let refused = catalog
        .commit(Commit {
            run: &step(&second, Phase::Resolving),
            savepoints: &[savepoint(&second, "1", 0, Standing::Kept, verified(1))],
            begins: false,
            cap: None,
        })
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains(&first.id.to_string()),
        "{refused}"
    );
    assert_eq!(catalog.run(second.id).await.unwrap(), Some(second.clone()));
    assert_eq!(catalog.savepoints_of(second.id).await, Ok(Vec::new()));
}
