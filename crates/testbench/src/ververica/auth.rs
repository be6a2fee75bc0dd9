//! Who may ask.
//!
//! The community edition asks for nothing and has the one namespace `default`. Otherwise an API token is sent
//! as `Authorization: Bearer SECRET`; it belongs to one namespace and has one role. A missing or unknown
//! token is 401, another namespace or too small a role is 403.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::id;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Takes and deletes savepoints, changes deployments.
    Editor,
    /// Makes tokens, and reads namespaces.
    Owner,
}

impl Role {
    /// As the API writes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Owner => "owner",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Viewer, Self::Editor, Self::Owner]
            .into_iter()
            .find(|role| role.word() == word)
    }
}

/// A token. It has no `Debug`: the secret is never shown.
#[derive(Clone)]
pub(super) struct Token {
    pub name: String,
    pub namespace: String,
    pub role: Role,
    pub secret: String,
    pub created: Timestamp,
}

/// Why someone may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// No credentials came.
    Missing,
    /// They are nobody's.
    Unknown,
    /// They are of another namespace, or of too small a role.
    Forbidden(Role),
}

/// All tokens; `None`: the community edition.
pub(super) struct Auth(Option<Mutex<Vec<Token>>>);

impl Auth {
    pub(super) fn community() -> Self {
        Self(None)
    }

    pub(super) fn bearer() -> Self {
        Self(Some(Mutex::default()))
    }

    pub(super) fn is_community(&self) -> bool {
        self.0.is_none()
    }

    /// The role of who sent `header`; `None` in the community edition. `namespace`: `None` where the path
    /// has none.
    pub(super) fn admit(
        &self,
        header: Option<&str>,
        namespace: Option<&str>,
        needed: Role,
    ) -> Result<Option<Role>, Denied> {
        if self.is_community() {
            return Ok(None);
        }
        let header = header.ok_or(Denied::Missing)?;
        let secret = header.strip_prefix("Bearer ").ok_or(Denied::Unknown)?;
        let tokens = self.tokens();
        let token = tokens.iter().find(|token| token.secret == secret);
        let token = token.ok_or(Denied::Unknown)?;
        let inside = namespace.is_none_or(|namespace| namespace == token.namespace);
        if inside && token.role >= needed {
            Ok(Some(token.role))
        } else {
            Err(Denied::Forbidden(token.role))
        }
    }

    /// Makes a token; in the community edition it is never asked for.
    pub(super) fn issue(&self, namespace: &str, name: &str, role: Role) -> Token {
        let token = Token {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            role,
            secret: id::uuid(),
            created: Timestamp::now(),
        };
        if let Some(tokens) = &self.0 {
            lock(tokens).push(token.clone());
        }
        token
    }

    /// Removes those that `gone` says yes to, and tells whether there was one.
    pub(super) fn revoke(&self, gone: impl Fn(&Token) -> bool) -> bool {
        let Some(tokens) = &self.0 else { return false };
        let mut tokens = lock(tokens);
        let before = tokens.len();
        tokens.retain(|token| !gone(token));
        tokens.len() < before
    }

    pub(super) fn tokens(&self) -> Vec<Token> {
        self.0.as_ref().map_or_else(Vec::new, |it| lock(it).clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
