//! The five fields of a cron pattern: their values, names and what `H` draws from.

/// One of the five fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12.
    Month,
    /// 0 to 7.
    DayOfWeek,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        })
    }
}

pub(super) const MONTH_NAMES: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
pub(super) const WEEKDAY_NAMES: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

impl Field {
    /// Smallest and largest value that can be written.
    pub(super) fn bounds(self) -> (u8, u8) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
        }
    }

    /// Smallest and largest value of `*`: Sunday once.
    pub(super) fn every(self) -> (u8, u8) {
        match self {
            Self::DayOfWeek => (0, 6),
            _ => self.bounds(),
        }
    }

    /// Smallest and largest value of a bare `H`.
    pub(super) fn hash_bounds(self) -> (u8, u8) {
        match self {
            Self::DayOfMonth => (1, 28),
            _ => self.every(),
        }
    }

    /// The field's name in the hash: part of the contract, never changes.
    pub(super) fn hash_name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
        }
    }

    /// The value of a name, if the field has names.
    pub(super) fn named(self, text: &str) -> Option<u8> {
        let (names, first): (&[&str], u8) = match self {
            Self::Month => (&MONTH_NAMES, 1),
            Self::DayOfWeek => (&WEEKDAY_NAMES, 0),
            _ => return None,
        };
        let index = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))?;
        Some(first + u8::try_from(index).ok()?)
    }

    /// What may be written, for a hint.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Minute => "write 0 to 59, `*`, a range such as 0-29, or H",
            Self::Hour => "write 0 to 23, `*`, a range such as 1-5, or H",
            Self::DayOfMonth => "write 1 to 31, `*`, L, LW, L-3, 15W, or H",
            Self::Month => "write 1 to 12, JAN to DEC, `*`, or H",
            Self::DayOfWeek => "write 0 to 7 (0 and 7 are Sunday), SUN to SAT, `*`, 5L, 5#2, or H",
        }
    }
}
