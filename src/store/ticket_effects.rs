//! Effects of many events folded to one row per ticket, comment, change, user and project: a statement may not touch a row twice.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

use super::people::{Sight, merged};
use super::rows::{ChangeRow, CommentRow, TicketEffect, TicketRow};
use super::set;
use crate::clock::Timestamp;
use crate::setting::ConnectionName;

/// A deletion of a ticket, or of a comment (with the ticket that it stood on).
pub(super) struct Deletion<'a> {
    pub(super) connection: &'a ConnectionName,
    pub(super) id: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) project_key: Option<&'a str>,
    pub(super) ticket_id: &'a str,
    pub(super) at: Timestamp,
}

/// Effects of which deletions may be carried out before snapshots.
#[derive(Default)]
pub(super) struct Round<'a> {
    pub(super) deleted: Vec<Deletion<'a>>,
    pub(super) tickets: Vec<&'a TicketRow>,
    /// The newest REST answer for each ticket that had one.
    pub(super) seen_alive: Vec<&'a TicketRow>,
    pub(super) comments_deleted: Vec<Deletion<'a>>,
    pub(super) comments: Vec<&'a CommentRow>,
    pub(super) changes: Vec<&'a ChangeRow>,
    pub(super) users: Vec<Sight<'a>>,
    pub(super) projects: Vec<Sight<'a>>,
}

impl CommentRow {
    /// A comment without an `updated` was never edited.
    pub(super) fn version(&self) -> Timestamp {
        self.updated_at.or(self.created_at).unwrap_or_default()
    }
}

/// Nearly always one. A deletion that follows a REST answer of its ticket begins another, because there the order matters.
pub(super) fn rounds<'a>(effects: impl Iterator<Item = &'a TicketEffect>) -> Vec<Round<'a>> {
    let (mut rounds, mut current, mut answered) = (Vec::new(), Vec::new(), HashSet::new());
    for effect in effects {
        match effect {
            TicketEffect::Ticket(row) if row.from_rest => {
                answered.insert((&row.connection, row.id.as_str()));
            }
            TicketEffect::TicketDeleted { connection, id, .. } if answered.contains(&(connection, id.as_str())) => {
                rounds.push(round(&current));
                current.clear();
                answered.clear();
            }
            _ => {}
        }
        current.push(effect);
    }
    if !current.is_empty() {
        rounds.push(round(&current));
    }
    rounds
}

fn round<'a>(effects: &[&'a TicketEffect]) -> Round<'a> {
    let mut all = Round::default();
    for effect in effects {
        match effect {
            TicketEffect::Ticket(row) => all.tickets.push(row),
            TicketEffect::TicketDeleted { connection, id, key, project_key, at } => {
                let (key, project_key) = (key.as_deref(), project_key.as_deref());
                all.deleted.push(Deletion { connection, id, key, project_key, ticket_id: id, at: *at });
            }
            TicketEffect::Comment(row) => all.comments.push(row),
            TicketEffect::CommentDeleted { connection, id, ticket_id, at } => {
                all.comments_deleted.push(Deletion { connection, id, key: None, project_key: None, ticket_id, at: *at });
            }
            TicketEffect::Change(row) => all.changes.push(row),
            TicketEffect::User(row) => all.users.push(Sight::of_user(row)),
            TicketEffect::Project(row) => all.projects.push(Sight::of_project(row)),
        }
    }
    Round {
        deleted: newest(all.deleted),
        seen_alive: set::fold(
            all.tickets.iter().copied().filter(|row| row.from_rest),
            |row| (&row.connection, &row.id),
            |new, old| new.version.observed >= old.version.observed,
        ),
        tickets: set::fold(all.tickets, |row| (&row.connection, &row.id), |new, old| new.version >= old.version),
        comments_deleted: newest(all.comments_deleted),
        comments: set::fold(all.comments, |row| (&row.connection, &row.id), |new, old| new.version() >= old.version()),
        changes: set::fold(all.changes, |row| (&row.connection, &row.id), |_, _| false),
        users: merged(all.users),
        projects: merged(all.projects),
    }
}

fn newest(deletions: Vec<Deletion<'_>>) -> Vec<Deletion<'_>> {
    let mut kept = BTreeMap::<_, Deletion<'_>>::new();
    for deletion in deletions {
        match kept.entry((deletion.connection, deletion.id)) {
            Entry::Occupied(mut old) if deletion.at > old.get().at => *old.get_mut() = deletion,
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => {
                place.insert(deletion);
            }
        }
    }
    kept.into_values().collect()
}
