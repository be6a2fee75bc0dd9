//! Where savepoints lie.
//!
//! A platform's name for a place is not always Lowtide's: what Flink calls `file:/opt/state` may
//! be mounted at `/mnt/state` here, and what it calls `s3://state` may be read from a replica.
//! [`Paths`] translates, and everything that is reported back keeps the platform's names, so that
//! the catalog has one name for one place.

pub mod deep;
mod fault;
pub mod headers;
mod local;
mod looks;
mod object;
mod operator;
mod place;
pub mod settings;
pub mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use lowtide_core::baseline::Listed;
use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::run::Found;
use lowtide_core::verify::{self, FileSeen, Metadata, ParseError, Reading};
use opendal::Operator;

use looks::Looks;
use place::{Object, Place, Root};
use settings::StoreSettings;

/// Flink's name for the file that makes a directory a savepoint (`AbstractFsCheckpointStorageAccess`).
const METADATA: &str = "_metadata";
/// Most bytes of a `_metadata` that are read: jobs with much state in it have tens of megabytes.
const METADATA_BYTES_MAX: u64 = 256 << 20;
/// Up to this many bytes a `_metadata` is read by whoever asked: that takes less than to have it done
/// elsewhere.
const PARSED_AT_ONCE_MAX: usize = 16 << 10;
/// Most entries of a savepoint's directory: the largest jobs have some hundred thousand files.
const ENTRIES_MAX: usize = 2_000_000;
/// Most directories in an attempt's own one: Flink makes one for each request that it accepts.
const DIRECTORIES_MAX: usize = 1_000;

/// What was found in a savepoint's directory.
struct Opened {
    /// The bytes of its `_metadata`, if there is one.
    metadata: Option<Vec<u8>>,
    /// What is known of `_metadata` besides.
    told: Option<Listed>,
    /// The names of its files, sorted, with what the listing tells of them, if it does.
    names: Vec<(String, Option<Listed>)>,
}

impl Opened {
    /// What the listing tells of a file of the directory.
    fn listed(&self, name: &str) -> Option<Listed> {
        let at = self.names.binary_search_by(|(it, _)| it.as_str().cmp(name));
        at.ok().and_then(|at| self.names[at].1.clone())
    }

    /// The files that nothing references.
    fn extra(&self, files: &[FileSeen]) -> Vec<String> {
        let referenced: BTreeSet<&str> = files.iter().map(|file| file.location.last()).collect();
        let names = self.names.iter().map(|(name, _)| name.as_str());
        names
            .filter(|name| *name != METADATA && !referenced.contains(name))
            .map(str::to_owned)
            .collect()
    }
}

/// What is known of a savepoint's directory and of the files that its `_metadata` references.
struct Looked {
    directory: Location,
    opened: Opened,
    metadata: Option<Result<Metadata, ParseError>>,
    sought: Sought,
}

/// The files that a savepoint references, and where those are to be found of which nothing is known yet.
#[derive(Default)]
struct Sought {
    files: Vec<FileSeen>,
    listed: BTreeMap<Location, Listed>,
    /// On file systems: which of the files, where, and whether it is the savepoint's own.
    local: Vec<(usize, PathBuf, bool)>,
    /// In stores, where no listing of the directory has told of it.
    elsewhere: BTreeMap<Root, Vec<(usize, String)>>,
}

impl Sought {
    /// Looks at those on file systems.
    fn look_locally(&mut self) -> Result<(), Fault> {
        for (at, path, within) in std::mem::take(&mut self.local) {
            self.note(at, local::size(&path, within)?);
        }
        Ok(())
    }

    /// Notes what was found of a file.
    fn note(&mut self, at: usize, found: Option<Listed>) {
        let file = &mut self.files[at];
        file.found_bytes = found.as_ref().map(|found| found.bytes);
        self.listed
            .extend(found.map(|found| (file.location.clone(), found)));
    }
}

/// The stores that a configuration tells of, and the clients of those that were asked so far.
#[derive(Default)]
pub struct Stores {
    settings: Vec<StoreSettings>,
    operators: Mutex<BTreeMap<Root, Operator>>,
    looks: Looks,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Stores {
    /// Takes what a configuration says. Nothing is made or sent before a location asks for it.
    pub fn new(settings: Vec<StoreSettings>) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// The client of a bucket; the same one for all who ask.
    fn operator(&self, root: &Root) -> Result<Operator, Fault> {
        // A client that somebody failed to make is not in the map.
        let mut operators = self
            .operators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(operator) = operators.get(root) {
            return Ok(operator.clone());
        }
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let settings = settings::for_root(&self.settings, root);
        let operator = operator::operator(root, settings, &env)?;
        operators.insert(root.clone(), operator.clone());
        Ok(operator)
    }
}

/// What people call the store of a location, if no test of Lowtide has ever read a savepoint from
/// a real one: what is said of it there rests on its documentation alone.
pub fn unproven(location: &Location) -> Option<&'static str> {
    match place::place(location) {
        Place::Object(object) => object.root.unproven(),
        Place::Local(_) | Place::Unsupported(_) => None,
    }
}

/// Beginnings of locations, where Lowtide reaches them, and the stores where they lie.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// Longest first.
    pairs: Vec<(Location, Location)>,
    stores: Arc<Stores>,
}

impl Paths {
    /// Pairs of what the platform calls a place and where it is reached; none for a location that
    /// belongs to no platform.
    pub fn new(pairs: &[(String, String)], stores: Arc<Stores>) -> Self {
        let mut pairs: Vec<_> = pairs
            .iter()
            .map(|(from, to)| (Location::new(from), Location::new(to)))
            .collect();
        pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.as_str().len()));
        Self { pairs, stores }
    }

    /// Whether a location, or something below it, is what the platform calls a place, or where one
    /// is reached.
    pub fn concern(&self, location: &Location) -> bool {
        let location = location.as_str();
        let places = self.pairs.iter().flat_map(|(from, to)| [from, to]);
        places
            .map(Location::as_str)
            .any(|it| below(location, it).is_some() || below(it, location).is_some())
    }

    /// Every name of a location's place, the platform's own first: what the catalog knows it by.
    /// A place has several where it is mounted, and where a store has several schemes.
    pub fn names(&self, location: &Location) -> Vec<Location> {
        let location = &place::plain(location);
        let reached = self.place(location);
        let mut candidates: Vec<Location> = Vec::new();
        let is_platforms =
            |(from, _): &(Location, Location)| below(location.as_str(), from.as_str()).is_some();
        if self.pairs.iter().any(is_platforms) {
            candidates.push(location.clone());
        }
        let spellings = place::spellings(location);
        for (from, to) in &self.pairs {
            let below = spellings
                .iter()
                .filter_map(|it| below(it.as_str(), to.as_str()));
            candidates.extend(below.map(|below| joined(from, below)));
        }
        candidates.push(location.clone());
        let others: Vec<Location> = candidates.iter().flat_map(place::spellings).collect();
        candidates.extend(others);

        let mut names: Vec<Location> = Vec::new();
        for name in candidates {
            if !names.contains(&name) && self.place(&name) == reached {
                names.push(name);
            }
        }
        names
    }

    /// When the `_metadata` of a savepoint was written, which is when it was complete; `None` if
    /// the store does not say.
    pub async fn completed_at(&self, location: &Location) -> Result<Option<Timestamp>, Fault> {
        let directory = directory_of(location);
        refuse_dots(&directory)?;
        match self.place(&directory) {
            Place::Local(path) => {
                self.stores
                    .looks
                    .look(move || local::completed_at(&path))
                    .await
            }
            Place::Object(object) => {
                object::completed_at(&self.stores.operator(&object.root)?, &object).await
            }
            Place::Unsupported(why) => Err(unsupported(&why)),
        }
    }

    /// Where Lowtide reaches a location.
    pub(crate) fn place(&self, location: &Location) -> Place {
        let reached = self
            .pairs
            .iter()
            .find_map(|(from, to)| {
                let below = below(location.as_str(), from.as_str())?;
                Some(joined(to, below))
            })
            .unwrap_or_else(|| location.clone());
        place::place(&reached)
    }

    /// Reads a savepoint's `_metadata` and the sizes of all that it references.
    pub async fn read(&self, location: &Location) -> Result<Reading, Fault> {
        let directory = directory_of(location);
        refuse_dots(&directory)?;
        let place = self.place(&directory);
        let looked = if let Place::Local(path) = &place {
            let (paths, path) = (self.clone(), path.clone());
            self.stores
                .looks
                .look(move || paths.look_locally(directory, &path))
                .await?
        } else {
            self.look(directory, &place).await?
        };
        let Looked {
            directory,
            opened,
            metadata,
            sought,
        } = looked;
        let (files, mut listed) = self.found(sought).await?;
        if files.iter().any(|file| file.found_bytes.is_none()) {
            self.still_there(&place).await?;
        }
        let extra = opened.extra(&files);
        if let Some(told) = opened.told.filter(|_| matches!(metadata, Some(Ok(_)))) {
            listed.insert(directory.join(METADATA), told);
        }
        Ok(Reading {
            metadata,
            files,
            extra,
            listed,
        })
    }

    /// Looks into a directory that is mounted, and at the files beside it: all in one go, as each way to another
    /// thread takes as long as looking.
    fn look_locally(&self, directory: Location, path: &Path) -> Result<Looked, Fault> {
        let mut opened = local::open(path)?;
        let metadata = opened.metadata.take().map(|bytes| verify::parse(&bytes));
        let place = Place::Local(path.to_owned());
        let mut looked = self.looked(directory, &place, opened, metadata)?;
        looked.sought.look_locally()?;
        Ok(looked)
    }

    /// Looks into any directory.
    async fn look(&self, directory: Location, place: &Place) -> Result<Looked, Fault> {
        let mut opened = self.open(place).await?;
        let metadata = parsed(opened.metadata.take()).await?;
        self.looked(directory, place, opened, metadata)
    }

    fn looked(
        &self,
        directory: Location,
        place: &Place,
        opened: Opened,
        metadata: Option<Result<Metadata, ParseError>>,
    ) -> Result<Looked, Fault> {
        let sought = match &metadata {
            Some(Ok(metadata)) => self.seek(&directory, place, &opened, metadata)?,
            _ => Sought::default(),
        };
        Ok(Looked {
            directory,
            opened,
            metadata,
            sought,
        })
    }

    /// Reads a savepoint's `_metadata` alone; `None` if there is a directory without one.
    pub(crate) async fn read_metadata(
        &self,
        location: &Location,
    ) -> Result<Option<Result<Metadata, ParseError>>, Fault> {
        let directory = directory_of(location);
        refuse_dots(&directory)?;
        let opened = self.open(&self.place(&directory)).await?;
        parsed(opened.metadata).await
    }

    async fn open(&self, place: &Place) -> Result<Opened, Fault> {
        match place {
            Place::Local(path) => {
                let path = path.clone();
                self.stores.looks.look(move || local::open(&path)).await
            }
            Place::Object(object) => {
                object::open(&self.stores.operator(&object.root)?, object).await
            }
            Place::Unsupported(why) => Err(unsupported(why)),
        }
    }

    /// Whether a directory from which files are missing is itself still there.
    async fn still_there(&self, place: &Place) -> Result<(), Fault> {
        match place {
            Place::Local(path) => {
                let path = path.clone();
                self.stores
                    .looks
                    .look(move || local::still_there(&path))
                    .await
            }
            Place::Object(object) => {
                object::still_there(&self.stores.operator(&object.root)?, object).await
            }
            Place::Unsupported(why) => Err(unsupported(why)),
        }
    }

    /// Where the files are that a savepoint references; those that its directory lists are found already.
    fn seek(
        &self,
        directory: &Location,
        place: &Place,
        opened: &Opened,
        metadata: &Metadata,
    ) -> Result<Sought, Fault> {
        let mut sought = Sought::default();
        for (at, (location, rule)) in verify::wanted(metadata, directory).into_iter().enumerate() {
            refuse_dots(&location)?;
            let mut found = None;
            match self.place(&location) {
                Place::Local(path) => {
                    let within = below(location.as_str(), directory.as_str()).is_some();
                    sought.local.push((at, path, within));
                }
                Place::Object(object) => match listed_name(place, &object) {
                    Some(name) => found = opened.listed(name),
                    None => sought
                        .elsewhere
                        .entry(object.root)
                        .or_default()
                        .push((at, object.key)),
                },
                Place::Unsupported(why) => return Err(unsupported(&why)),
            }
            sought.files.push(FileSeen {
                location: location.clone(),
                rule,
                found_bytes: found.as_ref().map(|found| found.bytes),
            });
            sought.listed.extend(found.map(|found| (location, found)));
        }
        Ok(sought)
    }

    /// The sizes of all files that are sought, and what else is told of them: from listings and from the file system,
    /// each wherever the file lies.
    async fn found(
        &self,
        mut sought: Sought,
    ) -> Result<(Vec<FileSeen>, BTreeMap<Location, Listed>), Fault> {
        if !sought.local.is_empty() {
            let looking = move || sought.look_locally().map(|()| sought);
            sought = self.stores.looks.look(looking).await?;
        }
        for (root, wanted) in std::mem::take(&mut sought.elsewhere) {
            let operator = self.stores.operator(&root)?;
            let keys = wanted.iter().map(|(_, key)| key.clone()).collect();
            let sizes = object::sizes(&operator, &root, keys).await?;
            for (at, key) in wanted {
                sought.note(at, sizes.get(&key).cloned());
            }
        }
        Ok((sought.files, sought.listed))
    }

    /// Lists the directories in `target`, which lies somewhere below `base`.
    pub(crate) async fn directories(
        &self,
        target: &Location,
        base: &Location,
    ) -> Result<Vec<Found>, Fault> {
        refuse_dots(target)?;
        match (self.place(target), self.place(base)) {
            (Place::Local(path), Place::Local(base)) => {
                let target = target.clone();
                self.stores
                    .looks
                    .look(move || local::directories(&target, &path, &base))
                    .await
            }
            (Place::Object(object), Place::Local(_) | Place::Object(_)) => {
                let operator = self.stores.operator(&object.root)?;
                object::directories(&operator, target, &object).await
            }
            // A mount within what is else a store: what lies below it is not seen from above.
            (Place::Local(path), Place::Object(_)) => {
                let target = target.clone();
                self.stores
                    .looks
                    .look(move || local::directories(&target, &path, &path))
                    .await
            }
            (Place::Unsupported(why), _) | (_, Place::Unsupported(why)) => Err(unsupported(&why)),
        }
    }
}

/// What the bytes of a `_metadata` say.
async fn parsed(bytes: Option<Vec<u8>>) -> Result<Option<Result<Metadata, ParseError>>, Fault> {
    match bytes {
        Some(bytes) if bytes.len() <= PARSED_AT_ONCE_MAX => Ok(Some(verify::parse(&bytes))),
        Some(bytes) => blocking(move || Ok(Some(verify::parse(&bytes)))).await,
        None => Ok(None),
    }
}

/// A savepoint's directory: its `_metadata` may be named as well, as Flink allows.
fn directory_of(location: &Location) -> Location {
    match location.as_str().strip_suffix("/_metadata") {
        Some(directory) => Location::new(directory),
        None => location.clone(),
    }
}

/// The name under which a savepoint's directory lists a file, if the file lies right in it.
fn listed_name<'a>(directory: &Place, file: &'a Object) -> Option<&'a str> {
    let Place::Object(directory) = directory else {
        return None;
    };
    if directory.root != file.root {
        return None;
    }
    let name = file.key.strip_prefix(&directory.prefix())?;
    (!name.contains('/')).then_some(name)
}

fn unsupported(why: &str) -> Fault {
    Fault::unsupported(why).hint(
        "where it is also mounted as a file system, name the mount under `paths:` of the platform",
    )
}

fn too_many_directories(place: impl fmt::Display) -> Fault {
    Fault::permanent(format!(
        "{place} holds more than {DIRECTORIES_MAX} directories"
    ))
    .hint("it is to be one attempt's own: does something else write there?")
}

/// Refuses a location with `..` in it. Flink writes none; a reference that climbs would let a
/// foreign file decide where Lowtide looks.
fn refuse_dots(location: &Location) -> Result<(), Fault> {
    if location.as_str().split('/').any(|part| part == "..") {
        return Err(Fault::permanent(format!(
            "{location} has `..` in it, which Lowtide does not follow"
        )));
    }
    Ok(())
}

/// File systems block, and mounted ones may block for long.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(interrupted()))
}

fn interrupted() -> Fault {
    Fault::transient("reading was interrupted")
}

/// A place below another; the place itself if there is nothing to add.
fn joined(place: &Location, below: &str) -> Location {
    if below.is_empty() {
        place.clone()
    } else {
        place.join(below)
    }
}

/// What is left of a location below a beginning that ends where a part of the path ends.
fn below<'a>(location: &'a str, from: &str) -> Option<&'a str> {
    let rest = location.strip_prefix(from)?;
    if rest.is_empty() || from.ends_with('/') {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(pairs: &[(&str, &str)], location: &str) -> Place {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
            .collect();
        Paths::new(&pairs, Arc::default()).place(&Location::new(location))
    }

    fn local(path: &str) -> Place {
        Place::Local(PathBuf::from(path))
    }

    #[test]
    fn the_longest_beginning_wins_at_the_end_of_a_part() {
        let pairs = [
            ("file:///opt/flink", "/mnt/flink/"),
            ("/opt/flink/state/", "/state"),
            ("s3://bucket/a", "file:/mnt/s3"),
        ];
        for (location, reached) in [
            ("/opt/flink/x", "/mnt/flink/x"),
            ("file:///opt/flink", "/mnt/flink"),
            ("/opt/flink/state/x/y", "/state/x/y"),
            ("/opt/flink/stateful", "/mnt/flink/stateful"),
            ("/opt/flinks", "/opt/flinks"),
            ("s3://bucket/a/b", "/mnt/s3/b"),
        ] {
            assert_eq!(place(&pairs, location), local(reached), "{location}");
        }
        let Place::Object(object) = place(&pairs, "s3://bucket/ab") else {
            panic!("an object");
        };
        assert_eq!(object.key, "ab");
    }

    #[test]
    fn the_root_can_be_mapped() {
        assert_eq!(place(&[("/", "/host")], "/a/b"), local("/host/a/b"));
        assert_eq!(place(&[("/a", "/")], "/a/b"), local("/b"));
    }

    #[test]
    fn a_store_can_be_mapped_to_another() {
        let pairs = [("s3://state/sp", "gs://replica/of/sp")];
        let Place::Object(object) = place(&pairs, "s3://state/sp/savepoint-1") else {
            panic!("an object");
        };
        assert_eq!(object.to_string(), "gs://replica/of/sp/savepoint-1");
    }

    #[test]
    fn a_place_has_the_platforms_name_first() {
        let names = |pairs: &[(&str, &str)], location: &str| {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
                .collect();
            let names = Paths::new(&pairs, Arc::default()).names(&Location::new(location));
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(&[], "/a/b"), ["file:/a/b"]);
        assert_eq!(names(&[], "file:/a//b/./c"), ["file:/a/b/c"]);
        let mount = [("file:/opt/flink/state", "/mnt/state")];
        let both = ["file:/opt/flink/state/x", "file:/mnt/state/x"];
        assert_eq!(names(&mount, "/mnt/state/x"), both);
        assert_eq!(names(&mount, "file:///opt/flink/state/x"), both[..1]);
        let bucket = [("s3://state", "/mnt/state")];
        assert_eq!(
            names(&bucket, "/mnt/state/x"),
            ["s3://state/x", "file:/mnt/state/x"]
        );
        assert_eq!(
            names(&[], "s3a://b/x"),
            ["s3a://b/x", "s3://b/x", "s3p://b/x", "s3n://b/x"]
        );
        let azure = names(&[], "wasbs://c@a.blob.core.windows.net/x");
        assert_eq!(azure[0], "wasbs://c@a.blob.core.windows.net/x");
        for other in [
            "abfss://c@a.dfs.core.windows.net/x",
            "abfs://c@a.dfs.core.windows.net/x",
        ] {
            assert!(azure.iter().any(|name| name == other), "{azure:?}");
        }
    }

    #[test]
    fn what_has_no_scheme_is_unsupported() {
        assert!(matches!(place(&[], "relative/x"), Place::Unsupported(_)));
    }

    #[test]
    fn what_was_never_tried_is_named() {
        let named = |text: &str| unproven(&Location::new(text));
        for proven in ["/a", "file:/a", "s3://b/x", "s3a://b/x"] {
            assert_eq!(named(proven), None, "{proven}");
        }
        assert_eq!(named("gs://b/x"), Some("Google Cloud Storage"));
        assert_eq!(named("wasb://c@a/x"), Some("Azure Storage"));
        assert_eq!(named("webhdfs://h:1/x"), None);
    }

    #[test]
    fn only_what_lies_right_in_the_directory_is_in_its_listing() {
        let object = |text: &str| match place(&[], text) {
            Place::Object(object) => object,
            _ => panic!("an object"),
        };
        let directory = place(&[], "s3://b/sp/one");
        let name = |text: &str| listed_name(&directory, &object(text)).map(str::to_owned);
        assert_eq!(name("s3://b/sp/one/x").as_deref(), Some("x"));
        assert_eq!(name("s3a://b/sp/one/x").as_deref(), Some("x"));
        for other in ["s3://b/sp/one/x/y", "s3://b/sp/two/x", "s3://c/sp/one/x"] {
            assert_eq!(name(other), None, "{other}");
        }
        assert_eq!(listed_name(&local("/sp/one"), &object("s3://b/x")), None);
    }
}
