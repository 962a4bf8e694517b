//! What can be set about Kafka: as it is written (`Settings`), and as it is used (`Broker`), with the URL taken apart.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::HAS_TLS;
use crate::queue::Wrong;
use crate::setting::{ByteSize, Secret, SecretSource, Span};

const PORT: u16 = 9092;
const MAX_MESSAGE: ByteSize = ByteSize::mib(12);
const RETENTION: Span = Span::days(7);
const REQUEST_TIMEOUT: Span = Span::seconds(10);
const SESSION_TIMEOUT: Span = Span::seconds(10);
const BUILD_WITH_TLS: &str = "build it with `--features kafka-tls`";

/// `[queue]` with `url = "kafka://..."`, as it is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// With Kafka, the user of SASL; with RabbitMQ, instead of a user in the URL.
    #[serde(default)]
    pub username: Option<String>,
    /// The password of `username`.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// With Kafka, how `username` proves itself.
    #[serde(default)]
    pub mechanism: Mechanism,
    /// With Kafka, whether it is spoken to by TLS.
    #[serde(default)]
    pub tls: bool,
    /// With TLS, authorities that are trusted (PEM); with Kafka instead of the system's, with RabbitMQ besides them.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// With TLS, the certificate that we show (PEM).
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// The key of `client_certificate` (PEM, PKCS#8).
    #[serde(default)]
    pub client_key: Option<PathBuf>,
    /// With Kafka, a name of this process that it keeps over restarts and that no other has: then it gets its lanes back at once.
    #[serde(default)]
    pub instance: Option<String>,
    /// With Kafka, copies of each event, if the topic is made by us: 3, or as many as there are brokers.
    #[serde(default)]
    pub replication: Option<u16>,
    /// With Kafka, how long events are kept, if the topic is made by us.
    #[serde(default = "retention")]
    pub retention: Span,
    /// With Kafka, how events are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// A longer event travels without Jira's own body, and its long texts cut.
    #[serde(default = "max_message")]
    pub max_message: ByteSize,
    /// With Kafka, how long it may take to connect or to answer.
    #[serde(default = "request_timeout")]
    pub request_timeout: Span,
    /// With Kafka, the lanes of a process that is silent for so long go to others.
    #[serde(default = "session_timeout")]
    pub session_timeout: Span,
}

/// How a user proves itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Mechanism {
    #[default]
    #[serde(rename = "plain")]
    Plain,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    #[default]
    None,
    Zstd,
}

fn retention() -> Span {
    RETENTION
}

fn max_message() -> ByteSize {
    MAX_MESSAGE
}

fn request_timeout() -> Span {
    REQUEST_TIMEOUT
}

fn session_timeout() -> Span {
    SESSION_TIMEOUT
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            username: None,
            password: None,
            mechanism: Mechanism::default(),
            tls: false,
            ca_file: None,
            client_certificate: None,
            client_key: None,
            instance: None,
            replication: None,
            retention: RETENTION,
            compression: Compression::default(),
            max_message: MAX_MESSAGE,
            request_timeout: REQUEST_TIMEOUT,
            session_timeout: SESSION_TIMEOUT,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Login {
    pub username: String,
    pub password: Secret,
    pub mechanism: Mechanism,
}

#[derive(Debug, Clone)]
pub struct Tls {
    /// None: the system's.
    pub ca_file: Option<PathBuf>,
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A cluster and how to talk to it.
#[derive(Debug, Clone)]
pub struct Broker {
    /// `host:port` of some of its brokers; they know the others.
    pub servers: Vec<String>,
    pub login: Option<Login>,
    pub tls: Option<Tls>,
    pub instance: Option<String>,
    pub replication: Option<u16>,
    pub retention: Span,
    pub compression: Compression,
    pub max_message: ByteSize,
    pub request_timeout: Span,
    pub session_timeout: Span,
}

impl Settings {
    /// Every mistake at once. `password` is the resolved one of these settings.
    pub fn broker(&self, url: &str, password: Option<Secret>) -> Result<Broker, Vec<Wrong>> {
        let mut wrongs = Vec::new();
        let servers = servers(url).map_err(|(why, hint)| wrongs.push(Wrong { member: "url", why: why.to_owned(), hint }));
        self.check_access(password.is_some(), &mut wrongs);
        self.check_limits(&mut wrongs);
        let (Ok(servers), true) = (servers, wrongs.is_empty()) else { return Err(wrongs) };
        let login = self.username.clone().zip(password);
        Ok(Broker {
            servers,
            login: login.map(|(username, password)| Login { username, password, mechanism: self.mechanism }),
            tls: self
                .tls
                .then(|| Tls { ca_file: self.ca_file.clone(), client: self.client_certificate.clone().zip(self.client_key.clone()) }),
            instance: self.instance.clone(),
            replication: self.replication,
            retention: self.retention,
            compression: self.compression,
            max_message: self.max_message,
            request_timeout: self.request_timeout,
            session_timeout: self.session_timeout,
        })
    }

    fn check_access(&self, has_password: bool, wrongs: &mut Vec<Wrong>) {
        let mut wrong = |member, why: &str, hint| wrongs.push(Wrong { member, why: why.to_owned(), hint });
        if self.username.is_some() != has_password {
            let member = if has_password { "password" } else { "username" };
            wrong(member, "user and password go together", "give both, or neither");
        }
        if self.mechanism != Mechanism::Plain {
            if self.username.is_none() {
                wrong("mechanism", "it is of no use without a user", "give `username` and `password`");
            }
            if !HAS_TLS {
                wrong("mechanism", "this build has no SCRAM for Kafka", BUILD_WITH_TLS);
            }
        }
        if self.tls && !HAS_TLS {
            wrong("tls", "this build has no TLS for Kafka", BUILD_WITH_TLS);
        }
        for (member, file) in
            [("ca_file", &self.ca_file), ("client_certificate", &self.client_certificate), ("client_key", &self.client_key)]
        {
            if file.is_some() && !self.tls {
                wrong(member, "it is of no use without TLS", "write `tls = true`");
            }
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            wrong("client_certificate", "certificate and key go together", "give both `client_certificate` and `client_key`");
        }
    }

    fn check_limits(&self, wrongs: &mut Vec<Wrong>) {
        let mut wrong = |member, why: &str, hint| wrongs.push(Wrong { member, why: why.to_owned(), hint });
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if self.instance.as_deref().is_some_and(|name| name.is_empty() || name.len() > 128 || !name.chars().all(is_plain)) {
            wrong("instance", "it is not a name", "use letters, digits, `.`, `-` and `_`, at most 128 of them");
        }
        if self.replication.is_some_and(|copies| !(1..=15).contains(&copies)) {
            wrong("replication", "it is not between 1 and 15", "write 3, or leave it out");
        }
        if self.retention.0 < Duration::from_secs(3_600) {
            wrong("retention", "it is below 1 h: a sink that is away for longer would lose events", "write `7d`");
        }
        if !(1 << 20..=512 << 20).contains(&self.max_message.0) {
            wrong("max_message", "it is not between 1 MiB and 512 MiB", "write `12MiB`");
        }
        if !(1..=60).contains(&self.request_timeout.0.as_secs()) {
            wrong("request_timeout", "it is not between 1 s and 1 min", "write `10s`");
        }
        if !(6..=300).contains(&self.session_timeout.0.as_secs()) {
            wrong("session_timeout", "it is not between 6 s and 5 min", "write `10s`");
        }
    }
}

/// `host:port` of each server. Err: without the URL, which may hold a password.
fn servers(url: &str) -> Result<Vec<String>, (&'static str, &'static str)> {
    let hint = "write it as in `kafka://kafka-1.example:9092,kafka-2.example:9092`";
    let rest = url.strip_prefix("kafka://").ok_or(("it does not begin with `kafka://`", hint))?;
    if rest.contains('@') {
        return Err(("a user does not belong there", "use `username`, and `password = { env = \"NAME\" }`"));
    }
    rest.strip_suffix('/')
        .unwrap_or(rest)
        .split(',')
        .map(server)
        .collect::<Option<_>>()
        .ok_or(("it is not a list of hosts with ports", hint))
}

fn server(text: &str) -> Option<String> {
    let url = Url::parse(&format!("kafka://{text}")).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let is_bare = url.path().is_empty() && url.query().is_none() && url.fragment().is_none() && !text.contains(char::is_whitespace);
    is_bare.then(|| format!("{host}:{}", url.port().unwrap_or(PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(url: &str) -> Result<Broker, Vec<Wrong>> {
        Settings::default().broker(url, None)
    }

    #[test]
    fn servers_are_taken_apart() {
        for (url, expected) in [
            ("kafka://localhost", "localhost:9092"),
            ("kafka://localhost/", "localhost:9092"),
            ("kafka://127.0.0.1:99", "127.0.0.1:99"),
            ("kafka://a.example:1,b.example,[::1]:3", "a.example:1,b.example:9092,[::1]:3"),
        ] {
            assert_eq!(broker(url).expect("a broker").servers.join(","), expected, "{url}");
        }
    }

    #[test]
    fn mistakes_name_their_member_and_show_no_password() {
        for url in [
            "kafka://",
            "kafka:host",
            "http://host",
            "kafka://host,",
            "kafka://host/path",
            "kafka://host:1?x=2",
            "kafka://u:hunter2@host",
            "kafka://a,u:hunter2@b",
            "kafka://host:port",
            "kafka://a, b",
        ] {
            let wrongs = broker(url).expect_err("a mistake");
            assert_eq!(wrongs.first().map(|wrong| wrong.member), Some("url"), "{url}");
            assert!(!format!("{wrongs:?}").contains("hunter2"), "{url}");
        }
        let settings: Settings = toml::from_str(
            "username = \"a\"\nclient_key = \"k\"\ninstance = \"no spaces\"\nreplication = 0\nretention = \"1m\"\nmax_message = \"1KiB\"\n\
             request_timeout = \"0s\"\nsession_timeout = \"1s\"",
        )
        .expect("settings");
        let wrongs = settings.broker("kafka://host", None).expect_err("mistakes");
        let members: Vec<_> = wrongs.iter().map(|wrong| wrong.member).collect();
        let limits = ["instance", "replication", "retention", "max_message", "request_timeout", "session_timeout"];
        assert_eq!(members, [&["username", "client_key", "client_certificate"][..], &limits].concat());
    }

    #[test]
    fn what_needs_tls_names_the_feature_where_it_is_not_built() {
        let settings: Settings =
            toml::from_str("tls = true\nca_file = \"ca.pem\"\nusername = \"u\"\nmechanism = \"scram-sha-512\"").expect("settings");
        let broker = settings.broker("kafka://host", Some(Secret::new("hunter2")));
        assert_eq!(broker.is_ok(), HAS_TLS);
        match broker {
            Ok(broker) => {
                assert!(broker.tls.is_some_and(|tls| tls.ca_file.is_some()));
                assert!(
                    broker
                        .login
                        .is_some_and(|login| login.mechanism == Mechanism::ScramSha512 && !format!("{login:?}").contains("hunter2"))
                );
            }
            Err(wrongs) => {
                let told: Vec<_> = wrongs.iter().map(|wrong| (wrong.member, wrong.hint)).collect();
                assert_eq!(told, [("mechanism", BUILD_WITH_TLS), ("tls", BUILD_WITH_TLS)]);
            }
        }
    }

    #[test]
    fn defaults_are_the_same_written_or_not() {
        let written: Settings = toml::from_str("").expect("settings");
        assert_eq!(format!("{written:?}"), format!("{:?}", Settings::default()));
        assert!(toml::from_str::<Settings>("prefetch = 1").is_err());
    }
}
