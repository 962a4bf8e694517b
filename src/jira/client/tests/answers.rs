//! What is seen, what is not, and how that is found out.

use super::server::status;
use super::*;

#[tokio::test]
async fn an_issue_is_asked_for_whole_and_read() {
    let server = Server::start().await;
    let seen = seen(one(&cloud(&server), 7, None).await);
    assert_eq!(seen.issue.url.as_deref(), Some(format!("{}/browse/OPS-7", server.base_url()).as_str()));
    assert!(!seen.issue.partial && seen.secrecy.level_known);
    assert_eq!(seen.project.as_ref().and_then(|project| project.key.as_deref()), Some("OPS"));
    assert!(seen.issue.custom.text().contains("\"customfield_10020\":"));

    let call = server.calls().pop().expect("a call");
    assert_eq!(call.path, "/jira/rest/api/3/issue/bulkfetch");
    assert_eq!(call.body["fields"][0], "*all");
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("authorization"), "Basic aHViQHBlb3BsZS5pbnZhbGlkOnQwa2Vu");
    assert_eq!(header("user-agent"), concat!("Ticketwire/", env!("CARGO_PKG_VERSION")));
    assert_eq!(header("accept"), "application/json");
}

#[tokio::test]
async fn what_is_left_out_is_not_visible_if_the_login_is_good() {
    for flavour in [Flavour::Cloud, Flavour::Datacenter] {
        let server = Server::start().await;
        let jira = client_of(&server, Some(flavour), limits());
        server.hide(8);
        let answers = jira.issues(&[want(7, None), want(8, None), want(5000, None)]).await;
        assert!(
            matches!(answers.as_slice(), [Ok(Sight::Seen(_)), Ok(Sight::NotVisible), Ok(Sight::NotVisible)]),
            "{flavour:?}: {answers:?}"
        );
        let logins = server.paths().iter().filter(|path| path.ends_with("/myself")).count();
        assert_eq!(logins, 1, "{flavour:?}");

        let calls = server.calls().len();
        assert!(matches!(one(&jira, 8, None).await, Ok(Sight::NotVisible)));
        assert_eq!(server.calls().len(), calls, "{flavour:?}: it is remembered");
    }
}

#[tokio::test]
async fn nothing_is_said_of_what_is_left_out_while_the_login_is_in_doubt() {
    for flavour in [Flavour::Cloud, Flavour::Datacenter] {
        for (code, unauthorized) in [(401, true), (403, false), (404, false), (503, false)] {
            let server = Server::start().await;
            let jira = client_of(&server, Some(flavour), limits());
            server.hide(8);
            server.misbehave(move |call| call.path.ends_with("/myself").then(|| status(code)));
            let answer = one(&jira, 8, None).await;
            let right = if unauthorized { is_unauthorized(&answer) } else { is_unavailable(&answer) };
            assert!(right, "{flavour:?} {code}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_search_that_is_refused_is_replaced_by_single_reads() {
    let server = Server::start().await;
    let jira = datacenter(&server);
    server.hide(8);
    server.misbehave(|call| call.path.ends_with("/search").then(|| status(400)));
    let wants: Vec<Want> = (6..=9).map(|id| want(id, None)).collect();
    let answers = jira.issues(&wants).await;
    assert!(
        matches!(answers.as_slice(), [Ok(Sight::Seen(_)), Ok(Sight::Seen(_)), Ok(Sight::NotVisible), Ok(Sight::Seen(_))]),
        "{answers:?}"
    );
    let singly = server.calls().into_iter().filter(|call| call.path.starts_with("/jira/rest/api/2/issue/")).collect::<Vec<_>>();
    assert_eq!(singly.len(), 4);
    assert!(singly.iter().all(|call| call.query.starts_with("fields=*all") || call.query.starts_with("fields=%2Aall")), "{singly:?}");
}

#[tokio::test]
async fn a_site_without_bulkfetch_is_read_one_by_one() {
    for code in [404, 405] {
        let server = Server::start().await;
        let jira = cloud(&server);
        server.misbehave(move |call| call.path.ends_with("/bulkfetch").then(|| status(code)));
        let answers = jira.issues(&[want(6, None), want(7, None)]).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(server.paths(), ["POST /3/issue/bulkfetch", "GET /3/issue/6", "GET /3/issue/7"]);
    }
}

#[tokio::test]
async fn a_search_that_gives_less_than_it_found_proves_nothing() {
    let server = Server::start().await;
    let jira = datacenter(&server);
    server.misbehave(|call| {
        let short = serde_json::json!({ "startAt": 0, "maxResults": 0, "total": 2, "issues": [] });
        call.path.ends_with("/search").then(|| axum::response::IntoResponse::into_response(axum::Json(short)))
    });
    let answers = jira.issues(&[want(6, None), want(7, None)]).await;
    assert!(matches!(answers.as_slice(), [Ok(Sight::Seen(_)), Ok(Sight::Seen(_))]), "{answers:?}");
}

#[tokio::test]
async fn an_issue_with_an_error_beside_it_is_asked_for_alone() {
    let server = Server::start().await;
    let jira = cloud(&server);
    server.misbehave(|call| {
        let odd = serde_json::json!({ "issues": [], "issueErrors": [{ "id": "6", "errorMessage": "try again" }, { "id": 7 }] });
        call.path.ends_with("/bulkfetch").then(|| axum::response::IntoResponse::into_response(axum::Json(odd)))
    });
    let answers = jira.issues(&[want(6, None), want(7, None), want(8, None)]).await;
    assert!(matches!(answers.as_slice(), [Ok(Sight::Seen(_)), Ok(Sight::Seen(_)), Ok(Sight::NotVisible)]), "{answers:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_asked_for_in_halves() {
    let large = || axum::response::IntoResponse::into_response(([("content-type", "application/json")], vec![b' '; 33 << 20]));
    let server = Server::start().await;
    let jira = cloud(&server);
    server.misbehave(move |call| {
        let ids = call.body["issueIdsOrKeys"].as_array().cloned().unwrap_or_default();
        (ids.len() > 2 || ids.iter().any(|id| id == "8")).then(large)
    });
    let wants: Vec<Want> = (6..=9).map(|id| want(id, None)).collect();
    let answers = jira.issues(&wants).await;
    assert!(
        matches!(answers.as_slice(), [Ok(Sight::Seen(_)), Ok(Sight::Seen(_)), Err(JiraError::Refused { .. }), Ok(Sight::Seen(_))]),
        "{answers:?}"
    );
    assert!(one(&jira, 10, None).await.is_ok(), "the site is not paused");
    assert_eq!(server.calls().len(), 6, "{:?}", server.paths());

    let server = Server::start().await;
    let jira = datacenter(&server);
    server.misbehave(move |call| call.path.ends_with("/issue/8").then(large));
    assert!(matches!(one(&jira, 8, None).await, Err(JiraError::Refused { .. })));
    assert!(one(&jira, 9, None).await.is_ok(), "the site is not paused");
}

#[tokio::test]
async fn a_no_of_jira_stays_one_and_that_of_a_proxy_does_not() {
    let server = Server::start().await;
    let jira = datacenter(&server);
    server.misbehave(|call| call.path.ends_with("/issue/8").then(|| status(400)));
    assert!(matches!(one(&jira, 8, None).await, Err(JiraError::Refused { status: 400, .. })));
    server.misbehave(|call| {
        let page = (http::StatusCode::BAD_REQUEST, "<html>no</html>");
        call.path.ends_with("/issue/8").then(|| axum::response::IntoResponse::into_response(page))
    });
    assert!(is_unavailable(&one(&jira, 8, None).await));
}

#[tokio::test]
async fn what_is_no_id_is_never_asked_for() {
    let server = Server::start().await;
    let jira = datacenter(&server);
    for id in ["", "OPS-7", "1) or (1=1", "7/comment", "123456789012345678901"] {
        let answers = jira.issues(&[Want { issue_id: id.into(), after: None }]).await;
        assert!(matches!(answers.as_slice(), [Err(JiraError::Refused { status: 0, .. })]), "{id}: {answers:?}");
    }
    assert!(jira.issues(&[]).await.is_empty());
    assert_eq!(server.calls().len(), 0);
}
