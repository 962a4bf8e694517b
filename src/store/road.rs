//! Which road the places of parked deliveries belong to: another queue, or another number of lanes, counts its places anew.
//!
//! Their lanes follow from their partition keys, as everywhere. Their positions go below all that the new road will give, in the order that
//! they had: below zero, where one more change still has room.

use super::db::{Connection, Statement, Value};
use super::writer::Order;
use super::{Store, StoreError, control, set};
use crate::clock::Timestamp;
use crate::event::{LaneCount, PartitionKey};

const CONTROL: &str = "road";
/// More than a road ever counts to, and little enough to be taken off more than a hundred times.
const STEP: i64 = 1 << 56;

/// Where deliveries of one partition key wait from now on.
struct Moved {
    partition_key: String,
    lane: i64,
}

pub(super) async fn enter(connection: &mut Connection, road: &str, lanes: LaneCount, at: Timestamp) -> Result<u64, StoreError> {
    let known: Vec<(String,)> = connection.fetch(Statement::new("SELECT value FROM control WHERE name = ?").bind(CONTROL)).await?;
    let known = known.first().map(|(known,)| known.as_str());
    if known == Some(road) {
        return Ok(0);
    }
    control::put(connection, CONTROL, Some(road), at).await?;
    // Who never said which road it was had this one.
    if known.is_none() { Ok(0) } else { move_all(connection, lanes).await }
}

async fn move_all(connection: &mut Connection, lanes: LaneCount) -> Result<u64, StoreError> {
    connection.execute(Statement::new("UPDATE replay_lanes SET state = 'stopped' WHERE state = 'open'")).await?;
    let count = connection.execute(Statement::new("UPDATE parked SET position = position - ?").bind(STEP)).await?;
    let sql = "SELECT DISTINCT partition_key FROM parked ORDER BY partition_key";
    let keys: Vec<(String,)> = connection.fetch(Statement::new(sql)).await?;
    let moved = |(partition_key,): (String,)| Moved { lane: PartitionKey::known(&partition_key).lane(lanes).0.into(), partition_key };
    let moved: Vec<Moved> = keys.into_iter().map(moved).collect();
    const HEAD: &str = "WITH moved (partition_key, lane) AS (";
    const TAIL: &str = ") UPDATE parked SET lane = moved.lane FROM moved WHERE parked.partition_key = moved.partition_key";
    let values: for<'r> fn(&'r Moved) -> [Value<'r>; 2] = |moved| [moved.partition_key.as_str().into(), moved.lane.into()];
    set::insert(connection, HEAD, &moved, values, TAIL).await?;
    Ok(count)
}

impl Store {
    /// Tells which road is at work. If it is another one than before, what waits goes on in its lanes, before all that it will bring, and
    /// open replays end. Returns how many deliveries were moved.
    pub async fn enter_road(&self, road: &str, lanes: LaneCount, now: Timestamp) -> Result<u64, StoreError> {
        self.order_and_wake(Order::EnterRoad { road: road.to_owned(), lanes, at: now }).await
    }
}
