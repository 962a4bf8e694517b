//! RabbitMQ (3.10 to 4.x) as the road, for several processes.
//!
//! ```text
//!                                    <name>.events            topic exchange; key <lane>.<sink or all>.<entity>.<verb>.<project or _>
//! publish ── confirm, per lane ──>        │
//!                                         ├─ <lane>.all.#, <lane>.<sink>.# ──> <name>.<sink>.<lane>   quorum queue, single active consumer
//!                                         └─ whatever other services bind
//! ```
//! Never `nack`; nothing of ours has a length limit at the broker. `<name>.lanes` holds the number of lanes, `<name>.sinks` the sinks.

mod settings;

#[cfg(feature = "amqp")]
mod connection;
#[cfg(feature = "amqp")]
mod external_publisher;
#[cfg(feature = "amqp")]
mod inbox;
#[cfg(feature = "amqp")]
mod lane;
#[cfg(feature = "amqp")]
mod message;
#[cfg(feature = "amqp")]
mod names;
#[cfg(feature = "amqp")]
mod publisher;
#[cfg(feature = "amqp")]
mod pump;
#[cfg(feature = "amqp")]
mod queue;
#[cfg(feature = "amqp")]
mod shared;
#[cfg(feature = "amqp")]
mod sinks;
#[cfg(feature = "amqp")]
mod stamp;
#[cfg(feature = "amqp")]
mod topology;
#[cfg(feature = "amqp")]
mod watch;

#[cfg(feature = "amqp")]
pub use external_publisher::external_publisher;
#[cfg(feature = "amqp")]
pub use queue::Amqp;
pub use settings::{Address, Broker, Settings};

#[cfg(not(feature = "amqp"))]
pub fn external_publisher(_: &Broker, _: &str, _: &Destination) -> Result<Box<dyn super::ExternalPublisher>, super::ExternalPublishError> {
    Err(super::ExternalPublishError::Misconfigured("this build has no RabbitMQ: build it with `--features amqp`".to_owned()))
}

/// Where events leave to: an exchange that is there, the key they are given (none: `<entity>.<verb>.<project or _>`), and whether one
/// that no queue is bound for comes back.
#[derive(Debug, Clone)]
pub struct Destination {
    pub exchange: String,
    pub routing_key: Option<String>,
    pub mandatory: bool,
}

/// Whether this build has RabbitMQ.
pub const IS_BUILT: bool = cfg!(feature = "amqp");
