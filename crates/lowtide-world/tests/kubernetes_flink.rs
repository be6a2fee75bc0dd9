//! A native session cluster in a real Kubernetes, found by its labels and asked from outside,
//! through the API server, as a ServiceAccount with the promised rights and no others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use lowtide_core::fault::FaultKind;
use lowtide_core::name::{JobId, Location, PlatformName, RunId, TriggerId};
use lowtide_core::ports::World;
use lowtide_core::resolve::{JobSeen, Resolution, resolve};
use lowtide_core::run::{Attempt, Operation, OwnDirectory, Reply};
use lowtide_core::savepoint::Format;
use lowtide_core::verify;
use lowtide_world::Hands;
use lowtide_world::kubernetes::{Access, Source};
use lowtide_world::platform::PlatformSettings;
use lowtide_world::platform::kubernetes::Settings;
use serde_json::json;
use testbench::flink::JobSpec;
use testbench::kubernetes::flink::{Session, SessionSpec, VOLUME_PATH, archive};
use testbench::kubernetes::{Node, Options, PodSecurity, left_out};

/// For everything that a small job does.
const LIMIT: Duration = Duration::from_mins(3);
const NAMESPACE: &str = "streams";

#[test]
fn a_native_session_cluster_from_outside() -> Result<()> {
    if left_out("a_native_session_cluster_from_outside") {
        return Ok(());
    }
    let node = Node::start(&Options {
        containers: true,
        images: vec![archive()?],
        ..Options::default()
    })?;
    node.namespace(NAMESPACE, PodSecurity::Restricted)?;
    let session = Session::start(&node, &SessionSpec::named(NAMESPACE, "plain"))?;
    let orders = session.submit(&JobSpec::named("orders"))?;
    let fleet = Fleet::new(&node, &session)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(async {
            let job = fleet.names(&orders.id).await.context("names")?;
            fleet.savepoint(&job).await.context("savepoint")?;
            session.submit(&JobSpec::named("payments"))?;
            fleet.two_jobs().await.context("two jobs")?;
            session.delete(&node)?;
            fleet.gone(&job).await.context("gone")
        })
}

struct Fleet {
    hands: Hands,
    platform: PlatformName,
}

impl Fleet {
    fn new(node: &Node, session: &Session) -> Result<Self> {
        node.apply(&json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": "lowtide", "namespace": NAMESPACE },
        }))?;
        node.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": { "name": "lowtide", "namespace": NAMESPACE },
            "rules": [
                { "apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list", "watch"] },
                { "apiGroups": [""], "resources": ["services/proxy"], "verbs": ["get", "create"] },
            ],
        }))?;
        node.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": "lowtide", "namespace": NAMESPACE },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lowtide",
            },
            "subjects": [{ "kind": "ServiceAccount", "name": "lowtide", "namespace": NAMESPACE }],
        }))?;
        // The namespace is the context's, and the way through the API server the default outside.
        let mut settings = Settings::new(Access {
            kubeconfig: Some(node.kubeconfig_for_service_account(NAMESPACE, "lowtide")?),
            ..Access::default()
        });
        settings.source = Source::Watch;
        let data = session.data().to_string_lossy().into_owned();
        settings.paths = vec![(format!("file:{VOLUME_PATH}"), data)];
        let platform = PlatformName::new("fleet")?;
        let platforms =
            BTreeMap::from([(platform.clone(), PlatformSettings::Kubernetes(settings))]);
        Ok(Self {
            hands: Hands::new(platforms)?,
            platform,
        })
    }

    async fn resolve(&self, name: &str) -> Result<Resolution> {
        Ok(resolve(name, &self.hands.jobs(&self.platform, name).await?))
    }

    /// The cluster's id and the job's own name are the same job.
    async fn names(&self, flink_id: &str) -> Result<JobSeen> {
        let Resolution::One(job) = until(async || {
            let found = self.resolve("orders").await.ok();
            Ok(found.filter(|found| matches!(found, Resolution::One(_))))
        })
        .await?
        else {
            bail!("not one job");
        };
        ensure!(job.id.as_str() == format!("plain/{flink_id}"), "{job:?}");
        let Resolution::One(same) = self.resolve("plain").await? else {
            bail!("the cluster's id is not one job");
        };
        ensure!(same.id == job.id, "{same:?}");
        let Resolution::None { suggestions, .. } = self.resolve("order").await? else {
            bail!("found what is not there");
        };
        ensure!(suggestions == ["orders"], "{suggestions:?}");
        Ok(job)
    }

    async fn savepoint(&self, job: &JobSeen) -> Result<()> {
        let vitals = self.hands.vitals(&self.platform, &job.id).await?;
        ensure!(vitals.started_at == job.started_at, "{vitals:?}");
        let base = vitals
            .savepoint_directory
            .context("no savepoint directory")?;
        let attempt = attempt(&job.id, &base, Format::Canonical);
        let unknown = self.hands.operation(&self.platform, &attempt).await?;
        let started_at = Some(job.started_at);
        ensure!(
            unknown
                == Operation::NotFound {
                    job_started_at: started_at
                },
            "{unknown:?}"
        );
        let reply = self.hands.trigger(&self.platform, &attempt).await;
        ensure!(reply == Reply::Accepted, "{reply:?}");
        let ended = until(async || {
            let operation = self.hands.operation(&self.platform, &attempt).await?;
            Ok((operation != Operation::InProgress).then_some(operation))
        });
        let Operation::Completed(location) = ended.await? else {
            bail!("not completed");
        };
        ensure!(
            location
                .as_str()
                .starts_with(&format!("file:{VOLUME_PATH}/")),
            "{location}"
        );
        let directories = self.hands.directories(&self.platform, &attempt).await?;
        ensure!(directories.len() == 1 && directories[0].location == location);
        let reading = self.hands.read(&self.platform, &location).await?;
        let report = verify::judge(&reading, None);
        ensure!(report.is_whole(), "{report:?}");
        Ok(())
    }

    /// A session's id means nothing once it has two jobs; their own names still do.
    async fn two_jobs(&self) -> Result<()> {
        let several = until(async || {
            let found = self.resolve("plain").await?;
            Ok(matches!(&found, Resolution::Several(jobs) if jobs.len() == 2).then_some(()))
        });
        several.await?;
        ensure!(matches!(
            self.resolve("payments").await?,
            Resolution::One(_)
        ));
        Ok(())
    }

    /// Without a JobManager there is no job, and nothing that could still complete.
    async fn gone(&self, job: &JobSeen) -> Result<()> {
        let none = until(async || {
            let found = self.resolve("orders").await.ok();
            Ok(found.filter(|found| matches!(found, Resolution::None { .. })))
        });
        none.await?;
        let fault = self.hands.vitals(&self.platform, &job.id).await.err();
        let fault = fault.context("vitals of a job that is gone")?;
        ensure!(fault.kind == FaultKind::Gone, "{fault:?}");
        let attempt = attempt(&job.id, &Location::new(VOLUME_PATH), Format::Native);
        let operation = self.hands.operation(&self.platform, &attempt).await?;
        ensure!(
            operation
                == Operation::NotFound {
                    job_started_at: None
                },
            "{operation:?}"
        );
        let reply = self.hands.trigger(&self.platform, &attempt).await;
        ensure!(matches!(reply, Reply::NotSent(_)), "{reply:?}");
        Ok(())
    }
}

/// An attempt with a directory of its own below `base`.
fn attempt(job: &JobId, base: &Location, format: Format) -> Attempt {
    let now = Timestamp::now();
    let trigger_id = TriggerId::of_attempt(RunId::from_bytes([7; 16]), 1);
    Attempt {
        directory: Some(OwnDirectory {
            target: base.join("orders").join("request-1"),
            base: base.clone(),
        }),
        sent_at: Some(now),
        calls: 1,
        ..Attempt::frozen(1, job.clone(), now, trigger_id, format, now)
    }
}

/// Looks again and again until there is something.
async fn until<T>(mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        ensure!(began.elapsed() < LIMIT, "waited too long");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
