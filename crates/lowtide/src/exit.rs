//! Exit codes, the same for all commands.

use lowtide_core::run::{Outcome, Run};

/// How a command ended, for the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 0: kept, whole, or skipped by rule.
    Fine,
    /// 4: taken, but nobody could read it; or it cannot be read.
    Unverified,
    /// 3: not known yet, or still under way when waiting was given up.
    Unknown,
    /// 1: failed, broken, or none found.
    Failed,
    /// 2: wrong usage or configuration.
    Usage,
    /// 130: interrupted (128 + SIGINT, as shells have it).
    Interrupted,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unknown => 3,
            Self::Unverified => 4,
            Self::Interrupted => 130,
        }
    }

    /// The exit code of a run as it stands: one that has not ended is not known yet.
    pub fn of_run(run: &Run) -> Self {
        match &run.outcome {
            None => Self::Unknown,
            Some(Outcome::Kept { .. } | Outcome::Skipped { .. }) => Self::Fine,
            Some(Outcome::Unverified { .. }) => Self::Unverified,
            Some(Outcome::Failed { .. } | Outcome::Missed { .. }) => Self::Failed,
        }
    }

    /// The worse of two. From good to bad: 0, 4, 3, 1, 2, 130. What is known to have failed is
    /// worse than what may still turn out well.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if other.rank() > self.rank() {
            other
        } else {
            self
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Unverified => 1,
            Self::Unknown => 2,
            Self::Failed => 3,
            Self::Usage => 4,
            Self::Interrupted => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_counts() {
        let order = [
            Exit::Fine,
            Exit::Unverified,
            Exit::Unknown,
            Exit::Failed,
            Exit::Usage,
            Exit::Interrupted,
        ];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(a.worse(*b), order[i.max(j)]);
            }
        }
        assert_eq!(order.map(Exit::code), [0, 4, 3, 1, 2, 130]);
    }
}
