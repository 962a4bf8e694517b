//! Jira down, slow, throttling or refusing us: told at once, asked rarely.

use axum::body::Body;
use axum::response::IntoResponse;

use super::server::{page, status, with_header};
use super::*;

fn retry_after<T>(answer: &Asked<T>) -> Duration {
    match answer {
        Err(JiraError::Unavailable { retry_after: Some(span), .. }) => *span,
        Err(other) => panic!("no Retry-After: {other:?}"),
        Ok(_) => panic!("an answer"),
    }
}

#[tokio::test]
async fn after_a_429_nothing_is_asked_within_retry_after() {
    let server = Server::start().await;
    let jira = cloud(&server);
    server.misbehave(|_| Some(with_header(status(429), "retry-after", "1")));
    assert!(retry_after(&one(&jira, 7, None).await) > Duration::from_secs(1));
    server.behave();
    let refused = server.calls()[0].at;

    let limit = Instant::now() + Duration::from_secs(5);
    loop {
        let answer = one(&jira, 7, None).await;
        if answer.is_ok() {
            break;
        }
        assert!(Instant::now() < limit, "{answer:?}");
        assert!(is_unavailable(&jira.myself().await) && jira.budget_remaining() == 0.0);
        // As whoever waits would: until the time it was told.
        tokio::time::sleep(retry_after(&answer)).await;
    }
    let calls = server.calls();
    assert_eq!(calls.len(), 2);
    assert!(calls[1].at - refused > Duration::from_secs(1), "{:?}", calls[1].at - refused);
}

#[tokio::test]
async fn a_refused_login_is_not_hammered() {
    for (code, name, value) in [
        (401, "x-other", "x"),
        (403, "x-authentication-denied-reason", "CAPTCHA_CHALLENGE; login-url=https://jira.invalid/login.jsp"),
        (200, "x-seraph-loginreason", "AUTHENTICATED_FAILED"),
    ] {
        let server = Server::start().await;
        let jira = datacenter(&server);
        server.misbehave(move |_| Some(with_header(status(code), name, value)));
        for _ in 0..20 {
            let answers = jira.issues(&[want(7, None), want(8, Some(Instant::now()))]).await;
            assert!(answers.iter().all(is_unauthorized), "{code}: {answers:?}");
        }
        assert!(is_unauthorized(&jira.comment_internal("7", "1", Instant::now()).await));
        assert_eq!(server.calls().len(), 1, "{code} {name}");
    }
}

#[tokio::test]
async fn what_is_down_is_unavailable_and_left_alone_for_a_while() {
    let pages: [fn() -> axum::response::Response; 4] =
        [page, || status(503), || with_header(status(302), "location", "/login.jsp"), || Body::from(vec![b' '; 33 << 20]).into_response()];
    for response in pages {
        let server = Server::start().await;
        let jira = cloud(&server);
        server.misbehave(move |_| Some(response()));
        for _ in 0..5 {
            let answer = one(&jira, 7, None).await;
            assert!(retry_after(&answer) <= Duration::from_secs(1), "{answer:?}");
        }
        assert_eq!(server.calls().len(), 1);
    }
}

#[tokio::test]
async fn an_issue_that_breaks_jira_hurts_only_itself() {
    for flavour in [Flavour::Cloud, Flavour::Datacenter] {
        let server = Server::start().await;
        let jira = client_of(&server, Some(flavour), limits());
        server.misbehave(|call| {
            let bulk = call.method == http::Method::POST;
            (bulk || call.path.ends_with("/issue/8")).then(|| status(500))
        });
        let answers = jira.issues(&[want(7, None), want(8, None), want(9, None)]).await;
        assert!(matches!(answers.as_slice(), [Ok(_), Err(JiraError::Unavailable { .. }), Ok(_)]), "{flavour:?}: {answers:?}");
        assert!(one(&jira, 10, None).await.is_ok(), "{flavour:?}: no pause for the others");
    }
}

#[tokio::test]
async fn a_site_that_only_breaks_is_left_alone_for_a_while() {
    let server = Server::start().await;
    let jira = cloud(&server);
    server.misbehave(|_| Some(status(500)));
    for id in 1..20 {
        assert!(is_unavailable(&one(&jira, id, None).await));
    }
    assert_eq!(server.calls().len(), 3, "{:?}", server.paths());
}

#[tokio::test]
async fn reasons_name_connection_and_remedy_but_no_secret() {
    let server = Server::start().await;
    server.misbehave(|_| Some(page()));
    let err = one(&cloud(&server), 7, None).await.expect_err("unavailable");
    insta::assert_snapshot!(err, @"Jira of connection `acme` is unavailable (bulkfetch): it answered with something that is not JSON: Log in: is a login page or a proxy before it?");
    server.misbehave(|_| Some(status(401)));
    let err = one(&cloud(&server), 7, None).await.expect_err("unauthorized");
    insta::assert_snapshot!(err, @"Jira refuses the login of connection `acme`: is the token under `auth` right, of this user and not expired?");
    server.misbehave(|_| Some(status(503)));
    let err = one(&cloud(&server), 7, None).await.expect_err("unavailable");
    insta::assert_snapshot!(err, @"Jira of connection `acme` is unavailable (bulkfetch): it answered 503: It is so.");
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let auth = Auth::Pat { token: Secret::new("t0ken") };
    let (name, base_url) = ("acme".parse().expect("a name"), url.parse().expect("a base URL"));
    let jira = Jira::new(name, base_url, auth, Some(Flavour::Datacenter), to_markdown).expect("a client");
    let answer = one(&jira, 7, None).await;
    assert!(retry_after(&answer) <= Duration::from_secs(1));
    let text = answer.expect_err("unavailable").to_string();
    assert!(text.contains("no connection: ") && !text.contains("http"), "{text}");
}

#[tokio::test]
async fn what_hangs_is_unavailable_within_the_limit() {
    let server = Server::start().await;
    let short = Limits { read: Duration::from_millis(200), call: Duration::from_millis(300), ..limits() };
    let jira = client_of(&server, Some(Flavour::Cloud), short);
    server.hold(true);
    let start = Instant::now();
    let answers = jira.issues(&[want(7, None), want(8, None)]).await;
    assert!(answers.iter().all(is_unavailable), "{answers:?}");
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(retry_after(&one(&jira, 9, None).await) > Duration::ZERO);
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn what_is_remembered_serves_while_jira_is_down() {
    let server = Server::start().await;
    let jira = cloud(&server);
    let before = Instant::now();
    assert!(one(&jira, 7, None).await.is_ok());
    server.misbehave(|_| Some(status(503)));
    assert!(is_unavailable(&one(&jira, 7, Some(Instant::now())).await));
    assert!(one(&jira, 7, Some(before)).await.is_ok());
    assert!(one(&jira, 7, None).await.is_ok());
}
