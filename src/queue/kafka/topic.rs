//! The topic: made where it is missing, refused where it cannot carry what we publish, and warned of where it may lose some of it.

use std::time::Duration;

use rdkafka::admin::{ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use tokio::time::{Instant, sleep};

use super::clients::RECORD_OVERHEAD;
use super::cluster::{Cluster, Partition, View};
use super::fault::Fault;
use super::settings::Broker;
use super::validate::{TopicSettings, body_max, validate};
use crate::event::LaneCount;

/// A topic that was just made has no leaders for a moment.
const LEADERS_WITHIN: Duration = Duration::from_secs(15);
const LEADERS_EVERY: Duration = Duration::from_millis(50);
const COPIES: u16 = 3;

/// Makes or examines it. The longest body that it takes.
pub(super) async fn prepare(cluster: &Cluster, topic: &str, lanes: LaneCount, broker: &Broker) -> Result<usize, Fault> {
    let view = cluster.look(topic).await?;
    if view.partitions.is_none() {
        create(cluster, topic, lanes, broker, view.brokers.len()).await?;
    }
    let (view, partitions) = led(cluster, topic).await?;
    if partitions.len() != usize::from(lanes.get()) {
        return Err(Fault::Permanent(format!(
            "`{topic}` has {} partitions, and {} lanes are configured; set `queue.lanes = {}`, or take another `queue.name`",
            partitions.len(),
            lanes.get(),
            partitions.len()
        )));
    }
    let topic_settings = read(cluster, topic, &view, &partitions).await?;
    if topic_settings.record_max.is_none() {
        tracing::warn!(topic, "the limits of `{topic}` cannot be read (`DescribeConfigs`): Kafka's defaults are assumed");
    }
    let validation = validate(&topic_settings, broker);
    for why in &validation.warnings {
        tracing::warn!(topic, "the topic `{topic}`: {why}");
    }
    if !validation.errors.is_empty() {
        return Err(Fault::Permanent(format!("the topic `{topic}`: {}", validation.errors.join("; "))));
    }
    Ok(body_max(topic_settings.record_max, broker))
}

/// The longest body that it takes now.
pub(super) async fn limit(cluster: &Cluster, topic: &str, broker: &Broker) -> Result<usize, Fault> {
    let view = cluster.look(topic).await?;
    let Some(id) = view.brokers.first() else { return Err(Fault::Transient("there is no broker".to_owned())) };
    let described = cluster.settings(ResourceSpecifier::Topic(topic), *id).await?;
    Ok(body_max(number(described.as_ref(), "max.message.bytes"), broker))
}

/// Why nothing can be published, if it cannot.
pub(super) async fn trouble(cluster: &Cluster, topic: &str) -> Result<Option<String>, Fault> {
    let Some(partitions) = cluster.look(topic).await?.partitions else {
        return Ok(Some(format!("the topic `{topic}` is gone; a restart makes it again")));
    };
    let leaderless = partitions.iter().filter(|partition| !partition.has_leader).count();
    Ok((leaderless > 0).then(|| format!("{leaderless} partitions of `{topic}` have no leader")))
}

async fn create(cluster: &Cluster, topic: &str, lanes: LaneCount, broker: &Broker, brokers: usize) -> Result<(), Fault> {
    let most = u16::try_from(brokers).unwrap_or(u16::MAX).max(1);
    let copies = broker.replication.unwrap_or(COPIES.min(most));
    let record_max = (broker.max_message.length() + RECORD_OVERHEAD).to_string();
    let retention = broker.retention.0.as_millis().to_string();
    let in_sync = if copies > 2 { "2" } else { "1" };
    let new = NewTopic::new(topic, lanes.get().into(), TopicReplication::Fixed(copies.into()))
        .set("cleanup.policy", "delete")
        .set("retention.ms", &retention)
        .set("retention.bytes", "-1")
        .set("max.message.bytes", &record_max)
        .set("min.insync.replicas", in_sync)
        .set("unclean.leader.election.enable", "false");
    cluster.create(&new).await.map_err(|fault| fault.about(&format!("the topic `{topic}` cannot be made with {copies} copies")))?;
    tracing::info!(topic, copies, "the topic `{topic}` was made, with {copies} copies of each event");
    Ok(())
}

/// Waits until every partition has a leader.
async fn led(cluster: &Cluster, topic: &str) -> Result<(View, Vec<Partition>), Fault> {
    let until = Instant::now() + LEADERS_WITHIN;
    loop {
        let view = cluster.look(topic).await?;
        match view.partitions.clone() {
            Some(partitions) if partitions.iter().all(|partition| partition.has_leader) => return Ok((view, partitions)),
            _ if Instant::now() >= until => {
                return Err(Fault::Transient(format!("`{topic}` has partitions without a leader")));
            }
            _ => sleep(LEADERS_EVERY).await,
        }
    }
}

async fn read(cluster: &Cluster, topic: &str, view: &View, partitions: &[Partition]) -> Result<TopicSettings, Fault> {
    let Some(id) = view.brokers.first() else { return Err(Fault::Transient("there is no broker".to_owned())) };
    let described = cluster.settings(ResourceSpecifier::Topic(topic), *id).await?;
    let described = described.as_ref();
    // The answer is used for a warning only.
    let of_broker = cluster.settings(ResourceSpecifier::Broker(*id), *id).await.ok().flatten();
    Ok(TopicSettings {
        cleanup: text(described, "cleanup.policy").map(str::to_owned),
        retention_ms: number(described, "retention.ms"),
        retention_bytes: number(described, "retention.bytes"),
        record_max: number(described, "max.message.bytes"),
        in_sync_least: number(described, "min.insync.replicas"),
        unclean_election: number(described, "unclean.leader.election.enable"),
        offsets_kept_minutes: number(of_broker.as_ref(), "offsets.retention.minutes"),
        copies: partitions.iter().map(|partition| partition.copies).min().unwrap_or_default(),
        brokers: view.brokers.len(),
    })
}

fn text<'a>(described: Option<&'a ConfigResource>, name: &str) -> Option<&'a str> {
    described?.get(name)?.value.as_deref()
}

fn number<T: std::str::FromStr>(described: Option<&ConfigResource>, name: &str) -> Option<T> {
    text(described, name)?.parse().ok()
}
