//! `[traces]`: where traces go, how many, and what is said with them. As typed, and as used.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

/// Below the endpoint, as the protocol says.
const PATH: &str = "/v1/traces";

/// `[traces]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TraceSettings {
    /// A collector that takes OTLP over HTTP, as in `http://127.0.0.1:4318`; `/v1/traces` is added. Without one there are no traces.
    pub endpoint: Option<String>,
    /// The part of all traces that is made: 0.0 none, 1.0 all. An event has a trace as a whole or not at all.
    pub sample_ratio: f64,
    /// Headers of every request to the collector, as for a token.
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: BTreeMap<String, SecretString>,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self { endpoint: None, sample_ratio: 1.0, headers: BTreeMap::new() }
    }
}

/// Where traces go. Its headers are marked as secret: they are never printed.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "a build without traces checks the settings and sends nothing"))]
pub struct Collector {
    pub(super) url: String,
    pub(super) sample_ratio: f64,
    pub(super) headers: HeaderMap,
    pub(super) is_local: bool,
}

/// A member that cannot be used: which, why, and what to do. Shows no secret.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongTraces {
    /// From the section on: `["headers", "authorization"]`.
    pub path: Vec<String>,
    pub why: String,
    pub hint: &'static str,
}

impl TraceSettings {
    /// Ok(None): there are to be no traces. All that is wrong is told at once.
    pub fn collector(&self) -> Result<Option<Collector>, Vec<WrongTraces>> {
        let mut wrongs = Vec::new();
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            let why = format!("{} is no part of a whole", self.sample_ratio);
            wrongs.push(wrong(&["sample_ratio"], why, "write 0.0 to 1.0, as in `0.1` for a tenth"));
        }
        let headers = self.read_headers(&mut wrongs);
        let url = self.endpoint.as_deref().map(read_endpoint).transpose();
        let url = url.unwrap_or_else(|why| {
            wrongs.insert(0, wrong(&["endpoint"], why, "write where OTLP is taken over HTTP, as in `http://127.0.0.1:4318`"));
            None
        });
        if !wrongs.is_empty() {
            return Err(wrongs);
        }
        Ok(url.map(|url| Collector {
            url: format!("{}{PATH}", url.as_str().trim_end_matches('/')),
            sample_ratio: self.sample_ratio,
            headers,
            is_local: is_local(&url),
        }))
    }

    fn read_headers(&self, wrongs: &mut Vec<WrongTraces>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let mut tell = |why: &str, hint| wrongs.push(wrong(&["headers", name], why.to_owned(), hint));
            match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.expose_secret())) {
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                (Err(_), _) => tell("it is no name of a header", "use letters, digits and `-`, as in `authorization`"),
                (_, Err(_)) => tell("its value cannot stand in a header", "use one line of printable characters"),
            }
        }
        headers
    }
}

fn wrong(path: &[&str], why: String, hint: &'static str) -> WrongTraces {
    WrongTraces { path: path.iter().map(|name| (*name).to_owned()).collect(), why, hint }
}

/// The text itself is repeated nowhere: it may hold a password.
fn read_endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|err| format!("it is no URL: {err}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it must begin with `https://` or `http://` and name a host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("it has a user, a password, a query or a fragment: what proves us belongs into `headers`".to_owned());
    }
    Ok(url)
}

/// What is on this machine is not behind a proxy.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str, sample_ratio: f64, header: (&str, &str)) -> TraceSettings {
        let headers = [(header.0.to_owned(), SecretString::from(header.1.to_owned()))].into();
        TraceSettings { endpoint: Some(endpoint.to_owned()), sample_ratio, headers }
    }

    #[test]
    fn the_path_is_added_and_headers_stay_secret() {
        for (endpoint, url, is_local) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces", true),
            ("https://collector.example/otlp/", "https://collector.example/otlp/v1/traces", false),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/traces", true),
        ] {
            let collector = settings(endpoint, 0.5, ("authorization", "Bearer hush")).collector().expect("good").expect("one");
            assert_eq!((collector.url.as_str(), collector.is_local), (url, is_local));
            assert!(!format!("{collector:?} {:?}", settings(endpoint, 0.5, ("a", "hush"))).contains("hush"), "{collector:?}");
        }
        assert!(TraceSettings::default().collector().expect("good").is_none());
    }

    #[test]
    fn every_mistake_is_told_and_none_repeated() {
        for (endpoint, ratio, header, wrong) in [
            ("collector.example", 1.0, ("a", "b"), "endpoint"),
            ("grpc://collector.example:4317", 1.0, ("a", "b"), "endpoint"),
            ("http://user:hush@collector.example", 1.0, ("a", "b"), "endpoint"),
            ("http://collector.example/?key=hush", 1.0, ("a", "b"), "endpoint"),
            ("http://collector.example", 1.1, ("a", "b"), "sample_ratio"),
            ("http://collector.example", f64::NAN, ("a", "b"), "sample_ratio"),
            ("http://collector.example", 1.0, ("not a name", "hush"), "headers.not a name"),
            ("http://collector.example", 1.0, ("a", "hush\nhush"), "headers.a"),
        ] {
            let wrongs = settings(endpoint, ratio, header).collector().expect_err("a mistake");
            assert_eq!(wrongs.iter().map(|wrong| wrong.path.join(".")).collect::<Vec<_>>(), [wrong]);
            assert!(!format!("{wrongs:?}").contains("hush"), "{wrongs:?}");
        }
        assert_eq!(settings("x", -1.0, ("", "")).collector().expect_err("three mistakes").len(), 3);
    }
}
