//! The program from outside: its binary in a directory of its own.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

pub mod running;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A configuration of two applications on a platform that refuses connections: nothing listens
/// on the discard port.
pub const TWO: &str = "\
catalog: { sqlite: catalog.db }
platforms:
  session: { flink: { url: \"http://127.0.0.1:9\" } }
schedule: \"0 1 * * *\"
applications: [orders, payments]
";

/// What would say where stores are, and who may read there.
const STORES: [&str; 9] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "OSS_ENDPOINT",
];

/// A directory with a `lowtide.yaml`, where the program is run.
pub struct Place {
    directory: TempDir,
}

/// What a command printed and how it ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// All of it, for a snapshot.
    pub fn text(&self) -> String {
        format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// A text without the widths of its columns.
pub fn narrow(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let cells = line.split("  ").map(str::trim);
        cells
            .filter(|cell| !cell.is_empty())
            .collect::<Vec<_>>()
            .join("  ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Place {
    pub fn new(config: &str) -> Self {
        let place = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::write(place.path("lowtide.yaml"), config).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lays a fixture out as the directory that Flink left, its state files sparse.
    pub fn savepoint(&self, fixture: &str) -> PathBuf {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../flink-metadata/tests/fixtures")
            .join(fixture);
        let directory = self.path("savepoint-0102");
        fs::create_dir(&directory).unwrap();
        for line in fs::read_to_string(from.join("files.tsv")).unwrap().lines() {
            let (size, name) = line.split_once('\t').unwrap();
            let path = directory.join(name);
            if name == "_metadata" {
                fs::copy(from.join(name), &path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let file = File::create(&path).unwrap();
                file.set_len(size.parse().unwrap()).unwrap();
            }
        }
        directory
    }

    /// What a command said, without the directory's own path, which is another one each time.
    pub fn text(&self, ended: &Ended) -> String {
        let path = self.path("");
        let path = path.to_str().unwrap().trim_end_matches('/');
        ended.text().replace(path, "/DIR")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        command(self.directory.path(), args)
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }
}

/// The binary, with nothing of the environment that could change what it prints.
pub fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowtide"));
    command
        .args(args)
        .current_dir(directory)
        .env_remove("LOWTIDE_CONFIG")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("NO_COLOR")
        .env("COLUMNS", "100");
    for variable in STORES {
        command.env_remove(variable);
    }
    command
}
