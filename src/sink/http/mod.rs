//! Somebody's HTTP endpoint: each event is a POST of the structured CloudEvent, signed as Standard Webhooks say.
//!
//! `webhook-id` is the event's id on every try, so that the endpoint can tell a repeat. Redirects are refused, private addresses
//! too unless they are allowed. What the endpoint answers beyond its status is not read for meaning.

mod endpoint;
mod signature;

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::Host;

pub use self::endpoint::Endpoint;
use self::signature::Key;
use super::address::{Reach, within};
use super::{BuildError, Clearance, Enriched, Receipt, Scope, Sink, SinkError, Traits, outgoing};
use crate::clock::Clock;
use crate::event::structured;
use crate::jira::retry_after;
use crate::setting::{Secret, SecretSource, SinkName, Span};

const TIMEOUT: Span = Span::seconds(10);
/// A body is read only so that the connection can be used again: neither long nor for long.
const BODY_MAX: usize = 64 * 1024;
const BODY_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where each event is posted.
    pub url: Endpoint,
    /// Signs every event: `whsec_...` as Standard Webhooks have it, or any text.
    #[serde(default)]
    pub secret: Option<SecretSource>,
    /// Whether it may call addresses that are not on the public internet. Only then a proxy of the environment is used, because
    /// a proxy looks up the address itself.
    #[serde(default)]
    pub allow_private: bool,
    /// How long one event may take.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// Whether a reduced issue is read from Jira and made whole first; then events wait while Jira cannot be asked.
    #[serde(default)]
    pub enrich: bool,
    /// Whether `data.raw` carries Jira's own body.
    #[serde(default)]
    pub include_raw: bool,
    /// What restricted content it takes: nothing unless said otherwise.
    #[serde(default)]
    pub clearance: Option<Clearance>,
}

fn default_timeout() -> Span {
    TIMEOUT
}

impl Settings {
    pub fn clearance(&self) -> Clearance {
        self.clearance.clone().unwrap_or_else(Clearance::nothing)
    }

    /// What can be said without touching anything.
    pub fn check(&self) -> Result<(), BuildError> {
        if let Some(host) = self.url.private_host().filter(|_| !self.allow_private) {
            let reason = format!("`{host}` is not on the public internet; set `allow_private = true` if it may be called");
            return Err(BuildError::setting("url", reason));
        }
        if self.timeout.0.is_zero() {
            return Err(BuildError::setting("timeout", "no endpoint answers in no time; write a span as in `10s`"));
        }
        Ok(())
    }
}

/// `secret` is what the setting of that name resolved to.
pub fn build(name: SinkName, settings: &Settings, secret: Option<&Secret>, clock: Clock) -> Result<impl Sink + use<>, BuildError> {
    settings.check()?;
    let key = secret.map(Key::new).transpose().map_err(|reason| BuildError::setting("secret", reason))?;
    let reach = if settings.allow_private { Reach::Anywhere } else { Reach::Public };
    let client = outgoing::client(settings.timeout.0, reach)?;
    Ok(HttpSink { name, endpoint: settings.url.clone(), key, reach, include_raw: settings.include_raw, client, clock })
}

struct HttpSink {
    name: SinkName,
    endpoint: Endpoint,
    key: Option<Key>,
    reach: Reach,
    include_raw: bool,
    client: Client,
    clock: Clock,
}

#[async_trait]
impl Sink for HttpSink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn traits(&self) -> Traits {
        Traits { repeatable: true, records_itself: false, batch: 1, for_people: false }
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for delivery in batch {
            outcomes.push(self.post(delivery).await);
        }
        outcomes
    }

    /// Connects and says nothing: an endpoint takes every request for an event.
    async fn check(&self) -> Result<(), SinkError> {
        let connected = timeout(TIMEOUT.0, async {
            let addresses = self.addresses().await?;
            TcpStream::connect(&addresses[..]).await.map_err(|err| outgoing::unavailable(format!("no connection: {err}")))
        });
        connected.await.unwrap_or_else(|_| Err(outgoing::unavailable("no connection in time"))).map(|_| ())
    }
}

impl HttpSink {
    async fn post(&self, delivery: &Enriched) -> Result<Receipt, SinkError> {
        let body = structured(&delivery.envelope, &delivery.event, self.include_raw);
        let (id, seconds) = (delivery.event.id.as_str(), self.clock.now().ms().div_euclid(1_000));
        let mut request = self
            .client
            .post(self.endpoint.url().clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds);
        // Where it has one the event says it too, but a server that takes part in traces looks here.
        if let Some(traceparent) = delivery.envelope.traceparent.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            request = request.header("traceparent", traceparent);
        }
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", key.sign(id, seconds, &body));
        }
        let mut response = request.body(body).send().await.map_err(outgoing::map_error)?;
        let (status, retry_after) = (response.status(), retry_after(response.headers(), self.clock.now()));
        // However the body ends, the status has said it all.
        let _ = timeout(BODY_WAIT, outgoing::body(&mut response, BODY_MAX)).await;
        if status.is_success() { Ok(Receipt::default()) } else { Err(outgoing::map_status("the endpoint", status, retry_after)) }
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, SinkError> {
        let url = self.endpoint.url();
        let port = url.port_or_known_default().unwrap_or(443);
        let name = match url.host() {
            Some(Host::Ipv4(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Ipv6(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Domain(name)) => name,
            None => "",
        };
        let found = lookup_host((name, port)).await.map_err(|err| outgoing::unavailable(format!("no connection: {err}")))?;
        within(self.reach, name, found.collect()).map_err(|err| SinkError::Refused { scope: Scope::Sink, reason: err.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, Answer};
    use super::*;
    use crate::clock::Timestamp;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn settings(url: &str) -> Settings {
        let given = serde_json::json!({ "url": url, "allow_private": true, "timeout": "5s" });
        serde_json::from_value(given).expect("settings")
    }

    fn sink(settings: &Settings, secret: Option<&str>) -> impl Sink + use<> {
        let clock = Clock::at(Timestamp::from_ms(1_614_265_330_999));
        build("out".parse().unwrap(), settings, secret.map(Secret::new).as_ref(), clock).unwrap()
    }

    #[tokio::test]
    async fn an_event_is_posted_and_signed() {
        let endpoint = sample::Endpoint::start(Answer::new(204, "")).await;
        let sink = sink(&settings(&format!("{}/in?a=b", endpoint.url)), Some(SECRET));
        assert_eq!(sink.deliver(&[sample::enriched(1), sample::enriched(2)]).await, vec![Ok(Receipt::default()); 2]);
        let calls = endpoint.calls();
        assert_eq!(calls.len(), 2);
        for (call, number) in calls.iter().zip([1, 2]) {
            assert_eq!((call.path.as_str(), call.header("content-type")), ("/in", "application/cloudevents+json"));
            assert_eq!((call.header("webhook-id"), call.header("webhook-timestamp")), (sample::id(number).as_str(), "1614265330"));
            let key = Key::new(&Secret::new(SECRET)).unwrap();
            assert_eq!(call.header("webhook-signature"), key.sign(&sample::id(number), 1_614_265_330, &call.body));
            assert_eq!((call.json()["id"].as_str(), call.json()["data"].get("raw")), (Some(sample::id(number).as_str()), None));
        }
    }

    #[tokio::test]
    async fn without_a_secret_nothing_is_signed() {
        let endpoint = sample::Endpoint::start(Answer::new(200, "x".repeat(1 << 20))).await;
        let settings = Settings { include_raw: true, ..settings(&endpoint.url) };
        assert_eq!(sink(&settings, None).deliver(&[sample::enriched(1)]).await, [Ok(Receipt::default())]);
        let call = endpoint.calls().remove(0);
        assert_eq!((call.header("webhook-signature"), call.header("webhook-id")), ("", sample::id(1).as_str()));
        assert_eq!(call.json()["data"]["raw"]["webhookEvent"], "jira:issue_created");
    }

    #[tokio::test]
    async fn what_the_endpoint_answers_is_told() {
        let endpoint = sample::Endpoint::start(Answer::new(200, "")).await;
        let elsewhere = sample::Endpoint::start(Answer::new(200, "")).await;
        let sink = sink(&settings(&endpoint.url), Some("plain"));
        let mut told = Vec::new();
        for answer in [
            Answer::new(307, "").with("location", elsewhere.url.clone()),
            Answer::new(410, "secret text"),
            Answer::new(422, "secret text"),
            Answer::new(429, "").with("retry-after", "7"),
            Answer::new(503, "").with("retry-after", "3"),
            Answer::new(404, ""),
        ] {
            endpoint.answer(answer);
            told.push(sink.deliver(&[sample::enriched(1)]).await.remove(0).unwrap_err());
        }
        let refused = |scope, reason: &str| SinkError::Refused { scope, reason: reason.to_owned() };
        let unavailable = |scope, seconds, reason: &str| {
            let retry_after = Some(Duration::from_secs(seconds));
            SinkError::Unavailable { scope, retry_after, reason: reason.to_owned() }
        };
        let redirect = "the endpoint answered 307 Temporary Redirect: redirects are not followed; write where it leads";
        assert_eq!(
            told,
            [
                refused(Scope::Sink, redirect),
                refused(Scope::Sink, "the endpoint answered 410 Gone"),
                refused(Scope::Target, "the endpoint answered 422 Unprocessable Entity"),
                unavailable(Scope::Target, 7, "the endpoint answered 429 Too Many Requests"),
                unavailable(Scope::Sink, 3, "the endpoint answered 503 Service Unavailable"),
                SinkError::Failed { reason: "the endpoint answered 404 Not Found".to_owned() },
            ]
        );
        assert!(elsewhere.calls().is_empty(), "a redirect was followed");
    }

    #[tokio::test]
    async fn silence_and_closed_doors_are_waited_for() {
        let silent = sample::Endpoint::start(None).await;
        let settings = Settings { timeout: "100ms".parse().unwrap(), ..settings(&silent.url) };
        let unanswered = SinkError::Unanswered { reason: "no answer in time".to_owned() };
        assert_eq!(sink(&settings, None).deliver(&[sample::enriched(1)]).await, [Err(unanswered)]);
        assert_eq!(sink(&settings, None).check().await, Ok(()));
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).unwrap();
        let closed = sink(&self::settings(&format!("http://{free}/")), None);
        for outcome in [closed.deliver(&[sample::enriched(1)]).await.remove(0).map(|_| ()), closed.check().await] {
            assert!(matches!(outcome, Err(SinkError::Unavailable { scope: Scope::Sink, .. })), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn private_addresses_need_leave() {
        let endpoint = sample::Endpoint::start(Answer::new(200, "")).await;
        for host in ["127.0.0.1", "[::1]", "localhost", "0x7f000001"] {
            let settings = Settings { allow_private: false, ..settings(&format!("http://{host}:{}/in", endpoint.port)) };
            let err = build("out".parse().unwrap(), &settings, None, Clock::system()).err().unwrap();
            assert!(matches!(&err, BuildError::Setting { setting: "url", .. }), "{host}: {err}");
        }
        assert!(endpoint.calls().is_empty());
    }

    #[test]
    fn settings_are_checked() {
        for given in [r#"{"url":"https://x.example","timeout":"0s"}"#, r#"{"url":"http://10.0.0.1/"}"#] {
            assert!(serde_json::from_str::<Settings>(given).unwrap().check().is_err(), "{given}");
        }
        for given in [r#"{}"#, r#"{"url":"x"}"#, r#"{"url":"https://x.example","colour":"red"}"#] {
            assert!(serde_json::from_str::<Settings>(given).is_err(), "{given}");
        }
        let settings: Settings = serde_json::from_str(r#"{"url":"https://x.example/hush","secret":"hush"}"#).unwrap();
        assert_eq!((settings.timeout, settings.clearance()), (TIMEOUT, Clearance::nothing()));
        assert!(!format!("{settings:?}").contains("hush"));
        let err = build("out".parse().unwrap(), &settings, Some(&Secret::new("whsec_?")), Clock::system()).err().unwrap();
        assert_eq!(err, BuildError::setting("secret", "after `whsec_` must come Base64"));
    }
}
