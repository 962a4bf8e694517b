//! Questions about offsets. They block: ask them on a thread that may wait.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::clients::KafkaConsumer;
use super::fault::Fault;
use crate::event::LaneCount;

const SETTLE_EVERY: Duration = Duration::from_millis(100);

/// A lane's place for each lane, where it has one.
pub(super) type LaneOffsets = Vec<Option<i64>>;

/// The first offset that is still there, and the one that the next record will have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) low: i64,
    pub(super) high: i64,
}

pub(super) fn list_of(topic: &str, lanes: LaneCount) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, i32::from(lanes.get()) - 1);
    list
}

pub(super) fn list_with(topic: &str, offsets: impl IntoIterator<Item = (i32, i64)>) -> Result<TopicPartitionList, Fault> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(list)
}

/// Of each lane.
pub(super) fn spans(client: &KafkaConsumer, topic: &str, lanes: LaneCount, limit: Duration) -> Result<Vec<Span>, Fault> {
    let low = ends(client, topic, lanes, Offset::Beginning, limit)?;
    let high = ends(client, topic, lanes, Offset::End, limit)?;
    Ok(low.into_iter().zip(high).map(|(low, high)| Span { low, high }).collect())
}

/// What the client's group has committed.
pub(super) fn committed(client: &KafkaConsumer, topic: &str, lanes: LaneCount, limit: Duration) -> Result<LaneOffsets, Fault> {
    let answered = client.committed_offsets(list_of(topic, lanes), limit)?;
    by_lane(&answered, topic, lanes)
}

/// Gives the client's group a place at the end of every lane, unless it has one. Returns when it is stored.
///
/// A topic that was just made, or a group that nobody asked for before, is not known to every broker at once: so it is tried again.
pub(super) fn init_offsets(client: &KafkaConsumer, topic: &str, lanes: LaneCount, limit: Duration) -> Result<(), Fault> {
    let until = Instant::now() + limit;
    loop {
        match init_offsets_once(client, topic, lanes, limit) {
            Ok(true) => return Ok(()),
            Ok(false) if Instant::now() >= until => return Err(Fault::Transient("a place could not be stored in time".to_owned())),
            Err(fault) if Instant::now() >= until || matches!(fault, Fault::Permanent(_)) => return Err(fault),
            Ok(false) => {}
            Err(_) => std::thread::sleep(SETTLE_EVERY),
        }
    }
}

/// True: it has a place. False: it was given one, which must be looked at.
///
/// The ends are read before it is looked whether there is a place: if another process settles the same sink at the same time, the later
/// of the two commits cannot skip what was published after the earlier one was done. A commit is refused when that process is in the
/// group by now.
fn init_offsets_once(client: &KafkaConsumer, topic: &str, lanes: LaneCount, limit: Duration) -> Result<bool, Fault> {
    let ends = ends(client, topic, lanes, Offset::End, limit)?;
    if committed(client, topic, lanes, limit)?.iter().any(Option::is_some) {
        return Ok(true);
    }
    client.commit(&list_with(topic, (0..).zip(ends))?, CommitMode::Sync)?;
    Ok(false)
}

fn ends(client: &KafkaConsumer, topic: &str, lanes: LaneCount, which: Offset, limit: Duration) -> Result<Vec<i64>, Fault> {
    let mut list = list_of(topic, lanes);
    // In this request `Beginning` and `End` stand in the place of timestamps.
    list.set_all_offsets(which)?;
    let answered = client.offsets_for_times(list, limit)?;
    let ends = by_lane(&answered, topic, lanes)?;
    ends.into_iter().collect::<Option<_>>().ok_or_else(|| Fault::Transient(format!("`{topic}` does not tell where its lanes end")))
}

fn by_lane(list: &TopicPartitionList, topic: &str, lanes: LaneCount) -> Result<LaneOffsets, Fault> {
    lanes
        .lanes()
        .map(|lane| {
            let Some(entry) = list.find_partition(topic, i32::from(lane.0)) else { return Ok(None) };
            entry.error()?;
            Ok(if let Offset::Offset(offset) = entry.offset() { Some(offset) } else { None })
        })
        .collect()
}
