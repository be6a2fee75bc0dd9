//! A Ververica Platform for one test: an emulator that pods reach, with tokens, and jobs of the real Flink
//! behind its deployments.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbench::http::until;
use testbench::kubernetes::{Exposed, PodSecurity};
use testbench::ververica::{Call, DeploymentSpec, Emulator, Origin, Phase, Role, Savepoint, Seen};

use crate::scene::{LIMIT, NAMES, Scene};

/// The Secret with the token.
const SECRET: &str = "vvp-token";

/// The annotation in which Lowtide leaves its mark.
const MARK: &str = "lowtide/mark";

/// One platform.
#[derive(Debug)]
pub struct Vvp {
    /// Its server.
    pub emulator: Emulator,
    token: String,
    exposed: Exposed,
}

impl Vvp {
    /// Starts one without deployments, which asks for tokens.
    pub fn start(scene: &Scene) -> Self {
        let emulator = Emulator::builder().bearer().start().unwrap();
        let port = emulator.url().rsplit(':').next().unwrap().parse().unwrap();
        Self {
            token: emulator.token("default", Role::Editor).unwrap(),
            exposed: scene.node.expose(port).unwrap(),
            emulator,
        }
    }

    /// Makes a deployment of each of the three jobs, and returns their ids.
    pub fn deploy_all(&self, scene: &Scene) -> Vec<String> {
        let jobs = NAMES.iter().zip(&scene.jobs);
        jobs.map(|(name, (spec, job))| {
            self.deploy(DeploymentSpec::flink(name, &scene.flink, spec, job))
        })
        .collect()
    }

    /// Makes a deployment and returns its id.
    pub fn deploy(&self, spec: DeploymentSpec) -> String {
        self.emulator.deploy(spec).unwrap()
    }

    /// What a release says of it in `platform`; its token comes into a Secret of the release's namespace.
    pub fn values(&self, scene: &Scene, namespace: &str, resolve: &str) -> Value {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": SECRET, "namespace": namespace },
            "stringData": { "token": self.token },
        });
        scene.node.apply(&secret).unwrap();
        json!({
            "url": format!("http://{}", self.exposed.addr),
            "tokenSecret": { "name": SECRET },
            "resolve": resolve,
        })
    }

    /// Makes a namespace with the pods of these deployments, which carry the vendor's labels.
    pub fn show_pods(&self, scene: &Scene, namespace: &str, deployments: &[String]) {
        let node = &scene.node;
        node.namespace(namespace, PodSecurity::Restricted).unwrap();
        for id in deployments {
            let pods = self.emulator.pods(id);
            assert!(!pods.is_empty(), "{id} has no pods");
            for mut pod in pods {
                pod["metadata"]["namespace"] = json!(namespace);
                node.apply(&pod).unwrap();
            }
        }
    }

    /// The requests that asked for a savepoint of this deployment.
    pub fn asked(&self, deployment: &str) -> Vec<Seen> {
        self.seen(Call::CreateSavepoint, deployment)
    }

    /// The requests of one kind about one deployment.
    pub fn seen(&self, call: Call, deployment: &str) -> Vec<Seen> {
        let mut seen = self.emulator.requests();
        seen.retain(|it| it.call == Some(call) && it.deployment.as_deref() == Some(deployment));
        seen
    }

    /// What a request says of itself in `Authorization`.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// The savepoints of a deployment, of which there must be this many, each asked for by a client, complete,
    /// and really there. One that is under way is waited for.
    pub fn savepoints(&self, deployment: &str, count: usize) -> Vec<Savepoint> {
        let ended = until("the savepoints to end", LIMIT, || {
            let all = self.emulator.savepoints(deployment);
            let under_way = all.iter().any(|it| it.phase == Phase::Started);
            Ok((!under_way).then_some(all))
        });
        let savepoints = ended.unwrap();
        assert_eq!(savepoints.len(), count, "{savepoints:#?}");
        for savepoint in &savepoints {
            assert_eq!(savepoint.origin, Origin::UserRequest, "{savepoint:?}");
            assert_eq!(savepoint.phase, Phase::Completed, "{savepoint:?}");
            let location = savepoint.location.as_deref().unwrap();
            let folder = std::path::Path::new(location.strip_prefix("file:").unwrap());
            assert!(folder.join("_metadata").is_file(), "{location}");
        }
        savepoints
    }
}

/// The marks that savepoints were asked for with: one for each slot.
pub fn marks(savepoints: &[Savepoint]) -> BTreeSet<&str> {
    let sent = savepoints.iter().map(|it| &it.annotations_sent);
    sent.map(|it| it.get(MARK).unwrap().as_str()).collect()
}
