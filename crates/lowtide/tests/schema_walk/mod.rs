//! The part of JSON Schema that the generated schema uses; a keyword it does not know is an
//! error, so that nothing passes for checked that is not.

use serde_json::{Map, Value};

/// Keywords that restrict nothing.
const ANNOTATIONS: [&str; 8] = [
    "$schema",
    "$defs",
    "title",
    "description",
    "examples",
    "default",
    "format",
    "pattern",
];

/// What is wrong with a value, each with its place.
pub fn objections(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "", &mut found);
    found
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(&reference[1..]).unwrap(),
        None => schema,
    }
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Value::Object(keywords) = schema else {
        assert_eq!(schema, &Value::Bool(true));
        return;
    };
    for (keyword, argument) in keywords {
        let holds = match keyword.as_str() {
            "$ref" => {
                check(root, resolved(root, schema), value, at, found);
                true
            }
            "oneOf" => {
                let fits = |one: &&Value| {
                    let mut objections = Vec::new();
                    check(root, one, value, at, &mut objections);
                    objections.is_empty()
                };
                argument.as_array().unwrap().iter().filter(fits).count() == 1
            }
            "type" => is_of(argument.as_str().unwrap(), value),
            "const" => value == argument,
            "enum" => argument.as_array().unwrap().contains(value),
            "required" => value.as_object().is_none_or(|object| {
                let mut keys = argument.as_array().unwrap().iter();
                keys.all(|key| object.contains_key(key.as_str().unwrap()))
            }),
            "properties" | "additionalProperties" => {
                if let Some(object) = value.as_object() {
                    check_entries(root, keywords, keyword, object, at, found);
                }
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, argument, item, &format!("{at}/{index}"), found);
                }
                true
            }
            "minimum" => value
                .as_i64()
                .is_none_or(|n| n >= argument.as_i64().unwrap()),
            "maximum" => value
                .as_i64()
                .is_none_or(|n| n <= argument.as_i64().unwrap()),
            "minLength" => length(value.as_str().map(str::len)) >= argument.as_u64().unwrap(),
            "maxLength" => length(value.as_str().map(str::len)) <= argument.as_u64().unwrap(),
            "maxItems" => length(value.as_array().map(Vec::len)) <= argument.as_u64().unwrap(),
            "minProperties" => {
                length(value.as_object().map(Map::len)) >= argument.as_u64().unwrap()
            }
            "maxProperties" => {
                length(value.as_object().map(Map::len)) <= argument.as_u64().unwrap()
            }
            other => {
                assert!(ANNOTATIONS.contains(&other), "unknown keyword {other}");
                // The only pattern there is: a reference to a secret.
                other != "pattern" || value.as_str().is_some_and(|text| text.starts_with("${"))
            }
        };
        if !holds {
            found.push(format!("{at}: {keyword} {argument}"));
        }
    }
}

fn length(length: Option<usize>) -> u64 {
    u64::try_from(length.unwrap_or(0)).unwrap()
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        other => panic!("unknown type {other}"),
    }
}

fn check_entries(
    root: &Value,
    keywords: &Map<String, Value>,
    keyword: &str,
    object: &Map<String, Value>,
    at: &str,
    found: &mut Vec<String>,
) {
    for (key, entry) in object {
        let at = format!("{at}/{key}");
        let own = keywords
            .get("properties")
            .and_then(|properties| properties.get(key));
        match (keyword, own, &keywords.get("additionalProperties")) {
            ("properties", Some(own), _) => check(root, own, entry, &at, found),
            ("additionalProperties", None, Some(Value::Bool(false))) => {
                found.push(format!("{at}: not a key"));
            }
            ("additionalProperties", None, Some(free)) => check(root, free, entry, &at, found),
            _ => {}
        }
    }
}

/// The names of the schema's keys that a value leaves out where they could stand.
pub fn keys_not_in(schema: &Value, value: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    leave_out(schema, schema, value, &mut missing);
    missing
}

fn leave_out(root: &Value, schema: &Value, value: &Value, missing: &mut Vec<String>) {
    let schema = resolved(root, schema);
    for one in schema
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if resolved(root, one).get("type") == Some(&Value::from("object")) && value.is_object() {
            leave_out(root, one, value, missing);
        }
    }
    for (key, own) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        // One of the ways to sign in is enough, and one kind of platform or store.
        let either = matches!(
            key.as_str(),
            "basic"
                | "bearer"
                | "ca"
                | "client_cert"
                | "timeout"
                | "concurrency"
                | "paths"
                | "auth"
                | "flink"
                | "ververica"
                | "kubernetes"
                | "s3"
                | "gcs"
                | "azure"
                | "oss"
                | "hdfs"
                | "profile"
                | "access_key"
                | "secret_key"
                | "session_token"
                | "account_key"
                | "sas_token"
        );
        match value.get(key) {
            Some(inner) => leave_out(root, own, inner, missing),
            None if either => {}
            None => missing.push(key.clone()),
        }
    }
    if let (Some(free), Value::Object(object)) = (schema.get("additionalProperties"), value) {
        for entry in object.values().filter(|_| free.is_object()) {
            leave_out(root, free, entry, missing);
        }
    }
    if let (Some(items), Value::Array(list)) = (schema.get("items"), value) {
        for item in list {
            leave_out(root, items, item, missing);
        }
    }
}

/// Pointers to all texts of a value.
pub fn text_keys(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(key, v)| (escaped(key), v)).collect(),
        Value::Array(list) => (0..).map(|at: usize| at.to_string()).zip(list).collect(),
        Value::String(_) => return vec![String::new()],
        _ => Vec::new(),
    };
    children
        .into_iter()
        .flat_map(|(key, value)| {
            let below = text_keys(value).into_iter();
            below.map(move |rest| format!("/{key}{rest}"))
        })
        .collect()
}

/// A key within a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
