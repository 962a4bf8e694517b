//! The clients of librdkafka, each for one purpose, and how they are set up.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::FutureProducer;

use super::context::Context;
use super::fault::Fault;
use super::names::Names;
use super::settings::{Broker, Compression, Mechanism};
use crate::setting::SinkName;

/// Beside the body a record has a key and headers, and around it stands the frame of its batch.
pub(super) const RECORD_OVERHEAD: usize = 40 << 10;
/// How long a record may take to be stored, with all tries: less than the sender's own patience.
pub(super) const STORED_WITHIN: Duration = Duration::from_secs(7);
/// How long a topic that the brokers do not know may still be on its way to them.
const TOPIC_KNOWN_WITHIN: Duration = Duration::from_secs(5);
/// What may wait for the broker in KiB: as much as the receiver lets in at a time.
const WAITING_KIB: u64 = 64 << 10;
/// What is read ahead for each lane of a sink, in KiB, besides one answer of the broker.
const PREFETCH_KIB: u32 = 1 << 10;
/// A lane that has read enough ahead looks again after so long; the default of a second would be seen as a pause.
const PREFETCH_RETRY_MS: u32 = 20;
/// How long the broker holds a question where there is nothing to read: a lane that becomes hungry meanwhile waits as long.
const FETCH_WAIT_MS: u32 = 200;
const HEARTBEAT_MS: u32 = 1_000;
/// A member polls many times a second; who does not for so long is stuck.
const POLL_WITHIN_MS: u64 = 300_000;

pub(super) type KafkaConsumer = BaseConsumer<Context>;

#[derive(Clone)]
pub(super) struct Clients {
    broker: Broker,
    names: Names,
}

impl Clients {
    pub(super) fn new(broker: &Broker, names: &Names) -> Self {
        Self { broker: broker.clone(), names: names.clone() }
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// A consumer that belongs to no group.
    pub(super) fn consumer(&self) -> Result<KafkaConsumer, Fault> {
        Ok(self.base_config("asks").create_with_context(Context::default())?)
    }

    pub(super) fn admin(&self) -> Result<AdminClient<Context>, Fault> {
        Ok(self.base_config("controls").create_with_context(Context::default())?)
    }

    /// A consumer that knows a group's offsets and never joins it.
    pub(super) fn group_consumer(&self, sink: &SinkName) -> Result<KafkaConsumer, Fault> {
        Ok(self
            .base_config("asks")
            .set("group.id", self.names.group(sink))
            .set("enable.auto.commit", "false")
            .create_with_context(Context::default())?)
    }

    pub(super) fn member(&self, sink: &SinkName) -> Result<(Arc<KafkaConsumer>, Context), Fault> {
        let mut config = self.base_config(&format!("consumes-{sink}"));
        let record_max = self.record_max();
        config
            .set("group.id", self.names.group(sink))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", self.broker.session_timeout.0.as_millis().to_string())
            .set("heartbeat.interval.ms", HEARTBEAT_MS.to_string())
            .set("max.poll.interval.ms", POLL_WITHIN_MS.max(ms(self.broker.session_timeout.0)).to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", PREFETCH_KIB.to_string())
            .set("fetch.queue.backoff.ms", PREFETCH_RETRY_MS.to_string())
            .set("fetch.wait.max.ms", FETCH_WAIT_MS.to_string())
            .set("fetch.error.backoff.ms", "100")
            .set("message.max.bytes", record_max.to_string())
            .set("fetch.max.bytes", record_max.max(8 << 20).to_string());
        if let Some(instance) = &self.broker.instance {
            config.set("group.instance.id", instance);
        }
        let context = Context::default();
        Ok((Arc::new(config.create_with_context(context.clone())?), context))
    }

    pub(super) fn producer(&self) -> Result<FutureProducer<Context>, Fault> {
        let compression = match self.broker.compression {
            Compression::None => "none",
            Compression::Zstd => "zstd",
        };
        let record_max = u64::try_from(self.record_max()).unwrap_or(u64::MAX);
        let mut config = self.base_config("publishes");
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Waiting for company does not pay: each lane has its own batches, and what is under way gathers them.
            .set("linger.ms", "0")
            .set("compression.codec", compression)
            // As Java's clients do it, where the key decides.
            .set("partitioner", "murmur2_random")
            .set("topic.metadata.propagation.max.ms", ms(TOPIC_KNOWN_WITHIN).to_string())
            .set("message.max.bytes", record_max.to_string())
            .set("message.timeout.ms", ms(STORED_WITHIN).to_string())
            .set("request.timeout.ms", ms(STORED_WITHIN).to_string())
            .set("queue.buffering.max.kbytes", WAITING_KIB.max(2 * (record_max >> 10)).to_string())
            .set("allow.auto.create.topics", "false");
        Ok(config.create_with_context(Context::default())?)
    }

    /// The longest record that the longest event becomes.
    pub(super) fn record_max(&self) -> usize {
        self.broker.max_message.length() + RECORD_OVERHEAD
    }

    fn base_config(&self, purpose: &str) -> ClientConfig {
        let Broker { servers, login, tls, request_timeout, .. } = &self.broker;
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Info)
            .set("bootstrap.servers", servers.join(","))
            .set("client.id", self.names.client(purpose))
            .set("socket.timeout.ms", ms(request_timeout.0).to_string())
            .set("socket.connection.setup.timeout.ms", ms(request_timeout.0).to_string())
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000");
        let protocol = match (login.is_some(), tls.is_some()) {
            (false, false) => "plaintext",
            (false, true) => "ssl",
            (true, false) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(login) = login {
            let mechanism = match login.mechanism {
                Mechanism::Plain => "PLAIN",
                Mechanism::ScramSha256 => "SCRAM-SHA-256",
                Mechanism::ScramSha512 => "SCRAM-SHA-512",
            };
            config.set("sasl.mechanism", mechanism).set("sasl.username", &login.username).set("sasl.password", login.password.expose());
        }
        if let Some(tls) = tls {
            // An OpenSSL of our own does not know where this system keeps its authorities: it looks in the usual places.
            let authorities = tls.ca_file.as_ref().map_or_else(|| "probe".to_owned(), |path| path.display().to_string());
            config.set("ssl.ca.location", authorities);
            if let Some((certificate, key)) = &tls.client {
                config.set("ssl.certificate.location", certificate.display().to_string());
                config.set("ssl.key.location", key.display().to_string());
            }
        }
        config
    }
}

/// Drops a client where waiting for its end holds up nobody.
pub(super) fn dispose<T: Send + 'static>(client: T) {
    // Without a thread it is dropped here, which only takes longer.
    drop(std::thread::Builder::new().name("queue disposal".into()).spawn(move || drop(client)));
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
