//! What can be wrong with a cron pattern.

use super::field::Field;
use super::text_error::TextError;

/// The longest text that is read as a pattern: an hour's sixty minutes written out, and room.
pub const CRON_TEXT_BYTES_MAX: usize = 512;

/// A cron pattern that cannot be used.
pub type CronError = TextError<CronErrorKind>;

/// What is wrong with a cron pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronErrorKind {
    /// Nothing was written.
    #[error("the schedule is empty")]
    Empty,
    /// Longer than [`CRON_TEXT_BYTES_MAX`].
    #[error("the schedule is longer than {CRON_TEXT_BYTES_MAX} bytes")]
    TooLong,
    /// Not five fields.
    #[error("a cron pattern has five fields, this one has {found}")]
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// An `@` name that is not known.
    #[error("`{name}` is not a schedule that Lowtide knows")]
    UnknownName {
        /// The name as written.
        name: String,
    },
    /// A list with nothing between two commas, or a range or step with a side missing.
    #[error("a value is missing in the {field}")]
    MissingValue {
        /// The field.
        field: Field,
    },
    /// Not a number or name of this field.
    #[error("`{text}` is not a value for the {field}")]
    NotAValue {
        /// The field.
        field: Field,
        /// What stands there.
        text: String,
    },
    /// A number outside the field.
    #[error("{text} is out of range: the {field} goes from {low} to {high}")]
    OutOfRange {
        /// The field.
        field: Field,
        /// The number as written.
        text: String,
        /// The smallest value.
        low: u8,
        /// The largest value.
        high: u8,
    },
    /// A range whose end is before its start.
    #[error("the range `{text}` runs backwards")]
    Backwards {
        /// The range as written.
        text: String,
    },
    /// A step that is not a whole number.
    #[error("`{text}` is not a step")]
    NotAStep {
        /// What stands there.
        text: String,
    },
    /// A step of zero.
    #[error("a step of 0 goes nowhere")]
    StepZero,
    /// A step that is longer than what it steps through.
    #[error("a step of {step} is longer than the {count} values it steps through")]
    StepTooLong {
        /// The step as written.
        step: String,
        /// How many values there are.
        count: u8,
    },
    /// A step after a single value, which crons read differently.
    #[error("a step needs `*`, a range or `H` before it")]
    StepAfterValue,
    /// `L`, `W` or `#` where it means nothing, or together with something else.
    #[error("`{text}` cannot be used in the {field}")]
    Misplaced {
        /// The field.
        field: Field,
        /// What stands there.
        text: String,
    },
    /// No day of any year matches.
    #[error("no day of any year matches")]
    Impossible,
}
