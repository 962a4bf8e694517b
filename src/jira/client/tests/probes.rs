//! Flavour, login and fields.

use axum::Json;
use axum::response::IntoResponse;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::server::status;
use super::*;

fn says(server: &Server, path: &'static str, body: Value) {
    server.misbehave(move |call| call.path.ends_with(path).then(|| Json(body.clone()).into_response()));
}

#[tokio::test]
async fn the_flavour_is_asked_for_once_and_again_only_while_unknown() {
    let server = Server::start().await;
    let jira = client_of(&server, None, Limits { backoff_first: Duration::from_millis(20), ..limits() });
    server.misbehave(|_| Some(status(503)));
    assert!(is_unavailable(&one(&jira, 7, None).await));
    server.behave();
    let mut answer = one(&jira, 7, None).await;
    while let Err(JiraError::Unavailable { retry_after: Some(span), .. }) = answer {
        tokio::time::sleep(span).await;
        answer = one(&jira, 7, None).await;
    }
    assert_eq!(seen(answer).issue.body.as_deref(), Some("wiki text"));
    join_all((8..12).map(|id| one(&jira, id, None))).await;
    let paths = server.paths();
    assert_eq!(paths.iter().filter(|path| path.ends_with("/serverInfo")).count(), 2, "{paths:?}");
    assert!(paths.iter().all(|path| path.contains(" /2/")), "{paths:?}");
    assert!(!server.calls()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_credential_of_the_other_flavour_is_refused_with_the_remedy() {
    let server = Server::start().await;
    let make =
        |auth: Auth, flavour| Jira::with_limits("acme".parse().expect("a name"), server.base_url(), auth, flavour, to_markdown, limits());
    let token = || Auth::ApiToken { email: "hub@people.invalid".into(), token: Secret::new("t0ken") };
    let err = make(token(), Some(Flavour::Datacenter)).err().expect("refused");
    insta::assert_snapshot!(err, @r#"`auth` of connection `acme` cannot work: its site is a Data Center, which knows no API tokens: use `type = "pat"` with a personal access token"#);
    let jira = make(token(), None).expect("not known yet");
    assert_eq!(one(&jira, 7, None).await.expect_err("refused"), err);

    says(&server, "/serverInfo", json!({ "version": "1001.0.0", "versionNumbers": [1001, 0, 0], "deploymentType": "Cloud" }));
    let jira = make(Auth::Pat { token: Secret::new("t0ken") }, None).expect("not known yet");
    assert!(is_unauthorized(&one(&jira, 7, None).await));
}

#[tokio::test]
async fn sites_say_what_they_are() {
    let server = Server::start().await;
    let jira = datacenter(&server);
    for (body, flavour) in [
        (json!({ "version": "1001.0.0-SNAPSHOT", "versionNumbers": [1001, 0, 0], "deploymentType": "Cloud" }), Some(Flavour::Cloud)),
        (json!({ "version": "10.3.5", "versionNumbers": [10, 3, 5], "deploymentType": "Server" }), Some(Flavour::Datacenter)),
        (json!({ "version": "7.13.0", "versionNumbers": [7, 13, 0] }), Some(Flavour::Datacenter)),
        (json!({ "version": "8.4-rc1" }), Some(Flavour::Datacenter)),
        (json!({ "version": "7.12.3", "versionNumbers": [7, 12, 3], "deploymentType": "Server" }), None),
        (json!({ "version": "6.4" }), None),
    ] {
        says(&server, "/serverInfo", body.clone());
        let said = jira.server_info().await;
        assert_eq!(said.as_ref().ok().map(|info| info.flavour), flavour, "{body}");
        assert!(said.is_ok() || matches!(said, Err(JiraError::Refused { .. })), "{said:?}");
    }
    says(&server, "/serverInfo", json!({ "name": "another product" }));
    assert!(is_unavailable(&jira.server_info().await));
}

#[tokio::test]
async fn a_site_that_wants_a_login_for_everything_gets_it() {
    let server = Server::start().await;
    server.misbehave(|call| (!call.headers.contains_key("authorization")).then(|| status(401)));
    assert_eq!(datacenter(&server).server_info().await.expect("an answer").version, "9.12.5");
}

#[tokio::test]
async fn we_are_told_who_we_are() {
    let server = Server::start().await;
    let jira = datacenter(&server);
    for (body, id) in [
        (json!({ "accountId": "5b10", "displayName": "Hub", "emailAddress": "hub@people.invalid" }), Some("5b10")),
        (json!({ "key": "JIRAUSER1", "name": "hub", "displayName": "Hub" }), Some("JIRAUSER1")),
        (json!({ "name": "hub" }), Some("hub")),
        (json!({}), None),
    ] {
        says(&server, "/myself", body);
        assert_eq!(jira.myself().await.ok().map(|me| me.id).as_deref(), id);
    }
}

#[tokio::test]
async fn fields_are_listed() {
    let server = Server::start().await;
    let sprint = json!({ "id": "customfield_10020", "name": "Sprint", "custom": true,
        "schema": { "type": "array", "items": "json", "custom": "com.pyxis.greenhopper.jira:gh-sprint", "customId": 10020 } });
    says(&server, "/field", json!([{ "id": "thumbnail", "name": "Images" }, sprint]));
    let fields = datacenter(&server).fields().await.expect("fields");
    assert_eq!(fields.len(), 2);
    assert!(fields[1].custom && fields[0].schema.is_none());
    let schema = fields[1].schema.as_ref().expect("a schema");
    assert_eq!(schema.custom.as_deref(), Some("com.pyxis.greenhopper.jira:gh-sprint"));
}
