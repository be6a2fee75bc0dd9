//! What every [`Catalog`] must do, checked from outside: the model that the simulator trusts and
//! the databases that ship run the same suite.
//!
//! Each check is an async function on a fresh, empty catalog and panics where a promise is
//! broken. There is no runtime here: the caller has one. [`all`] runs everything that the port
//! can show by itself; [`pauses`] needs a catalog that can be told to pause.

#![allow(
    clippy::missing_docs_in_private_items,
    clippy::expect_used,
    reason = "a check says what it checks in its name and stops at the first surprise"
)]

mod claims;
mod commits;
mod memory;
mod sample;
mod savepoints;

use std::future::Future;

use jiff::Timestamp;

use super::{Catalog, CatalogError};
use crate::name::AppKey;

pub use claims::{
    a_claim_comes_back_as_it_was, a_claimed_slot_stays_as_it_is, claimers_at_once_get_one_row,
    claims_answer_in_order, open_runs_are_listed_oldest_first,
};
pub use commits::{
    a_begun_run_blocks_its_application, a_cap_counts_what_is_under_way, a_commit_replaces_the_row,
    a_stale_commit_changes_nothing, beginners_at_once_get_one_place, capped_at_once_keep_the_cap,
    committers_at_once_get_one_step, stale_comes_before_busy,
};
pub use memory::{
    a_schedule_is_remembered_from_its_first_sight, considered_only_moves_forward, pauses,
    texts_seen_at_once_agree,
};
pub use savepoints::{
    an_amendment_needs_the_record_as_it_is, company_is_who_has_not_ended,
    looks_are_due_to_the_nanosecond, medians_are_of_the_latest_good_kept,
    reads_are_due_to_the_nanosecond, savepoints_come_with_their_commit_or_not_at_all,
    the_first_checksums_stay, what_knows_less_covers_nothing,
};

/// A catalog that can be told to pause an application; the engine never does.
pub trait Pausing: Catalog {
    /// Pauses from `now` on.
    fn pause(
        &self,
        application: &AppKey,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), CatalogError>> + Send;

    /// Ends the pause.
    fn unpause(
        &self,
        application: &AppKey,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), CatalogError>> + Send;
}

/// Every check that needs nothing but the port, each on a catalog of its own.
pub async fn all<C: Catalog, F: Future<Output = C>>(fresh: impl Fn() -> F) {
    a_claim_comes_back_as_it_was(&fresh().await).await;
    a_claimed_slot_stays_as_it_is(&fresh().await).await;
    claims_answer_in_order(&fresh().await).await;
    claimers_at_once_get_one_row(&fresh().await).await;
    open_runs_are_listed_oldest_first(&fresh().await).await;

    a_commit_replaces_the_row(&fresh().await).await;
    a_stale_commit_changes_nothing(&fresh().await).await;
    committers_at_once_get_one_step(&fresh().await).await;
    a_begun_run_blocks_its_application(&fresh().await).await;
    beginners_at_once_get_one_place(&fresh().await).await;
    a_cap_counts_what_is_under_way(&fresh().await).await;
    capped_at_once_keep_the_cap(&fresh().await).await;
    stale_comes_before_busy(&fresh().await).await;

    savepoints_come_with_their_commit_or_not_at_all(&fresh().await).await;
    what_knows_less_covers_nothing(&fresh().await).await;
    an_amendment_needs_the_record_as_it_is(&fresh().await).await;
    looks_are_due_to_the_nanosecond(&fresh().await).await;
    reads_are_due_to_the_nanosecond(&fresh().await).await;
    medians_are_of_the_latest_good_kept(&fresh().await).await;
    company_is_who_has_not_ended(&fresh().await).await;
    the_first_checksums_stay(&fresh().await).await;

    a_schedule_is_remembered_from_its_first_sight(&fresh().await).await;
    considered_only_moves_forward(&fresh().await).await;
    texts_seen_at_once_agree(&fresh().await).await;
}
