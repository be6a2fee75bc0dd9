//! Adoption: a savepoint that someone else took enters the catalog.
//!
//! One place has one record. What the catalog knows already, under whatever name of the place, is
//! changed or left as it is, never recorded twice:
//!
//! | stored | `adopt` | `adopt --own` |
//! |---|---|---|
//! | nothing | foreign | kept |
//! | foreign | as it is | kept; late if another one fills the slot of its run |
//! | kept, late | as it is | as it is: ours already |
//! | orphan | late: it is whole now | late |
//!
//! A record that was not proven whole takes the proof that the adoption brought. What someone
//! adopted for the wrong application may be adopted for another, as long as it is foreign: nothing
//! depends on it. A checkpoint is never ours: its files belong to later ones too, and to delete it
//! would break them (Flink's docs, "Checkpoints", on what `CLAIM` and `NO_CLAIM` leave to whom).

use jiff::Timestamp;

use crate::name::{AppKey, Location};
use crate::savepoint::{Format, Provenance, Savepoint, Standing, Verification};
use crate::scan::is_checkpoint_name;
use crate::verify::{Metadata, Report};

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopt {
    /// Whose it is to be.
    pub application: AppKey,
    /// Whether it is to be ours, to be deleted by the rules.
    pub own: bool,
    /// Now.
    pub now: Timestamp,
}

/// A savepoint that was read and is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Where it lies.
    pub location: Location,
    /// When it was complete.
    pub taken_at: Timestamp,
    /// Whether Flink wrote it as a checkpoint.
    pub is_checkpoint: bool,
    /// How its keyed state is written.
    pub format: Format,
    /// What level 1 found.
    pub report: Report,
}

/// What the catalog is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// Record it.
    Enter(Savepoint),
    /// Put this in the place of what is stored.
    Amend(Savepoint),
    /// Nothing: it stands there as it was asked for.
    Nothing,
}

/// Why something is not adopted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its record says that it is of another application.
    #[error("the catalog has it as {}, of {application}", standing.as_str())]
    OfAnother {
        /// Which.
        application: AppKey,
        /// As what.
        standing: Standing,
    },
    /// It cannot be ours.
    #[error("it is a checkpoint, and shares files with others of its job")]
    Checkpoint,
    /// Every byte was read, and they were not as they should be; level 1 cannot tell.
    #[error("it was found broken when every byte was read, at {at}")]
    BrokenWithin {
        /// When.
        at: Timestamp,
    },
}

/// Whether a snapshot is a checkpoint. From version 4 on its metadata says so
/// (`CheckpointProperties`); before, only the name that Flink gives the directories of checkpoints
/// does (`AbstractFsCheckpointStorageAccess.CHECKPOINT_DIR_PREFIX`).
pub fn is_checkpoint(metadata: &Metadata, directory: &Location) -> bool {
    match &metadata.properties {
        Some(properties) => !properties.kind.is_savepoint(),
        None => is_checkpoint_name(directory.last()),
    }
}

/// In which format a snapshot is, as its metadata says. Checkpoints are always in their backend's
/// own; savepoints without properties are from before there was a choice.
pub fn format(metadata: &Metadata, directory: &Location) -> Format {
    let said = metadata.properties.as_ref().and_then(|it| it.format);
    if said == Some(flink_metadata::SavepointFormat::Native) || is_checkpoint(metadata, directory) {
        Format::Native
    } else {
        Format::Canonical
    }
}

/// Decides. `stored` is what the catalog has of the place, and `fills` whether that fills the slot
/// of the run that left it.
pub fn adopt(
    ask: &Adopt,
    proven: Proven,
    stored: Option<&Savepoint>,
    fills: bool,
) -> Result<Adoption, Refusal> {
    if ask.own && proven.is_checkpoint {
        return Err(Refusal::Checkpoint);
    }
    let verification = Verification::Verified {
        at: ask.now,
        report: proven.report,
    };
    let Some(stored) = stored else {
        return Ok(Adoption::Enter(Savepoint {
            location: proven.location,
            application: ask.application.clone(),
            provenance: Provenance::Adopted {
                adopted_at: ask.now,
            },
            standing: if ask.own {
                Standing::Kept
            } else {
                Standing::Foreign
            },
            format: proven.format,
            taken_at: proven.taken_at,
            duration_ms: None,
            verification,
            verify_at: None,
            read_at: None,
        }));
    };
    let movable = stored.run().is_none() && stored.standing == Standing::Foreign;
    if stored.application != ask.application && !movable {
        return Err(Refusal::OfAnother {
            application: stored.application.clone(),
            standing: stored.standing,
        });
    }
    if let Verification::Broken { at, .. } = stored.verification
        && stored.read_at == Some(at)
    {
        return Err(Refusal::BrokenWithin { at });
    }
    let mut after = stored.clone();
    after.application = ask.application.clone();
    after.standing = standing(stored, ask.own, fills);
    if !stored.is_good() {
        after.verification = verification;
        after.verify_at = None;
    }
    Ok(if after == *stored {
        Adoption::Nothing
    } else {
        Adoption::Amend(after)
    })
}

/// What a stored savepoint becomes, now that it is proven whole.
fn standing(stored: &Savepoint, own: bool, fills: bool) -> Standing {
    match stored.standing {
        Standing::Foreign if own && (stored.run().is_none() || fills) => Standing::Kept,
        Standing::Foreign if own => Standing::Late,
        Standing::Orphan => Standing::Late,
        same @ (Standing::Kept | Standing::Late | Standing::Foreign) => same,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::name::{ApplicationName, JobId, PlatformName, RunId};

    fn key(application: &str) -> AppKey {
        AppKey {
            platform: PlatformName::new("session").unwrap(),
            application: ApplicationName::new(application).unwrap(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ask(own: bool) -> Adopt {
        Adopt {
            application: key("orders"),
            own,
            now: at(200),
        }
    }

    fn proven() -> Proven {
        Proven {
            location: Location::new("/sp/savepoint-1"),
            taken_at: at(100),
            is_checkpoint: false,
            format: Format::Native,
            report: Report {
                files: 3,
                ..Report::default()
            },
        }
    }

    fn whole() -> Verification {
        Verification::Verified {
            at: at(50),
            report: Report::default(),
        }
    }

    fn unread() -> Verification {
        Verification::Unverified {
            reason: "no way in".to_owned(),
            at: at(50),
            tries: 3,
        }
    }

    fn of_run(standing: Standing, verification: Verification) -> Savepoint {
        Savepoint {
            location: Location::new("/sp/savepoint-1"),
            application: key("orders"),
            provenance: Provenance::Run {
                run: RunId::from_bytes([7; 16]),
                attempt: 1,
                job: JobId::new("f36b"),
            },
            standing,
            format: Format::Canonical,
            taken_at: at(40),
            duration_ms: Some(5),
            verification,
            verify_at: Some(at(60)),
            read_at: None,
        }
    }

    fn entered(own: bool) -> Savepoint {
        match adopt(&ask(own), proven(), None, false).unwrap() {
            Adoption::Enter(savepoint) => savepoint,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_new_enters_as_foreign_or_as_ours() {
        let foreign = entered(false);
        assert_eq!(foreign.standing, Standing::Foreign);
        assert_eq!(
            (foreign.taken_at, foreign.format),
            (at(100), Format::Native)
        );
        assert_eq!(foreign.run(), None);
        assert!(foreign.is_good());
        assert_eq!(entered(true).standing, Standing::Kept);
    }

    #[test]
    fn a_second_time_changes_nothing() {
        for own in [false, true] {
            let once = entered(own);
            for again in [false, own] {
                let twice = adopt(&ask(again), proven(), Some(&once), false);
                assert_eq!(twice, Ok(Adoption::Nothing), "{own} {again}");
            }
        }
    }

    #[test]
    fn every_standing_goes_where_the_table_says() {
        use Standing::{Foreign, Kept, Late, Orphan};
        for (stored, own, fills, wanted) in [
            (Foreign, false, true, Foreign),
            (Foreign, true, true, Kept),
            (Foreign, true, false, Late),
            (Kept, false, true, Kept),
            (Kept, true, true, Kept),
            (Late, false, false, Late),
            (Late, true, false, Late),
            (Orphan, false, false, Late),
            (Orphan, true, false, Late),
        ] {
            let before = of_run(stored, whole());
            let became = match adopt(&ask(own), proven(), Some(&before), fills).unwrap() {
                Adoption::Nothing => before.clone(),
                Adoption::Amend(after) => after,
                Adoption::Enter(_) => panic!("a second record"),
            };
            assert_eq!(became.standing, wanted, "{stored:?} {own} {fills}");
            assert_eq!(became.provenance, before.provenance);
            assert_eq!(became.taken_at, before.taken_at, "a run knows it better");
        }
    }

    #[test]
    fn an_adopted_one_of_someone_else_becomes_ours_later() {
        let Adoption::Amend(after) =
            adopt(&ask(true), proven(), Some(&entered(false)), false).unwrap()
        else {
            panic!("it changes");
        };
        assert_eq!(after.standing, Standing::Kept);
    }

    #[test]
    fn what_was_not_proven_takes_the_proof() {
        for standing in [Standing::Kept, Standing::Late, Standing::Foreign] {
            let before = of_run(standing, unread());
            let Adoption::Amend(after) = adopt(&ask(false), proven(), Some(&before), true).unwrap()
            else {
                panic!("it changes");
            };
            assert_eq!(after.standing, standing);
            assert_eq!((after.is_good(), after.verify_at), (true, None));
        }
        // What was proven keeps the proof that it has.
        let known = of_run(Standing::Late, whole());
        let again = adopt(&ask(false), proven(), Some(&known), false);
        assert_eq!(again, Ok(Adoption::Nothing));
    }

    #[test]
    fn what_is_broken_within_is_not_proven_by_level_1() {
        let broken = Verification::Broken {
            at: at(50),
            report: proven().report,
        };
        let mut stored = of_run(Standing::Kept, broken);
        assert!(adopt(&ask(false), proven(), Some(&stored), true).is_ok());
        stored.read_at = Some(at(50));
        let refused = adopt(&ask(false), proven(), Some(&stored), true);
        assert_eq!(refused, Err(Refusal::BrokenWithin { at: at(50) }));
    }

    #[test]
    fn another_application_keeps_what_is_its_own() {
        let elsewhere = Adopt {
            application: key("payments"),
            ..ask(false)
        };
        for standing in [
            Standing::Kept,
            Standing::Late,
            Standing::Orphan,
            Standing::Foreign,
        ] {
            let refused = adopt(&elsewhere, proven(), Some(&of_run(standing, whole())), true);
            let wanted = Refusal::OfAnother {
                application: key("orders"),
                standing,
            };
            assert_eq!(refused, Err(wanted));
        }
        let ours = adopt(&elsewhere, proven(), Some(&entered(true)), false);
        assert!(matches!(ours, Err(Refusal::OfAnother { .. })), "{ours:?}");
        // What was only named for it may be named for another.
        let Adoption::Amend(moved) =
            adopt(&elsewhere, proven(), Some(&entered(false)), false).unwrap()
        else {
            panic!("it changes");
        };
        assert_eq!(moved.application, key("payments"));
    }

    #[test]
    fn a_checkpoint_is_never_ours() {
        let checkpoint = || Proven {
            is_checkpoint: true,
            ..proven()
        };
        let refused = adopt(&ask(true), checkpoint(), None, false);
        assert_eq!(refused, Err(Refusal::Checkpoint));
        let foreign = adopt(&ask(false), checkpoint(), None, false);
        assert!(matches!(foreign, Ok(Adoption::Enter(_))), "{foreign:?}");
    }
}
