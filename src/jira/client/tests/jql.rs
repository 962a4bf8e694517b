//! JQL of rules: a search for each query among many issues, never older than what it is for, and a query that is wrong, slow or broken
//! hurts no other.

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

/// `even` holds for even ids, every other query for all; what begins with `bad` is no JQL; issue 13 is gone.
fn holds(jql: &str, id: u64) -> bool {
    jql != "even" || id.is_multiple_of(2)
}

/// The query of a search, and the issues among which it asks; no query: which of them are there.
fn split(whole: &str) -> (&str, Vec<u64>) {
    let (jql, list) = whole.rsplit_once("id in (").unwrap_or((whole, ""));
    let jql = jql.strip_suffix(") AND ").map_or(jql, |jql| jql.trim_start_matches('('));
    (jql, list.trim_end_matches(')').split(',').filter_map(|id| id.parse().ok()).collect())
}

/// An issue that is gone fails a search that names it.
fn found(call: &Call) -> Response {
    let (jql, ids) = split(call.body["jql"].as_str().expect("JQL"));
    if jql.starts_with("bad") || ids.contains(&13) {
        return status(400);
    }
    let issues: Vec<Value> = ids.into_iter().filter(|id| holds(jql, *id)).map(|id| json!({ "id": id.to_string() })).collect();
    Json(json!({ "total": issues.len(), "issues": issues })).into_response()
}

fn is_search(call: &Call) -> bool {
    call.path.ends_with("/search/jql") || call.path.ends_with("/search")
}

async fn answering() -> Server {
    let server = Server::start().await;
    server.misbehave(|call| is_search(call).then(|| found(call)));
    server
}

/// What was searched for, in any order.
fn asked(server: &Server) -> Vec<String> {
    let calls = server.calls().into_iter().filter(is_search);
    let mut asked: Vec<String> = calls.map(|call| call.body["jql"].as_str().expect("JQL").to_owned()).collect();
    asked.sort_unstable();
    asked
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

const BOTH: [Flavour; 2] = [Flavour::Cloud, Flavour::Datacenter];

#[tokio::test]
async fn a_query_is_asked_once_for_all_issues_of_a_window() {
    for flavour in BOTH {
        let server = answering().await;
        let now = Instant::now();
        let wants: Vec<Match> = ["even", "all"].into_iter().flat_map(|jql| (1..=3).map(move |id| want_of(id, jql, now))).collect();
        let answers = client_of(&server, Some(flavour), limits()).matches(&wants).await;
        assert_eq!(words(&answers), ["no", "yes", "no", "yes", "yes", "yes"], "{flavour:?}");
        assert_eq!(asked(&server), ["(all) AND id in (1,2,3)", "(even) AND id in (1,2,3)"], "{flavour:?}");
        let call = server.calls().into_iter().find(is_search).expect("a search");
        let (path, ids) = match flavour {
            Flavour::Cloud => ("/jira/rest/api/3/search/jql", json!([1, 2, 3])),
            Flavour::Datacenter => ("/jira/rest/api/2/search", Value::Null),
        };
        assert_eq!((call.path.as_str(), &call.body["reconcileIssues"]), (path, &ids), "Cloud looks past its index");
        assert_eq!((&call.body["fields"], &call.body["maxResults"]), (&json!(["id"]), &json!(3)));
    }
}

#[tokio::test]
async fn one_question_carries_no_more_issues_than_jira_looks_at_itself() {
    let server = answering().await;
    let wants: Vec<Match> = (101..=220).map(|id| want_of(id, "even", Instant::now())).collect();
    let answers = cloud(&server).matches(&wants).await;
    assert_eq!(words(&answers), ["no", "yes"].repeat(60));
    let sizes: Vec<usize> = server.calls().iter().filter_map(|call| Some(call.body["reconcileIssues"].as_array()?.len())).collect();
    assert_eq!(sizes, [50, 50, 20]);
}

#[tokio::test]
async fn what_jira_does_not_take_and_what_is_gone_spoil_nothing_beside_them() {
    for flavour in BOTH {
        let server = answering().await;
        let now = Instant::now();
        let wants: Vec<Match> = ["even", "bad", "all"].into_iter().flat_map(|jql| (11..=14).map(move |id| want_of(id, jql, now))).collect();
        let answers = client_of(&server, Some(flavour), limits()).matches(&wants).await;
        let mut expected = vec!["no", "yes", "no", "yes"];
        expected.extend(["refused"; 4]);
        expected.extend(["yes", "yes", "no", "yes"]);
        assert_eq!(words(&answers), expected, "{flavour:?}");
        let reason = answers[4].as_ref().expect_err("refused").to_string();
        assert_eq!(reason, "Jira of connection `acme` answered 400: It is so.");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_is_asked_for_in_parts() {
    for flavour in BOTH {
        let server = Server::start().await;
        server.misbehave(|call| {
            let (_, ids) = split(call.body["jql"].as_str()?);
            let issues: Vec<Value> = ids.iter().take(1).map(|id| json!({ "id": id.to_string() })).collect();
            let is_cloud = call.path.ends_with("/jql");
            let token = if is_cloud && ids.len() > 1 { json!("next") } else { Value::Null };
            let total = if is_cloud { Value::Null } else { json!(ids.len()) };
            is_search(call).then(|| Json(json!({ "issues": issues, "nextPageToken": token, "total": total })).into_response())
        });
        let wants: Vec<Match> = (1..=5).map(|id| want_of(id, "all", Instant::now())).collect();
        let answers = client_of(&server, Some(flavour), limits()).matches(&wants).await;
        assert_eq!(words(&answers), ["yes"; 5], "{flavour:?}");
    }
}

/// Limits after which a query that is not answered is given up soon.
fn impatient() -> Limits {
    Limits { read: Duration::from_secs(1), call: Duration::from_secs(2), backoff_first: Duration::from_secs(20), ..limits() }
}

/// A Jira that never answers to the query `slow`.
async fn dawdling() -> Server {
    let server = Server::start().await;
    server.misbehave(|call| is_search(call).then(|| found(call)));
    server.ignore(|call| call.body["jql"].as_str().is_some_and(|jql| jql.starts_with("(slow)")));
    server
}

#[tokio::test]
async fn a_slow_query_holds_up_no_other_and_is_left_alone_for_a_while() {
    for flavour in BOTH {
        let server = dawdling().await;
        let jira = client_of(&server, Some(flavour), impatient());
        // Of many queries the slow one is neither the first nor the last.
        let jqls = ["a", "b", "even", "slow", "x", "y", "z"];
        let wants: Vec<Match> = jqls.iter().map(|jql| want_of(1, jql, Instant::now())).collect();
        assert_eq!(words(&jira.matches(&wants).await), ["yes", "yes", "no", "waits", "yes", "yes", "yes"], "{flavour:?}");
        let asked_before = asked(&server).len();
        let again: Vec<Match> = jqls.iter().map(|jql| want_of(2, jql, Instant::now())).collect();
        let answers = jira.matches(&again).await;
        assert_eq!(words(&answers), ["yes", "yes", "yes", "waits", "yes", "yes", "yes"], "{flavour:?}");
        assert!(matches!(answers[3], Err(JiraError::Unavailable { retry_after: Some(_), .. })), "{:?}", answers[3]);
        assert_eq!(asked(&server).len() - asked_before, 6, "{flavour:?}: it is left alone");
        assert!(one(&jira, 7, Some(Instant::now())).await.is_ok(), "{flavour:?}: the site is not paused");
    }
}

#[tokio::test]
async fn who_wants_something_else_does_not_wait_for_a_slow_query() {
    let server = dawdling().await;
    let jira = cloud(&server);
    let (slow, quick) = ([want_of(1, "slow", Instant::now())], [want_of(1, "all", Instant::now())]);
    let waiting = jira.matches(&slow);
    let beside = async {
        until("the slow query is asked", || asked(&server).len() == 1).await;
        jira.matches(&quick).await
    };
    tokio::select! {
        answers = waiting => panic!("the slow one was first: {answers:?}"),
        answers = beside => assert_eq!(words(&answers), ["yes"]),
    }
}

#[tokio::test]
async fn a_query_that_breaks_jira_pauses_nothing_else() {
    for code in [500, 504] {
        let server = Server::start().await;
        server.misbehave(move |call| {
            let is_broken = call.body["jql"].as_str().is_some_and(|jql| jql.starts_with("(broken"));
            is_search(call).then(|| if is_broken { status(code) } else { found(call) })
        });
        let jira = cloud(&server);
        for number in 0..5 {
            let wants = [want_of(2, &format!("broken {number}"), Instant::now())];
            assert_eq!(words(&jira.matches(&wants).await), ["waits"], "{code}");
        }
        assert_eq!(asked(&server).len(), 5, "{code}: each was asked");
        assert_eq!(words(&jira.matches(&[want_of(2, "even", Instant::now())]).await), ["yes"], "{code}");
    }
}

#[tokio::test]
async fn an_answer_serves_only_what_happened_before_it_was_asked() {
    for flavour in BOTH {
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
    let first = [want_of(1, "even", before)];
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
    assert_eq!((words(&first), words(&others.concat())), (vec!["no"], ["yes", "no"].repeat(4)));
    let calls: Vec<Call> = server.calls().into_iter().filter(is_search).collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    let mut ids: Vec<u64> = calls[1].body["reconcileIssues"].as_array().expect("ids").iter().filter_map(Value::as_u64).collect();
    ids.sort_unstable();
    assert_eq!(ids, [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn what_is_no_answer_waits() {
    for flavour in BOTH {
        type Answer = Box<dyn Fn() -> Response + Send>;
        let rows: [(Answer, &str); 7] = [
            (Box::new(|| status(403)), "waits"),
            (Box::new(|| status(404)), "waits"),
            (Box::new(|| status(429)), "waits"),
            (Box::new(|| status(500)), "waits"),
            (Box::new(|| status(503)), "waits"),
            (Box::new(page), "waits"),
            (Box::new(|| Json(json!({ "values": [] })).into_response()), "waits"),
        ];
        for (answer, word) in rows {
            let server = Server::start().await;
            server.misbehave(move |call| is_search(call).then(&answer));
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
        Some("jql") => Some(found(call)),
        Some("myself") => Some(status(401)),
        _ => None,
    });
    let jira = cloud(&server);
    assert_eq!(words(&jira.matches(&[want_of(2, "even", Instant::now())]).await), ["yes"]);
    let no = jira.matches(&[want_of(1, "even", Instant::now())]).await;
    assert!(no.iter().all(is_unauthorized), "{no:?}");
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
