//! Answers before they are HTTP.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::settings::{ErrorBody, Settings, Unauthenticated};

/// Where a gateway sends who has not signed in.
pub(super) const LOGIN_PATH: &str = "/login";

/// What is sent back.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
    /// The header `Location`.
    pub location: Option<String>,
}

/// Why a request is not granted.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub status: u16,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub(super) fn answer(&self, settings: &Settings) -> Answer {
        let body = match settings.error_body {
            ErrorBody::Message => json!({ "message": self.message }),
            ErrorBody::MessageAndDetails => json!({
                "message": self.message, "details": [], "status": self.status,
            }),
            ErrorBody::Text => {
                return Answer::text(self.status, "text/plain;charset=UTF-8", &self.message);
            }
            ErrorBody::Empty => return Answer::empty(self.status),
        };
        Answer::json(self.status, &body)
    }
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    pub(super) fn empty(status: u16) -> Self {
        Self::text(status, "", "")
    }

    /// A page as gateways and proxies write them.
    pub(super) fn html(status: u16, title: &str) -> Self {
        let body = format!(
            "<!DOCTYPE html>\n<html><head><title>{title}</title></head>\
             <body><h1>{title}</h1></body></html>\n"
        );
        Self::text(status, "text/html;charset=UTF-8", &body)
    }

    fn text(status: u16, content_type: &'static str, body: &str) -> Self {
        Self {
            status,
            content_type,
            body: body.to_owned(),
            location: None,
        }
    }

    /// What someone without credentials is told.
    pub(super) fn unauthenticated(settings: &Settings) -> Self {
        match settings.unauthenticated {
            Unauthenticated::Json => Refusal::new(401, "Unauthorized").answer(settings),
            Unauthenticated::LoginPage => Self::html(200, "Sign in"),
            Unauthenticated::RedirectToLogin => Self {
                location: Some(LOGIN_PATH.to_owned()),
                ..Self::html(302, "Found")
            },
        }
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).expect("tests ask for real status codes");
        let headers = response.headers_mut();
        if !self.content_type.is_empty() {
            let kind = header::HeaderValue::from_static(self.content_type);
            headers.insert(header::CONTENT_TYPE, kind);
        }
        if let Some(location) = self.location {
            let value = location.parse().expect("the login path is plain text");
            headers.insert(header::LOCATION, value);
        }
        response
    }
}
