//! What can be set about RabbitMQ: as it is written (`Settings`), and as it is used (`Broker`), with the address taken apart and no
//! password left in any text.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::queue::Wrong;
use crate::setting::{ByteSize, Secret, SecretSource, Span};

/// RabbitMQ 4 takes no message above 16 MiB by default.
const MAX_MESSAGE: ByteSize = ByteSize::mib(12);
const MAX_BACKLOG: u64 = 500_000;
const PREFETCH: u16 = 16;
const CONNECT_TIMEOUT: Span = Span::seconds(10);
const HEARTBEAT: Span = Span::seconds(15);
/// A short string of AMQP.
const VHOST_MAX: usize = 255;

/// `[queue]` with `url = "amqp://..."`, as it is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Instead of a user in the URL.
    #[serde(default)]
    pub username: Option<String>,
    /// Instead of a password in the URL.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// With `amqps:`, authorities that are trusted besides the system's (PEM).
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// With `amqps:`, the certificate that we show (PEM). Without a user it also logs us in (`EXTERNAL`).
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// The key of `client_certificate` (PEM, PKCS#8).
    #[serde(default)]
    pub client_key: Option<PathBuf>,
    /// How long connecting may take.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: Span,
    /// A connection that is silent for twice as long is lost.
    #[serde(default = "heartbeat")]
    pub heartbeat: Span,
    /// Events that the broker sends ahead to each lane of a sink: at least the window of deliveries.
    #[serde(default = "prefetch")]
    pub prefetch: u16,
    /// When so many events wait for one sink, nothing more is accepted (503).
    #[serde(default = "max_backlog")]
    pub max_backlog: u64,
    /// A longer event travels without Jira's own body, and its long texts cut. Must be below the broker's `max_message_size`.
    #[serde(default = "max_message")]
    pub max_message: ByteSize,
}

fn connect_timeout() -> Span {
    CONNECT_TIMEOUT
}

fn heartbeat() -> Span {
    HEARTBEAT
}

fn prefetch() -> u16 {
    PREFETCH
}

fn max_backlog() -> u64 {
    MAX_BACKLOG
}

fn max_message() -> ByteSize {
    MAX_MESSAGE
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            username: None,
            password: None,
            ca_file: None,
            client_certificate: None,
            client_key: None,
            connect_timeout: CONNECT_TIMEOUT,
            heartbeat: HEARTBEAT,
            prefetch: PREFETCH,
            max_backlog: MAX_BACKLOG,
            max_message: MAX_MESSAGE,
        }
    }
}

/// Where the broker is. `Display` shows no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub is_tls: bool,
    pub host: String,
    pub port: u16,
    pub vhost: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "amqps" } else { "amqp" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{scheme}://{host}:{}", self.port)?;
        if self.vhost == "/" { Ok(()) } else { write!(f, "/{}", self.vhost) }
    }
}

/// A broker and how to talk to it.
#[derive(Debug, Clone)]
pub struct Broker {
    pub address: Address,
    /// None: by certificate, or as the broker's guest.
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub ca_file: Option<PathBuf>,
    pub client: Option<(PathBuf, PathBuf)>,
    pub connect_timeout: Span,
    pub heartbeat: Span,
    pub prefetch: u16,
    pub max_backlog: u64,
    pub max_message: ByteSize,
}

impl Settings {
    /// Every mistake at once. `password` is the resolved one of these settings.
    pub fn broker(&self, url: &str, password: Option<Secret>) -> Result<Broker, Vec<Wrong>> {
        let mut wrongs = Vec::new();
        let mut wrong = |member, why: &str, hint| wrongs.push(Wrong { member, why: why.to_owned(), hint });
        let parsed = parse(url).map_err(|why| wrong("url", &why, "write it as in `amqp://rabbit.example:5672/vhost`")).ok();
        let in_url = parsed.as_ref().map(|(_, username, password)| (username.clone(), password.clone())).unwrap_or_default();
        if self.username.is_some() && in_url.0.is_some() {
            wrong("username", "a user stands in `url` too", "leave one of them out");
        }
        if password.is_some() && in_url.1.is_some() {
            wrong("password", "a password stands in `url` too", "take it out of `url`");
        }
        let (username, password) = (self.username.clone().or(in_url.0), password.or(in_url.1));
        if username.is_some() != password.is_some() {
            let member = if username.is_some() { "username" } else { "password" };
            wrong(member, "user and password go together", "give both, or neither");
        }
        let is_tls = parsed.as_ref().is_none_or(|(address, ..)| address.is_tls);
        for (member, file) in
            [("ca_file", &self.ca_file), ("client_certificate", &self.client_certificate), ("client_key", &self.client_key)]
        {
            if file.is_some() && !is_tls {
                wrong(member, "it is of no use without TLS", "write `amqps://` in `url`");
            }
        }
        let client = self.client_certificate.clone().zip(self.client_key.clone());
        if self.client_certificate.is_some() != self.client_key.is_some() {
            wrong("client_certificate", "certificate and key go together", "give both `client_certificate` and `client_key`");
        }
        if !(1..=120).contains(&self.heartbeat.0.as_secs()) {
            wrong("heartbeat", "it is not between 1 s and 2 min", "write `15s`");
        }
        if self.connect_timeout.0.is_zero() {
            wrong("connect_timeout", "nothing connects in no time", "write `10s`");
        }
        if !(1..=1_024).contains(&self.prefetch) {
            wrong("prefetch", "it is not between 1 and 1024", "write 16");
        }
        if !(1 << 20..=512 << 20).contains(&self.max_message.0) {
            wrong("max_message", "it is not between 1 MiB and 512 MiB", "write `12MiB`");
        }
        let (Some((address, ..)), true) = (parsed, wrongs.is_empty()) else { return Err(wrongs) };
        Ok(Broker {
            address,
            username,
            password,
            ca_file: self.ca_file.clone(),
            client,
            connect_timeout: self.connect_timeout,
            heartbeat: self.heartbeat,
            prefetch: self.prefetch,
            max_backlog: self.max_backlog,
            max_message: self.max_message,
        })
    }
}

/// The address, and what stands in the URL of user and password. Err: without the URL, which may hold a password.
fn parse(url: &str) -> Result<(Address, Option<String>, Option<Secret>), String> {
    let url = Url::parse(url).map_err(|err| err.to_string())?;
    let is_tls = match url.scheme() {
        "amqp" => false,
        "amqps" => true,
        _ => return Err("it begins with neither `amqp://` nor `amqps://`".to_owned()),
    };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must end with the virtual host; what else can be set are members of `[queue]`".to_owned());
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|err| err.to_string());
    // Without a path, or with an empty one, it is the default virtual host, whose name is a slash.
    let vhost = match url.path().trim_start_matches('/') {
        "" => "/".to_owned(),
        path => decoded(path)?,
    };
    if vhost.len() > VHOST_MAX {
        return Err(format!("its virtual host is longer than {VHOST_MAX} bytes"));
    }
    let address = Address {
        is_tls,
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: url.port().unwrap_or(if is_tls { 5671 } else { 5672 }),
        vhost,
    };
    let username = Some(url.username()).filter(|name| !name.is_empty()).map(decoded).transpose()?;
    let password = url.password().map(decoded).transpose()?.map(Secret::new);
    Ok((address, username, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(url: &str) -> Result<Broker, Vec<Wrong>> {
        Settings::default().broker(url, None)
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (url, shown, vhost) in [
            ("amqp://localhost", "amqp://localhost:5672", "/"),
            ("amqp://localhost/", "amqp://localhost:5672", "/"),
            ("amqp://127.0.0.1:99/%2f", "amqp://127.0.0.1:99", "/"),
            ("amqps://rabbit.example/wire", "amqps://rabbit.example:5671/wire", "wire"),
            ("amqps://[::1]:5/a%20b", "amqps://[::1]:5/a b", "a b"),
            ("amqp://u:p%40ss@host:7/v", "amqp://host:7/v", "v"),
        ] {
            let broker = broker(url).expect("a broker");
            assert_eq!((broker.address.to_string().as_str(), broker.address.vhost.as_str()), (shown, vhost), "{url}");
        }
        let with_user = broker("amqp://us%20er:p%40ss@host").expect("a broker");
        assert_eq!((with_user.username.as_deref(), with_user.password.as_ref().map(Secret::expose)), (Some("us er"), Some("p@ss")));
        assert!(!format!("{with_user:?}").contains("p@ss"));
    }

    #[test]
    fn mistakes_name_their_member_and_show_no_password() {
        for (url, member) in [
            ("amqp://", "url"),
            ("http://host", "url"),
            ("amqp:host", "url"),
            ("amqp://host?heartbeat=5", "url"),
            ("amqp://u@host", "username"),
            ("amqp://:hunter2@host", "password"),
            ("amqp://u:hunter2@host/%ff", "url"),
        ] {
            let wrongs = broker(url).expect_err("a mistake");
            assert_eq!(wrongs.first().map(|wrong| wrong.member), Some(member), "{url}");
            assert!(!format!("{wrongs:?}").contains("hunter2"), "{url}");
        }
        let settings: Settings = toml::from_str(
            "username = \"a\"\nclient_key = \"k\"\nheartbeat = \"0s\"\nprefetch = 0\nmax_message = \"1KiB\"\nconnect_timeout = \"0s\"",
        )
        .expect("settings");
        let wrongs = settings.broker("amqp://u:p@host", Some(Secret::new("s"))).expect_err("mistakes");
        let members: Vec<_> = wrongs.iter().map(|wrong| wrong.member).collect();
        let expected =
            ["username", "password", "client_key", "client_certificate", "heartbeat", "connect_timeout", "prefetch", "max_message"];
        assert_eq!(members, expected);
    }

    #[test]
    fn defaults_are_the_same_written_or_not() {
        let written: Settings = toml::from_str("").expect("settings");
        assert_eq!(format!("{written:?}"), format!("{:?}", Settings::default()));
        assert!(toml::from_str::<Settings>("min_free = \"1GiB\"").is_err());
    }
}
