//! A real HDFS: Hadoop's own name node and data node in one process, from Maven's artifacts.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::server::{Place, Server};
use crate::{cache, http, java, maven, say};

const VERSION: &str = "3.4.1";
/// Hadoop's client with its small cluster, all in one jar each, and what these leave out.
const JARS: [&str; 7] = [
    "org.apache.hadoop:hadoop-client-api:3.4.1",
    "org.apache.hadoop:hadoop-client-runtime:3.4.1",
    "org.apache.hadoop:hadoop-client-minicluster:3.4.1",
    "commons-logging:commons-logging:1.2",
    "javax.xml.bind:jaxb-api:2.3.1",
    "org.slf4j:slf4j-api:1.7.36",
    "org.slf4j:slf4j-nop:1.7.36",
];
const CLASS: &str = "HdfsServer";
/// What the program makes once the data node is there, too; the name node answers long before.
const READY: &str = "/webhdfs/v1/ready?op=GETFILESTATUS";
const SOURCE: &str = include_str!("../java/HdfsServer.java");

/// A running cluster on loopback; when it is dropped it is killed, and its files are removed.
#[derive(Debug)]
pub struct HdfsServer {
    server: Server,
}

impl HdfsServer {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// It is not in the cache and cannot be fetched (no Maven, no network), or does not answer in time.
    pub fn start() -> Result<Self> {
        let lib = jars()?;
        let program = java::jar(&format!("hadoop-{VERSION}"), &lib, CLASS, SOURCE)?;
        say::step("starting HDFS");
        let place = Place::new("lowtide-hdfs-")?;
        let mut command = java::command()?;
        let path = format!("{}:{}", lib.join("*").display(), program.display());
        command.args(["-cp", &path, CLASS]);
        command.arg(place.folder().join("data")).arg(place.port());
        let is_ready = |status| status == 200;
        Server::start(place, command, READY, is_ready).map(|server| Self { server })
    }

    /// The address of its name node's HTTP server: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Puts a file, with the directories above it ("Create and Write to a File" of Hadoop's `WebHDFS` page).
    ///
    /// # Errors
    /// The server refuses.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let create = format!("/webhdfs/v1{path}?op=CREATE&noredirect=true&user.name=root");
        let answer = http::request(self.url(), "PUT", &create, None, b"")?.json()?;
        let url = answer["Location"].as_str().context("where to write")?;
        let at = url.find("/webhdfs").context("a path to write to")?;
        let (node, path) = url.split_at(at);
        let kind = Some("application/octet-stream");
        let answer = http::request(node, "PUT", path, kind, bytes)?;
        ensure!(answer.status == 201, "{path}: status {}", answer.status);
        Ok(())
    }
}

/// The folder with Hadoop's jars, from the cache or fetched into it.
///
/// # Errors
/// They are not in the cache and cannot be fetched: no Maven, no network.
pub fn jars() -> Result<PathBuf> {
    cache::entry(&format!("hdfs/hadoop-{VERSION}"), |folder| {
        say::step(format!("downloading Hadoop {VERSION} (90 MB)"));
        JARS.iter().try_for_each(|jar| maven::copy(jar, folder))
    })
}
