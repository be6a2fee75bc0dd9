//! What differs between releases: the vendor's swaggers of 2.1.0, 2.4.3 and 2.7.1, and the release notes.

/// A release of VVP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// 2.1: deployments by id only, names are free text and may repeat, savepoints cannot be deleted.
    V2_1,
    /// 2.7: deployments by name, unique within a namespace; savepoints can be deleted and have a type.
    V2_7,
    /// 2.15: as 2.7, and a savepoint may be asked for in Flink's native format (2.15.8).
    V2_15,
}

impl Profile {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::V2_1, Self::V2_7, Self::V2_15];

    /// What `system-info` tells as `buildVersion`.
    pub fn version(self) -> &'static str {
        match self {
            Self::V2_1 => "2.1.0",
            Self::V2_7 => "2.7.1",
            Self::V2_15 => "2.15.11",
        }
    }

    /// Since 2.4 a deployment is addressed by its name (and still by its id), and has a `displayName`.
    pub(super) fn addresses_by_name(self) -> bool {
        self >= Self::V2_7
    }

    /// Since 2.5 there is `DELETE` on a savepoint, with its states.
    pub(super) fn deletes_savepoints(self) -> bool {
        self >= Self::V2_7
    }

    /// 2.7.1 has `metadata.type`; 2.4.3 has not.
    pub(super) fn types_savepoints(self) -> bool {
        self >= Self::V2_7
    }

    /// 2.15.8 can take savepoints in native format.
    pub(super) fn takes_native(self) -> bool {
        self >= Self::V2_15
    }

    /// `SUSPEND_AND_UPGRADE` was an origin up to 2.4.3 and is gone in 2.7.1.
    pub(super) fn tells_upgrades(self) -> bool {
        self < Self::V2_7
    }
}
