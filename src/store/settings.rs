//! `[store]`: which database, as whom, and how long it remembers.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::db;
use crate::setting::{SecretSource, Span};

/// `[store]`
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `sqlite:` is `<data_dir>/ticketwire.sqlite`, `sqlite:PATH` a file of one's choice, `postgres://USER@HOST:PORT/DATABASE` a server,
    /// which several processes may share. After a `?` may follow `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `application_name`,
    /// `options` and `host`.
    pub url: String,
    /// The password for Postgres.
    #[serde(skip_serializing)]
    pub password: Option<SecretSource>,
    /// The schema of Postgres that the tables lie in; it is made where it is missing. Else they lie where the user's tables do.
    pub schema: Option<String>,
    /// Connections at once: one writes, the others read. Work that only one process may do takes one more each.
    pub connections: u32,
    /// How long Postgres may take for an answer before it counts as not available.
    pub timeout: Span,
    /// How long envelopes are kept for `trace`; one that a waiting delivery needs is kept longer.
    pub archive_retention: Span,
    /// How long it is remembered what was delivered: a repeat that comes later acts again.
    pub journal_retention: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "sqlite:".into(),
            password: None,
            schema: None,
            connections: 5,
            timeout: Span::seconds(15),
            archive_retention: Span::days(30),
            journal_retention: Span::days(90),
        }
    }
}

/// A setting that cannot be used: which, why, and what to do. It never repeats the URL, which may hold a password.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub setting: &'static str,
    pub what: String,
    pub hint: &'static str,
}

impl Settings {
    /// All that is wrong, as far as it can be known without asking the database.
    pub fn wrong(&self) -> Vec<Wrong> {
        let mut found = Vec::new();
        if let Err(what) = db::check(self) {
            found.push(Wrong { setting: "url", what, hint: "write `sqlite:`, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`" });
        }
        let is_name = |name: &str| {
            let mut letters = name.chars();
            letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
                && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                && name.len() <= 63
        };
        if let Some(schema) = self.schema.as_ref().filter(|schema| !is_name(schema)) {
            let hint = "use lower-case letters, digits and `_`, begin with a letter, at most 63 characters";
            found.push(Wrong { setting: "schema", what: format!("`{schema}` is not a name"), hint });
        }
        if !(2..=100).contains(&self.connections) {
            let what = format!("{} connections are too few or too many", self.connections);
            found.push(Wrong { setting: "connections", what, hint: "write 2 to 100: one writes, the others read" });
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&self.timeout.0) {
            found.push(Wrong { setting: "timeout", what: "it is too short or too long".into(), hint: "write 1s to 1h" });
        }
        found
    }
}
