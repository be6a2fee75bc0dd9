//! `scan`: what lies under a prefix, and what of it nothing needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lowtide_catalog::Catalog;
use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::ports::Clock;
use lowtide_core::savepoint::{Savepoint, Standing};
use lowtide_core::scan::{self, Judged, Listed, Orphan, RECENT, Tree, Verdict};
use lowtide_core::verify::{ParseErrorKind, Reading};
use lowtide_world::store::walk::{Entry, Prefix};

use super::inspect::place;
use crate::cli::{Common, Scan};
use crate::exit::Exit;
use crate::human;
use crate::printer::Printer;
use crate::progress::Counted;
use crate::setup::Setup;
use crate::shape;
use crate::style;
use crate::table::{Cell, Table};
use crate::trouble::Trouble;
use crate::wall_clock::WallClock;

/// How many `_metadata` are read at once: each answer of a store is waited for.
const READ_AT_ONCE: usize = 4;
/// How many places the catalog is asked for at once.
const ASKED_AT_ONCE: usize = 500;
/// Most directories with orphans that people are shown: programs get every file.
const ORPHANS_SHOWN_MAX: usize = 20;

/// `lowtide scan`
pub async fn scan(common: &Common, args: &Scan, printer: Printer) -> Result<Exit, Trouble> {
    let location = place(&args.prefix);
    if scan::is_shared(&location) {
        return Err(Trouble::SharedPrefix { location });
    }
    let setup = Setup::if_there(common)?;
    let catalog = match &setup {
        Some(setup) => setup.catalog_if_there().await?,
        None => None,
    };
    let paths = setup.as_ref().map(|setup| setup.paths_of(&location));
    let under = Prefix::new(paths.unwrap_or_default(), location);
    let unreadable = |source| Trouble::Unreadable {
        location: under.location().clone(),
        source,
    };

    let mut listed = list(&under, printer).await.map_err(unreadable)?;
    read(&under, &mut listed, printer).await;
    let scanned = listed.scan(WallClock.now());
    let known = match &catalog {
        Some(catalog) => Some(known(catalog, &under, &scanned).await?),
        None => None,
    };
    let zone = setup.map_or(TimeZone::UTC, |setup| setup.config.zone);
    let shape = shaped(&under, &scanned, known.as_ref());
    printer.result(&shape, || text(&shape, &scanned, &zone))?;
    printer.say(&notes(&shape));
    Ok(exit(&scanned))
}

/// As for `verify`; what was aborted is no savepoint, and orphans break none.
fn exit(scanned: &scan::Scan) -> Exit {
    let verdicts = scanned.snapshots.iter().map(|it| match it.verdict {
        Verdict::Broken => Exit::Failed,
        Verdict::Unreadable => Exit::Unverified,
        Verdict::Whole | Verdict::Aborted | Verdict::Unfinished => Exit::Fine,
    });
    let none_found = if scanned.snapshots.is_empty() {
        Exit::Failed
    } else {
        Exit::Fine
    };
    verdicts.fold(none_found, Exit::worse)
}

/// Lists everything there is.
async fn list(under: &Prefix, printer: Printer) -> Result<Listed, Fault> {
    let (files, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut tree = Tree::default();
    let walking = under.walk(|entry| {
        match entry {
            Entry::Directory { path, modified_at } => tree.directory(&path, modified_at),
            Entry::File {
                path,
                bytes: size,
                modified_at,
            } => {
                files.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(size, Ordering::Relaxed);
                tree.file(&path, size, modified_at).map_err(|wrong| {
                    Fault::permanent(format!("{wrong} lie there, which is more than are held at once"))
                        .hint("scan its directories one by one, each the directory above a job's checkpoints")
                })?;
            }
        }
        Ok(())
    });
    let count = || {
        let bytes = human::bytes(bytes.load(Ordering::Relaxed));
        format!("listed {} files, {bytes}", files.load(Ordering::Relaxed))
    };
    Counted::new(printer).beside(walking, count).await?;
    Ok(tree.listed(under.location()))
}

/// Reads every snapshot that has a `_metadata`.
async fn read(under: &Prefix, listed: &mut Listed, printer: Printer) {
    let complete = listed.complete();
    let total = complete.len();
    let done = AtomicU64::new(0);
    let reading = async {
        let mut parsed = stream::iter(complete)
            .map(|(path, bytes)| async move {
                let metadata = under.metadata(&path, bytes).await;
                (path, metadata)
            })
            .buffered(READ_AT_ONCE);
        while let Some((path, metadata)) = parsed.next().await {
            let judged = match metadata {
                Ok(metadata) => judge(under, listed, &path, metadata).await,
                Err(fault) => Judged::Unreadable(fault.text),
            };
            listed.judge(&path, &judged, |file| under.below(file));
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let count = || format!("read {} of {total} snapshots", done.load(Ordering::Relaxed));
    Counted::new(printer).beside(reading, count).await;
}

/// Judges a snapshot from the listing, and from the store where the listing does not do.
async fn judge(
    under: &Prefix,
    listed: &Listed,
    path: &str,
    metadata: Result<lowtide_core::verify::Metadata, lowtide_core::verify::ParseError>,
) -> Judged {
    let directory = under.join(path);
    let metadata = match metadata {
        Ok(metadata) => metadata,
        // It may be whole, for a reader that knows it.
        Err(wrong) if matches!(wrong.kind, ParseErrorKind::UnsupportedVersion { .. }) => {
            return Judged::Unreadable(wrong.to_string());
        }
        Err(wrong) => {
            let reading = Reading {
                metadata: Some(Err(wrong)),
                files: Vec::new(),
                extra: Vec::new(),
                listed: BTreeMap::new(),
            };
            return Judged::of(reading, &directory);
        }
    };
    if let Some(reading) = listed.reading(metadata, &directory, |file| under.below(file)) {
        return Judged::of(reading, &directory);
    }
    match under.read(path).await {
        Ok(reading) => Judged::of(reading, &directory),
        Err(fault) => Judged::Unreadable(fault.text),
    }
}

/// What the catalog has of the snapshots, by path.
async fn known(
    catalog: &Catalog,
    under: &Prefix,
    scanned: &scan::Scan,
) -> Result<BTreeMap<String, Savepoint>, Trouble> {
    let mut known = BTreeMap::new();
    for some in scanned.snapshots.chunks(ASKED_AT_ONCE) {
        let mut paths: BTreeMap<Location, &str> = BTreeMap::new();
        for snapshot in some {
            let names = under.names(&snapshot.path).into_iter();
            paths.extend(names.map(|name| (name, snapshot.path.as_str())));
        }
        let names: Vec<Location> = paths.keys().cloned().collect();
        let found = catalog.savepoints_at(&names).await;
        for savepoint in found.map_err(Trouble::catalog("look for the savepoints"))? {
            if let Some(path) = paths.get(&savepoint.location) {
                known.insert((*path).to_owned(), savepoint);
            }
        }
    }
    Ok(known)
}

fn shaped(
    under: &Prefix,
    scanned: &scan::Scan,
    known: Option<&BTreeMap<String, Savepoint>>,
) -> shape::Scanned {
    let snapshots = scanned.snapshots.iter().map(|snapshot| {
        let of = known.and_then(|known| known.get(&snapshot.path));
        // Who is not in the catalog is someone else's.
        let standing = known.map(|_| of.map_or(Standing::Foreign, |of| of.standing));
        shape::ScannedOne::new(snapshot, &under.join(&snapshot.path), standing, of)
    });
    let orphans = scanned.orphans.as_ref();
    shape::Scanned {
        prefix: under.location().to_string(),
        files: scanned.files,
        bytes: scanned.bytes,
        shared_bytes: scanned.shared_bytes,
        snapshots: snapshots.collect(),
        orphan_bytes: orphans.map(|orphans| orphans.iter().map(|orphan| orphan.bytes).sum()),
        orphans: orphans.map(|orphans| {
            let each = orphans.iter();
            each.map(|orphan| shape::Orphan::new(orphan, &under.join(&orphan.path)))
                .collect()
        }),
    }
}

fn text(shape: &shape::Scanned, scanned: &scan::Scan, zone: &TimeZone) -> String {
    let mut text = String::new();
    if !shape.snapshots.is_empty() {
        text.push_str(&table(shape, zone).render());
        text.push('\n');
    }
    text.push_str(&totals(shape));
    if let Some(orphans) = scanned
        .orphans
        .as_ref()
        .filter(|orphans| !orphans.is_empty())
    {
        text.push('\n');
        text.push_str(&orphan_table(&shape.prefix, orphans, zone));
    }
    text
}

fn table(shape: &shape::Scanned, zone: &TimeZone) -> Table {
    let of_catalog = shape.snapshots.iter().any(|one| one.standing.is_some());
    let whose = if of_catalog {
        &["standing", "name"][..]
    } else {
        &[]
    };
    let rest = ["written", "own", "elsewhere", "where"];
    let mut table = Table::new(
        ["verdict"]
            .into_iter()
            .chain(whose.iter().copied())
            .chain(rest),
    );
    for one in &shape.snapshots {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let mut row: Vec<Cell> = vec![Cell::styled(one.verdict, style::of_word(one.verdict))];
        if of_catalog {
            row.push(or_dash(one.standing.map(str::to_owned)).into());
            row.push(or_dash(one.application.clone()).into());
        }
        let elsewhere = (one.elsewhere_bytes > 0).then(|| human::bytes(one.elsewhere_bytes));
        row.extend([
            time(one.written_at, zone).into(),
            human::bytes(one.own_bytes).into(),
            or_dash(elsewhere).into(),
            one.location.clone().into(),
        ]);
        table.row(row);
    }
    table
}

fn time(at: Option<Timestamp>, zone: &TimeZone) -> String {
    at.map_or_else(|| "-".to_owned(), |at| human::time(at, zone))
}

/// What there is in all, a line each.
fn totals(shape: &shape::Scanned) -> String {
    let mut verdicts: Vec<String> = Vec::new();
    for verdict in ["whole", "broken", "unreadable", "aborted", "unfinished"] {
        let count = shape.snapshots.iter().filter(|one| one.verdict == verdict);
        match count.count() {
            0 => {}
            count => verdicts.push(format!("{count} {verdict}")),
        }
    }
    let own: u64 = shape.snapshots.iter().map(|one| one.own_bytes).sum();
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match verdicts.as_slice() {
        [] => writeln!(text, "no snapshots"),
        some => writeln!(text, "snapshots: {}", some.join(", ")),
    };
    let _ = writeln!(
        text,
        "files:     {}, {}: {} in directories of snapshots, {} shared by whole ones",
        shape.files,
        human::bytes(shape.bytes),
        human::bytes(own),
        human::bytes(shape.shared_bytes),
    );
    let _ = match (&shape.orphans, shape.orphan_bytes) {
        (Some(orphans), Some(bytes)) => writeln!(
            text,
            "orphans:   {}, {} that no whole snapshot here needs",
            orphans.len(),
            human::bytes(bytes)
        ),
        _ => writeln!(
            text,
            "orphans:   cannot be told: what cannot be read may need any file"
        ),
    };
    text
}

/// Orphans by directory, the heaviest first.
fn orphan_table(prefix: &str, orphans: &[Orphan], zone: &TimeZone) -> String {
    let mut directories: BTreeMap<&str, (u64, u64, Option<Timestamp>)> = BTreeMap::new();
    for orphan in orphans {
        let directory = orphan
            .path
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        let (files, bytes, newest) = directories.entry(directory).or_default();
        *files += 1;
        *bytes += orphan.bytes;
        *newest = (*newest).max(orphan.modified_at);
    }
    let mut rows: Vec<_> = directories.into_iter().collect();
    rows.sort_by_key(|(directory, (_, bytes, _))| (std::cmp::Reverse(*bytes), *directory));
    let mut table = Table::new(["orphans", "bytes", "newest", "in"]);
    for (directory, (files, bytes, newest)) in rows.iter().take(ORPHANS_SHOWN_MAX) {
        table.row([
            files.to_string().into(),
            human::bytes(*bytes).into(),
            time(*newest, zone).into(),
            format!("{prefix}/{directory}").into(),
        ]);
    }
    let mut text = table.render();
    if let Some(more) = rows.len().checked_sub(ORPHANS_SHOWN_MAX + 1) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "and {} more directories", more + 1);
    }
    text
}

/// What is wrong, snapshot by snapshot, and what to think of before anything is deleted.
fn notes(shape: &shape::Scanned) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for one in &shape.snapshots {
        if one.findings.is_empty() && one.reason.is_none() {
            continue;
        }
        let style = style::of_word(one.verdict);
        let _ = writeln!(text, "{} is {style}{}{style:#}", one.location, one.verdict);
        text.push_str(&human::findings(&one.findings, one.findings_total));
        if let Some(reason) = &one.reason {
            let _ = writeln!(text, "  {reason}");
        }
    }
    let Some(orphans) = shape.orphans.as_ref().filter(|orphans| !orphans.is_empty()) else {
        return text;
    };
    let recent = orphans.iter().filter(|orphan| orphan.recent).count();
    if recent > 0 {
        let _ = writeln!(
            text,
            "warning: {recent} of the orphans are younger than {} minutes: a running job may be about to need them",
            RECENT.as_mins()
        );
    }
    text.push_str(&style::hint(
        "nothing was deleted; snapshots outside of the prefix were not asked",
    ));
    text.push_str(&style::hint(
        "a running job may use files that no snapshot names yet",
    ));
    text
}
