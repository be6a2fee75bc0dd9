//! Zones by their IANA names. The database is compiled in, so a name means the same in a scratch
//! image, in a container of another distribution and in a test.

use jiff::tz::TimeZone;

use super::text_error::TextError;

/// A zone that cannot be used.
pub type ZoneError = TextError<ZoneErrorKind>;

/// What is wrong with a zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneErrorKind {
    /// Not a name of the database.
    #[error("`{name}` is not an IANA time zone")]
    Unknown {
        /// The name as written.
        name: String,
    },
}

/// The name that the database has for "no zone is known"; it must not pass for a zone.
const NO_ZONE: &str = "Etc/Unknown";

/// Looks a zone up by its IANA name (`Europe/Berlin`, `UTC`), whatever its case.
pub fn parse_zone(name: &str) -> Result<TimeZone, ZoneError> {
    match TimeZone::get(name) {
        Ok(zone) if !name.eq_ignore_ascii_case(NO_ZONE) => Ok(zone),
        _ => {
            let kind = ZoneErrorKind::Unknown {
                name: name.to_owned(),
            };
            Err(ZoneError::new(0..name.len(), kind).with_hint(hint(name)))
        }
    }
}

fn hint(name: &str) -> String {
    let city = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let same_city = (!city.is_empty())
        .then(|| jiff::tz::db().available())
        .into_iter()
        .flatten()
        .find(|known| {
            let known = known.as_str().to_ascii_lowercase();
            known.rsplit('/').next() == Some(city.as_str())
        });
    match same_city {
        Some(known) => format!("did you mean {known}?"),
        None => "write a name such as Europe/Berlin, America/New_York or UTC".to_owned(),
    }
}
