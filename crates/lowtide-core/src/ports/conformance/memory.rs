//! What is remembered of schedules and pauses.

use futures_util::future::join_all;
use jiff::Timestamp;

use super::Pausing;
use super::sample::{at, key, nanoseconds, slot};
use crate::name::AppKey;
use crate::ports::{Catalog, Claim, ScheduleMemory};
use crate::schedule::Pause;

async fn until<C: Catalog>(catalog: &C, key: &AppKey, text: &str, now: Timestamp) -> Timestamp {
    let memory = catalog.schedule(key, text, now).await.expect("a read");
    assert_eq!(memory.pauses, [], "nothing was paused");
    memory.considered_until
}

/// A text counts from when it is first seen; another text counts anew, also one that was there
/// before.
pub async fn a_schedule_is_remembered_from_its_first_sight<C: Catalog>(catalog: &C) {
    let (orders, payments) = (key("flink", "orders"), key("flink", "payments"));
    let elsewhere = key("other", "orders");
    assert_eq!(until(catalog, &orders, "A", at(0)).await, at(0));
    assert_eq!(until(catalog, &orders, "A", at(100)).await, at(0));
    assert_eq!(until(catalog, &payments, "A", at(50)).await, at(50));
    assert_eq!(until(catalog, &elsewhere, "A", at(60)).await, at(60));
    assert_eq!(until(catalog, &orders, "B", at(200)).await, at(200));
    assert_eq!(until(catalog, &orders, "B", at(250)).await, at(200));
    assert_eq!(until(catalog, &orders, "A", at(300)).await, at(300));
    assert_eq!(until(catalog, &payments, "A", at(400)).await, at(50));
    assert_eq!(until(catalog, &elsewhere, "A", at(400)).await, at(60));
}

/// A claim moves the memory of its application forward, exactly, and never back; a changed text
/// starts anew all the same.
pub async fn considered_only_moves_forward<C: Catalog>(catalog: &C) {
    let (orders, payments) = (key("flink", "orders"), key("flink", "payments"));
    until(catalog, &orders, "A", at(0)).await;
    until(catalog, &payments, "A", at(0)).await;
    let run = slot(&orders, 60);
    let moved = at(60) + nanoseconds(1);
    let claims = catalog
        .claim(std::slice::from_ref(&run), Some((&orders, moved)))
        .await;
    assert_eq!(claims, Ok(vec![Claim::Claimed]));
    assert_eq!(until(catalog, &orders, "A", at(100)).await, moved);
    assert_eq!(until(catalog, &payments, "A", at(100)).await, at(0));

    // A slower process: its slot is taken, and what was considered stays so.
    let claims = catalog
        .claim(std::slice::from_ref(&run), Some((&orders, at(60))))
        .await;
    assert_eq!(claims, Ok(vec![Claim::Taken(Box::new(run))]));
    assert_eq!(until(catalog, &orders, "A", at(100)).await, moved);

    // Without a run, too.
    let claims = catalog.claim(&[], Some((&orders, at(90)))).await;
    assert_eq!(claims, Ok(Vec::new()));
    assert_eq!(until(catalog, &orders, "A", at(100)).await, at(90));

    // Whatever parts of a second there are.
    let whole = at(91) - nanoseconds(at(91).subsec_nanosecond().into());
    let parts = [
        0,
        1,
        50_000_000,
        100_000_000,
        120_000_000,
        123_000_000,
        1_000_000_000,
    ];
    for forward in parts.map(|part| whole + nanoseconds(part)) {
        for considered in [forward, forward - nanoseconds(1), whole] {
            let claims = catalog.claim(&[], Some((&orders, considered))).await;
            assert_eq!(claims, Ok(Vec::new()));
            assert_eq!(until(catalog, &orders, "A", at(100)).await, forward);
        }
    }
    assert_eq!(until(catalog, &orders, "B", at(120)).await, at(120));
}

/// Several processes that see a new text at once remember one time for it.
pub async fn texts_seen_at_once_agree<C: Catalog>(catalog: &C) {
    let orders = key("flink", "orders");
    until(catalog, &orders, "A", at(0)).await;
    let memories =
        join_all((10..18).map(|second| catalog.schedule(&orders, "B", at(second)))).await;
    let first = memories[0].clone().expect("a read");
    assert!(first.considered_until >= at(10), "{first:?}");
    for memory in memories {
        assert_eq!(memory, Ok(first.clone()));
    }
    assert_eq!(
        until(catalog, &orders, "B", at(100)).await,
        first.considered_until
    );
}

/// Pauses are remembered with their application, as long as they end after what was considered.
pub async fn pauses<C: Pausing>(catalog: &C) {
    let (orders, payments) = (key("flink", "orders"), key("flink", "payments"));
    let memory = async |key| {
        let ScheduleMemory { pauses, .. } =
            catalog.schedule(key, "A", at(0)).await.expect("a read");
        pauses
    };
    let pause = |from, until| Pause { from, until };
    assert_eq!(memory(&orders).await, []);

    catalog.pause(&orders, at(10)).await.expect("a pause");
    catalog
        .pause(&orders, at(15))
        .await
        .expect("no second pause");
    assert_eq!(memory(&orders).await, [pause(at(10), None)]);
    assert_eq!(memory(&payments).await, []);

    catalog.unpause(&orders, at(20)).await.expect("an end");
    catalog
        .unpause(&orders, at(25))
        .await
        .expect("no second end");
    catalog
        .unpause(&payments, at(25))
        .await
        .expect("nothing to end");
    assert_eq!(memory(&orders).await, [pause(at(10), Some(at(20)))]);
    assert_eq!(memory(&payments).await, []);

    catalog.pause(&orders, at(30)).await.expect("a pause");
    assert_eq!(
        memory(&orders).await,
        [pause(at(10), Some(at(20))), pause(at(30), None)]
    );

    // What ended by what was considered concerns no later slot.
    catalog
        .claim(&[], Some((&orders, at(20) - nanoseconds(1))))
        .await
        .expect("a claim");
    assert_eq!(memory(&orders).await.len(), 2);
    catalog
        .claim(&[], Some((&orders, at(20))))
        .await
        .expect("a claim");
    assert_eq!(memory(&orders).await, [pause(at(30), None)]);
    catalog
        .claim(&[], Some((&orders, at(1_000))))
        .await
        .expect("a claim");
    assert_eq!(memory(&orders).await, [pause(at(30), None)], "it lasts");
}
