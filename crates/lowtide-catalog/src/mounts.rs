//! Which kind of file system a directory lies on.
//!
//! SQLite's write-ahead log shares memory between processes through a mapped file, and its locks
//! are POSIX locks: both are unreliable or missing on network file systems
//! (<https://sqlite.org/wal.html>, <https://sqlite.org/howtocorrupt.html>). Linux tells the kind
//! in `/proc/self/mountinfo` (proc(5)); where there is no such file, nothing is refused.

use std::path::{Path, PathBuf};

/// Where Linux lists what is mounted.
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// File systems that another machine serves, as Linux names them. Those of user space (`fuse.…`)
/// are judged by what stands after the dot.
const NETWORK: &[&str] = &[
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "davfs",
    "davfs2",
    "gcsfuse",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "orangefs",
    "pvfs2",
    "rclone",
    "s3fs",
    "smb2",
    "smb3",
    "smbfs",
    "sshfs",
];

/// The kind of network file system that a directory lies on; `None` if it is local, or cannot
/// be told.
pub(crate) fn network_file_system(directory: &Path) -> Option<String> {
    let table = std::fs::read_to_string(MOUNTINFO).ok()?;
    // Through links: what counts is where the file really lies.
    let real = std::fs::canonicalize(directory).ok()?;
    network_kind(&table, &real)
}

fn network_kind(table: &str, directory: &Path) -> Option<String> {
    let kind = kind_of(table, directory)?;
    let name = kind.strip_prefix("fuse.").unwrap_or(kind);
    NETWORK.contains(&name).then(|| kind.to_owned())
}

/// The type of the mount that a path lies in: the deepest one above it, and of several on one
/// place the last, which hides the others.
fn kind_of<'t>(table: &'t str, path: &Path) -> Option<&'t str> {
    table
        .lines()
        .filter_map(mount)
        .filter(|(point, _)| path.starts_with(point))
        .enumerate()
        .max_by_key(|(order, (point, _))| (point.components().count(), *order))
        .map(|(_, (_, kind))| kind)
}

/// Mount point and type of one line: `ID PARENT DEV ROOT POINT OPTIONS [TAG…] - TYPE SOURCE …`.
fn mount(line: &str) -> Option<(PathBuf, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?;
    let kind = after.split(' ').next()?;
    Some((PathBuf::from(unescaped(point)), kind))
}

/// Spaces, tabs, newlines and backslashes stand as `\` and three octal digits.
fn unescaped(text: &str) -> String {
    [
        (r"\040", " "),
        (r"\011", "\t"),
        (r"\012", "\n"),
        (r"\134", r"\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r"27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:27 / /data rw - nfs4 server:/export rw,vers=4.2
31 30 0:28 / /data/local rw - xfs /dev/vdb rw
32 27 0:29 / /with\040space rw shared:2 master:3 - cifs //server/share rw
33 27 0:30 / /fuse rw - fuse.sshfs user@host: rw
34 27 0:31 / /fuse/overlay rw - fuse.fuse-overlayfs overlay rw
35 27 0:32 / /twice rw - ext4 /dev/vdc rw
36 27 0:33 / /twice rw - 9p share rw
broken line
";

    #[test]
    fn the_deepest_and_last_mount_counts() {
        for (path, wanted) in [
            ("/var/lib", None),
            ("/data", Some("nfs4")),
            ("/data/deeper/still", Some("nfs4")),
            ("/data/local/lowtide", None),
            ("/database", None),
            ("/with space/x", Some("cifs")),
            ("/fuse/x", Some("fuse.sshfs")),
            ("/fuse/overlay/x", None),
            ("/twice/x", Some("9p")),
        ] {
            assert_eq!(
                network_kind(TABLE, Path::new(path)).as_deref(),
                wanted,
                "{path}"
            );
        }
    }
}
