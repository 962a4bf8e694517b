//! `check`: everything that can be wrong between a configuration and its surroundings, each with what shows it and what to do next.
//!
//! It works with or without a running service, asks Jira for reading only, and leaves no trace on the disk: what it looks at may
//! belong to another user than the one who looks.

mod credential;
mod permissions;
mod places;
mod road;
mod site;

use futures_util::future::join_all;
use serde::Serialize;

use super::prepare::prepare;
use crate::clock::Clock;
use crate::config::{Draft, Finding as Written};
use crate::setting::{ConnectionName, SinkName};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Advice,
    /// It does not work, or not for long.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// What it is about: `connection acme`, `queue`.
    pub about: String,
    pub what: String,
    /// What shows it; may be empty.
    pub evidence: String,
    /// What to do; empty where nothing is to be done.
    pub next: String,
}

/// What a running service told of itself, where there is one that answered.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// Who has a place on its queue.
    pub places: Vec<SinkName>,
    /// Sinks that are paused, and why.
    pub paused: Vec<(SinkName, String)>,
}

/// Looks at everything, or at one connection only.
pub async fn check(mut draft: Draft, only: Option<&ConnectionName>, running: Option<&Running>) -> Vec<Finding> {
    let clock = Clock::system();
    let config = draft.config.clone();
    if let Some(only) = only {
        draft.config.connections.retain(|connection| connection.name == *only);
        let found = draft.config.connections.iter().map(|connection| site::check(connection, &config.rules));
        return join_all(found).await.concat();
    }
    let mut findings = Vec::new();
    match prepare(draft) {
        Ok(_) => findings.push(Finding::ok("configuration", format!("it is good ({})", config.hash()))),
        Err(problems) => findings.extend(problems.findings().iter().map(|problem| written(Level::Problem, problem))),
    }
    findings.extend(config.warnings.iter().map(|warning| written(Level::Advice, warning)));
    let sites = join_all(config.connections.iter().map(|connection| site::check(connection, &config.rules)));
    let (sites, road, store, places) =
        tokio::join!(sites, road::queue(&config, running), road::store(&config), places::sinks(&config, &clock, running));
    if config.connections.is_empty() {
        let next = "add `[connection.NAME]` with the `url` of your Jira; `ticketwire config example` shows one";
        findings.push(Finding::advice("configuration", "there is no connection, so no webhook is taken", "", next));
    }
    findings.extend(sites.concat());
    findings.extend([road, store, places].concat());
    findings
}

fn written(level: Level, written: &Written) -> Finding {
    Finding {
        level,
        about: "configuration".to_owned(),
        what: written.message.clone(),
        evidence: written.place.to_string(),
        next: written.hint.clone(),
    }
}

impl Finding {
    fn new(level: Level, about: &str, what: impl Into<String>, evidence: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level, about: about.to_owned(), what: what.into(), evidence: evidence.into(), next: next.into() }
    }

    fn ok(about: &str, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, about, what, "", "")
    }

    fn advice(about: &str, what: impl Into<String>, evidence: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Level::Advice, about, what, evidence, next)
    }

    fn problem(about: &str, what: impl Into<String>, evidence: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Level::Problem, about, what, evidence, next)
    }
}
