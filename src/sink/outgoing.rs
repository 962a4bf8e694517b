//! Calls to somebody else's server: one way to make a client, and one way to read what went wrong.
//!
//! A URL may be a secret, so that no reason names one. Redirects are never followed. Nothing is tried again here.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};

use super::address::{PublicOnly, Reach, RefusedAddress};
use super::{BuildError, Scope, SinkError};

const CONNECT: Duration = Duration::from_secs(5);
/// Shorter than what servers and their load balancers usually allow, so that a connection is not used just as it ends.
const IDLE: Duration = Duration::from_secs(30);

/// A client for calls that take `timeout` at most. One that reaches only public addresses uses no proxy, which would call for it.
pub(super) fn client(timeout: Duration, reach: Reach) -> Result<Client, BuildError> {
    let mut builder = Client::builder()
        .user_agent(concat!("Ticketwire/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(timeout)
        .pool_idle_timeout(IDLE);
    if reach == Reach::Public {
        builder = builder.no_proxy().dns_resolver(Arc::new(PublicOnly));
    }
    builder.build().map_err(|err| {
        let cause = deepest(&err);
        BuildError::surroundings(format!("no HTTPS client can be made: {cause}; are the system's CA certificates installed?"))
    })
}

/// What a call that brought no answer means. Only what kept a connection from being made is certain to have sent nothing.
pub(super) fn map_error(err: reqwest::Error) -> SinkError {
    let err = err.without_url();
    if let Some(refused) = causes(&err).find_map(|cause| cause.downcast_ref::<RefusedAddress>()) {
        return SinkError::Refused { scope: Scope::Sink, reason: refused.to_string() };
    }
    let cause = deepest(&err);
    match (err.is_connect(), err.is_timeout()) {
        (true, true) => unavailable("no connection in time"),
        (true, false) => unavailable(format!("no connection: {cause}")),
        (false, true) => SinkError::Unanswered { reason: "no answer in time".to_owned() },
        (false, false) if err.is_builder() => SinkError::Failed { reason: format!("the request cannot be made: {cause}") },
        (false, false) => SinkError::Unanswered { reason: format!("the connection broke: {cause}") },
    }
}

/// What an answer means that is not a success, where nothing but its status tells. `who` answered, as it begins the reason.
pub(super) fn map_status(who: &str, status: StatusCode, retry_after: Option<Duration>) -> SinkError {
    let reason = format!("{who} answered {status}");
    match status.as_u16() {
        300..=399 => {
            SinkError::Refused { scope: Scope::Sink, reason: format!("{reason}: redirects are not followed; write where it leads") }
        }
        401 | 403 | 410 => SinkError::Refused { scope: Scope::Sink, reason },
        400 | 413 | 415 | 422 => SinkError::Refused { scope: Scope::Target, reason },
        425 | 429 => SinkError::Unavailable { scope: Scope::Target, retry_after, reason },
        408 | 500..=599 => SinkError::Unavailable { scope: Scope::Sink, retry_after, reason },
        _ => SinkError::Failed { reason },
    }
}

pub(super) fn unavailable(reason: impl Into<String>) -> SinkError {
    SinkError::Unavailable { scope: Scope::Sink, retry_after: None, reason: reason.into() }
}

/// The body, or its first `most` bytes.
pub(super) async fn body(response: &mut Response, most: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < most
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(chunk.get(..most - body.len()).unwrap_or(&chunk));
    }
    Ok(body)
}

fn causes<'a>(err: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(err), |err: &&'a (dyn Error + 'static)| (*err).source())
}

/// What the outer errors wrap says most: `Connection refused`, `certificate expired`.
fn deepest(err: &(dyn Error + 'static)) -> String {
    causes(err).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Answer, Endpoint};
    use super::*;

    #[test]
    fn statuses_say_what_to_do_next() {
        fn check(status: u16) -> (&'static str, Option<Scope>) {
            match map_status("it", StatusCode::from_u16(status).expect("a status"), None) {
                SinkError::Unavailable { scope, .. } => ("unavailable", Some(scope)),
                SinkError::Refused { scope, .. } => ("refused", Some(scope)),
                SinkError::Failed { .. } => ("failed", None),
                SinkError::Unanswered { .. } => ("unanswered", None),
            }
        }
        for status in [301, 302, 303, 307, 308, 401, 403, 410] {
            assert_eq!(check(status), ("refused", Some(Scope::Sink)), "{status}");
        }
        for status in [400, 413, 415, 422] {
            assert_eq!(check(status), ("refused", Some(Scope::Target)), "{status}");
        }
        for status in [408, 500, 502, 503, 504, 599] {
            assert_eq!(check(status), ("unavailable", Some(Scope::Sink)), "{status}");
        }
        for status in [425, 429] {
            assert_eq!(check(status), ("unavailable", Some(Scope::Target)), "{status}");
        }
        for status in [402, 404, 405, 406, 409, 418, 451] {
            assert_eq!(check(status), ("failed", None), "{status}");
        }
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let endpoint = Endpoint::start(Answer::new(200, "x".repeat(200_000))).await;
        let client = client(Duration::from_secs(10), Reach::Anywhere).expect("a client");
        for (most, length) in [(0, 0), (10, 10), (65_536, 65_536), (300_000, 200_000)] {
            let mut response = client.get(&endpoint.url).send().await.expect("an answer");
            assert_eq!(body(&mut response, most).await.expect("a body").len(), length);
        }
        assert_eq!(endpoint.calls()[0].header("user-agent"), concat!("Ticketwire/", env!("CARGO_PKG_VERSION")));
    }

    #[tokio::test]
    async fn no_reason_names_a_url() {
        let endpoint = Endpoint::start(None).await;
        let client = client(Duration::from_millis(50), Reach::Anywhere).expect("a client");
        let slow = client.get(format!("{}/hush?token=hush", endpoint.url)).send().await.expect_err("no answer");
        assert_eq!(map_error(slow), SinkError::Unanswered { reason: "no answer in time".to_owned() });
        // A port that was free a moment ago.
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("an address");
        let closed = client.get(format!("http://{free}/hush")).send().await.expect_err("no connection");
        let SinkError::Unavailable { scope: Scope::Sink, reason, .. } = map_error(closed) else { panic!("it may come back") };
        assert!(reason.starts_with("no connection: Connection refused") && !reason.contains("hush"), "{reason}");
    }

    #[tokio::test]
    async fn a_connection_that_breaks_after_the_request_leaves_in_doubt_whether_it_was_taken() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let read_and_close = async {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1024];
            tokio::io::AsyncReadExt::read(&mut connection, &mut request).await.expect("a request")
        };
        let client = client(Duration::from_secs(10), Reach::Anywhere).expect("a client");
        let (answer, read) = tokio::join!(client.get(format!("http://{address}/hush")).send(), read_and_close);
        let broken = map_error(answer.expect_err("no answer"));
        assert!(read > 0);
        assert!(matches!(&broken, SinkError::Unanswered { reason } if !reason.contains("hush")), "{broken}");
        assert!(!broken.certainly_not_sent() && broken.of_a_question().certainly_not_sent());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_before_any_connection() {
        let endpoint = Endpoint::start(Answer::new(200, "")).await;
        let client = client(Duration::from_secs(10), Reach::Public).expect("a client");
        let refused = client.get(format!("http://localhost:{}/", endpoint.port)).send().await.expect_err("refused");
        let SinkError::Refused { scope: Scope::Sink, reason } = map_error(refused) else { panic!("waiting does not help") };
        assert!(reason.contains("set `allow_private = true`"), "{reason}");
        assert!(endpoint.calls().is_empty());
    }
}
