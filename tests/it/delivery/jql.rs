//! Rules with a JQL, against a Jira that says what each case needs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use axum::{Json, Router};
use serde_json::{Value, json};
use ticketwire::deliver::{Explainer, Jiras, RuleSettings};
use ticketwire::event::Kind;
use ticketwire::jira::{Auth, Flavour, Jira};
use ticketwire::setting::Secret;
use ticketwire::shutdown::Tasks;
use ticketwire::store::{DeadFilter, Ended, Progress};

use super::scripted::{Fault, Scripted, chat};
use super::world::{LIMIT, Running, World, acme, envelope, event_id, name, rules_for, settings, until};

const SOON: Duration = Duration::from_secs(20);

/// A Jira Cloud to which even issues are urgent, and that knows no field called `colour`.
struct Site {
    url: String,
    is_away: Arc<AtomicBool>,
    /// What it was asked about JQL.
    asked: Arc<Mutex<Vec<Value>>>,
    _tasks: Tasks,
}

impl Site {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (is_away, asked) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Value>>>::default());
        let (away, seen) = (is_away.clone(), asked.clone());
        let answer = move |uri: Uri, body: Bytes| {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let is_search = uri.path().ends_with("/search/jql");
            let answer = match away.load(Ordering::Relaxed) && is_search {
                true => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "errorMessages": ["away"] }))),
                false => said(uri.path(), &body),
            };
            if is_search {
                seen.lock().expect("no panic").push(body);
            }
            async move { answer }
        };
        let (router, tasks) = (Router::new().fallback(answer), Tasks::new());
        tasks.spawn("jira", async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, is_away, asked, _tasks: tasks }
    }

    fn jiras(&self) -> Arc<Jiras> {
        let auth = Auth::ApiToken { email: "hub@people.invalid".into(), token: Secret::new("not a token") };
        let url = self.url.parse().expect("it is well formed");
        let jira = Jira::new(acme(), url, auth, Some(Flavour::Cloud), ticketwire::render::to_markdown).expect("a client");
        Arc::new(Jiras::from([(acme(), Arc::new(jira))]))
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn said(path: &str, body: &Value) -> (StatusCode, Json<Value>) {
    let taken = match path.rsplit('/').next() {
        Some("jql") if body["jql"].as_str().is_some_and(|jql| jql.starts_with("(colour = red)")) => {
            return (StatusCode::BAD_REQUEST, Json(json!({ "errorMessages": ["Field 'colour' does not exist."] })));
        }
        Some("jql") => {
            let urgent = ids(body).into_iter().filter(|id| id.is_multiple_of(2));
            json!({ "issues": urgent.map(|id| json!({ "id": id.to_string() })).collect::<Vec<_>>() })
        }
        Some("myself") => json!({ "accountId": "1", "displayName": "Hub" }),
        _ => json!({ "issues": [], "issueErrors": [] }),
    };
    (StatusCode::OK, Json(taken))
}

/// The issues that a search asks for.
fn ids(body: &Value) -> Vec<u64> {
    body["reconcileIssues"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

fn sink() -> Arc<Scripted> {
    Arc::new(Scripted::new("team", chat(), |_, _| Fault::None))
}

/// One rule for each letter, each with this query.
fn asking(letters: &str, jql: &str) -> Vec<(String, RuleSettings)> {
    let with = |(name, rule): (String, RuleSettings)| (name, RuleSettings { jql: Some(jql.to_owned()), ..rule });
    rules_for("team", letters).into_iter().map(with).collect()
}

/// What `trace` shows of an issue, one line for each delivery.
async fn trace(world: &World, running: &Running, key: &str) -> Vec<String> {
    let (store, queue, supervisor) = (world.store.clone(), world.queue.clone(), running.supervisor.clone());
    let events = Explainer { store, queue, supervisor }.trace(key).await.expect("it can be read");
    let line = |delivery: ticketwire::deliver::DeliveryView| {
        format!("{} {} {}", delivery.rule.unwrap_or_default(), delivery.outcome, delivery.reason.unwrap_or_default())
    };
    events.into_iter().flat_map(|event| event.deliveries).map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_sent_where_jira_says_that_its_issue_matches() {
    let (site, sink) = (Site::start().await, sink());
    let mut rules = asking("a", "priority = High");
    rules.extend(asking("b", "colour = red"));
    let mut world = World::new(1, settings(16, 6), vec![sink.clone()], rules).await;
    world.jiras = site.jiras();
    let running = world.start().await;
    for (number, issue, summary) in [(1, 1, "a"), (2, 2, "a"), (3, 3, "b"), (4, 4, "c"), (6, 2, "a")] {
        world.publish(envelope(number, issue, summary)).await;
    }
    let mut gone = envelope(7, 6, "a");
    gone.event.data.kind = Kind::IssueDeleted;
    world.publish(gone).await;
    world.finished(SOON).await.expect("all ends");
    assert_eq!(sink.taken("#a"), [2, 6]);
    assert_eq!(sink.taken("#b"), Vec::<u32>::new());
    let ids: Vec<u64> = site.asked().iter().flat_map(ids).collect();
    assert!(!ids.contains(&4) && !ids.contains(&6), "nobody asks where `when` does not hold, or the issue is gone: {ids:?}");
    assert_eq!(trace(&world, &running, "OPS-1").await, ["to a filtered the JQL of rule `to a` does not match"]);
    let why = "the JQL of rule `to b` does not match: Jira of connection `acme` answered 400: Field 'colour' does not exist.";
    assert_eq!(trace(&world, &running, "OPS-3").await, [format!("to b filtered {why}")]);
    assert_eq!(trace(&world, &running, "OPS-6").await, ["to a filtered rule `to a` has a JQL, and the issue is deleted"]);
    let rows = world.store.journal(&name("team"), &[&event_id(1)]).await.expect("the journal");
    assert_eq!(rows.iter().map(|row| row.progress).collect::<Vec<_>>(), [Progress::Ended(Ended::Filtered)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_jira_is_away_it_waits_and_is_decided_by_what_jira_says_then() {
    let (site, sink) = (Site::start().await, sink());
    site.is_away.store(true, Ordering::Relaxed);
    let mut world = World::new(1, settings(16, 1), vec![sink.clone()], asking("a", "priority = High")).await;
    world.jiras = site.jiras();
    let running = world.start().await;
    for (number, issue) in [(1, 1), (2, 2), (4, 2)] {
        world.publish(envelope(number, issue, "a")).await;
    }
    assert!(until(SOON, async || world.unfinished().await == (0, 3)).await, "{:?}", world.unfinished().await);
    let waiting = world.store.parked_of_events(&[event_id(1), event_id(2)]).await.expect("they can be read");
    assert!(waiting.iter().all(|row| row.reason.starts_with("Jira cannot be asked") && row.attempts == 0), "{waiting:?}");
    assert_eq!(sink.calls(), 0);
    site.is_away.store(false, Ordering::Relaxed);
    world.finished(LIMIT).await.expect("all ends");
    assert_eq!(sink.taken("#a"), [2, 4]);
    assert!(world.store.dead_letters(&DeadFilter::default(), None, 9).await.expect("they can be read").is_empty());
    assert_eq!(trace(&world, &running, "OPS-1").await, ["to a filtered the JQL of rule `to a` does not match"]);
    assert_eq!(trace(&world, &running, "OPS-2").await, ["to a delivered ", "to a delivered "]);
    running.stop().await;
}
