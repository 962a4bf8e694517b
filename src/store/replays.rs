//! Replays: orders to deliver from the archive, one row for each, and one for each lane of each sink concerned that says how far it has come.
//!
//! A lane reads in the order in which its queue showed the events. What a step did and how far it came are one write, so a crash repeats
//! at most one step; a step that another owner of the lane has overtaken changes nothing.

use sqlx::FromRow;

use super::db::{Connection, Statement, Value};
use super::rows::{Archived, Replay, ReplayCounts, ReplayLane, ReplayPlace, ReplayState, ReplayStep};
use super::writer::Order;
use super::{Store, StoreError, archive, limit, set};
use crate::clock::Timestamp;
use crate::event::{LaneId, Position};
use crate::setting::SinkName;

const ORDERS: &str = "SELECT id, generation, since_at, until_at, rule, dry_run, ordered_at FROM replays ";
const LANES: &str = "SELECT id, generation, since_at, until_at, rule, dry_run, ordered_at, sink, lane, state, events, \
    last_position, after_position, after_number, seen, delivered, filtered, withheld, dead, parked, known \
    FROM replay_lanes JOIN replays ON replays.id = replay_lanes.replay_id ";

/// What a lane has in the archive of a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    lane: LaneId,
    events: i64,
    first: i64,
    last: i64,
}

/// Who orders counts under the lock that every order takes, so no two get one generation.
pub(super) async fn order(
    connection: &mut Connection,
    replay: &Replay,
    again: bool,
    sinks: &[SinkName],
    extents: &[Extent],
) -> Result<u64, StoreError> {
    let generation = if again { "(SELECT COALESCE(MAX(generation), 0) + 1 FROM replays)" } else { "0" };
    let sql = format!(
        "INSERT INTO replays (id, generation, since_at, until_at, rule, dry_run, ordered_at) VALUES (?, {generation}, ?, ?, ?, ?, ?)"
    );
    let statement = Statement::new(sql).bind(replay.id.as_str()).bind(replay.since.ms()).bind(replay.until.ms());
    connection.execute(statement.bind(replay.rule.as_deref()).bind(i64::from(replay.dry_run)).bind(replay.ordered_at.ms())).await?;
    const HEAD: &str = "INSERT INTO replay_lanes (replay_id, sink, lane, state, events, last_position, after_position, after_number) ";
    type Row<'a> = (&'a Replay, &'a SinkName, Extent);
    let values: for<'r> fn(&'r Row<'_>) -> [Value<'r>; 8] = |(replay, sink, extent)| {
        [
            replay.id.as_str().into(),
            sink.as_str().into(),
            i64::from(extent.lane.0).into(),
            "open".into(),
            extent.events.into(),
            extent.last.into(),
            (extent.first - 1).into(),
            0_i64.into(),
        ]
    };
    let rows: Vec<Row<'_>> = sinks.iter().flat_map(|sink| extents.iter().map(move |extent| (replay, sink, *extent))).collect();
    set::insert(connection, HEAD, &rows, values, "").await?;
    Ok(rows.len() as u64)
}

/// Rare, at most one for each window: one statement each.
pub(super) async fn stepped(connection: &mut Connection, step: &ReplayStep) -> Result<(), StoreError> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = &step.counts;
    let sql = "UPDATE replay_lanes SET after_position = ?, after_number = ?, seen = seen + ?, delivered = delivered + ?, \
        filtered = filtered + ?, withheld = withheld + ?, dead = dead + ?, parked = parked + ?, known = known + ?, \
        state = CASE WHEN state = 'open' AND ? = 1 THEN 'done' ELSE state END \
        WHERE replay_id = ? AND sink = ? AND lane = ? AND ((after_position, after_number) < (?, ?) OR ? = 0)";
    let (position, after) = (archive::number(step.after.position), step.after.number);
    let mut statement = Statement::new(sql).bind(position).bind(after);
    for count in [counts.seen, counts.delivered, counts.filtered, counts.withheld, counts.dead, counts.parked, counts.known] {
        statement = statement.bind(number(count));
    }
    let statement = statement.bind(i64::from(step.is_done)).bind(step.replay.as_str()).bind(step.sink.as_str());
    let statement = statement.bind(i64::from(step.lane.0)).bind(position).bind(after).bind(number(counts.seen));
    connection.execute(statement).await.map(drop)
}

/// Returns how many lanes had not come to their end.
pub(super) async fn stop(connection: &mut Connection, id: &str) -> Result<u64, StoreError> {
    connection.execute(Statement::new("UPDATE replay_lanes SET state = 'stopped' WHERE state = 'open' AND replay_id = ?").bind(id)).await
}

/// The newest generation stays, so that none is given twice.
pub(super) async fn expire(connection: &mut Connection, before: Timestamp) -> Result<u64, StoreError> {
    let sql = "DELETE FROM replays WHERE ordered_at < ? AND (generation = 0 OR generation < (SELECT MAX(generation) FROM replays))";
    let count = connection.execute(Statement::new(sql).bind(before.ms())).await?;
    let orphans = "DELETE FROM replay_lanes WHERE NOT EXISTS (SELECT 1 FROM replays WHERE replays.id = replay_lanes.replay_id)";
    connection.execute(Statement::new(orphans)).await?;
    Ok(count)
}

#[derive(FromRow)]
struct Ordered {
    id: String,
    generation: i64,
    since_at: i64,
    until_at: i64,
    rule: Option<String>,
    dry_run: i64,
    ordered_at: i64,
}

impl From<Ordered> for Replay {
    fn from(row: Ordered) -> Self {
        Self {
            id: row.id,
            generation: super::count(row.generation),
            since: Timestamp::from_ms(row.since_at),
            until: Timestamp::from_ms(row.until_at),
            rule: row.rule,
            dry_run: row.dry_run != 0,
            ordered_at: Timestamp::from_ms(row.ordered_at),
        }
    }
}

#[derive(FromRow)]
struct Stored {
    #[sqlx(flatten)]
    order: Ordered,
    sink: String,
    lane: i64,
    state: String,
    events: i64,
    last_position: i64,
    after_position: i64,
    after_number: i64,
    seen: i64,
    delivered: i64,
    filtered: i64,
    withheld: i64,
    dead: i64,
    parked: i64,
    known: i64,
}

impl TryFrom<Stored> for ReplayLane {
    type Error = StoreError;

    fn try_from(row: Stored) -> Result<Self, StoreError> {
        Ok(Self {
            replay: row.order.into(),
            sink: super::sink(&row.sink)?,
            lane: archive::lane(row.lane),
            // The table admits no fourth word.
            state: match row.state.as_str() {
                "done" => ReplayState::Done,
                "stopped" => ReplayState::Stopped,
                _ => ReplayState::Open,
            },
            events: row.events.unsigned_abs(),
            last: archive::position(row.last_position),
            after: ReplayPlace { position: archive::position(row.after_position), number: row.after_number },
            counts: ReplayCounts {
                seen: row.seen.unsigned_abs(),
                delivered: row.delivered.unsigned_abs(),
                filtered: row.filtered.unsigned_abs(),
                withheld: row.withheld.unsigned_abs(),
                dead: row.dead.unsigned_abs(),
                parked: row.parked.unsigned_abs(),
                known: row.known.unsigned_abs(),
            },
        })
    }
}

#[derive(FromRow)]
struct Kept {
    number: i64,
    event_id: String,
    lane: i64,
    position: i64,
    envelope: Vec<u8>,
}

impl Store {
    /// Gives the order and wakes who carries it out. `again`: under a generation of its own.
    pub async fn order_replay(&self, replay: Replay, again: bool, sinks: Vec<SinkName>) -> Result<(), StoreError> {
        let sql = "SELECT lane, COUNT(*), MIN(position), MAX(position) FROM archive WHERE received_at >= ? AND received_at <= ? \
            GROUP BY lane ORDER BY lane";
        let statement = Statement::new(sql).bind(replay.since.ms()).bind(replay.until.ms());
        let rows: Vec<(i64, i64, i64, i64)> = self.fetch(statement).await?;
        let extent = |(lane, events, first, last)| Extent { lane: archive::lane(lane), events, first, last };
        let extents = rows.into_iter().map(extent).collect();
        self.order_and_wake(Order::Replay { replay, again, sinks, extents }).await.map(drop)
    }

    /// What is still to be done in a lane of a sink, the oldest order first.
    pub async fn open_replays(&self, sink: &SinkName, lane: LaneId) -> Result<Vec<ReplayLane>, StoreError> {
        let statement = Statement::new(LANES).push("WHERE state = 'open' AND sink = ? AND lane = ? ORDER BY ordered_at, id");
        let rows: Vec<Stored> = self.fetch(statement.bind(sink.as_str()).bind(i64::from(lane.0))).await?;
        rows.into_iter().map(ReplayLane::try_from).collect()
    }

    /// The next events of a lane, in its order; in place of one that cannot be read, why.
    pub async fn replayed(&self, lane: &ReplayLane, most: usize) -> Result<Vec<(ReplayPlace, Result<Archived, StoreError>)>, StoreError> {
        let sql = "SELECT number, event_id, lane, position, envelope FROM archive WHERE lane = ? AND position >= ? AND position <= ? \
            AND (position, number) > (?, ?) AND received_at >= ? AND received_at <= ? ORDER BY position, number LIMIT ?";
        let after = archive::number(lane.after.position);
        let statement = Statement::new(sql).bind(i64::from(lane.lane.0)).bind(after).bind(archive::number(lane.last));
        let statement = statement.bind(after).bind(lane.after.number);
        let statement = statement.bind(lane.replay.since.ms()).bind(lane.replay.until.ms()).bind(limit(most));
        let rows: Vec<Kept> = self.fetch(statement).await?;
        let read = |row: Kept| {
            let position = archive::position(row.position);
            let lane = archive::lane(row.lane);
            let archived = archive::unpack(&row.event_id, &row.envelope).map(|envelope| Archived { envelope, lane, position });
            (ReplayPlace { position, number: row.number }, archived)
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Orders, newest first.
    pub async fn replays(&self, most: usize) -> Result<Vec<Replay>, StoreError> {
        let statement = Statement::new(ORDERS).push("ORDER BY ordered_at DESC, id DESC LIMIT ?").bind(limit(most));
        let rows: Vec<Ordered> = self.fetch(statement).await?;
        Ok(rows.into_iter().map(Replay::from).collect())
    }

    pub async fn replay(&self, id: &str) -> Result<Option<Replay>, StoreError> {
        let row: Option<Ordered> = self.fetch_one(Statement::new(ORDERS).push("WHERE id = ?").bind(id)).await?;
        Ok(row.map(Replay::from))
    }

    /// How far every lane of every sink has come, by sink and lane.
    pub async fn replay_lanes(&self, id: &str) -> Result<Vec<ReplayLane>, StoreError> {
        let statement = Statement::new(LANES).push("WHERE id = ? ORDER BY sink, lane").bind(id);
        let rows: Vec<Stored> = self.fetch(statement).await?;
        rows.into_iter().map(ReplayLane::try_from).collect()
    }

    /// What was not looked at yet stays undone. Returns how many lanes had not come to their end.
    pub async fn stop_replay(&self, id: &str) -> Result<u64, StoreError> {
        self.order_and_wake(Order::StopReplay { id: id.to_owned() }).await
    }
}

impl Replay {
    /// A new id: `r` and ten characters.
    pub fn new_id() -> String {
        super::parked::new_id('r')
    }
}

impl Default for ReplayPlace {
    fn default() -> Self {
        Self { position: Position(0), number: 0 }
    }
}
