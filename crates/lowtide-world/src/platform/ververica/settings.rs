//! What a configuration says of one namespace of Ververica Platform.

use std::str::FromStr;

use serde_json::Value;
use url::Url;

use crate::kubernetes::{Access, Source};
use crate::platform::http::Connection;

/// The namespace where nobody made another one, and the only one of the community edition.
pub const NAMESPACE: &str = "default";

/// How to reach one namespace.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The gateway, and who Lowtide is to it; the community edition asks for no login.
    pub connection: Connection,
    /// The platform's namespace; it has nothing to do with Kubernetes' ones.
    pub namespace: String,
    /// How names become ids.
    pub resolve: Resolve,
    /// How a request asks for Flink's native format.
    pub native: Option<NativeField>,
    /// Where Lowtide reaches what the platform calls otherwise: beginnings of locations, from and
    /// to. The longest wins.
    pub paths: Vec<(String, String)>,
}

impl Settings {
    /// The settings of a platform that needs nothing but its address.
    pub fn new(url: Url) -> Self {
        Self {
            connection: Connection::new(url),
            namespace: NAMESPACE.to_owned(),
            resolve: Resolve::Api,
            native: None,
            paths: Vec::new(),
        }
    }
}

/// How names become ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolve {
    /// By the platform's own API: sees every deployment.
    Api,
    /// By the labels of pods: sees only deployments that have pods of their own.
    Pods {
        /// Which Kubernetes, and in which namespace the pods are.
        access: Access,
        /// Whether pods are listed, or watched by a daemon.
        source: Source,
    },
}

/// The field of a request that asks for Flink's native format, and its value.
///
/// VVP 2.15.8 can take native savepoints, but what the field is called is in none of the public
/// descriptions; a live server has it in `/api/swagger.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeField {
    path: Vec<String>,
    value: Value,
}

/// The value where none is written; the word in the release notes of 2.15.8.
const NATIVE: &str = "NATIVE";

/// Why a text names no field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NativeFieldError {
    /// A name between two dots is empty.
    #[error("the field has an empty name in it")]
    EmptyName,
    /// What is after the `=` is not JSON.
    #[error("what follows the `=` is not JSON")]
    NotJson,
}

impl FromStr for NativeField {
    type Err = NativeFieldError;

    /// Reads `spec.formatType`, or `spec.nativeFormat=true` with a value in JSON.
    fn from_str(text: &str) -> Result<Self, NativeFieldError> {
        let (path, value) = match text.split_once('=') {
            None => (text, Value::from(NATIVE)),
            Some((path, value)) => {
                let value = serde_json::from_str(value).map_err(|_| NativeFieldError::NotJson)?;
                (path, value)
            }
        };
        let path: Vec<String> = path.split('.').map(|name| name.trim().to_owned()).collect();
        if path.iter().any(String::is_empty) {
            return Err(NativeFieldError::EmptyName);
        }
        Ok(Self { path, value })
    }
}

impl NativeField {
    /// Puts the field into a request. What is there under a part of its path stays.
    pub(super) fn put(&self, body: &mut Value) {
        let mut place = body;
        for name in &self.path {
            if !place.is_object() {
                *place = Value::Object(serde_json::Map::new());
            }
            place = &mut place[name.as_str()];
        }
        *place = self.value.clone();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn the_native_field_goes_where_it_says() {
        let mut body = json!({ "metadata": { "namespace": "default" } });
        let field: NativeField = "spec.formatType".parse().unwrap();
        field.put(&mut body);
        let field: NativeField = "metadata.native=true".parse().unwrap();
        field.put(&mut body);
        assert_eq!(
            body,
            json!({
                "metadata": { "namespace": "default", "native": true },
                "spec": { "formatType": "NATIVE" },
            })
        );
    }

    #[test]
    fn what_names_no_field_is_refused() {
        let read = |text: &str| text.parse::<NativeField>();
        assert_eq!(read(""), Err(NativeFieldError::EmptyName));
        assert_eq!(read("spec..a"), Err(NativeFieldError::EmptyName));
        assert_eq!(read("spec.a=yes"), Err(NativeFieldError::NotJson));
    }
}
