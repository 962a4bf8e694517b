//! The ticket store: what Jira's issues are now. It never goes back in time, in whatever order events come.
//!
//! A row shows the newest snapshot and the newest deletion that were seen; the two do not depend on each other, so their order does
//! not matter. A tombstone is lifted only by a REST answer that came after it and is newer: a deletion that comes after the answer is
//! believed whatever its time says, because it is told by Jira's clock and the answer by ours.

use super::db::{Connection, Statement, Value};
use super::rows::{ChangeRow, CommentRow, TicketEffect, TicketRow};
use super::ticket_effects::{Deletion, Round, rounds};
use super::{Store, StoreError, people, set};
use crate::setting::ConnectionName;

pub(super) async fn apply(connection: &mut Connection, effects: impl Iterator<Item = &TicketEffect>) -> Result<(), StoreError> {
    for round in rounds(effects) {
        bury_tickets(connection, &round.deleted).await?;
        snapshots(connection, &round).await?;
        lift(connection, &round.seen_alive).await?;
        bury_comments(connection, &round.comments_deleted).await?;
        comments(connection, &round.comments).await?;
        changes(connection, &round.changes).await?;
        people::users(connection, &round.users).await?;
        people::projects(connection, &round.projects).await?;
    }
    Ok(())
}

/// Also where the ticket was never seen. A deletion that was lifted does not come back by being told again.
async fn bury_tickets(connection: &mut Connection, rows: &[Deletion<'_>]) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO tickets (connection, id, key, project_key, deleted_at, removed_at) ";
    const TAIL: &str = " ON CONFLICT (connection, id) DO UPDATE SET deleted_at = excluded.deleted_at, removed_at = excluded.removed_at, \
        key = COALESCE(tickets.key, excluded.key), project_key = COALESCE(tickets.project_key, excluded.project_key) \
        WHERE tickets.removed_at IS NULL OR excluded.removed_at > tickets.removed_at";
    let values: for<'r> fn(&'r Deletion<'_>) -> [Value<'r>; 6] = |row| {
        [
            row.connection.as_str().into(),
            row.id.into(),
            row.key.into(),
            row.project_key.into(),
            row.at.to_string().into(),
            row.at.ms().into(),
        ]
    };
    set::insert(connection, HEAD, rows, values, TAIL).await
}

/// Labels go with the snapshots that were newer than their rows.
async fn snapshots(connection: &mut Connection, round: &Round<'_>) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO tickets (connection, id, key, project_key, type, summary, body, status, status_category, assignee, \
        reporter, security_level, level_known, created_at, updated_at, version_updated, version_observed) ";
    const TAIL: &str = " ON CONFLICT (connection, id) DO UPDATE SET key = excluded.key, project_key = excluded.project_key, \
        type = excluded.type, summary = excluded.summary, body = excluded.body, status = excluded.status, \
        status_category = excluded.status_category, assignee = excluded.assignee, reporter = excluded.reporter, \
        security_level = excluded.security_level, level_known = excluded.level_known, created_at = excluded.created_at, updated_at = excluded.updated_at, \
        version_updated = excluded.version_updated, version_observed = excluded.version_observed \
        WHERE tickets.version_updated IS NULL OR (excluded.version_updated, excluded.version_observed) \
        >= (tickets.version_updated, tickets.version_observed) RETURNING connection, id";
    let taken: Vec<(String, String)> = set::insert_returning(connection, HEAD, &round.tickets, values_of_ticket, TAIL).await?;
    let pair: for<'r> fn(&'r (String, String)) -> [Value<'r>; 2] = |(site, id)| [site.as_str().into(), id.as_str().into()];
    // By way of a table expression: SQLite would read all labels for an `IN` over plain values.
    let head = "WITH taken (connection, id) AS (";
    let tail = ") DELETE FROM ticket_labels WHERE (connection, ticket_id) IN (SELECT connection, id FROM taken)";
    set::insert(connection, head, &taken, pair, tail).await?;
    let taken: std::collections::HashSet<(&str, &str)> = taken.iter().map(|(site, id)| (site.as_str(), id.as_str())).collect();
    let newer = round.tickets.iter().filter(|row| taken.contains(&(row.connection.as_str(), row.id.as_str())));
    let labels: Vec<[&str; 3]> = newer.flat_map(|row| row.labels.iter().map(|label| [row.connection.as_str(), &row.id, label])).collect();
    let labels = set::fold(&labels, |label| *label, |_, _| false);
    let triple: for<'r> fn(&'r &[&str; 3]) -> [Value<'r>; 3] = |label| label.map(Value::from);
    let tail = " ON CONFLICT (connection, ticket_id, label) DO NOTHING";
    set::insert(connection, "INSERT INTO ticket_labels (connection, ticket_id, label) ", &labels, triple, tail).await
}

fn values_of_ticket<'a>(row: &'a &TicketRow) -> [Value<'a>; 17] {
    [
        row.connection.as_str().into(),
        row.id.as_str().into(),
        row.key.as_deref().into(),
        row.project_key.as_deref().into(),
        row.kind.as_deref().into(),
        row.summary.as_deref().into(),
        row.body.as_deref().into(),
        row.status.as_deref().into(),
        row.status_category.as_deref().into(),
        row.assignee.as_deref().into(),
        row.reporter.as_deref().into(),
        row.security_level.as_deref().into(),
        i64::from(row.level_known).into(),
        row.created_at.map(|at| at.to_string()).into(),
        row.updated_at.map(|at| at.to_string()).into(),
        row.version.updated.ms().into(),
        row.version.observed.ms().into(),
    ]
}

/// A REST answer shows that the issue exists, also where its fields are no news.
async fn lift(connection: &mut Connection, rows: &[&TicketRow]) -> Result<(), StoreError> {
    const HEAD: &str = "WITH seen (connection, id, observed) AS (";
    const TAIL: &str = ") UPDATE tickets SET deleted_at = NULL FROM seen WHERE tickets.connection = seen.connection \
        AND tickets.id = seen.id AND tickets.deleted_at IS NOT NULL AND seen.observed > tickets.removed_at";
    let values: for<'r> fn(&'r &TicketRow) -> [Value<'r>; 3] =
        |row| [row.connection.as_str().into(), row.id.as_str().into(), row.version.observed.ms().into()];
    set::insert(connection, HEAD, rows, values, TAIL).await
}

/// Comments are never restored in Jira, so nothing lifts their tombstones.
async fn bury_comments(connection: &mut Connection, rows: &[Deletion<'_>]) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO comments (connection, id, ticket_id, deleted_at) ";
    const TAIL: &str = " ON CONFLICT (connection, id) DO UPDATE SET deleted_at = excluded.deleted_at \
        WHERE comments.deleted_at IS NULL OR excluded.deleted_at > comments.deleted_at";
    let values: for<'r> fn(&'r Deletion<'_>) -> [Value<'r>; 4] =
        |row| [row.connection.as_str().into(), row.id.into(), row.ticket_id.into(), row.at.to_string().into()];
    set::insert(connection, HEAD, rows, values, TAIL).await
}

async fn comments(connection: &mut Connection, rows: &[&CommentRow]) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO comments (connection, id, ticket_id, author, body, created_at, updated_at, version) ";
    const TAIL: &str = " ON CONFLICT (connection, id) DO UPDATE SET ticket_id = excluded.ticket_id, author = excluded.author, \
        body = excluded.body, created_at = excluded.created_at, updated_at = excluded.updated_at, version = excluded.version \
        WHERE comments.version IS NULL OR excluded.version >= comments.version";
    let values: for<'r> fn(&'r &CommentRow) -> [Value<'r>; 8] = |row| {
        [
            row.connection.as_str().into(),
            row.id.as_str().into(),
            row.ticket_id.as_str().into(),
            row.author.as_deref().into(),
            row.body.as_deref().into(),
            row.created_at.map(|at| at.to_string()).into(),
            row.updated_at.map(|at| at.to_string()).into(),
            row.version().ms().into(),
        ]
    };
    set::insert(connection, HEAD, rows, values, TAIL).await
}

/// History is insert-only: Jira never changes what it wrote there.
async fn changes(connection: &mut Connection, rows: &[&ChangeRow]) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO changes (connection, id, ticket_id, field, from_id, from_value, to_id, to_value, author, at) ";
    let values: for<'r> fn(&'r &ChangeRow) -> [Value<'r>; 10] = |row| {
        [
            row.connection.as_str().into(),
            row.id.as_str().into(),
            row.ticket_id.as_str().into(),
            row.field.as_str().into(),
            row.from_id.as_deref().into(),
            row.from_value.as_deref().into(),
            row.to_id.as_deref().into(),
            row.to_value.as_deref().into(),
            row.author.as_deref().into(),
            row.at.to_string().into(),
        ]
    };
    set::insert(connection, HEAD, rows, values, " ON CONFLICT (connection, id) DO NOTHING").await
}

impl Store {
    /// The security level of a ticket's last row: outer none where there is no row that knows it.
    pub async fn ticket_level(&self, connection: &ConnectionName, id: &str) -> Result<Option<Option<String>>, StoreError> {
        let sql = "SELECT security_level FROM tickets WHERE connection = ? AND id = ? AND level_known = 1";
        let level: Option<(Option<String>,)> = self.fetch_one(Statement::new(sql).bind(connection.as_str()).bind(id)).await?;
        Ok(level.map(|(level,)| level))
    }

    /// Those of these issues of which the ticket store has a row.
    pub async fn tickets_held(&self, connection: &ConnectionName, ids: &[&str]) -> Result<Vec<HeldTicket>, StoreError> {
        const HEAD: &str = "SELECT id, version_updated IS NOT NULL AS is_whole, deleted_at IS NOT NULL AS is_deleted, project_key, \
            EXISTS (SELECT 1 FROM projects WHERE projects.connection = tickets.connection AND projects.key = tickets.project_key \
            AND projects.kind = 'service_desk') AS is_service FROM tickets WHERE connection = ? AND id IN ";
        let mut held = Vec::new();
        for ids in set::lists(ids) {
            let found: Vec<HeldTicket> = self.fetch(Statement::new(HEAD).bind(connection.as_str()).list(ids).push(" ORDER BY id")).await?;
            held.extend(found);
        }
        Ok(held)
    }

    /// What the ticket store shows of an issue.
    pub async fn ticket(&self, connection: &ConnectionName, id: &str) -> Result<Option<TicketView>, StoreError> {
        let sql = "SELECT key, status, summary, deleted_at IS NOT NULL AS is_deleted FROM tickets WHERE connection = ? AND id = ?";
        self.fetch_one(Statement::new(sql).bind(connection.as_str()).bind(id)).await
    }
}

/// What decides how the next event of a ticket is taken.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct HeldTicket {
    pub id: String,
    /// Whether it was seen whole; else only its deletion was.
    pub is_whole: bool,
    pub is_deleted: bool,
    pub project_key: Option<String>,
    /// Whether that project is known as one of service management.
    pub is_service: bool,
}

/// A ticket in a line.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct TicketView {
    pub key: Option<String>,
    pub status: Option<String>,
    pub summary: Option<String>,
    pub is_deleted: bool,
}
