//! The configuration at work, with what was made of it. A reload puts another in its place; whoever looks sees one or the other, whole.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;

use crate::api;
use crate::config::{Changes, Config, Connection};
use crate::deliver::{Jiras, Names, Rules};
use crate::jira::Jira;
use crate::receive::{Source, Verifier};
use crate::render;
use crate::setting::Secret;

pub(super) struct Revision {
    pub(super) config: Config,
    pub(super) rules: Arc<Rules>,
    pub(super) names: Arc<Names>,
    pub(super) jiras: Arc<Jiras>,
}

/// A view of the present revision, for those who only read it.
pub(super) type Present = watch::Receiver<Arc<Revision>>;

/// One client per connection that has a credential; where a connection did not change the one that is at work, with its budget and its memory.
pub(super) fn jiras(config: &Config, before: Option<(&Jiras, &Changes)>) -> anyhow::Result<Arc<Jiras>> {
    let mut jiras = Jiras::new();
    for connection in &config.connections {
        let Some(auth) = connection.auth.clone() else { continue };
        let kept = before.filter(|(_, changes)| !changes.concern_connection(&connection.name));
        let jira = match kept.and_then(|(jiras, _)| jiras.get(&connection.name)) {
            Some(jira) => jira.clone(),
            None => {
                let jira = Jira::new(connection.name.clone(), connection.url.clone(), auth, connection.flavour, render::to_markdown);
                Arc::new(jira.with_context(|| format!("the connection `{}` cannot be used", connection.name))?)
            }
        };
        jiras.insert(connection.name.clone(), jira);
    }
    Ok(Arc::new(jiras))
}

/// The connections as the receiver knows them.
pub(super) fn sources(config: &Config) -> Vec<Source> {
    let source = |connection: &Connection| Source {
        connection: connection.name.clone(),
        base_url: connection.url.clone(),
        verifier: Verifier::new(&connection.proof),
    };
    config.connections.iter().map(source).collect()
}

/// The tokens of the API: those that are configured, else the one in the data directory.
pub(super) fn tokens(config: &Config) -> anyhow::Result<Vec<Secret>> {
    if config.admin.tokens.is_empty() {
        return Ok(vec![api::load_or_create_token(&config.data_dir).context("the admin token cannot be written into the data directory")?]);
    }
    Ok(config.admin.tokens.clone())
}
