//! Fresh snapshots from real Flinks of five releases: read as Flink reads them, found whole, and every damage
//! told.
//!
//! One cluster a release takes every kind of snapshot of every setup ([`take`]). Then Flink's own reader, of
//! that release and of the newest, says what is in each ([`compare`]), and each is damaged in every way that
//! level 1 must notice ([`damage`], [`flips`]), and in bytes that only level 2 can notice ([`level_2`]). They are in one test because taking them is what costs.

#![allow(clippy::unwrap_used)]

mod claim;
mod compare;
mod damage;
mod describe;
mod fields;
mod flips;
mod level_1;
mod level_2;
mod names;
mod take;

use std::time::Instant;

use take::take_all;
use testbench::flink::Release;

#[test]
fn flink_1_15() {
    examine(Release::V1_15, 3);
}

#[test]
fn flink_1_17() {
    examine(Release::V1_17, 4);
}

#[test]
fn flink_1_20() {
    examine(Release::V1_20, 4);
}

#[test]
fn flink_2_0() {
    examine(Release::V2_0, 5);
}

#[test]
fn flink_2_3() {
    examine(Release::V2_3, 6);
}

/// Takes all snapshots of one release, which writes this version of `_metadata`, and examines each.
fn examine(release: Release, version: u32) {
    let started = Instant::now();
    let cluster = take::cluster(release);
    let snapshots = take_all(&cluster);
    let taken = started.elapsed();
    compare::as_flink_reads(release, version, &snapshots);
    let compared = started.elapsed();
    let mut unseen = flips::Unseen::default();
    let mut changed = level_2::Changed::default();
    for snapshot in &snapshots {
        names::are_those_of_the_program(snapshot);
        damage::every_file(snapshot);
        damage::every_cut(snapshot);
        let first = level_2::First::of(snapshot);
        flips::every_byte(snapshot, &first, &mut unseen);
        first.some_bytes_of_every_file(snapshot, &mut changed);
    }
    changed.is_about_something();
    unseen.compare(release, cluster.scratch());
    say(&format!(
        "Flink {}: {} snapshots, taken by {:.0} s, compared by {:.0} s, damaged by {:.0} s; {changed}",
        release.version(),
        snapshots.len(),
        taken.as_secs_f32(),
        compared.as_secs_f32(),
        started.elapsed().as_secs_f32(),
    ));
}

/// Whether the damage is to be done in full: every cut read by the store, every bit of every field flipped.
fn in_full() -> bool {
    std::env::var_os("LOWTIDE_SOAK").is_some()
}

/// For whoever reads the output of the tests.
#[allow(clippy::print_stderr)]
fn say(line: &str) {
    eprintln!("{line}");
}
