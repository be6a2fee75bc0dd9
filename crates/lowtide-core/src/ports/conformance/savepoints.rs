//! Savepoints: every directory that exists is known, as what it is.

use jiff::SignedDuration;

use super::sample::{
    at, broken, claim, commit, commit_with, full, key, nanoseconds, request, savepoint, slot, step,
    unread, verified,
};
use crate::baseline::{Baseline, Digest, Listed};
use crate::name::Location;
use crate::ports::{Catalog, CatalogError, Commit};
use crate::run::{CONTEXT_SAVEPOINTS, Context, Phase, Run, Usual};
use crate::savepoint::{Savepoint, Standing, Verification};

/// Savepoints appear with the step that records them, and not with one that is refused.
pub async fn savepoints_come_with_their_commit_or_not_at_all<C: Catalog>(catalog: &C) {
    let application = key("flink", "orders");
    let mut run = slot(&application, 0);
    let other = slot(&application, 60);
    claim(catalog, &[run.clone(), other.clone()]).await;

    let mut later = savepoint(&run, "later", Standing::Kept, verified(10));
    later.taken_at += SignedDuration::from_secs(60);
    let sooner = savepoint(&run, "sooner", Standing::Late, unread(0));
    let next = full(&run);
    commit_with(catalog, &next, &[later.clone(), sooner.clone()])
        .await
        .expect("a commit");
    run = next;
    let known = vec![sooner, later];
    assert_eq!(catalog.savepoints_of(run.id).await, Ok(known.clone()));
    assert_eq!(catalog.savepoints_of(other.id).await, Ok(Vec::new()));

    let refused = savepoint(&other, "refused", Standing::Kept, verified(10));
    let busy = catalog
        .commit(Commit {
            run: &step(&other, Phase::Resolving),
            savepoints: std::slice::from_ref(&refused),
            begins: true,
            cap: None,
        })
        .await;
    assert!(matches!(busy, Err(CatalogError::Busy(_))), "{busy:?}");
    assert_eq!(catalog.savepoints_of(other.id).await, Ok(Vec::new()));
    assert_eq!(catalog.savepoints_of(run.id).await, Ok(known));
}

/// The company of a run are all that have not ended, of every application and platform: those that are due at the
/// same time will soon wait for savepoints, too.
pub async fn company_is_who_has_not_ended<C: Catalog>(catalog: &C) {
    let orders = key("flink", "orders");
    let company = async || catalog.context(&orders).await.map(|known| known.company);
    let runs = [
        slot(&orders, 0),
        slot(&key("flink", "payments"), 0),
        slot(&key("other", "fraud"), 0),
    ];
    assert_eq!(company().await, Ok(0));
    claim(catalog, &runs).await;
    assert_eq!(company().await, Ok(3));
    let mut waits = Vec::new();
    for (run, phase) in runs
        .iter()
        .zip([Phase::Triggering, Phase::Following, Phase::Verifying])
    {
        let next = step(run, phase);
        commit(catalog, &next).await.expect("a commit");
        waits.push(next);
    }
    assert_eq!(company().await, Ok(3));
    commit(catalog, &step(&waits[1], Phase::Done))
        .await
        .expect("a commit");
    assert_eq!(company().await, Ok(2));
}

/// A location that comes again is recorded as [`Savepoint::replaces`] says.
pub async fn what_knows_less_covers_nothing<C: Catalog>(catalog: &C) {
    use Standing::{Foreign, Kept, Late, Orphan};
    let nothing = || Verification::Nothing;
    let table = [
        (Kept, verified(1), Late, unread(0), false),
        (Kept, unread(3), Late, verified(1), false),
        (Kept, verified(1), Orphan, nothing(), false),
        (Kept, unread(3), Kept, verified(1), true),
        (Late, unread(0), Kept, verified(1), true),
        (Late, verified(1), Kept, unread(3), true),
        (Late, unread(0), Orphan, broken(), true),
        (Late, unread(0), Orphan, nothing(), false),
        (Late, verified(1), Late, unread(0), false),
        (Late, unread(2), Late, unread(0), false),
        (Orphan, nothing(), Late, unread(0), true),
        (Orphan, broken(), Late, unread(0), false),
        (Foreign, verified(1), Late, verified(2), false),
        (Foreign, verified(1), Foreign, unread(1), false),
        (Foreign, unread(1), Foreign, verified(1), true),
        (Late, unread(0), Foreign, verified(1), false),
        (Foreign, verified(1), Kept, verified(1), true),
    ];
    let mut run = slot(&key("flink", "orders"), 0);
    claim(catalog, std::slice::from_ref(&run)).await;
    for (row, (old, knew, new, knows, replaced)) in table.into_iter().enumerate() {
        let name = format!("row-{row:02}");
        let before = savepoint(&run, &name, old, knew);
        let mut after = savepoint(&run, &name, new, knows);
        after.duration_ms = None;
        for record in [&before, &after] {
            let next = Run {
                version: run.version + 1,
                ..run.clone()
            };
            commit_with(catalog, &next, std::slice::from_ref(record))
                .await
                .expect("a commit");
            run = next;
        }
        assert_eq!(after.replaces(&before), replaced, "{before:?} {after:?}");
        let wanted = if replaced { &after } else { &before };
        let known = catalog.savepoints_of(run.id).await.expect("a read");
        let found: Vec<_> = known
            .iter()
            .filter(|known| known.location == before.location)
            .collect();
        assert_eq!(found, [wanted], "{old:?} then {new:?}");
    }
}

/// An amendment replaces exactly the record that it was made from.
pub async fn an_amendment_needs_the_record_as_it_is<C: Catalog>(catalog: &C) {
    let run = slot(&key("flink", "orders"), 0);
    claim(catalog, std::slice::from_ref(&run)).await;
    let mut before = savepoint(&run, "one", Standing::Late, unread(0));
    before.verify_at = Some(at(5));
    let unknown = savepoint(&run, "two", Standing::Late, unread(0));
    commit_with(catalog, &full(&run), std::slice::from_ref(&before))
        .await
        .expect("a commit");

    let mut after = before.clone();
    after.verification = verified(99);
    after.verify_at = None;
    let almost = Savepoint {
        taken_at: before.taken_at + nanoseconds(1),
        ..before.clone()
    };
    assert_eq!(
        catalog.amend(&almost, &after).await,
        Err(CatalogError::Stale),
        "it differs by a nanosecond"
    );
    assert_eq!(
        catalog.amend(&unknown, &unknown).await,
        Err(CatalogError::Stale),
        "it is not there"
    );
    let moved = Savepoint {
        location: unknown.location.clone(),
        ..after.clone()
    };
    assert_eq!(
        catalog.amend(&before, &moved).await,
        Err(CatalogError::Stale),
        "a record does not move"
    );
    assert_eq!(
        catalog.savepoints_of(run.id).await,
        Ok(vec![before.clone()])
    );
    assert_eq!(catalog.amend(&before, &after).await, Ok(()));
    assert_eq!(catalog.savepoints_of(run.id).await, Ok(vec![after.clone()]));
    assert_eq!(
        catalog.amend(&before, &after).await,
        Err(CatalogError::Stale),
        "a second time"
    );
    // Down as well: an amendment says so on purpose.
    assert_eq!(catalog.amend(&after, &before).await, Ok(()));
    assert_eq!(catalog.savepoints_of(run.id).await, Ok(vec![before]));
}

/// The listing comes first, checksums take its place, and then nothing does.
pub async fn the_first_checksums_stay<C: Catalog>(catalog: &C) {
    let location = Location::new("file:/savepoints/one");
    let file = location.join("_metadata");
    let read = |fill| Baseline::Read {
        at: at(i64::from(fill)) + nanoseconds(1),
        files: [(
            file.clone(),
            Digest {
                bytes: 3,
                sha256: [fill; 32],
            },
        )]
        .into(),
    };
    let listed = |bytes| Baseline::Listed {
        at: at(0),
        files: [(
            file.clone(),
            Listed {
                bytes,
                etag: Some("\"a\"".to_owned()),
                modified_ms: Some(-1),
            },
        )]
        .into(),
    };
    assert_eq!(catalog.baseline(&location).await, Ok(None));
    for (recorded, wanted) in [
        (listed(3), listed(3)),
        (listed(4), listed(3)),
        (read(1), read(1)),
        (read(2), read(1)),
        (listed(5), read(1)),
    ] {
        let done = catalog.record_baseline(&location, &recorded).await;
        assert_eq!(done, Ok(()), "{recorded:?}");
        assert_eq!(catalog.baseline(&location).await, Ok(Some(wanted)));
    }
    assert_eq!(catalog.baseline(&file).await, Ok(None), "of another place");
}

/// Ended runs at or before the time, and not a nanosecond after; open ones never.
pub async fn looks_are_due_to_the_nanosecond<C: Catalog>(catalog: &C) {
    let ended = |number: u8, look_at| Run {
        look_at,
        ..step(
            &request(&key("flink", "orders"), number, i64::from(number)),
            Phase::Done,
        )
    };
    let soon = ended(1, Some(at(100)));
    let sooner = ended(2, Some(at(100) - nanoseconds(1)));
    let later = ended(3, Some(at(100) + nanoseconds(1)));
    let never = ended(4, None);
    let open = Run {
        look_at: Some(at(1)),
        ..request(&key("flink", "orders"), 5, 0)
    };
    claim(
        catalog,
        &[later.clone(), soon.clone(), never, sooner.clone(), open],
    )
    .await;
    let due = |now| catalog.looks_due(now);
    assert_eq!(due(at(99)).await, Ok(Vec::new()));
    assert_eq!(due(at(100)).await, Ok(vec![sooner.clone(), soon.clone()]));
    assert_eq!(
        due(at(101)).await,
        Ok(vec![sooner.clone(), soon.clone(), later.clone()])
    );
    // A look is a commit like any other, and ends being due.
    let looked = Run {
        look_at: None,
        looks: 1,
        version: soon.version + 1,
        ..soon
    };
    commit(catalog, &looked).await.expect("a commit");
    assert_eq!(due(at(101)).await, Ok(vec![sooner, later]));
}

/// Savepoints at or before the time, and not a nanosecond after.
pub async fn reads_are_due_to_the_nanosecond<C: Catalog>(catalog: &C) {
    let run = slot(&key("flink", "orders"), 0);
    claim(catalog, std::slice::from_ref(&run)).await;
    let due_at = |name, verify_at| Savepoint {
        verify_at,
        ..savepoint(&run, name, Standing::Late, unread(0))
    };
    let soon = due_at("soon", Some(at(100)));
    let sooner = due_at("sooner", Some(at(100) - nanoseconds(1)));
    let later = due_at("later", Some(at(100) + nanoseconds(1)));
    let never = due_at("never", None);
    commit_with(
        catalog,
        &full(&run),
        &[later.clone(), soon.clone(), never, sooner.clone()],
    )
    .await
    .expect("a commit");
    let due = |now| catalog.reads_due(now);
    assert_eq!(due(at(99)).await, Ok(Vec::new()));
    assert_eq!(due(at(100)).await, Ok(vec![sooner.clone(), soon.clone()]));
    let read = Savepoint {
        verify_at: None,
        verification: verified(1),
        ..soon.clone()
    };
    catalog.amend(&soon, &read).await.expect("an amendment");
    assert_eq!(due(at(101)).await, Ok(vec![sooner, later]));
}

/// The latest twenty that are kept and proven, of this application; durations where known.
pub async fn medians_are_of_the_latest_good_kept<C: Catalog>(catalog: &C) {
    let application = key("flink", "orders");
    let mut run = slot(&application, 0);
    claim(catalog, std::slice::from_ref(&run)).await;
    assert_eq!(
        catalog.context(&application).await,
        Ok(Context {
            company: 1,
            ..Context::default()
        }),
        "nothing is known"
    );

    let of = |name: &str, seconds, duration_ms, standing, verification| Savepoint {
        taken_at: at(seconds),
        duration_ms,
        ..savepoint(&run, name, standing, verification)
    };
    // Old ones, which the latest twenty push out.
    let mut records: Vec<_> = (0..5)
        .map(|n| of(&format!("old-{n}"), n, Some(1), Standing::Kept, verified(1)))
        .collect();
    let count = i64::try_from(CONTEXT_SAVEPOINTS).expect("small");
    for n in 0..count {
        let size = u64::try_from(1_000 + n).expect("positive");
        // Half of the durations are not known.
        let duration = (n % 2 == 0).then_some(size * 10);
        records.push(of(
            &format!("new-{n}"),
            100 + n,
            duration,
            Standing::Kept,
            verified(size),
        ));
    }
    // What does not count, all of it newer.
    for (n, (standing, verification)) in [
        (Standing::Late, verified(9)),
        (Standing::Foreign, verified(9)),
        (Standing::Kept, unread(3)),
        (Standing::Orphan, broken()),
        (Standing::Orphan, Verification::Nothing),
    ]
    .into_iter()
    .enumerate()
    {
        records.push(of(
            &format!("not-{n}"),
            500,
            Some(9),
            standing,
            verification,
        ));
    }
    let mut elsewhere = of("elsewhere", 600, Some(9), Standing::Kept, verified(9));
    elsewhere.application = key("other", "orders");
    records.push(elsewhere);
    run = full(&run);
    commit_with(catalog, &run, &records)
        .await
        .expect("a commit");

    // Sizes 1000 to 1019: the smaller of the two in the middle. Durations of every other one,
    // 10000 to 10180: likewise.
    let wanted = Context {
        usual: Some(Usual {
            early: SignedDuration::from_millis(10_000),
            middle: SignedDuration::from_millis(10_080),
            known: 10,
        }),
        median_bytes: Some(1_009),
        company: 1,
    };
    assert_eq!(catalog.context(&application).await, Ok(wanted));
    assert_eq!(
        catalog.context(&key("flink", "payments")).await,
        Ok(Context {
            company: 1,
            ..Context::default()
        })
    );
}
