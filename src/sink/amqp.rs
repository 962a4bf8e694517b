//! An exchange on a RabbitMQ of the user's: each event is a CloudEvent in binary mode, as on the road, after rules and guard.
//!
//! The exchange is the user's: it is neither declared nor changed here. An event is delivered when the broker has confirmed it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::broker::{BrokerSink, check_name, first_error, not_built, without_user};
use super::{BuildError, Clearance, Sink};
use crate::queue::amqp::{self, Broker, Destination};
use crate::setting::{ByteSize, Secret, SecretSource, SinkName};

/// A short string of AMQP.
const NAME_MAX: usize = 255;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `amqp://HOST:PORT/VHOST`, or `amqps://...` for TLS.
    pub url: String,
    /// Together with `password`.
    #[serde(default)]
    pub username: Option<String>,
    /// The password of `username`.
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
    /// The exchange, which must be there.
    pub exchange: String,
    /// The same for every event; `<entity>.<verb>.<project or _>` if it is left out.
    #[serde(default)]
    pub routing_key: Option<String>,
    /// Whether an event for which no queue is bound becomes a dead letter; otherwise the broker drops it.
    #[serde(default = "yes")]
    pub mandatory: bool,
    /// A longer event travels with its long texts cut. Must be below the broker's `max_message_size`.
    #[serde(default = "max_message")]
    pub max_message: ByteSize,
    /// Whether a reduced issue is read from Jira and made whole first; then events wait while Jira cannot be asked.
    #[serde(default)]
    pub enrich: bool,
    /// Whether `raw` carries Jira's own body.
    #[serde(default)]
    pub include_raw: bool,
    /// What restricted content it takes: nothing unless said otherwise.
    #[serde(default)]
    pub clearance: Option<Clearance>,
}

fn yes() -> bool {
    true
}

fn max_message() -> ByteSize {
    amqp::Settings::default().max_message
}

impl Settings {
    pub fn clearance(&self) -> Clearance {
        self.clearance.clone().unwrap_or_else(Clearance::nothing)
    }

    /// What can be said without touching anything.
    pub fn check(&self) -> Result<(), BuildError> {
        if !amqp::IS_BUILT {
            return Err(not_built("RabbitMQ", "amqp"));
        }
        without_user(&self.url)?;
        check_name("exchange", &self.exchange, NAME_MAX)?;
        if let Some(key) = &self.routing_key {
            check_name("routing_key", key, NAME_MAX)?;
        }
        self.broker(self.password.as_ref().map(|_| Secret::new("not yet known"))).map(drop)
    }

    fn broker(&self, password: Option<Secret>) -> Result<Broker, BuildError> {
        let settings = amqp::Settings {
            username: self.username.clone(),
            ca_file: self.ca_file.clone(),
            client_certificate: self.client_certificate.clone(),
            client_key: self.client_key.clone(),
            max_message: self.max_message,
            ..amqp::Settings::default()
        };
        settings.broker(&self.url, password).map_err(first_error)
    }
}

/// `password` is what the setting of that name resolved to. Connects with the first event.
pub fn build(name: SinkName, settings: &Settings, password: Option<Secret>) -> Result<impl Sink + use<>, BuildError> {
    settings.check()?;
    let destination =
        Destination { exchange: settings.exchange.clone(), routing_key: settings.routing_key.clone(), mandatory: settings.mandatory };
    let publisher = amqp::external_publisher(&settings.broker(password)?, &format!("sink {name}"), &destination);
    let publisher = publisher.map_err(|err| BuildError::surroundings(err.to_string()))?;
    Ok(BrokerSink { name, publisher, include_raw: settings.include_raw })
}

#[cfg(all(test, feature = "amqp"))]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let check = |given: &str| toml::from_str::<Settings>(given).unwrap().check();
        check("url = \"amqps://rabbit.example\"\nexchange = \"events\"\nusername = \"wire\"\npassword = { env = \"X\" }").unwrap();
        for (given, setting) in [
            ("url = \"http://rabbit.example\"\nexchange = \"events\"", "url"),
            ("url = \"amqp://user:hush@rabbit.example\"\nexchange = \"events\"", "url"),
            ("url = \"amqp://rabbit.example\"\nexchange = \"\"", "exchange"),
            ("url = \"amqp://rabbit.example\"\nexchange = \"events\"\nusername = \"wire\"", "username"),
            ("url = \"amqp://rabbit.example\"\nexchange = \"events\"\nca_file = \"ca.pem\"", "ca_file"),
            ("url = \"amqp://rabbit.example\"\nexchange = \"events\"\nmax_message = \"1KiB\"", "max_message"),
        ] {
            let err = check(given).unwrap_err();
            assert!(matches!(&err, BuildError::Setting { setting: named, .. } if *named == setting), "{given}: {err}");
            assert!(!err.to_string().contains("hush"), "{err}");
        }
    }
}
