//! What the chart says twice, or says of the program, agrees.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::helm::{chart, root};

fn json(path: &std::path::Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn yaml(path: &std::path::Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    let map = value.as_object().expect("a map");
    map.keys().map(String::as_str).collect()
}

/// `config` has the keys of Lowtide's configuration file: a key that the program learns must be learnt here.
#[test]
fn the_schema_of_config_has_the_keys_of_the_program() {
    let values = json(&chart().join("values.schema.json"));
    let program = json(&root().join("lowtide.schema.json"));
    assert_eq!(
        keys(&values["properties"]["config"]["properties"]),
        keys(&program["properties"])
    );
}

/// Every value has a default with a comment, and every default is in the schema.
#[test]
fn values_and_their_schema_have_the_same_keys() {
    let values = yaml(&chart().join("values.yaml"));
    let schema = json(&chart().join("values.schema.json"));
    // `global` is Helm's own, for charts in charts.
    let mut known = keys(&schema["properties"]);
    assert!(known.remove("global"));
    assert_eq!(keys(&values), known);
    for (key, value) in values.as_object().unwrap() {
        let inner = &schema["properties"][key];
        if inner["additionalProperties"] == false && key != "config" {
            assert_eq!(keys(value), keys(&inner["properties"]), "{key}");
        }
    }
}

#[test]
fn the_charts_program_is_this_one() {
    let chart = yaml(&chart().join("Chart.yaml"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}
