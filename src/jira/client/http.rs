//! One request: with login, limits and the rate budget, and what its answer means for the requests after it.
//!
//! Redirects are never followed, bodies are read up to a limit, and nothing but connection, endpoint, status and duration is logged.

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use url::{Host, Url};

use super::budget::{Budget, Cause};
use super::endpoint::{Endpoint, code};
use super::error::said;
use super::limits::{ANSWER_BYTES_MAX, Limits};
use super::{Asked, JiraError};
use crate::clock::{Clock, Timestamp};
use crate::setting::{BaseUrl, ConnectionName};
use crate::telemetry::{self, Span};

/// So many answers 500 about issues, without another between them, are about the site.
const BROKEN_MAX: u32 = 2;
/// A `Retry-After` beyond this is read as this much.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

pub(super) struct Http {
    connection: ConnectionName,
    base_url: BaseUrl,
    client: reqwest::Client,
    authorization: HeaderValue,
    budget: Budget,
    clock: Clock,
    request_limit: Duration,
    /// Answers 500 about issues in a row.
    broken: AtomicU32,
}

pub(super) struct Request<'a> {
    pub endpoint: Endpoint,
    /// Behind the base URL, beginning with `/rest/`; made of our own words and checked ids only, or a checked suffix.
    pub path: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    /// A body makes it a POST.
    pub body: Option<Value>,
    pub anonymous: bool,
}

/// What Jira said, where it said something: success, or an error that is about this request and not about all.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
    pub is_json: bool,
    /// When the request started: what happened before it is in the answer.
    pub asked: Instant,
    pub asked_at: Timestamp,
    /// How far Jira's clock was ahead of ours, if it told the time.
    pub clock_ahead_ms: Option<i64>,
}

/// Why the answer cannot be used, and for how long.
struct Trouble {
    cause: Cause,
    told: Option<Duration>,
    reason: String,
    /// The failure is of this request alone and says nothing about others.
    is_alone: bool,
}

impl<'a> Request<'a> {
    pub(super) fn get(endpoint: Endpoint, path: &'a str) -> Self {
        Self { endpoint, path, query: &[], body: None, anonymous: false }
    }

    pub(super) fn post(endpoint: Endpoint, path: &'a str, body: Value) -> Self {
        Self { body: Some(body), ..Self::get(endpoint, path) }
    }
}

impl Http {
    pub(super) fn new(
        connection: ConnectionName,
        base_url: BaseUrl,
        authorization: HeaderValue,
        limits: &Limits,
    ) -> Result<Self, JiraError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("Ticketwire/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits.connect)
            .timeout(limits.request)
            // Shorter than the idle limits of the usual proxies, which close without a word.
            .pool_idle_timeout(Duration::from_secs(30));
        if is_loopback(&base_url) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|err| {
            let reason = format!("no HTTPS client for connection `{connection}`: {}; are CA certificates installed?", root_cause(&err));
            JiraError::unavailable(reason)
        })?;
        let budget = Budget::new(limits);
        Ok(Self {
            connection,
            base_url,
            client,
            authorization,
            budget,
            clock: Clock::system(),
            request_limit: limits.request,
            broken: AtomicU32::new(0),
        })
    }

    pub(super) fn connection(&self) -> &ConnectionName {
        &self.connection
    }

    pub(super) fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Sends it when the budget allows. Ok also for errors that are about this request only (4xx, a lone 500); all others pause the client.
    pub(super) async fn call(&self, request: Request<'_>, deadline: Instant) -> Asked<Answer> {
        self.budget.take(deadline).await?;
        let (asked, asked_at) = (Instant::now(), self.clock.now());
        let left = deadline.saturating_duration_since(asked).min(self.request_limit);
        if left.is_zero() {
            return Err(JiraError::unavailable(format!("no time left to ask Jira of connection `{}`", self.connection)));
        }
        let (endpoint, anonymous) = (request.endpoint, request.anonymous);
        let span = Span::ask_jira(self.connection.as_str(), endpoint.as_str());
        let answered = self.exchange(request, left).await;
        match &answered {
            Ok((status, ..)) => span.answered(status.as_u16()),
            Err(_) => span.failed(),
        }
        drop(span);
        let label = answered.as_ref().map_or("error", |(status, ..)| code(*status));
        self.count(endpoint, label, asked);
        let now = self.clock.now();
        let told = answered.as_ref().ok().and_then(|(_, headers, _)| http_date(headers.get(header::DATE)?.to_str().ok()?));
        let clock_ahead_ms = told.map(|told| told.ms() - now.ms());
        match answered.and_then(|(status, headers, body)| self.judge(endpoint, anonymous, status, &headers, body)) {
            Ok((status, body, is_json)) => {
                if status.as_u16() < 500 {
                    self.broken.store(0, Ordering::Relaxed);
                    if self.budget.answered() {
                        tracing::info!(connection = %self.connection, "Jira of connection `{}` answers again", self.connection);
                    }
                }
                Ok(Answer { status, body, is_json, asked, asked_at, clock_ahead_ms })
            }
            Err(trouble) if trouble.is_alone => Err(JiraError::unavailable(trouble.reason)),
            Err(trouble) => Err(self.pause(trouble, asked, anonymous)),
        }
    }

    async fn exchange(&self, request: Request<'_>, limit: Duration) -> Result<(StatusCode, HeaderMap, Vec<u8>), Trouble> {
        let method = if request.body.is_some() { Method::POST } else { Method::GET };
        let mut builder = self.client.request(method, format!("{}{}", self.base_url, request.path)).timeout(limit);
        builder = builder.header(header::ACCEPT, "application/json");
        if !request.query.is_empty() {
            builder = builder.query(request.query);
        }
        if !request.anonymous {
            builder = builder.header(header::AUTHORIZATION, self.authorization.clone());
        }
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let failed = |err: reqwest::Error| {
            let is_alone = request.endpoint.may_be_slow() && err.is_timeout() && !err.is_connect();
            Trouble { is_alone, ..self.failing(request.endpoint, None, &unsent(&err, limit)) }
        };
        let mut response = builder.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            let is_too_large = body.len().saturating_add(chunk.len()) > request.endpoint.answer_bytes_max();
            if is_too_large && !request.endpoint.is_about_issues() {
                return Err(self.failing(request.endpoint, None, "its answer is larger than 32 MiB"));
            }
            body.extend_from_slice(&chunk);
            if is_too_large {
                // Whoever asked sees that it is too large: the site is well.
                break;
            }
        }
        Ok((status, headers, body))
    }

    /// Whether it is an answer to this request, or a state of the site or of our login that concerns all.
    fn judge(
        &self,
        endpoint: Endpoint,
        anonymous: bool,
        status: StatusCode,
        headers: &HeaderMap,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Vec<u8>, bool), Trouble> {
        if !anonymous && let Some(why) = login_denied(status, headers) {
            let reason = format!("Jira refuses the login of connection `{}`: {why}", self.connection);
            return Err(Trouble { cause: Cause::LoginRefused, told: None, reason, is_alone: false });
        }
        let told = retry_after(headers, self.clock.now());
        let words = || said(&body).filter(|_| endpoint.is_ours()).map(|text| format!(": {text}")).unwrap_or_default();
        match status.as_u16() {
            429 => {
                let reason = format!("Jira of connection `{}` asks to wait (429){}", self.connection, words());
                Err(Trouble { cause: Cause::Throttled, told, reason, is_alone: false })
            }
            // A query that breaks Jira, or that a proxy does not wait for, hurts only itself, however often.
            500 | 504 if endpoint == Endpoint::Jql => {
                let is_json = is_json(headers, &body);
                Ok((status, body, is_json))
            }
            // An issue that breaks Jira hurts only itself, unless nothing but that is heard.
            500 if endpoint.is_about_issues() && self.broken.fetch_add(1, Ordering::Relaxed) < BROKEN_MAX => {
                let is_json = is_json(headers, &body);
                Ok((status, body, is_json))
            }
            407 | 408 | 425 | 500.. => Err(self.failing(endpoint, told, &format!("it answered {}{}", status.as_u16(), words()))),
            100..200 | 300..400 if endpoint.is_ours() => Err(self.failing(
                endpoint,
                None,
                &format!("it answered {}, a redirect: is the base URL right, or a login page before it?", status.as_u16()),
            )),
            _ => {
                let is_json = is_json(headers, &body);
                if status.is_success() && !is_json && endpoint.is_ours() {
                    let page = format!("it answered with something that is not JSON{}: is a login page or a proxy before it?", words());
                    return Err(self.failing(endpoint, None, &page));
                }
                Ok((status, body, is_json))
            }
        }
    }

    fn failing(&self, endpoint: Endpoint, told: Option<Duration>, why: &str) -> Trouble {
        let reason = format!("Jira of connection `{}` is unavailable ({}): {why}", self.connection, endpoint.as_str());
        Trouble { cause: Cause::Failing, told, reason, is_alone: false }
    }

    fn pause(&self, trouble: Trouble, asked: Instant, anonymous: bool) -> JiraError {
        debug_assert!(!(anonymous && trouble.cause == Cause::LoginRefused), "without a login none is refused");
        let (err, first) = self.budget.pause(trouble.cause, asked, trouble.told, trouble.reason);
        match trouble.cause {
            // Waiting does not mend it.
            Cause::LoginRefused if first => tracing::error!(connection = %self.connection, "{err}"),
            Cause::Throttled | Cause::Failing if first => tracing::warn!(connection = %self.connection, "{err}"),
            _ => {}
        }
        err
    }

    fn count(&self, endpoint: Endpoint, code: &'static str, asked: Instant) {
        let duration_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(connection = %self.connection, endpoint = endpoint.as_str(), status = code, duration_ms, "asked Jira");
        telemetry::jira_request(self.connection.as_str(), endpoint.as_str(), code);
        telemetry::jira_budget(self.connection.as_str(), self.budget.remaining());
    }
}

impl Answer {
    /// Its body breaks off, because it is longer than an answer may be.
    pub(super) fn is_too_large(&self) -> bool {
        self.body.len() > ANSWER_BYTES_MAX
    }

    /// The value of a success. Err: Jira said no, or the JSON is not what it should be.
    pub(super) fn parse<T: DeserializeOwned>(&self, connection: &ConnectionName) -> Asked<T> {
        if !self.status.is_success() {
            return Err(self.refused(connection));
        }
        serde_json::from_slice(&self.body)
            .map_err(|err| JiraError::unavailable(format!("Jira of connection `{connection}` gave an answer that cannot be read: {err}")))
    }

    /// For an answer that is no success: a "no", or a failure about this alone.
    pub(super) fn refused(&self, connection: &ConnectionName) -> JiraError {
        let status = self.status.as_u16();
        let words = said(&self.body).map(|text| format!(": {text}")).unwrap_or_default();
        let reason = format!("Jira of connection `{connection}` answered {status}{words}");
        if self.status.is_server_error() { JiraError::unavailable(reason) } else { JiraError::Refused { status, reason } }
    }
}

/// Data Center tells in headers, even beside a 200 for everybody. Some: what to tell people.
fn login_denied(status: StatusCode, headers: &HeaderMap) -> Option<&'static str> {
    let holds = |name: &str, word: &str| headers.get_all(name).iter().any(|value| value.to_str().is_ok_and(|text| text.contains(word)));
    if holds("x-authentication-denied-reason", "CAPTCHA") || holds("x-seraph-loginreason", "AUTHENTICATION_DENIED") {
        return Some("it wants a CAPTCHA after too many failed logins: log in once with a browser as this user, then mend `auth`");
    }
    if holds("x-seraph-loginreason", "AUTHENTICATED_FAILED") || status == StatusCode::UNAUTHORIZED {
        return Some("is the token under `auth` right, of this user and not expired?");
    }
    None
}

/// How long a server asks us to stay away: seconds, or an HTTP date. At most a day.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let span = match text.parse::<f64>() {
        Ok(seconds) if seconds >= RETRY_AFTER_MAX.as_secs_f64() => RETRY_AFTER_MAX,
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => {
            // By the server's own clock where it gives it: ours may be wrong.
            let now = headers.get(header::DATE).and_then(|date| http_date(date.to_str().ok()?)).unwrap_or(now);
            http_date(text)?.since(now)
        }
    };
    Some(span.min(RETRY_AFTER_MAX))
}

fn http_date(text: &str) -> Option<Timestamp> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?;
    Some(Timestamp::from_ms(at.as_millisecond()))
}

fn is_json(headers: &HeaderMap, body: &[u8]) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| kind.contains("json"));
    declared || body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| matches!(first, b'{' | b'['))
}

fn is_loopback(base_url: &BaseUrl) -> bool {
    match Url::parse(base_url.as_str()).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Why a request has no answer; never with the URL.
fn unsent(err: &reqwest::Error, limit: Duration) -> String {
    if err.is_timeout() && !err.is_connect() {
        return format!("no answer within {:.1} s", limit.as_secs_f64());
    }
    let what = if err.is_connect() { "no connection" } else { "the connection broke" };
    format!("{what}: {}", root_cause(err))
}

fn root_cause(err: &reqwest::Error) -> String {
    let mut cause: &dyn Error = err;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    // The outermost is the one whose text may hold the URL.
    if cause.is::<reqwest::Error>() { "the HTTP client failed".into() } else { cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::parse("2026-11-22T10:00:00Z").expect("a time");
        for (pairs, seconds) in [
            (vec![("retry-after", "6")], Some(6.0)),
            (vec![("retry-after", " 1.5 ")], Some(1.5)),
            (vec![("retry-after", "999999999999")], Some(86_400.0)),
            (vec![("retry-after", "1e300")], Some(86_400.0)),
            (vec![("retry-after", "Sun, 22 Nov 2099 10:00:30 GMT")], Some(86_400.0)),
            (vec![("retry-after", "Sun, 22 Nov 2026 10:00:30 GMT")], Some(30.0)),
            (vec![("retry-after", "Sun, 22 Nov 2026 09:00:30 GMT")], Some(0.0)),
            (vec![("retry-after", "Sun, 22 Nov 2026 10:00:30 GMT"), ("date", "Sun, 22 Nov 2026 10:00:20 GMT")], Some(10.0)),
            (vec![("retry-after", "-5")], None),
            (vec![("retry-after", "NaN")], None),
            (vec![("retry-after", "soon")], None),
            (vec![], None),
        ] {
            assert_eq!(retry_after(&headers(&pairs), now).map(|span| span.as_secs_f64()), seconds, "{pairs:?}");
        }
    }

    #[test]
    fn denied_logins_are_seen_behind_any_status() {
        let check = |status: u16, pairs: &[(&'static str, &str)], denied: bool| {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(login_denied(status, &headers(pairs)).is_some(), denied, "{status} {pairs:?}");
        };
        check(401, &[], true);
        check(403, &[("x-authentication-denied-reason", "CAPTCHA_CHALLENGE; login-url=https://jira.invalid/login.jsp")], true);
        check(200, &[("x-seraph-loginreason", "AUTHENTICATED_FAILED")], true);
        check(200, &[("x-seraph-loginreason", "AUTHENTICATION_DENIED")], true);
        check(200, &[("x-seraph-loginreason", "OK")], false);
        check(403, &[], false);
        check(404, &[], false);
    }

    #[test]
    fn loopback_needs_no_proxy() {
        for (text, loopback) in [
            ("http://127.0.0.1:9/jira", true),
            ("http://[::1]:9", true),
            ("http://localhost:9", true),
            ("https://acme.atlassian.net", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&text.parse().expect("a base URL")), loopback, "{text}");
        }
    }
}
