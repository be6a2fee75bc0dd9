//! The configuration: one YAML file in, values that the engine takes out.
//!
//! A file goes through two stages, each with its kind of mistake:
//!
//! 1. [`yaml`]: the shape. Unknown, missing and duplicate keys, wrong types. The library ends at
//!    the first of these.
//! 2. [`meaning`]: the values. Every schedule, duration, URL and secret is read, and what
//!    contradicts itself is refused; all such mistakes are collected and shown at once.
//!
//! What comes out, [`Config`], cannot be wrong in a way that the file could tell. (Whether a
//! certificate can be read, or a cluster be reached, is for those who need it.)
//!
//! A file is refused as a whole: half a configuration would silently take no savepoints of the
//! other half.

mod at;
mod did_you_mean;
mod entries;
mod meaning;
mod problem;
mod raw;
mod redact;
mod scalar;
mod secret;
mod yaml;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use lowtide_core::engine::Application;
use lowtide_core::name::PlatformName;
use lowtide_core::rotation;
use lowtide_world::platform::PlatformSettings;
use lowtide_world::store::settings::StoreSettings;
use secrecy::SecretString;

pub use problem::{ConfigError, Problem, Wrong};
pub use secret::{SECRET_BYTES_MAX, SecretError, SecretSource, fetch};

/// The largest file in bytes: 10,000 applications of some 400 bytes.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The most applications; twice what the largest known users run.
pub const APPLICATIONS_MAX: usize = 10_000;
/// Where the file is looked for last.
pub const DEFAULT_FILE: &str = "lowtide.yaml";

/// Fetches a secret: [`fetch`], or something without an environment in tests.
pub type Secrets<'a> = dyn Fn(&SecretSource) -> Result<SecretString, SecretError> + 'a;

/// All that the file says, defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// The zone for display.
    pub zone: TimeZone,
    /// Where applications run.
    pub platforms: BTreeMap<PlatformName, PlatformSettings>,
    /// How to reach the stores where savepoints lie.
    pub stores: Vec<StoreSettings>,
    /// What gets savepoints, in the order of the file.
    pub applications: Vec<Application>,
    /// Where the catalog is.
    pub catalog: CatalogPlace,
    /// How often `serve` reads every byte of a savepoint; `None`: never.
    pub reading: Option<rotation::Rules>,
}

/// Where runs and savepoints are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogPlace {
    /// In a file.
    File(PathBuf),
    /// Nowhere beyond the process: then the platform is asked what a slot already has.
    None,
}

impl std::fmt::Display for CatalogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::None => f.write_str("none"),
        }
    }
}

/// Decides which file to read: `--config`, then `LOWTIDE_CONFIG`, then `./lowtide.yaml`.
///
/// # Errors
/// [`ConfigError::NotFound`] when none is named and there is no `./lowtide.yaml`. A file that is
/// named is not looked for here: [`load`] tells why it cannot be read.
pub fn find(flag: Option<&Path>, env: Option<&OsStr>) -> Result<PathBuf, ConfigError> {
    let named = flag.or_else(|| env.filter(|text| !text.is_empty()).map(Path::new));
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let default = PathBuf::from(DEFAULT_FILE);
    if default.exists() {
        Ok(default)
    } else {
        Err(ConfigError::NotFound { default })
    }
}

/// Reads a file, with the secrets that it refers to.
///
/// # Errors
/// [`ConfigError`]: the file cannot be read, or it is wrong.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let found = file
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if found as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
            limit: FILE_BYTES_MAX,
        });
    }
    let text = String::from_utf8(bytes).map_err(|error| ConfigError::NotText {
        path: path.to_owned(),
        at: error.utf8_error().valid_up_to(),
    })?;
    parse(&path.to_string_lossy(), &text, &fetch)
}

/// Reads the text of a file; `name` is what it is called in errors, and relative paths in it are
/// taken from `name`'s directory.
///
/// # Errors
/// [`ConfigError::Wrong`] with everything that is wrong, as far as it could be read.
pub fn parse(name: &str, text: &str, secrets: &Secrets<'_>) -> Result<Config, ConfigError> {
    // A mark that some editors put in front of UTF-8; it is no part of the file.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let wrong = |problems| ConfigError::Wrong {
        wrong: Wrong::new(name, text, problems),
    };
    let file = yaml::parse(text).map_err(|problem| wrong(vec![problem]))?;
    meaning::read(Path::new(name), text, &file, secrets).map_err(wrong)
}

/// The JSON Schema of the file (draft 2020-12), generated from the types that read it.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(raw::File).to_value();
    forbid_null(&mut schema);
    join_lines(&mut schema);
    schema
}

/// A key without a value is a mistake here, so `null` is not among the types: that a key may be
/// absent is said by `required`.
fn forbid_null(schema: &mut serde_json::Value) {
    use serde_json::Value;
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice != &serde_json::json!({ "type": "null" }));
                if let [only] = &choices[..] {
                    let only = only.clone();
                    object.remove("anyOf");
                    if let Value::Object(only) = only {
                        object.extend(only);
                    }
                }
            }
            object.values_mut().for_each(forbid_null);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_null),
        _ => {}
    }
}

/// Descriptions are doc comments, broken where a line of source ends; editors break them
/// themselves.
fn join_lines(schema: &mut serde_json::Value) {
    use serde_json::Value;
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            object.values_mut().for_each(join_lines);
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        _ => {}
    }
}
