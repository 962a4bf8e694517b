//! What goes into the store and what comes out: plain values, no SQL.

use std::sync::Arc;

use super::StoreError;
use crate::clock::Timestamp;
use crate::event::Position;
use crate::event::{Envelope, EventId, LaneId, PartitionKey};
use crate::setting::{ConnectionName, SinkName};

/// What is tried, parked, dead or done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryKey {
    pub sink: SinkName,
    pub event_id: EventId,
    pub target: Arc<str>,
    /// 0 on the way in; a replay that delivers everything once more has one of its own.
    pub generation: u32,
}

/// An envelope for the archive, with the place where its lane showed it.
#[derive(Debug, Clone)]
pub struct ArchiveRow {
    pub envelope: Arc<Envelope>,
    pub lane: LaneId,
    pub position: Position,
}

/// What the archive says of an event.
#[derive(Debug, Clone)]
pub struct Archived {
    pub envelope: Arc<Envelope>,
    pub lane: LaneId,
    pub position: Position,
}

/// Which events of the archive; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub kind: Option<String>,
    pub connection: Option<String>,
    /// A key that the issue has or had.
    pub issue_key: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// Where an event stands in the archive by its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPlace {
    pub received_at: Timestamp,
    pub number: i64,
}

/// Which dead letters; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    pub sink: Option<String>,
    pub target: Option<String>,
    /// A part of the reason, in capitals or not.
    pub reason: Option<String>,
    /// Tried for the last time then or later.
    pub since: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadSelection {
    Ids(Vec<String>),
    Matching(DeadFilter),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Delivered,
    Withheld,
    /// Its sink is in shadow mode, so nothing was sent.
    Shadowed,
    /// Jira said so of the JQL of its rule, or told the sink that it has no place for the event.
    Filtered,
    Dead,
}

/// How far a delivery came. No row: it was never tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The act was about to begin; after a crash nobody knows whether it happened.
    Started,
    /// The last try ended without success, which is known; it waits.
    Tried,
    Ended(Ended),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    pub key: DeliveryKey,
    pub rule: Option<Arc<str>>,
    pub progress: Progress,
    /// Why it was withheld or refused, or a remark on how it was delivered.
    pub reason: Option<String>,
    pub at: Timestamp,
    pub attempts: u32,
    /// How many processes began it and did not end it.
    pub unclean_runs: u32,
}

/// A delivery that waits, or a dead letter. `id` is text that a person can type.
#[derive(Debug, Clone)]
pub struct ParkedRow {
    pub id: String,
    pub key: DeliveryKey,
    pub rule: Option<Arc<str>>,
    pub lane: LaneId,
    pub position: Position,
    pub partition_key: PartitionKey,
    pub state: ParkedState,
    pub not_before: Timestamp,
    pub attempts: u32,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedState {
    Waiting,
    Dead,
}

/// A waiting row with its envelope.
#[derive(Debug, Clone)]
pub struct Parked {
    pub row: ParkedRow,
    pub envelope: Arc<Envelope>,
}

/// Those whose time has come.
#[derive(Debug, Clone, Default)]
pub struct Due {
    pub parked: Vec<Parked>,
    /// Whose envelope this program cannot read, and why: a newer one may have written it.
    pub unreadable: Vec<(ParkedRow, StoreError)>,
}

/// Somebody waits here, so what comes later goes behind: one per target and partition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingKey {
    pub target: Arc<str>,
    pub partition_key: PartitionKey,
    pub count: u64,
    pub not_before: Timestamp,
}

/// Which waiting rows a change of time concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// All of one target of a sink (a rate limit): never earlier than they wait for already.
    Target(SinkName, Arc<str>),
    /// All of one issue to one target (its first delivery failed).
    Key(SinkName, Arc<str>, PartitionKey),
}

/// One atomic write. Several are committed together by the writer; each is whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct Write {
    /// Kept once: an event that is there already stays as it is.
    pub archive: Vec<ArchiveRow>,
    /// Inserted or replaced by key.
    pub journal: Vec<JournalRow>,
    /// Inserted; a delivery that waits already keeps its place. The envelope must be in the archive or in `archive` above.
    pub park: Vec<ParkedRow>,
    /// Ended: the rows go.
    pub unpark: Vec<String>,
    /// Another try failed: attempts, last_at, reason, not_before of one row.
    pub tried: Vec<ParkedRow>,
    /// New `not_before` for all waiting rows concerned.
    pub postpone: Vec<(Waiting, Timestamp)>,
    /// What sinks in shadow mode would have sent, in order; inserted or replaced by key.
    pub shadows: Vec<ShadowRow>,
    /// Messages that began a thread.
    pub threads: Vec<ThreadRow>,
    /// Effects in the ticket store, in order.
    pub tickets: Vec<TicketEffect>,
    /// How far a lane came in a replay with all of this.
    pub replay: Option<ReplayStep>,
}

impl Write {
    pub fn is_empty(&self) -> bool {
        self.archive.is_empty()
            && self.journal.is_empty()
            && self.park.is_empty()
            && self.unpark.is_empty()
            && self.tried.is_empty()
            && self.postpone.is_empty()
            && self.shadows.is_empty()
            && self.threads.is_empty()
            && self.tickets.is_empty()
            && self.replay.is_none()
    }
}

/// What a sink in shadow mode would have sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowRow {
    pub key: DeliveryKey,
    pub rule: Option<Arc<str>>,
    pub at: Timestamp,
    /// JSON; none where the event itself is what is sent.
    pub message: Option<String>,
}

/// Which of them; all that is given must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShadowFilter {
    pub since: Option<Timestamp>,
    /// Included.
    pub until: Option<Timestamp>,
}

/// The message that began the thread of an issue at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadRow {
    pub sink: SinkName,
    pub target: Arc<str>,
    pub partition_key: PartitionKey,
    /// What the other side calls it.
    pub reference: String,
    pub at: Timestamp,
}

/// One change to the ticket store. All are guarded: nothing goes back in time, nothing deleted comes back by a late event.
#[derive(Debug, Clone, PartialEq)]
pub enum TicketEffect {
    /// A whole issue, as of `version`.
    Ticket(Box<TicketRow>),
    /// A tombstone; made also where the ticket was never seen.
    TicketDeleted {
        connection: ConnectionName,
        id: String,
        key: Option<String>,
        project_key: Option<String>,
        at: Timestamp,
    },
    Comment(Box<CommentRow>),
    CommentDeleted {
        connection: ConnectionName,
        id: String,
        ticket_id: String,
        at: Timestamp,
    },
    Change(Box<ChangeRow>),
    User(UserRow),
    Project(ProjectRow),
}

/// An order to deliver from the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    pub id: String,
    /// 0: what was delivered is not delivered again.
    pub generation: u32,
    pub since: Timestamp,
    /// Included.
    pub until: Timestamp,
    /// None: all rules of today.
    pub rule: Option<String>,
    /// Only count what would happen.
    pub dry_run: bool,
    pub ordered_at: Timestamp,
}

/// One lane of one sink on its way through the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayLane {
    pub replay: Replay,
    pub sink: SinkName,
    pub lane: LaneId,
    pub state: ReplayState,
    /// How many events there were to look at when the order was given.
    pub events: u64,
    pub last: Position,
    /// The last event that was looked at.
    pub after: ReplayPlace,
    pub counts: ReplayCounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayState {
    Open,
    Done,
    Stopped,
}

/// Where an event stands in a lane of the archive; the number tells two apart that had one position in two queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplayPlace {
    pub position: Position,
    pub number: i64,
}

/// What became of the events that a replay looked at. `known` ended before, or waits already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    pub seen: u64,
    pub delivered: u64,
    pub filtered: u64,
    pub withheld: u64,
    pub dead: u64,
    pub parked: u64,
    pub known: u64,
}

/// How far a lane came, to be written with what it did.
#[derive(Debug, Clone)]
pub struct ReplayStep {
    pub replay: String,
    pub sink: SinkName,
    pub lane: LaneId,
    pub after: ReplayPlace,
    /// Of this step.
    pub counts: ReplayCounts,
    pub is_done: bool,
}

/// What decides which of two snapshots is newer: (issue `updated`, observed at).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub updated: Timestamp,
    pub observed: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TicketRow {
    pub connection: ConnectionName,
    pub id: String,
    pub version: Version,
    /// Made from a REST answer, which may lift a tombstone that is older than it.
    pub from_rest: bool,
    pub key: Option<String>,
    pub project_key: Option<String>,
    pub kind: Option<String>,
    pub summary: Option<String>,
    pub body: Option<String>,
    pub status: Option<String>,
    pub status_category: Option<String>,
    pub assignee: Option<String>,
    pub reporter: Option<String>,
    pub security_level: Option<String>,
    /// Whether this sight of the issue said if it has a level.
    pub level_known: bool,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub labels: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CommentRow {
    pub connection: ConnectionName,
    pub id: String,
    pub ticket_id: String,
    pub author: Option<String>,
    pub body: Option<String>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
}

/// One item of a changelog; insert-only.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRow {
    pub connection: ConnectionName,
    /// `<changelog id>.<item>`, items counted from 0.
    pub id: String,
    pub ticket_id: String,
    pub field: String,
    pub from_id: Option<String>,
    pub from_value: Option<String>,
    pub to_id: Option<String>,
    pub to_value: Option<String>,
    pub author: Option<String>,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct UserRow {
    pub connection: ConnectionName,
    pub id: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub kind: &'static str,
    /// A webhook's user object may lack what an earlier one had: `null` never overwrites, an older sight never a newer.
    pub seen_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ProjectRow {
    pub connection: ConnectionName,
    pub id: String,
    pub key: Option<String>,
    pub name: Option<String>,
    /// Null: this sight of the project did not say.
    pub kind: Option<&'static str>,
    pub seen_at: Timestamp,
}
