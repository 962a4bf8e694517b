//! JQL of rules: one question for many issues and queries, never older than what it is for, and a query that is wrong hurts nobody else.

use axum::Json;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::server::{Call, page, status};
use super::*;
use crate::jira::Match;

fn want_of(id: u32, jql: &str, after: Instant) -> Match {
    Match { issue_id: id.to_string(), jql: jql.into(), after }
}

/// `even` holds for even ids, `all` for all; what begins with `bad` is no JQL; issue 13 is gone.
fn holds(jql: &str, id: u64) -> bool {
    id != 13 && (jql == "all" || (jql == "even" && id.is_multiple_of(2)))
}

fn matched(call: &Call) -> Response {
    let ids: Vec<u64> = call.body["issueIds"].as_array().expect("ids").iter().filter_map(Value::as_u64).collect();
    let of = |jql: &Value| {
        let jql = jql.as_str().expect("JQL");
        let found: Vec<u64> = ids.iter().copied().filter(|id| holds(jql, *id)).collect();
        let errors = if jql.starts_with("bad") { vec![format!("Field '{jql}' does not exist.")] } else { Vec::new() };
        json!({ "matchedIssues": found, "errors": errors })
    };
    let matches: Vec<Value> = call.body["jqls"].as_array().expect("queries").iter().map(of).collect();
    Json(json!({ "matches": matches })).into_response()
}

/// As Data Center: an issue that is gone fails a search that names it, unless it is lenient.
fn found(call: &Call) -> Response {
    let whole = call.body["jql"].as_str().expect("JQL");
    let (jql, list) = whole.trim_end_matches(')').split_once(") AND id in (").unwrap_or((whole, ""));
    let jql = jql.trim_start_matches('(');
    let ids: Vec<u64> = list.split(',').filter_map(|id| id.parse().ok()).collect();
    if jql.starts_with("bad") || (call.body["validateQuery"] == true && ids.contains(&13)) {
        return status(400);
    }
    let issues: Vec<Value> = ids.into_iter().filter(|id| holds(jql, *id)).map(|id| json!({ "id": id.to_string() })).collect();
    Json(json!({ "startAt": 0, "maxResults": 50, "total": issues.len(), "issues": issues })).into_response()
}

async fn answering() -> Server {
    let server = Server::start().await;
    server.misbehave(|call| match call.path.rsplit('/').next() {
        Some("match") => Some(matched(call)),
        Some("search") => Some(found(call)),
        _ => None,
    });
    server
}

fn asked(server: &Server) -> Vec<Call> {
    server.calls().into_iter().filter(|call| call.path.ends_with("/match") || call.path.ends_with("/search")).collect()
}

/// `yes`, `no`, `refused` or `waits`, one for each answer.
fn words(answers: &[Asked<bool>]) -> Vec<&'static str> {
    let word = |answer: &Asked<bool>| match answer {
        Ok(true) => "yes",
        Ok(false) => "no",
        Err(JiraError::Refused { .. }) => "refused",
        Err(JiraError::Unavailable { .. } | JiraError::Unauthorized { .. }) => "waits",
    };
    answers.iter().map(word).collect()
}

#[tokio::test]
async fn one_call_carries_all_issues_and_queries_of_a_window() {
    let server = answering().await;
    let now = Instant::now();
    let wants: Vec<Match> = ["even", "all", "bad"].into_iter().flat_map(|jql| (1..=3).map(move |id| want_of(id, jql, now))).collect();
    let answers = cloud(&server).matches(&wants).await;
    assert_eq!(words(&answers), ["no", "yes", "no", "yes", "yes", "yes", "refused", "refused", "refused"]);
    let reason = answers[6].as_ref().expect_err("refused").to_string();
    assert_eq!(reason, "Jira of connection `acme` answered: Field 'bad' does not exist.");
    let calls = asked(&server);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].body, json!({ "issueIds": [1, 2, 3], "jqls": ["all", "bad", "even"] }));
}

#[tokio::test]
async fn data_center_is_asked_once_for_each_query() {
    let server = answering().await;
    let now = Instant::now();
    let wants: Vec<Match> = ["even", "all"].into_iter().flat_map(|jql| (1..=3).map(move |id| want_of(id, jql, now))).collect();
    let jira = datacenter(&server);
    assert_eq!(words(&jira.matches(&wants).await), ["no", "yes", "no", "yes", "yes", "yes"]);
    let queries: Vec<Value> = asked(&server).iter().map(|call| call.body["jql"].clone()).collect();
    assert_eq!(queries, [json!("(all) AND id in (1,2,3)"), json!("(even) AND id in (1,2,3)")]);

    // An issue that is gone is no match, and spoils none beside it.
    let wants = [want_of(12, "even", now), want_of(13, "even", now), want_of(12, "bad", now)];
    assert_eq!(words(&jira.matches(&wants).await), ["yes", "no", "refused"]);
}

#[tokio::test]
async fn an_answer_serves_only_what_happened_before_it_was_asked() {
    for flavour in [Flavour::Cloud, Flavour::Datacenter] {
        let server = answering().await;
        let jira = client_of(&server, Some(flavour), limits());
        let before = Instant::now();
        for _ in 0..2 {
            assert_eq!(words(&jira.matches(&[want_of(2, "even", before)]).await), ["yes"]);
        }
        assert_eq!(asked(&server).len(), 1, "{flavour:?}");
        jira.matches(&[want_of(2, "even", Instant::now())]).await;
        assert_eq!(asked(&server).len(), 2, "{flavour:?}");
    }
}

#[tokio::test]
async fn who_comes_while_a_question_is_under_way_shares_the_next() {
    let server = answering().await;
    let jira = cloud(&server);
    let before = Instant::now();
    server.hold(true);
    let first = [want_of(1, "all", before)];
    let others: Vec<[Match; 1]> = (2..=9).map(|id| [want_of(id, "even", before)]).collect();
    let rest = async {
        until("the first call", || asked(&server).len() == 1).await;
        let waiting = join_all(others.iter().map(|wants| jira.matches(wants)));
        let release = async {
            tokio::task::yield_now().await;
            server.hold(false);
        };
        tokio::join!(waiting, release).0
    };
    let (first, others) = tokio::join!(jira.matches(&first), rest);
    assert_eq!((words(&first), words(&others.concat())), (vec!["yes"], ["yes", "no"].repeat(4)));
    let calls = asked(&server);
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(calls[1].body["issueIds"], json!([2, 3, 4, 5, 6, 7, 8, 9]));
}

#[tokio::test]
async fn what_is_no_answer_waits() {
    for flavour in [Flavour::Cloud, Flavour::Datacenter] {
        type Answer = Box<dyn Fn() -> Response + Send>;
        let rows: [(Answer, &str); 8] = [
            (Box::new(|| status(400)), "refused"),
            (Box::new(|| status(403)), "waits"),
            (Box::new(|| status(404)), "waits"),
            (Box::new(|| status(429)), "waits"),
            (Box::new(|| status(500)), "waits"),
            (Box::new(|| status(503)), "waits"),
            (Box::new(page), "waits"),
            (Box::new(|| Json(json!({ "matches": [] })).into_response()), "waits"),
        ];
        for (answer, word) in rows {
            let server = Server::start().await;
            server.misbehave(move |call| (call.path.ends_with("/match") || call.path.ends_with("/search")).then(&answer));
            let jira = client_of(&server, Some(flavour), limits());
            let answers = jira.matches(&[want_of(2, "even", Instant::now())]).await;
            assert_eq!(words(&answers), [word], "{flavour:?}: {answers:?}");
        }
    }
}

#[tokio::test]
async fn a_no_counts_only_while_the_login_is_good() {
    let server = Server::start().await;
    server.misbehave(|call| match call.path.rsplit('/').next() {
        Some("match") => Some(matched(call)),
        Some("myself") => Some(status(401)),
        _ => None,
    });
    let jira = cloud(&server);
    assert_eq!(words(&jira.matches(&[want_of(2, "even", Instant::now())]).await), ["yes"]);
    assert_eq!(words(&jira.matches(&[want_of(1, "even", Instant::now())]).await), ["waits"]);
    let odd = Match { issue_id: "../1".into(), ..want_of(1, "even", Instant::now()) };
    assert_eq!(words(&jira.matches(&[odd]).await), ["refused"]);
}

#[tokio::test]
async fn a_query_is_checked_without_an_issue() {
    let server = Server::start().await;
    server.misbehave(|call| match call.path.rsplit('/').next() {
        Some("parse") => {
            let jql = call.body["queries"][0].as_str().expect("JQL");
            let errors = if jql == "bad" { json!(["no such field"]) } else { json!([]) };
            Some(Json(json!({ "queries": [{ "query": jql, "errors": errors }] })).into_response())
        }
        Some("search") => Some(found(call)),
        _ => None,
    });
    for jira in [cloud(&server), datacenter(&server)] {
        assert_eq!(jira.check_jql("all").await, Ok(()));
        assert!(matches!(jira.check_jql("bad").await, Err(JiraError::Refused { .. })));
    }
    let calls = server.calls();
    assert_eq!(calls[0].query, "validation=strict");
    assert_eq!((&calls[2].body["maxResults"], &calls[2].body["jql"]), (&json!(0), &json!("all")));
}
