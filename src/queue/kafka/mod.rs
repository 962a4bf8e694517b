//! Apache Kafka (2.4 and later) as the road, for several processes.
//!
//! ```text
//!                          <name>.events     topic; a partition for each lane, the key is the partition key
//! publish ── acks=all ──>       │
//!                               ├──> <name>.<sink>    consumer group of a sink: its committed offsets are the sink's place
//!                               └──> whoever else reads the topic
//! ```
//! The group divides the lanes among the processes, so nobody else does. The offset of a lane's last passed message, plus one, is its
//! position. What a sink has not read within the topic's retention is gone: that is warned of and counted, and it goes on behind it.

mod settings;

#[cfg(feature = "kafka")]
mod clients;
#[cfg(feature = "kafka")]
mod cluster;
#[cfg(feature = "kafka")]
mod context;
#[cfg(feature = "kafka")]
mod external_publisher;
#[cfg(feature = "kafka")]
mod fault;
#[cfg(feature = "kafka")]
mod feed;
#[cfg(feature = "kafka")]
mod lane;
#[cfg(feature = "kafka")]
mod member;
#[cfg(feature = "kafka")]
mod message;
#[cfg(feature = "kafka")]
mod names;
#[cfg(feature = "kafka")]
mod offsets;
#[cfg(feature = "kafka")]
mod publisher;
#[cfg(feature = "kafka")]
mod queue;
#[cfg(feature = "kafka")]
mod shared;
#[cfg(feature = "kafka")]
mod topic;
#[cfg(feature = "kafka")]
mod validate;

#[cfg(feature = "kafka")]
pub use external_publisher::external_publisher;
#[cfg(feature = "kafka")]
pub use queue::Kafka;
pub use settings::{Broker, Compression, Login, Mechanism, Settings, Tls};

#[cfg(not(feature = "kafka"))]
pub fn external_publisher(_: &Broker, _: &str, _: &str) -> Result<Box<dyn super::ExternalPublisher>, super::ExternalPublishError> {
    Err(super::ExternalPublishError::Misconfigured("this build has no Kafka: build it with `--features kafka`".to_owned()))
}

/// Whether this build has Kafka.
pub const IS_BUILT: bool = cfg!(feature = "kafka");
/// Whether it has TLS and SCRAM towards Kafka.
pub const HAS_TLS: bool = cfg!(feature = "kafka-tls");
