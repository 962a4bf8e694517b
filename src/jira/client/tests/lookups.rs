//! What rules look up: asked once for all who want the same, never older than what it is for, and each answer for what it is.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use serde_json::json;

use super::server::{page, status, with_header};
use super::*;
use crate::event::PersonKind;
use crate::jira::{Found, Lookup, people, watchers_of};

const WATCHERS: &str = "/rest/api/2/issue/7/watchers";

async fn look(jira: &Jira, path: &str, after: Instant) -> Asked<Found> {
    let path = path.parse().expect("a path");
    jira.lookups(&[Lookup { path, after }]).await.pop().expect("one answer per lookup")
}

/// A server whose issues are watched.
async fn watched() -> Server {
    let server = Server::start().await;
    let answer = || Json(json!({ "watchCount": 1, "watchers": [{ "accountId": "5b10", "displayName": "Jane Doe" }] })).into_response();
    server.misbehave(move |call| call.path.ends_with("/watchers").then(answer));
    server
}

#[tokio::test]
async fn many_who_want_the_same_cost_one_call() {
    let server = watched().await;
    let jira = cloud(&server);
    let before = Instant::now();
    server.hold(true);
    let all = join_all((0..16).map(|_| look(&jira, WATCHERS, before)));
    let release = async {
        until("the first call", || !server.calls().is_empty()).await;
        server.hold(false);
    };
    let (answers, ()) = tokio::join!(all, release);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Some(json)) if json["watchCount"] == 1)), "{answers:?}");
    assert_eq!(server.paths(), ["GET /2/issue/7/watchers"]);
    let call = server.calls().remove(0);
    assert!(call.headers.contains_key("authorization") && call.query.is_empty());

    assert!(look(&jira, "/rest/api/3/user?accountId=5b10%3A1", before).await.is_ok());
    assert_eq!(server.calls()[1].query, "accountId=5b10%3A1", "a query goes as it is written");
}

#[tokio::test]
async fn an_answer_serves_only_what_happened_before_it_was_asked() {
    let server = watched().await;
    let jira = cloud(&server);
    let before = Instant::now();
    for _ in 0..2 {
        assert!(look(&jira, WATCHERS, before).await.is_ok());
    }
    assert_eq!(server.calls().len(), 1);
    assert!(look(&jira, WATCHERS, Instant::now()).await.is_ok());
    assert_eq!(server.calls().len(), 2);

    // One that is under way was asked for too early as well.
    server.hold(true);
    let early = Instant::now();
    let rest = async {
        until("the early call", || server.calls().len() == 3).await;
        let late = look(&jira, WATCHERS, Instant::now());
        let release = async { server.hold(false) };
        tokio::join!(late, release).0
    };
    let (first, late) = tokio::join!(look(&jira, WATCHERS, early), rest);
    assert!(first.is_ok() && late.is_ok());
    assert_eq!(server.calls().len(), 4);
}

#[tokio::test]
async fn who_leaves_does_not_take_the_answer_along() {
    let server = watched().await;
    let jira = cloud(&server);
    let before = Instant::now();
    server.hold(true);
    let mut leaving = Box::pin(look(&jira, WATCHERS, before));
    let mut staying = Box::pin(look(&jira, WATCHERS, before));
    tokio::select! {
        biased;
        _ = &mut leaving => panic!("answered while held"),
        _ = &mut staying => panic!("answered while held"),
        () = until("the call", || server.calls().len() == 1) => {}
    }
    drop(leaving);
    server.hold(false);
    assert!(staying.await.is_ok());
}

#[tokio::test]
async fn each_answer_is_taken_for_what_it_is() {
    let text = |code: u16, body: &'static str| move || (StatusCode::from_u16(code).expect("a status"), body).into_response();
    let no = |code: u16| move || status(code);
    let large = || Json(json!({ "text": "x".repeat(1 << 20) })).into_response();
    let deep = || ([("content-type", "application/json")], "[".repeat(200) + &"]".repeat(200)).into_response();
    let redirect = || with_header(status(302), "location", "https://login.invalid/");
    let login = || with_header(status(401), "x-seraph-loginreason", "AUTHENTICATED_FAILED");
    type Answer = Box<dyn Fn() -> Response + Send>;
    let rows: [(&str, Answer, &str); 16] = [
        ("a value", Box::new(|| Json(json!({ "a": 1 })).into_response()), "found"),
        ("no content", Box::new(text(204, "")), "nothing"),
        ("not there", Box::new(no(404)), "nothing"),
        ("not for us", Box::new(no(403)), "nothing"),
        ("a bad request", Box::new(no(400)), "refused 400"),
        ("a wrong method", Box::new(no(405)), "refused 405"),
        ("gone", Box::new(no(410)), "refused 410"),
        ("too large", Box::new(large), "refused 200"),
        ("nested beyond reason", Box::new(deep), "refused 200"),
        ("a lone failure", Box::new(no(500)), "waits"),
        ("maintenance", Box::new(no(503)), "waits, all"),
        ("too many", Box::new(no(429)), "waits, all"),
        ("no login", Box::new(login), "unauthorized, all"),
        ("a redirect", Box::new(redirect), "waits"),
        ("a page", Box::new(page), "waits"),
        ("a page that says no", Box::new(text(404, "<html>no</html>")), "waits"),
    ];
    for (name, answer, expected) in rows {
        let server = Server::start().await;
        server.misbehave(move |call| call.path.contains("odd").then(&answer));
        let jira = cloud(&server);
        let told = look(&jira, "/rest/api/3/odd/a%20hostile%20text?q=a%20secret", Instant::now()).await;
        let outcome = match &told {
            Ok(found) => if found.is_some() { "found" } else { "nothing" }.to_owned(),
            Err(JiraError::Unavailable { .. }) => "waits".into(),
            Err(JiraError::Unauthorized { .. }) => "unauthorized".into(),
            Err(JiraError::Refused { status, .. }) => format!("refused {status}"),
        };
        let reason = told.err().map(|err| err.to_string()).unwrap_or_default();
        let tells = ["hostile", "secret", "odd", "It is so"].into_iter().find(|word| reason.contains(word));
        assert_eq!(tells, None, "{name}: {reason}");
        // What is odd about one path says nothing of the site.
        let others = if one(&jira, 7, None).await.is_ok() { "" } else { ", all" };
        assert_eq!(format!("{outcome}{others}"), expected, "{name}: {reason}");
    }
}

#[tokio::test]
async fn a_slow_path_is_slow_alone() {
    let server = Server::start().await;
    let jira = client_of(&server, Some(Flavour::Cloud), Limits { read: Duration::from_millis(200), ..limits() });
    server.hold(true);
    assert!(is_unavailable(&look(&jira, "/rest/api/3/search/jql?jql=slow", Instant::now()).await));
    server.hold(false);
    assert!(one(&jira, 7, None).await.is_ok());
}

#[tokio::test]
async fn not_there_because_of_a_bad_login_waits() {
    let server = Server::start().await;
    let jira = cloud(&server);
    server.misbehave(|call| call.path.ends_with("/myself").then(|| status(401)));
    assert!(is_unauthorized(&look(&jira, WATCHERS, Instant::now()).await));
}

#[tokio::test]
async fn a_no_is_remembered_and_a_silence_is_not() {
    let server = Server::start().await;
    let jira = cloud(&server);
    let before = Instant::now();
    server.misbehave(|call| call.path.ends_with("/watchers").then(|| status(400)));
    for _ in 0..2 {
        assert!(matches!(look(&jira, WATCHERS, before).await, Err(JiraError::Refused { .. })));
    }
    assert_eq!(server.calls().len(), 1);
    server.misbehave(|call| call.path.ends_with("/votes").then(|| status(500)));
    for _ in 0..2 {
        assert!(is_unavailable(&look(&jira, "/rest/api/2/issue/7/votes", before).await));
    }
    assert_eq!(server.calls().len(), 3);
}

#[test]
fn watchers_are_people_on_either_kind_of_site() {
    let answer = json!({ "watchers": [
        { "accountId": "5b10", "accountType": "atlassian", "displayName": "Jane Doe", "active": true },
        { "name": "max", "key": "JIRAUSER1", "displayName": "Max Moritz", "emailAddress": "max@people.invalid" },
        { "displayName": "Nobody" },
    ] });
    let told: Vec<_> = people(&answer).into_iter().map(|person| (person.id, person.name, person.email.is_some(), person.kind)).collect();
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(
        told,
        [
            ("5b10".to_owned(), name("Jane Doe"), false, PersonKind::Person),
            ("JIRAUSER1".to_owned(), name("Max Moritz"), true, PersonKind::Person),
        ]
    );
    assert_eq!((people(&json!([])), watchers_of("../1")), (vec![], None));
}
