//! What is read from a real API server: pages, watches, refusals, Jobs, Flink clusters.
//!
//! One control plane for all of it, without nodes: pods are objects here, which is all that
//! Lowtide sees of them. Lowtide comes as a ServiceAccount whose rights are given step by step,
//! and at the end the audit log must show these and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::name::JobId;
use lowtide_world::kubernetes::pods::{VvpPodReader, VvpPods};
use lowtide_world::kubernetes::{Access, ApiServer, Source, jobs};
use lowtide_world::platform::kubernetes::{Client, Reach, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbench::kubernetes::{Node, Options, PodSecurity};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// For whatever must happen soon.
const LIMIT: Duration = Duration::from_mins(3);
/// What a reading may take where it is to succeed, on a busy machine.
const PATIENT: Duration = Duration::from_secs(30);
/// What a reading may take where it is to fail.
const IMPATIENT: Duration = Duration::from_secs(2);

/// Names with two pods each.
const DEPLOYMENTS: usize = 600;

#[test]
fn a_real_api_server() -> Result<()> {
    let bench = Bench::start()?;
    // Several threads: the tests' own requests block, and the watch must go on meanwhile.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(async {
            bench.refusals().await.context("refusals")?;
            bench.wrong_logins().await.context("wrong logins")?;
            bench.pages().await.context("pages")?;
            bench.pods_that_count().await.context("pods that count")?;
            bench.scheduled_times().await.context("scheduled times")?;
            bench.clusters().await.context("clusters")?;
            bench.watches().await.context("watches")
        })?;
    bench.verbs().context("verbs")
}

struct Bench {
    node: Node,
    /// Of the ServiceAccount `flink/lowtide`.
    kubeconfig: PathBuf,
    scratch: TempDir,
}

impl Bench {
    fn start() -> Result<Self> {
        let node = Node::start(&Options::default())?;
        for namespace in ["flink", "fleet"] {
            node.namespace(namespace, PodSecurity::Baseline)?;
        }
        node.apply(&json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": "lowtide", "namespace": "flink" },
        }))?;
        Ok(Self {
            kubeconfig: node.kubeconfig_for_service_account("flink", "lowtide")?,
            node,
            scratch: tempfile::tempdir()?,
        })
    }

    fn access(&self, namespace: &str) -> Access {
        Access {
            kubeconfig: Some(self.kubeconfig.clone()),
            context: None,
            namespace: Some(namespace.to_owned()),
        }
    }

    fn reader(&self, source: Source) -> VvpPodReader {
        reader_of(self.access("flink"), source, PATIENT)
    }

    /// Gives `flink/lowtide` a right in a namespace.
    fn grant(&self, namespace: &str, group: &str, resource: &str, verbs: &[&str]) -> Result<()> {
        let name = resource.replace('/', "-");
        self.node.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": { "name": name, "namespace": namespace },
            "rules": [{ "apiGroups": [group], "resources": [resource], "verbs": verbs }],
        }))?;
        self.node.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": name, "namespace": namespace },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": "lowtide", "namespace": "flink" }],
        }))?;
        Ok(())
    }

    fn pod(&self, namespace: &str, name: &str, labels: &Value) -> Result<()> {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let pod = pod(name, labels);
        self.node.admin().done("POST", &path, Some(&pod))?;
        Ok(())
    }

    fn vvp_pod(&self, name: &str, deployment: &str) -> Result<()> {
        self.pod("flink", name, &vvp_labels(deployment))
    }

    /// How often somebody did this in the namespace `flink`, so far.
    fn asked(&self, verb: &str, resource: &str) -> Result<usize> {
        let audit = self.node.audit()?;
        Ok(audit
            .iter()
            .filter(|event| event.user == "system:serviceaccount:flink:lowtide")
            .filter(|event| event.verb == verb && event.resource == resource)
            .count())
    }

    /// Who may not do what where, and the rule that is missing.
    async fn refusals(&self) -> Result<()> {
        let fault = refused(self.reader(Source::List).read().await)?;
        ensure!(fault.kind == FaultKind::Permanent, "{fault:?}");
        ensure!(
            fault.text
                == "the ServiceAccount `flink/lowtide` may not list pods in namespace `flink`",
            "{fault}"
        );
        let hint = fault.hint.context("no hint")?;
        let rule = "{ apiGroups: [\"\"], resources: [pods], verbs: [list] }";
        ensure!(hint.contains(rule), "{hint}");

        self.grant("flink", "", "pods", &["list"])?;
        // The authorizer follows with a watch of its own.
        let listed = until("the right to list", async || {
            Ok(self.reader(Source::List).read().await.ok())
        });
        ensure!(listed.await?.all().is_empty());

        // The list succeeds and the watch after it does not: that must not pass for being in step.
        let watching = self.reader(Source::Watch);
        let fault = until("the refusal of the watch", async || {
            Ok(watching.read().await.err())
        });
        let fault = fault.await?;
        ensure!(fault.kind == FaultKind::Permanent, "{fault:?}");
        ensure!(fault.text.contains("may not watch pods"), "{fault}");
        self.grant("flink", "", "pods", &["list", "watch"])
    }

    async fn wrong_logins(&self) -> Result<()> {
        let good = fs::read_to_string(&self.kubeconfig)?;
        let mut config: Value = serde_json::from_str(&good)?;
        config["users"][0]["user"]["token"] = "tops3cret".into();
        let path = self.scratch.path().join("expired");
        fs::write(&path, config.to_string())?;
        let mut access = self.access("flink");
        access.kubeconfig = Some(path);
        let fault = refused(reader_of(access, Source::List, PATIENT).read().await)?;
        ensure!(fault.kind == FaultKind::Permanent, "{fault:?}");
        ensure!(fault.text.contains("401"), "{fault}");
        ensure!(!format!("{fault:?}").contains("tops3cret"), "{fault:?}");

        // Two contexts: one leads to a port on which nobody listens.
        let dead = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut config: Value = serde_json::from_str(&good)?;
        let mut cluster = config["clusters"][0].clone();
        cluster["name"] = "dead".into();
        cluster["cluster"]["server"] = format!("https://{dead}").into();
        let mut context = config["contexts"][0].clone();
        context["name"] = "dead".into();
        context["context"]["cluster"] = "dead".into();
        config["clusters"]
            .as_array_mut()
            .context("clusters")?
            .push(cluster);
        config["contexts"]
            .as_array_mut()
            .context("contexts")?
            .push(context);
        let path = self.scratch.path().join("two-contexts");
        fs::write(&path, config.to_string())?;
        let mut access = self.access("flink");
        access.kubeconfig = Some(path);
        reader_of(access.clone(), Source::List, PATIENT)
            .read()
            .await?;
        access.context = Some("dead".to_owned());
        let fault = refused(reader_of(access, Source::List, PATIENT).read().await)?;
        ensure!(fault.kind == FaultKind::Transient, "{fault:?}");
        ensure!(fault.text.contains("the connection was refused"), "{fault}");
        Ok(())
    }

    /// 1,200 pods are three pages, however many ask.
    async fn pages(&self) -> Result<()> {
        std::thread::scope(|scope| -> Result<()> {
            const THREADS: usize = 8;
            let made: Vec<_> = (0..THREADS)
                .map(|thread| {
                    scope.spawn(move || -> Result<()> {
                        for number in (thread..DEPLOYMENTS).step_by(THREADS) {
                            let name = format!("app-{number}");
                            self.vvp_pod(&format!("{name}-jobmanager"), &name)?;
                            self.vvp_pod(&format!("{name}-taskmanager"), &name)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            for thread in made {
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            }
            Ok(())
        })?;
        let before = self.asked("list", "pods")?;
        let reader = Arc::new(self.reader(Source::List));
        let mut asking = tokio::task::JoinSet::new();
        for number in 0..500 {
            let reader = Arc::clone(&reader);
            asking.spawn(async move {
                let pods = reader.read().await?;
                let name = format!("app-{number}");
                Ok::<_, Fault>((name.clone(), pods.deployment_ids(&name).len()))
            });
        }
        while let Some(answer) = asking.join_next().await {
            let (name, ids) = answer??;
            ensure!(ids == 1, "{name} has {ids} ids");
        }
        ensure!(reader.read().await?.all().len() == 2 * DEPLOYMENTS);
        let lists = until("the audit log", async || {
            let lists = self.asked("list", "pods")? - before;
            Ok((lists >= 3).then_some(lists))
        });
        // A second list only if more than a second passed meanwhile.
        let lists = lists.await?;
        ensure!(lists == 3 || lists == 6, "{lists} requests for three pages");
        Ok(())
    }

    /// Ended pods are left out by the server, leaving ones are told.
    async fn pods_that_count(&self) -> Result<()> {
        self.vvp_pod("ended", "app-ended")?;
        let path = "/api/v1/namespaces/flink/pods/ended/status";
        let ended = json!({ "status": { "phase": "Succeeded" } });
        let merge = "application/merge-patch+json";
        let (status, said) = self
            .node
            .admin()
            .send_as("PATCH", path, merge, Some(&ended))?;
        ensure!(status == 200, "{said}");

        // Bound to a node, so that it stays for its grace period: nobody ends it.
        let path = "/api/v1/namespaces/flink/pods";
        let mut pod = pod("leaving", &vvp_labels("app-leaving"));
        pod["spec"]["nodeName"] = "none".into();
        self.node.admin().done("POST", path, Some(&pod))?;
        let path = "/api/v1/namespaces/flink/pods/leaving";
        self.node.admin().done("DELETE", path, None)?;

        let pods = self.reader(Source::List).read().await?;
        ensure!(
            pods.named("app-ended").is_empty(),
            "{:?}",
            pods.named("app-ended")
        );
        let leaving = pods.named("app-leaving");
        ensure!(leaving.len() == 1 && leaving[0].terminating, "{leaving:?}");
        ensure!(leaving[0].job_id.as_deref() == Some("job-1"), "{leaving:?}");
        ensure!(pods.deployment_ids("app-leaving").len() == 1);
        let at_once = format!("{path}?gracePeriodSeconds=0");
        self.node.admin().done("DELETE", &at_once, None)?;
        Ok(())
    }

    async fn scheduled_times(&self) -> Result<()> {
        let access = self.access("flink");
        for (name, annotations) in [
            (
                "nightly",
                json!({
                    "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-11-22T01:00:00+01:00",
                }),
            ),
            ("by-hand", json!({})),
        ] {
            self.node.apply(&json!({
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": { "name": name, "namespace": "flink", "annotations": annotations },
                "spec": { "suspend": true, "template": { "spec": {
                    "restartPolicy": "Never",
                    "containers": [{ "name": "main", "image": "none.invalid/none" }],
                }}},
            }))?;
        }
        let fault = refused(jobs::scheduled_time(&access, None, "nightly").await)?;
        ensure!(
            fault.text
                == "the ServiceAccount `flink/lowtide` may not get jobs in namespace `flink`",
            "{fault}"
        );
        let rule = "{ apiGroups: [\"batch\"], resources: [jobs], verbs: [get] }";
        ensure!(fault.hint.context("no hint")?.contains(rule));

        self.grant("flink", "batch", "jobs", &["get"])?;
        let time = until("the right to read Jobs", async || {
            Ok(jobs::scheduled_time(&access, Some("flink"), "nightly")
                .await
                .ok())
        });
        let time = time.await?.context("no time")?;
        ensure!(time.to_string() == "2026-11-22T00:00:00Z", "{time}");
        let by_hand = jobs::scheduled_time(&access, None, "by-hand").await?;
        ensure!(by_hand.is_none(), "{by_hand:?}");
        let fault = refused(jobs::scheduled_time(&access, None, "missing").await)?;
        ensure!(fault.kind == FaultKind::Gone, "{fault:?}");
        Ok(())
    }

    /// Objects as Flink makes them, found by list and by watch, and asked through the API server.
    async fn clusters(&self) -> Result<()> {
        for source in [Source::List, Source::Watch] {
            let resources: &[&str] = match source {
                Source::List => &["list"],
                Source::Watch => &["list", "watch"],
            };
            self.grant("fleet", "", "pods", resources)?;
            self.grant("fleet", "", "services", resources)?;
            self.clusters_by(source)
                .await
                .with_context(|| format!("{source:?}"))?;
        }
        Ok(())
    }

    async fn clusters_by(&self, source: Source) -> Result<()> {
        let mut settings = Settings::new(self.access("fleet"));
        settings.source = source;
        settings.reach = Some(Reach::Proxy);
        // A watch that was refused begins again after a while, a new client at once.
        let client = until("the right to look", async || {
            let client = Client::new(&settings);
            Ok(client.look().await.is_ok().then_some(client))
        });
        let client = client.await?;
        ensure!(client.look().await?.about("orders")?.is_empty());

        // Scaled to nothing: the Service stays, and is not waited for.
        self.rest_service("asleep")?;
        self.job_manager("orders", "flink-native-kubernetes")?;
        let no_service = self.fault_of(&client, "orders", "no Service with a port `rest`");
        let no_service = no_service.await?;
        ensure!(no_service.kind == FaultKind::Transient, "{no_service:?}");

        self.rest_service("orders")?;
        self.job_manager("standalone", "flink-standalone-kubernetes")?;
        self.rest_service("standalone")?;
        if source == Source::List {
            let refused = self.fault_of(&client, "orders", "services/proxy").await?;
            ensure!(refused.kind == FaultKind::Transient || refused.kind == FaultKind::Permanent);
            let hint = refused.hint.context("no hint")?;
            ensure!(hint.contains("verbs: [get, create]"), "{hint}");
            self.grant("fleet", "", "services/proxy", &["get", "create"])?;
        }
        // Nobody stands behind the Service: the API server itself says so.
        for cluster in ["orders", "standalone"] {
            let fault = self
                .fault_of(&client, cluster, "no endpoints available")
                .await?;
            ensure!(fault.kind == FaultKind::Transient, "{fault:?}");
            ensure!(
                fault
                    .text
                    .contains(&format!("the Flink cluster `{cluster}`")),
                "{fault}"
            );
        }
        let gone = JobId::new(format!("asleep/{:032}", 1));
        let fault = refused(client.vitals(&gone).await)?;
        ensure!(fault.kind == FaultKind::Gone, "{fault:?}");

        for path in [
            "pods/orders-jobmanager",
            "pods/standalone-jobmanager",
            "services/orders-rest",
            "services/standalone-rest",
            "services/asleep-rest",
        ] {
            let path = format!("/api/v1/namespaces/fleet/{path}");
            self.node.admin().done("DELETE", &path, None)?;
        }
        until("the clusters to be gone", async || {
            Ok(client.look().await?.about("asleep").ok())
        })
        .await?;
        Ok(())
    }

    async fn fault_of(&self, client: &Client, name: &str, wanted: &str) -> Result<Fault> {
        until(wanted, async || {
            let fault = client.look().await?.about(name).err();
            Ok(fault.filter(|fault| fault.text.contains(wanted)))
        })
        .await
    }

    fn job_manager(&self, cluster: &str, kind: &str) -> Result<()> {
        let labels = json!({ "app": cluster, "component": "jobmanager", "type": kind });
        self.pod("fleet", &format!("{cluster}-jobmanager"), &labels)
    }

    fn rest_service(&self, cluster: &str) -> Result<()> {
        self.node.apply(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": format!("{cluster}-rest"),
                "namespace": "fleet",
                "labels": { "app": cluster, "type": "flink-native-kubernetes" },
            },
            "spec": {
                "selector": { "app": cluster, "component": "jobmanager" },
                "ports": [{ "name": "rest", "port": 8081 }],
            },
        }))?;
        Ok(())
    }

    /// A watch outlives cut connections and the API server, and never answers out of step.
    async fn watches(&self) -> Result<()> {
        let valve = Valve::open(self.node.address()).await?;
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&self.kubeconfig)?)?;
        config["clusters"][0]["cluster"]["server"] = format!("https://{}", valve.address).into();
        let path = self.scratch.path().join("through-the-valve");
        fs::write(&path, config.to_string())?;
        let mut access = self.access("flink");
        access.kubeconfig = Some(path);
        let watching = reader_of(access, Source::Watch, IMPATIENT);
        self.in_step(&watching, 2 * DEPLOYMENTS).await?;

        let lists = self.asked("list", "pods")?;
        self.vvp_pod("one-more", "one-more")?;
        self.in_step(&watching, 2 * DEPLOYMENTS + 1).await?;
        ensure!(
            self.asked("list", "pods")? == lists,
            "it lists, and was to watch"
        );

        valve.shut();
        let fault = self.out_of_step(&watching).await?;
        ensure!(fault.kind == FaultKind::Transient, "{fault:?}");
        self.vvp_pod("meanwhile", "meanwhile")?;
        self.node
            .admin()
            .done("DELETE", "/api/v1/namespaces/flink/pods/one-more", None)?;
        valve.reopen();
        let pods = self.in_step(&watching, 2 * DEPLOYMENTS + 1).await?;
        ensure!(pods.named("one-more").is_empty() && pods.named("meanwhile").len() == 1);

        let old = self.version()?;
        self.vvp_pod("before", "before")?;
        self.node.kill_api_server()?;
        self.out_of_step(&watching).await?;
        self.node.start_api_server()?;
        self.expired(&old).await?;
        self.in_step(&watching, 2 * DEPLOYMENTS + 2).await?;
        self.vvp_pod("after", "after")?;
        let pods = self.in_step(&watching, 2 * DEPLOYMENTS + 3).await?;
        ensure!(pods.named("after").len() == 1);
        Ok(())
    }

    async fn in_step(&self, watching: &VvpPodReader, pods: usize) -> Result<Arc<VvpPods>> {
        let mut last = String::new();
        let in_step = until("the watch to be in step", async || {
            match watching.read().await {
                Ok(seen) if seen.all().len() == pods => Ok(Some(seen)),
                Ok(seen) => {
                    last = format!("{} pods", seen.all().len());
                    Ok(None)
                }
                Err(fault) => {
                    last = fault.to_string();
                    Ok(None)
                }
            }
        });
        let in_step = in_step.await;
        in_step.with_context(|| format!("{pods} pods wanted, last seen: {last}"))
    }

    async fn out_of_step(&self, watching: &VvpPodReader) -> Result<Fault> {
        until("the watch to be out of step", async || {
            Ok(watching.read().await.err())
        })
        .await
    }

    /// Where the list of pods stands.
    fn version(&self) -> Result<String> {
        let list = self
            .node
            .admin()
            .get("/api/v1/namespaces/flink/pods?limit=1")?;
        let version = list["metadata"]["resourceVersion"].as_str();
        Ok(version.context("no version")?.to_owned())
    }

    /// A watch from this version is answered by 410: resuming would have been in vain.
    async fn expired(&self, version: &str) -> Result<()> {
        let path = format!(
            "/api/v1/namespaces/flink/pods?watch=1&timeoutSeconds=1&resourceVersion={version}"
        );
        until("410 for an old version", async || {
            let (_, said) = self.node.api("GET", &path, None)?;
            let said = said.to_string();
            Ok(said.contains("too old resource version").then_some(()))
        })
        .await
    }

    /// Exactly the verbs that the module's page promises.
    fn verbs(&self) -> Result<()> {
        let seen: BTreeSet<String> = self
            .node
            .audit()?
            .iter()
            .filter(|event| event.user == "system:serviceaccount:flink:lowtide")
            .map(|event| {
                let slash = if event.subresource.is_empty() {
                    ""
                } else {
                    "/"
                };
                let (resource, part) = (&event.resource, &event.subresource);
                format!("{} {resource}{slash}{part}", event.verb)
            })
            .collect();
        let promised = [
            "get jobs",
            "get services/proxy",
            "list pods",
            "list services",
            "watch pods",
            "watch services",
        ];
        let promised: BTreeSet<String> = promised.map(str::to_owned).into();
        ensure!(seen == promised, "{seen:?}");
        Ok(())
    }
}

fn reader_of(access: Access, source: Source, timeout: Duration) -> VvpPodReader {
    let server = Arc::new(ApiServer::new(access, timeout));
    VvpPodReader::new(server, Some("default"), source)
}

fn pod(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": labels },
        "spec": { "containers": [{ "name": "main", "image": "none.invalid/none" }] },
    })
}

fn vvp_labels(deployment: &str) -> Value {
    json!({
        "system": "ververica-platform",
        "app": "flink-job",
        "vvpNamespace": "default",
        "deploymentName": deployment,
        "deploymentId": format!("id-of-{deployment}"),
        "jobId": "job-1",
    })
}

fn refused<T>(answer: Result<T, Fault>) -> Result<Fault> {
    answer.err().context("let in")
}

/// Looks again and again until there is something.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        ensure!(began.elapsed() < LIMIT, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A way to the API server that can be shut: connections are cut, and new ones go nowhere.
struct Valve {
    address: std::net::SocketAddr,
    is_open: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Valve {
    async fn open(server: std::net::SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (is_open, seen) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, server, seen.clone()));
            }
        });
        Ok(Self {
            address,
            is_open,
            task,
        })
    }

    fn shut(&self) {
        self.is_open.send_replace(false);
    }

    fn reopen(&self) {
        self.is_open.send_replace(true);
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, to its end or until the valve is shut.
async fn pass(
    mut near: TcpStream,
    server: std::net::SocketAddr,
    mut is_open: watch::Receiver<bool>,
) {
    if !*is_open.borrow_and_update() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = is_open.wait_for(|is_open| !is_open) => {}
    }
}
