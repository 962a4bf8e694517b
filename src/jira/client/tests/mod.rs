//! The client against a server in this process that counts calls and misbehaves on request.

mod answers;
mod comments;
mod corpus;
mod jql;
mod lookups;
mod now;
mod outages;
mod probes;
mod server;
mod sharing;

use std::time::Duration;

use tokio::time::Instant;

use super::limits::Limits;
use super::{Asked, Auth, Flavour, Jira, JiraError, SeenIssue, Sight, Want};
use crate::event::Markup;
use crate::setting::Secret;
use server::Server;

/// Waits that tests can afford.
fn limits() -> Limits {
    Limits {
        read: Duration::from_secs(5),
        call: Duration::from_secs(6),
        requests_per_second: 10_000.0,
        requests_at_once: 10_000.0,
        ..Limits::default()
    }
}

fn client_of(server: &Server, flavour: Option<Flavour>, limits: Limits) -> Jira {
    let auth = match flavour {
        Some(Flavour::Cloud) => Auth::ApiToken { email: "hub@people.invalid".into(), token: Secret::new("t0ken") },
        Some(Flavour::Datacenter) => Auth::Pat { token: Secret::new("t0ken") },
        None => Auth::Basic { username: "hub".into(), password: Secret::new("t0ken") },
    };
    let (name, base_url) = ("acme".parse().expect("a name"), server.base_url());
    Jira::with_limits(name, base_url, auth, flavour, to_markdown, limits).expect("a client")
}

fn cloud(server: &Server) -> Jira {
    client_of(server, Some(Flavour::Cloud), limits())
}

fn datacenter(server: &Server) -> Jira {
    client_of(server, Some(Flavour::Datacenter), limits())
}

fn to_markdown(markup: Markup<'_>) -> String {
    match markup {
        Markup::Wiki(text) => format!("wiki {text}"),
        Markup::Document(text) => format!("document of {} bytes", text.len()),
    }
}

fn want(id: u32, after: Option<Instant>) -> Want {
    Want { issue_id: id.to_string(), after }
}

/// Asks for one issue.
async fn one(jira: &Jira, id: u32, after: Option<Instant>) -> Asked<Sight> {
    jira.issues(&[want(id, after)]).await.pop().expect("one answer per want")
}

fn seen(answer: Asked<Sight>) -> std::sync::Arc<SeenIssue> {
    match answer {
        Ok(Sight::Seen(seen)) => seen,
        other => panic!("not seen: {other:?}"),
    }
}

fn is_unavailable<T>(answer: &Asked<T>) -> bool {
    matches!(answer, Err(JiraError::Unavailable { .. }))
}

fn is_unauthorized<T>(answer: &Asked<T>) -> bool {
    matches!(answer, Err(JiraError::Unauthorized { .. }))
}

/// Waits for a condition, with a limit.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
