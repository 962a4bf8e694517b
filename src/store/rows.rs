//! What goes into the store and what comes out: plain values, no SQL.

use std::sync::Arc;

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
    /// Always 0 in this version; part of the key, so that the same event could be delivered anew.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Delivered,
    Withheld,
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
    /// All of a sink (it was resumed, or its outage ended).
    Sink(SinkName),
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
    /// Effects in the ticket store, in order.
    pub tickets: Vec<TicketEffect>,
}

impl Write {
    pub fn is_empty(&self) -> bool {
        self.archive.is_empty()
            && self.journal.is_empty()
            && self.park.is_empty()
            && self.unpark.is_empty()
            && self.tried.is_empty()
            && self.postpone.is_empty()
            && self.tickets.is_empty()
    }
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
