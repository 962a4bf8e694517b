//! Private projects, and talk that has changed since it was told.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::server::status;
use super::*;
use crate::jira::{Place, Privacy, Talk};

fn key_of(privacy: &Asked<Privacy>) -> String {
    match privacy {
        Ok(Privacy::Private(project)) => format!("private {}", project.key.as_deref().unwrap_or_default()),
        Ok(Privacy::Open) => "open".into(),
        Ok(Privacy::NotVisible) => "not visible".into(),
        Err(err) => format!("{err:?}"),
    }
}

#[tokio::test]
async fn a_project_is_private_or_not_by_its_id_or_that_of_a_board() {
    let server = Server::start().await;
    server.misbehave(|call| {
        let project =
            |id: u32, is_private: bool| json!({ "id": id.to_string(), "key": format!("P{id}"), "name": "P", "isPrivate": is_private });
        let board = |location: Value| json!({ "id": 2, "name": "A board", "type": "scrum", "location": location });
        let answer = match call.path.trim_start_matches("/jira/rest/") {
            "api/3/project/10" => project(10, false),
            "api/3/project/11" => project(11, true),
            "api/3/project/12" => json!({ "a": "riddle" }),
            "agile/1.0/board/1" => board(json!({ "projectId": 10 })),
            "agile/1.0/board/2" => board(json!({ "projectId": 11 })),
            "agile/1.0/board/3" => board(json!({ "userAccountId": "5b10" })),
            _ => return None,
        };
        Some(Json(answer).into_response())
    });
    let (jira, began) = (cloud(&server), Instant::now());
    let project = |id: &str| Place::Project(id.to_owned());
    let board = |id: &str| Place::Board(id.to_owned());
    for (place, expected) in [
        (project("10"), "open"),
        (project("11"), "private P11"),
        (project("12"), "not visible"),
        (project("13"), "not visible"),
        (board("1"), "open"),
        (board("2"), "private P11"),
        (board("3"), "open"),
        (board("4"), "not visible"),
    ] {
        assert_eq!(key_of(&jira.privacy(&place, began).await), expected, "{place:?}");
    }
    // Four projects, four boards, and one look at the login.
    assert_eq!(server.calls().len(), 9, "{:?}", server.paths());
    for place in [project("../10"), project(""), board("x")] {
        assert!(matches!(jira.privacy(&place, began).await, Err(JiraError::Refused { status: 0, .. })), "{place:?}");
    }
    server.misbehave(|_| Some(status(503)));
    assert!(is_unavailable(&jira.privacy(&project("11"), Instant::now()).await));

    let server = Server::start().await;
    assert_eq!(key_of(&datacenter(&server).privacy(&project("10"), began).await), "open", "Data Center has no private projects");
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn talk_is_public_restricted_internal_or_gone() {
    let server = Server::start().await;
    server.misbehave(|call| {
        let said = match call.path.trim_start_matches("/jira/rest/api/2/issue/7/") {
            "comment/1" => json!({ "id": "1", "body": "text", "jsdPublic": true }),
            "comment/2" => json!({ "id": "2", "visibility": { "type": "role", "value": "Staff" } }),
            "comment/3" => json!({ "id": "3", "jsdPublic": false }),
            "comment/4" => json!({ "id": "4", "visibility": "odd" }),
            "worklog/1" => json!({ "id": "1", "visibility": { "type": "group", "identifier": "8" } }),
            _ => return None,
        };
        Some(Json(said).into_response())
    });
    let (jira, began) = (datacenter(&server), Instant::now());
    let there = |visible_to: Option<&str>, is_internal| Ok(Talk::There { visible_to: visible_to.map(str::to_owned), is_internal });
    for (id, expected) in [
        ("1", there(None, false)),
        ("2", there(Some("Staff"), false)),
        ("3", there(None, true)),
        ("4", Ok(Talk::Gone)),
        ("5", Ok(Talk::Gone)),
    ] {
        assert_eq!(jira.comment("7", id, false, began).await, expected, "{id}");
    }
    assert_eq!(jira.worklog("7", "1", began).await, there(Some("somebody"), false));
    for (issue, comment) in [("7", "../8"), ("OPS-7", "1"), ("7", "")] {
        assert!(matches!(jira.comment(issue, comment, true, began).await, Err(JiraError::Refused { .. })));
    }
    server.misbehave(|call| Some(status(if call.path.ends_with("/myself") { 401 } else { 404 })));
    let doubtful = datacenter(&server).comment("7", "1", false, Instant::now()).await;
    assert!(is_unauthorized(&doubtful), "gone is said only while the login is good");
}

#[tokio::test]
async fn a_comment_is_read_once_and_its_property_only_where_it_does_not_say() {
    let server = Server::start().await;
    server.misbehave(|call| {
        let property = |internal: bool| json!({ "key": "sd.public.comment", "value": { "internal": internal } });
        let said = match call.path.trim_start_matches("/jira/rest/api/2/") {
            "issue/7/comment/1" => json!({ "id": "1", "jsdPublic": false }),
            "issue/7/comment/2" => json!({ "id": "2", "jsdPublic": true }),
            "issue/7/comment/3" | "issue/7/comment/4" | "issue/7/comment/5" => json!({ "id": "3" }),
            "comment/3/properties/sd.public.comment" => property(true),
            "comment/4/properties/sd.public.comment" => property(false),
            _ => return None,
        };
        Some(Json(said).into_response())
    });
    let (jira, began) = (datacenter(&server), Instant::now());
    let there = |is_internal| Ok(Talk::There { visible_to: None, is_internal });
    // How often it asks: the last has no property, so that the login is looked at, too.
    for (id, is_internal, calls) in [("1", true, 1), ("2", false, 1), ("3", true, 2), ("4", false, 2), ("5", false, 3)] {
        let before = server.calls().len();
        assert_eq!(jira.comment("7", id, true, began).await, there(is_internal), "{id}");
        assert_eq!(server.calls().len() - before, calls, "{id}: {:?}", server.paths());
    }
    assert_eq!(jira.comment("7", "3", false, began).await, there(false), "nobody asked whether it is a note");
    server.misbehave(|call| {
        let is_property = call.path.ends_with("sd.public.comment");
        Some(if is_property { status(503) } else { Json(json!({ "id": "3" })).into_response() })
    });
    assert!(is_unavailable(&jira.comment("7", "3", true, Instant::now()).await), "what cannot be asked is not public");
}
