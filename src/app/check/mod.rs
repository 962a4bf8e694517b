//! `check`: everything that can be wrong between a configuration and its surroundings, each with what shows it and what to do next.
//!
//! It works with or without a running service, asks Jira for reading only, and leaves no trace on the disk: what it looks at may
//! belong to another user than the one who looks.

mod credential;
mod jql;
mod permissions;
mod places;
mod road;
mod site;

use futures_util::future::join_all;
use serde::Serialize;

use super::prepare::prepare;
use crate::clock::Clock;
use crate::config::{Config, Connection, Draft, Finding as Written, Unresolved};
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
    /// The hash of the configuration that it works by.
    pub config: String,
    /// Who has a place on its queue.
    pub places: Vec<SinkName>,
    /// Sinks that are paused, and why.
    pub paused: Vec<(SinkName, String)>,
}

/// Looks at everything, or at one connection only.
pub async fn check(mut draft: Draft, only: Option<&ConnectionName>, running: Option<&Running>) -> Vec<Finding> {
    let clock = Clock::system();
    let config = draft.config.clone();
    let is_asked = |connection: &&Connection| !is_left_out(&config, "connection", connection.name.as_str());
    if let Some(only) = only {
        draft.config.connections.retain(|connection| connection.name == *only);
        let is_its_own = |secret: &&Unresolved| secret.kind == "connection" && secret.name == only.as_str();
        let mut findings: Vec<Finding> = config.unresolved.iter().filter(is_its_own).filter_map(not_asked).collect();
        let found = draft.config.connections.iter().filter(is_asked).map(|connection| site::check(connection, &config));
        findings.extend(join_all(found).await.concat());
        return findings;
    }
    let mut findings = Vec::new();
    match prepare(draft) {
        Ok(_) => findings.push(Finding::ok("configuration", format!("it is good ({})", config.hash()))),
        Err(problems) => {
            let is_told = |problem: &&Written| config.unresolved.iter().any(|secret| is_login(secret) && secret.finding == **problem);
            findings.extend(problems.findings().iter().filter(|problem| !is_told(problem)).map(|problem| written(Level::Problem, problem)));
        }
    }
    findings.extend(config.warnings.iter().map(|warning| written(Level::Advice, warning)));
    findings.extend(config.unresolved.iter().filter_map(not_asked));
    let sites = join_all(config.connections.iter().filter(is_asked).map(|connection| site::check(connection, &config)));
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

/// A login without its secret fails, and each failure counts towards a CAPTCHA: what needs one that is not at hand is not asked.
fn is_left_out(config: &Config, kind: &str, name: &str) -> bool {
    config.unresolved.iter().any(|secret| is_login(secret) && secret.kind == kind && secret.name == name)
}

/// Whether somebody is asked with it.
fn is_login(secret: &Unresolved) -> bool {
    match secret.kind {
        "connection" => secret.member.starts_with("auth"),
        kind => matches!(kind, "sink" | "queue" | "store"),
    }
}

fn not_asked(secret: &Unresolved) -> Option<Finding> {
    let Written { place, message, hint } = &secret.finding;
    let about = format!("{} {}", secret.kind, secret.name);
    let found = || Finding::problem(about.trim_end(), format!("{message}; nobody was asked with it"), place.to_string(), hint.clone());
    is_login(secret).then(found)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_needs_a_secret_that_is_not_at_hand_is_not_asked() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ticketwire.toml");
        let absent = "{ env = \"NOWHERE_SET\" }";
        let text = format!(
            "data_dir = \"{data}\"\n[store]\nurl = \"postgres://wire@{address}/wire\"\npassword = {absent}\n\
            [connection.acme]\nurl = \"http://{address}\"\nauth = {{ type = \"pat\", token = {absent} }}\n\
            webhook = {{ token = \"hush\" }}\n\
            [sink.team]\ntype = \"slack\"\ntoken = {absent}\napi_url = \"http://{address}\"\nchannel = \"#a\"\n",
            data = directory.path().join("data").display()
        );
        std::fs::write(&path, text).expect("a file");
        let draft = || Config::draft(Some(&path), []);
        let shown = |findings: Vec<Finding>| -> Vec<String> {
            let problems = findings.into_iter().filter(|finding| finding.level == Level::Problem);
            problems.map(|problem| format!("{} {}", problem.about, problem.evidence.rsplit('/').next().unwrap_or_default())).collect()
        };
        let all = check(draft(), None, None).await;
        assert!(all.iter().any(|finding| finding.what.contains("NOWHERE_SET") && finding.what.ends_with("nobody was asked with it")));
        assert_eq!(shown(all), ["store ticketwire.toml:4", "connection acme ticketwire.toml:7", "sink team ticketwire.toml:11"]);
        let only = check(draft(), Some(&"acme".parse().expect("a name")), None).await;
        assert_eq!(shown(only), ["connection acme ticketwire.toml:7"]);
        assert!(listener.accept().is_err(), "somebody was asked");
    }
}
