//! Internal notes: known, public by absence, and gone.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::json;

use super::server::status;
use super::*;

#[tokio::test]
async fn a_comment_is_internal_public_or_gone() {
    let began = Instant::now();
    let server = Server::start().await;
    let jira = datacenter(&server);
    server.misbehave(|call| {
        let internal = |internal: bool| Json(json!({ "key": "sd.public.comment", "value": { "internal": internal } })).into_response();
        match call.path.trim_start_matches("/jira/rest/api/2/") {
            "comment/1/properties/sd.public.comment" => Some(internal(true)),
            "comment/2/properties/sd.public.comment" => Some(internal(false)),
            "issue/7/comment/3" => Some(Json(json!({ "id": "3", "body": "text" })).into_response()),
            "issue/7/comment/5" => Some(Json(json!({ "id": "5", "body": "text", "jsdPublic": false })).into_response()),
            "comment/6/properties/sd.public.comment" => Some(status(403)),
            "comment/8/properties/sd.public.comment" => Some(Json(json!({ "value": "yes" })).into_response()),
            _ => None,
        }
    });
    for _ in 0..2 {
        for (id, internal) in [("1", true), ("2", false), ("3", false), ("4", true), ("5", true), ("6", true), ("8", true)] {
            assert_eq!(jira.comment_internal("7", id, began).await, Ok(internal), "{id}");
        }
    }
    // One each for 1, 2, 6 and 8, two each for the others, and one look at the login; nothing for the second round.
    assert_eq!(server.calls().len(), 11, "{:?}", server.paths());
}

#[tokio::test]
async fn nothing_is_said_of_a_comment_while_the_login_is_in_doubt() {
    let began = Instant::now();
    for code in [403, 404] {
        let server = Server::start().await;
        let jira = datacenter(&server);
        server.misbehave(move |call| Some(status(if call.path.ends_with("/myself") { 401 } else { code })));
        assert!(is_unauthorized(&jira.comment_internal("7", "1", began).await), "{code}");
    }
    let server = Server::start().await;
    let jira = datacenter(&server);
    server.misbehave(|call| call.path.contains("/comment/").then(|| (http::StatusCode::FORBIDDEN, "<html>no</html>").into_response()));
    assert!(is_unavailable(&jira.comment_internal("7", "1", began).await), "a proxy is not Jira");
}

#[tokio::test]
async fn ids_of_comments_are_checked() {
    let began = Instant::now();
    let server = Server::start().await;
    let jira = datacenter(&server);
    for (issue, comment) in [("7", "../8"), ("OPS-7", "1"), ("7", "")] {
        assert!(matches!(jira.comment_internal(issue, comment, began).await, Err(JiraError::Refused { .. })));
    }
    assert_eq!(server.calls().len(), 0);
}

#[tokio::test]
async fn an_answer_that_was_asked_for_before_does_not_serve_who_came_later() {
    let server = Server::start().await;
    let jira = datacenter(&server);
    server.misbehave(|call| {
        call.path.ends_with("sd.public.comment").then(|| Json(json!({ "value": { "internal": false } })).into_response())
    });
    server.hold(true);
    let first = jira.comment_internal("7", "1", Instant::now());
    let later = async {
        while server.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        let asked = jira.comment_internal("7", "1", Instant::now());
        // It has joined the question that is under way when the answer comes.
        tokio::join!(asked, async { server.hold(false) }).0
    };
    assert_eq!(tokio::join!(first, later), (Ok(false), Ok(false)));
    assert_eq!(server.calls().len(), 2, "{:?}", server.paths());
}
