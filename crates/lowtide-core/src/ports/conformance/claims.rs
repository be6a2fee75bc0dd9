//! Claims: a slot is a unique row.

use futures_util::future::join_all;

use super::sample::{at, claim, commit, full, key, request, slot, step, stored};
use crate::ports::{Catalog, Claim};
use crate::run::Phase;

/// What was claimed is read back to the last field and nanosecond; what was not, is not there.
pub async fn a_claim_comes_back_as_it_was<C: Catalog>(catalog: &C) {
    let run = slot(&key("flink", "orders"), 0);
    assert_eq!(catalog.run(run.id).await, Ok(None), "an empty catalog");
    claim(catalog, std::slice::from_ref(&run)).await;
    assert_eq!(stored(catalog, &run).await, run);
    assert_eq!(
        catalog.run(slot(&key("flink", "orders"), 60).id).await,
        Ok(None)
    );
}

/// The second claim is told how the row is by now, and changes nothing.
pub async fn a_claimed_slot_stays_as_it_is<C: Catalog>(catalog: &C) {
    let run = slot(&key("flink", "orders"), 0);
    claim(catalog, std::slice::from_ref(&run)).await;
    let advanced = full(&run);
    commit(catalog, &advanced).await.expect("a commit");
    let claims = catalog.claim(std::slice::from_ref(&run), None).await;
    assert_eq!(claims, Ok(vec![Claim::Taken(Box::new(advanced.clone()))]));
    assert_eq!(stored(catalog, &run).await, advanced);
}

/// New and known rows in one call, one of them twice.
pub async fn claims_answer_in_order<C: Catalog>(catalog: &C) {
    let application = key("flink", "orders");
    let known = slot(&application, 0);
    claim(catalog, std::slice::from_ref(&known)).await;
    let new = slot(&application, 60);
    let ended = step(&slot(&application, 120), Phase::Done);
    let runs = [new.clone(), known.clone(), ended.clone(), new.clone()];
    let claims = catalog.claim(&runs, None).await;
    assert_eq!(
        claims,
        Ok(vec![
            Claim::Claimed,
            Claim::Taken(Box::new(known)),
            Claim::Claimed,
            Claim::Taken(Box::new(new)),
        ])
    );
    assert_eq!(stored(catalog, &ended).await, ended);
    assert_eq!(catalog.claim(&[], None).await, Ok(Vec::new()));
}

/// Of several claimers of one slot, each with a row of its own, one gets it and the others are
/// shown that one's row.
pub async fn claimers_at_once_get_one_row<C: Catalog>(catalog: &C) {
    let application = key("flink", "orders");
    let rows: Vec<_> = (0..8)
        .map(|claimer| {
            let mut run = slot(&application, 0);
            run.created_at = at(claimer);
            run
        })
        .collect();
    let claims = join_all(
        rows.iter()
            .map(|run| catalog.claim(std::slice::from_ref(run), None)),
    )
    .await;
    let claims: Vec<_> = claims
        .into_iter()
        .flat_map(|claims| claims.expect("a claim"))
        .collect();
    let winners: Vec<_> = rows
        .iter()
        .zip(&claims)
        .filter(|(_, claim)| **claim == Claim::Claimed)
        .map(|(run, _)| run)
        .collect();
    assert_eq!(winners.len(), 1, "{claims:?}");
    let row = stored(catalog, winners[0]).await;
    assert_eq!(row, *winners[0]);
    for claim in claims {
        assert!(
            claim == Claim::Claimed || claim == Claim::Taken(Box::new(row.clone())),
            "the losers see the winner's row: {claim:?}"
        );
    }
}

/// Every run that has not ended, by when it was created; none that has.
pub async fn open_runs_are_listed_oldest_first<C: Catalog>(catalog: &C) {
    let newest = request(&key("flink", "a"), 1, 30);
    let oldest = request(&key("flink", "b"), 2, 10);
    let middle = request(&key("other", "b"), 3, 20);
    let ended = request(&key("flink", "c"), 4, 0);
    claim(
        catalog,
        &[
            newest.clone(),
            oldest.clone(),
            middle.clone(),
            ended.clone(),
        ],
    )
    .await;
    commit(catalog, &step(&ended, Phase::Done))
        .await
        .expect("a commit");
    let advanced = full(&middle);
    commit(catalog, &advanced).await.expect("a commit");
    assert_eq!(
        catalog.open_runs().await,
        Ok(vec![oldest, advanced, newest])
    );
}
