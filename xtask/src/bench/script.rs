//! What people have today: a shell script around curl and jq, started by a `CronJob`.
//!
//! Each name is looked up by the label of its pods, the first pod tells the deployment's id, a POST asks for
//! the savepoint, and its state is asked for once a second until it is `COMPLETED` or `FAILED`. That is more
//! than the script that is described in public does (it never looks what became of the savepoint), but less
//! would be no comparison. The label goes into the question, which spares the API server and jq the other pods.

/// Takes a savepoint of each deployment that is named as an argument, one after the other.
pub const TAKE: &str = r#"set -eu
vvp=$VVP_URL/api/v1/namespaces/default
take() {
  id=$(pod_label "$1")
  savepoint=$(curl -sf -X POST -H "Authorization: Bearer $VVP_TOKEN" -H 'Content-Type: application/json' \
    -d "{\"kind\":\"Savepoint\",\"apiVersion\":\"v1\",\"metadata\":{\"deploymentId\":\"$id\",\"namespace\":\"default\"}}" \
    "$vvp/savepoints" | jq -r .metadata.id)
  while :; do
    state=$(curl -sf -H "Authorization: Bearer $VVP_TOKEN" "$vvp/savepoints/$savepoint" | jq -r .status.state)
    case $state in
      COMPLETED) break ;;
      FAILED) echo "$1: FAILED" >&2; exit 1 ;;
    esac
    sleep 1
  done
}
"#;

/// Prints the deployment's id of a name.
pub const POD_LABEL: &str = r#"pod_label() {
  curl -sf --cacert "$KUBE_CA" -H "Authorization: Bearer $KUBE_TOKEN" -G \
    --data-urlencode "labelSelector=system=ververica-platform,app=flink-job,vvpNamespace=default,deploymentName=$1" \
    "$KUBE_URL/api/v1/namespaces/$KUBE_NAMESPACE/pods" | jq -r '.items[0].metadata.labels.deploymentId'
}
"#;

/// The same with kubectl.
pub const POD_LABEL_BY_KUBECTL: &str = r#"pod_label() {
  kubectl get pods --namespace "$KUBE_NAMESPACE" \
    --selector "system=ververica-platform,app=flink-job,vvpNamespace=default,deploymentName=$1" \
    --output 'jsonpath={.items[0].metadata.labels.deploymentId}{"\n"}'
}
"#;

/// The script that does `what` for each of its arguments.
pub fn for_each(parts: &[&str], what: &str) -> String {
    format!(
        "{}for name in \"$@\"; do {what} \"$name\"; done\n",
        parts.concat()
    )
}
