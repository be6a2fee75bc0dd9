//! What a file means: raw texts in, the domain's values out, and every problem on the way.
//!
//! Nothing here ends at the first mistake: whoever is told of ten at once mends ten at once.

mod applications;
mod platforms;
mod rules;
mod stores;

use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use lowtide_core::rotation;
use lowtide_core::schedule::{TextError, parse_duration, parse_zone};

use super::did_you_mean::did_you_mean;
use super::problem::Problem;
use super::raw::{self, File, Text};
use super::{CatalogPlace, Config, Secrets, scalar};
use crate::cli::bytes;

/// Reads the whole file, or says everything that is wrong with it.
pub(super) fn read(
    path: &Path,
    text: &str,
    file: &File,
    secrets: &Secrets<'_>,
) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader {
        text,
        directory: path.parent().unwrap_or(Path::new("")).to_owned(),
        secrets,
        problems: Vec::new(),
    };
    reader.refuse_references(file);
    if !reader.problems.is_empty() {
        // What else would be said is about texts that were never meant as they stand.
        return Err(reader.problems);
    }
    let zone = file
        .timezone
        .as_ref()
        .map_or(Some(TimeZone::UTC), |name| reader.zone(name));
    let platforms = reader.platforms(file);
    let stores = reader.stores(file);
    let applications = reader.applications(file, &platforms);
    let catalog = reader.catalog(file);
    let reading = reader.reading(file);
    match (zone, catalog, reading) {
        (Some(zone), Some(catalog), Some(reading)) if reader.problems.is_empty() => Ok(Config {
            path: path.to_owned(),
            zone,
            platforms: platforms.settings,
            stores,
            applications,
            catalog,
            reading,
        }),
        _ => Err(reader.problems),
    }
}

/// The file being read, and what is wrong with it so far.
struct Reader<'a> {
    text: &'a str,
    directory: PathBuf,
    secrets: &'a Secrets<'a>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The bytes of the file for bytes of a text's value.
    fn inside(&self, text: &Text, range: &Range<usize>) -> Range<usize> {
        scalar::inside(self.text, &text.span, &text.value, range)
    }

    /// Takes what a parser of the core made of a text, or its mistake at its place.
    fn taken<T, K: fmt::Display>(
        &mut self,
        text: &Text,
        result: Result<T, TextError<K>>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let mut problem =
                    Problem::new(self.inside(text, &error.span), error.kind.to_string());
                problem.hints.extend(error.hint);
                self.refuse(problem);
                None
            }
        }
    }

    fn zone(&mut self, text: &Text) -> Option<TimeZone> {
        let read = parse_zone(&text.value).map_err(|error| {
            let known = jiff::tz::db().available();
            let known: Vec<String> = known.map(|name| name.to_string()).collect();
            match did_you_mean(&text.value, known.iter().map(String::as_str)) {
                Some(meant) => error.with_hint(format!("did you mean {meant}?")),
                None => error,
            }
        });
        self.taken(text, read)
    }

    fn duration(&mut self, text: &Text) -> Option<SignedDuration> {
        self.taken(text, parse_duration(&text.value))
    }

    /// A path of this machine; a relative one is taken from the file's directory.
    fn path(&mut self, text: &Text) -> Option<PathBuf> {
        if text.value.is_empty() {
            self.refuse(Problem::new(text.span.clone(), "the path is empty"));
            return None;
        }
        if text.value.starts_with('~') {
            self.refuse(
                Problem::new(text.span.clone(), "`~` is not expanded here")
                    .hint("write the whole path"),
            );
            return None;
        }
        Some(self.directory.join(&text.value))
    }

    fn catalog(&mut self, file: &File) -> Option<CatalogPlace> {
        match &file.catalog {
            Some(raw::Catalog::None) => return Some(CatalogPlace::None),
            Some(raw::Catalog::Kept(kept)) => {
                return self.path(&kept.sqlite).map(CatalogPlace::File);
            }
            None => {}
        }
        let (state, home) = (std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"));
        match default_catalog(state, home) {
            Ok(path) => Some(CatalogPlace::File(path)),
            Err(problem) => {
                self.refuse(problem);
                None
            }
        }
    }

    /// How often, and how fast, every byte is read; `Some(None)` for never.
    #[expect(clippy::option_option, reason = "a mistake is not the same as never")]
    fn reading(&mut self, file: &File) -> Option<Option<rotation::Rules>> {
        let every = file.read_every.as_ref();
        let every = every.map_or(Some(rotation::READ_EVERY), |text| self.duration(text));
        let limit = file.read_limit.as_ref();
        let limit = limit.map_or(Some(rotation::BYTES_PER_S_MAX), |text| {
            let read = bytes(&text.value);
            read.map_err(|wrong| self.refuse(Problem::new(text.span.clone(), wrong)))
                .ok()
        });
        let (every, bytes_per_s_max) = (every?, limit?);
        Some((!every.is_zero()).then_some(rotation::Rules {
            every,
            bytes_per_s_max,
        }))
    }

    /// `${…}` is for secrets alone: anywhere else a value of the environment would decide what
    /// is done, and the file would not be the whole truth.
    fn refuse_references(&mut self, file: &File) {
        for text in file.plain_texts() {
            let Some(start) = text.value.find("${") else {
                continue;
            };
            let end = text.value[start..]
                .find('}')
                .map_or(text.value.len(), |at| start + at + 1);
            let place = self.inside(text, &(start..end));
            self.refuse(
                Problem::new(place, "`${…}` cannot stand here")
                    .hint("it is for secrets: the whole value of `token`, `password`, `secret_key` and the like"),
            );
        }
    }
}

/// The user's state directory (XDG Base Directory Specification 0.8: relative paths and empty
/// values are ignored).
fn default_catalog(
    xdg_state_home: Option<OsString>,
    home: Option<OsString>,
) -> Result<PathBuf, Problem> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let in_home = || Some(home.and_then(absolute)?.join(".local/state"));
    let state = xdg_state_home.and_then(absolute).or_else(in_home);
    match state {
        Some(state) => Ok(state.join("lowtide/catalog.db")),
        None => Err(Problem::new(
            0..0,
            "there is no place for the catalog: neither XDG_STATE_HOME nor HOME is set",
        )
        .hint("write `catalog: { sqlite: PATH }`")),
    }
}

#[cfg(test)]
mod tests {
    use super::default_catalog;

    #[test]
    fn the_catalog_lies_in_the_state_directory() {
        let at = |xdg: Option<&str>, home: Option<&str>| {
            default_catalog(xdg.map(Into::into), home.map(Into::into))
                .map(|path| path.to_string_lossy().into_owned())
                .map_err(|problem| problem.message)
        };
        assert_eq!(
            at(Some("/x"), Some("/h")).as_deref(),
            Ok("/x/lowtide/catalog.db")
        );
        for ignored in [None, Some(""), Some("x")] {
            assert_eq!(
                at(ignored, Some("/h")).as_deref(),
                Ok("/h/.local/state/lowtide/catalog.db")
            );
        }
        let nowhere = at(None, None).expect_err("nowhere to put it");
        assert_eq!(
            nowhere,
            "there is no place for the catalog: neither XDG_STATE_HOME nor HOME is set"
        );
    }
}
