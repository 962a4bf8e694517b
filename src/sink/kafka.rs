//! A topic on a Kafka of the user's: each event is a CloudEvent in binary mode, as on the road, after rules and guard.
//!
//! The topic is the user's: it is neither made nor changed here. An event is delivered when all replicas in sync have it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::broker::{BrokerSink, check_name, first_error, not_built, without_user};
use super::{BuildError, Clearance, Sink};
use crate::queue::kafka::{self, Broker, Compression, Mechanism};
use crate::setting::{ByteSize, Secret, SecretSource, SinkName};

const TOPIC_MAX: usize = 249;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `kafka://HOST:PORT,HOST:PORT`
    pub url: String,
    /// The user of SASL, together with `password`.
    #[serde(default)]
    pub username: Option<String>,
    /// The password of `username`.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// How `username` proves itself.
    #[serde(default)]
    pub mechanism: Mechanism,
    /// Whether it is spoken to by TLS.
    #[serde(default)]
    pub tls: bool,
    /// With TLS, authorities that are trusted instead of the system's (PEM).
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// With TLS, the certificate that we show (PEM).
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// The key of `client_certificate` (PEM, PKCS#8).
    #[serde(default)]
    pub client_key: Option<PathBuf>,
    /// The topic, which must be there.
    pub topic: String,
    /// How events are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// A longer event travels with its long texts cut. Must be below the topic's `max.message.bytes`.
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

fn max_message() -> ByteSize {
    // What a topic takes unless somebody changed it, less what stands around a body.
    ByteSize::mib(1)
}

impl Settings {
    pub fn clearance(&self) -> Clearance {
        self.clearance.clone().unwrap_or_else(Clearance::nothing)
    }

    /// What can be said without touching anything.
    pub fn check(&self) -> Result<(), BuildError> {
        if !kafka::IS_BUILT {
            return Err(not_built("Kafka", "kafka"));
        }
        without_user(&self.url)?;
        check_name("topic", &self.topic, TOPIC_MAX)?;
        self.broker(self.password.as_ref().map(|_| Secret::new("not yet known"))).map(drop)
    }

    fn broker(&self, password: Option<Secret>) -> Result<Broker, BuildError> {
        let settings = kafka::Settings {
            username: self.username.clone(),
            mechanism: self.mechanism,
            tls: self.tls,
            ca_file: self.ca_file.clone(),
            client_certificate: self.client_certificate.clone(),
            client_key: self.client_key.clone(),
            compression: self.compression,
            max_message: self.max_message,
            ..kafka::Settings::default()
        };
        settings.broker(&self.url, password).map_err(first_error)
    }
}

/// `password` is what the setting of that name resolved to. Connects at once, and waits for nobody.
pub fn build(name: SinkName, settings: &Settings, password: Option<Secret>) -> Result<impl Sink + use<>, BuildError> {
    settings.check()?;
    let publisher = kafka::external_publisher(&settings.broker(password)?, &format!("sink-{name}"), &settings.topic);
    let publisher = publisher.map_err(|err| BuildError::surroundings(err.to_string()))?;
    Ok(BrokerSink { name, publisher, include_raw: settings.include_raw })
}

#[cfg(all(test, feature = "kafka"))]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let check = |given: &str| toml::from_str::<Settings>(given).unwrap().check();
        check("url = \"kafka://kafka.example\"\ntopic = \"events\"\nusername = \"wire\"\npassword = { env = \"X\" }").unwrap();
        for (given, setting) in [
            ("url = \"http://kafka.example\"\ntopic = \"events\"", "url"),
            ("url = \"kafka://user:hush@kafka.example\"\ntopic = \"events\"", "url"),
            ("url = \"kafka://kafka.example\"\ntopic = \"\"", "topic"),
            ("url = \"kafka://kafka.example\"\ntopic = \"events\"\nusername = \"wire\"", "username"),
            ("url = \"kafka://kafka.example\"\ntopic = \"events\"\nca_file = \"ca.pem\"", "ca_file"),
            ("url = \"kafka://kafka.example\"\ntopic = \"events\"\nmax_message = \"1KiB\"", "max_message"),
        ] {
            let err = check(given).unwrap_err();
            assert!(matches!(&err, BuildError::Setting { setting: named, .. } if *named == setting), "{given}: {err}");
            assert!(!err.to_string().contains("hush"), "{err}");
        }
    }
}
