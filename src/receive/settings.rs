//! What a user may set of the receiver: `[receiver]`, and `webhook` of a connection.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tls::TlsSettings;
use crate::setting::{ByteSize, Network, Secret, SecretSource, Span};

/// `[receiver]`
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where Jira's webhooks are taken; meant to face the internet.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// A certificate: then the receiver speaks HTTPS only. Without it a proxy with TLS belongs before it.
    pub tls: Option<TlsSettings>,
    /// Addresses that may send, as in `["192.0.2.0/24"]`; none: all. Beside the proofs, never in their place.
    pub allow: Vec<Network>,
    /// Proxies before the receiver whose `X-Forwarded-For` tells who sends.
    pub trusted_proxies: Vec<Network>,
    /// A longer body is answered 413.
    pub max_body: ByteSize,
    /// All bodies being read or stored together; above it the answer is 503.
    pub bytes_in_flight: ByteSize,
    /// A connection whose headers take longer is closed.
    pub header_timeout: Span,
    /// A body that takes longer is answered 408.
    pub body_timeout: Span,
    /// One more connection is closed at once.
    pub connections_max: usize,
    /// What the broker does not take waits on the local disk and follows in order, instead of a 503.
    pub spool: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls: None,
            allow: Vec::new(),
            trusted_proxies: Vec::new(),
            max_body: ByteSize::mib(25),
            bytes_in_flight: ByteSize::mib(64),
            header_timeout: Span::seconds(10),
            body_timeout: Span::seconds(30),
            connections_max: 4096,
            spool: false,
        }
    }
}

/// `webhook` of a connection: how its sender is proven. All proofs that are configured must hold.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookSettings {
    /// Keys of `X-Hub-Signature`; any of them serves, so that one can be replaced without a gap.
    pub secrets: Vec<SecretSource>,
    /// The last part of the URL `/hooks/CONNECTION/TOKEN`.
    pub token: Option<SecretSource>,
    /// User name and password in the header `Authorization`, as from a URL `https://USER:PASSWORD@HOST/hooks/...`.
    pub basic: Option<BasicSettings>,
    /// `"none"` takes whatever comes, without any proof.
    pub proof: Option<NoProof>,
}

/// `basic` of a webhook.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicSettings {
    /// The user name in the URL of the webhook.
    pub username: String,
    /// The password in the URL of the webhook.
    pub password: SecretSource,
}

/// The one word that lets everybody in: it must be written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoProof {
    None,
}

/// The proofs of a connection with their secrets resolved; none of them is empty. Without any, everything is taken.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    pub secrets: Vec<Secret>,
    pub token: Option<Secret>,
    /// `USER:PASSWORD`.
    pub basic: Option<Secret>,
}
