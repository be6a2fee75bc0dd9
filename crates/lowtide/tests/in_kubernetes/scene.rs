//! What all tests share: a node, a Flink with three jobs out here, the image of the program.
//!
//! It is there while a test holds it, and ends with the last one: tests that run at the same time share it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbench::flink::{Cluster, JobHandle, JobSpec, Release};
use testbench::kubernetes::{Node, Options};

use crate::release::MOUNTED;

/// For a pod to be scheduled, started and to do its work on a busy machine, a `CronJob`'s next minute and the
/// 30 s after which a dead process' claim lapses included.
pub const LIMIT: Duration = Duration::from_mins(4);

/// The three applications, which are also their jobs' names.
pub const NAMES: [&str; 3] = ["orders", "payments", "fraud"];

/// The archive of the image, where the caller has built it: `cargo xtask image --profile image-test --tag
/// lowtide:test`.
const IMAGE: &str = "LOWTIDE_IMAGE";
/// The image's name in it.
pub const REPOSITORY: &str = "lowtide";
/// The image's tag.
pub const TAG: &str = "test";

/// The jobs of all tests, each of which takes one: three shared ones and those that are blocked.
const SLOTS: usize = 8;

/// A job, and what it was made from.
type Started = (JobSpec, JobHandle);

/// What all tests share.
#[derive(Debug)]
pub struct Scene {
    /// The Kubernetes. It ends before the Flink, whose folders its pods have mounted.
    pub node: Node,
    /// The Flink beside it, whose jobs stand behind the platforms' deployments.
    pub flink: Arc<Cluster>,
    /// A job for each of [`NAMES`].
    pub jobs: Vec<Started>,
}

/// The shared scene; started where nobody holds it.
pub fn scene() -> Arc<Scene> {
    static SHARED: Mutex<Weak<Scene>> = Mutex::new(Weak::new());
    // A test whose scene did not start must not hide its message behind ours.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let scene = Arc::new(Scene::start().unwrap());
        *shared = Arc::downgrade(&scene);
        scene
    })
}

impl Scene {
    fn start() -> Result<Self> {
        thread::scope(|scope| {
            let flink = scope.spawn(flink);
            let image = image()?;
            let node = Node::start(&Options {
                containers: true,
                images: vec![image],
                ..Options::default()
            })?;
            let (flink, jobs) = flink.join().expect("it does not panic")?;
            Ok(Self { node, flink, jobs })
        })
    }

    /// One more job, which nobody else uses.
    pub fn job(&self, name: &str) -> Started {
        let spec = JobSpec::named(name);
        let job = self.flink.submit(&spec).unwrap();
        (spec, job)
    }

    /// What Flink calls its savepoint directory, and where pods have it.
    pub fn paths(&self) -> Value {
        let root = self.flink.savepoint_root();
        json!({ format!("file:{}", root.display()): MOUNTED })
    }

    /// A folder for the volume of a namespace's catalog.
    pub fn catalog_folder(&self, namespace: &str) -> PathBuf {
        self.flink.scratch().join("catalogs").join(namespace)
    }
}

fn flink() -> Result<(Arc<Cluster>, Vec<Started>)> {
    let flink = Cluster::builder(Release::V1_20)
        .slots(SLOTS)
        .state_in_files()
        .start()?;
    let jobs = NAMES.map(|name| {
        let spec = JobSpec::named(name);
        flink.submit(&spec).map(|job| (spec, job))
    });
    let jobs = jobs.into_iter().collect::<Result<_>>()?;
    Ok((Arc::new(flink), jobs))
}

/// The caller's, or one built now.
fn image() -> Result<PathBuf> {
    if let Some(archive) = std::env::var_os(IMAGE) {
        return Ok(archive.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lowtide-image.tar");
    let status = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["run", "--locked", "--package", "xtask", "--", "image"])
        .args(["--profile", "image-test", "--tag"])
        .arg(format!("{REPOSITORY}:{TAG}"))
        .arg("--output")
        .arg(&archive)
        .status()
        .context("run cargo xtask image")?;
    ensure!(status.success(), "the image is not built");
    Ok(archive)
}
