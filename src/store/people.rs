//! Users and projects, of which every event shows a part: each value is as it was last seen, and what was not shown changes nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::StoreError;
use super::db::{Connection, Value};
use super::rows::{ProjectRow, UserRow};
use super::set;
use crate::setting::ConnectionName;

/// What a user or project is until somebody says.
const UNKNOWN: &str = "unknown";

/// A value and when it was seen.
type Seen<'a> = Option<(&'a str, i64)>;

/// A user (name, email, kind) or a project (key, name, kind).
pub(super) struct Sight<'a> {
    connection: &'a ConnectionName,
    id: &'a str,
    values: [Seen<'a>; 3],
}

impl<'a> Sight<'a> {
    pub(super) fn of_user(row: &'a UserRow) -> Self {
        let seen = |value: Option<&'a str>| value.map(|value| (value, row.seen_at.ms()));
        let kind = Some(row.kind).filter(|kind| *kind != UNKNOWN);
        Self { connection: &row.connection, id: &row.id, values: [seen(row.name.as_deref()), seen(row.email.as_deref()), seen(kind)] }
    }

    pub(super) fn of_project(row: &'a ProjectRow) -> Self {
        let seen = |value: Option<&'a str>| value.map(|value| (value, row.seen_at.ms()));
        let kind = row.kind.filter(|kind| *kind != UNKNOWN);
        Self { connection: &row.connection, id: &row.id, values: [seen(row.key.as_deref()), seen(row.name.as_deref()), seen(kind)] }
    }
}

/// One sight for each user or project, of each value the newest; in the order of their keys, as `set::fold` gives rows.
pub(super) fn merged(sights: Vec<Sight<'_>>) -> Vec<Sight<'_>> {
    let mut kept = BTreeMap::<_, Sight<'_>>::new();
    for sight in sights {
        match kept.entry((sight.connection, sight.id)) {
            Entry::Occupied(mut old) => {
                for (old, new) in old.get_mut().values.iter_mut().zip(sight.values) {
                    let (before, now) = (old.map(|(_, at)| at), new.map(|(_, at)| at));
                    if now.is_some() && now >= before {
                        *old = new;
                    }
                }
            }
            Entry::Vacant(place) => {
                place.insert(sight);
            }
        }
    }
    kept.into_values().collect()
}

pub(super) async fn users(connection: &mut Connection, rows: &[Sight<'_>]) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO users (connection, id, name, name_seen, email, email_seen, kind, kind_seen) ";
    // A comparison with null is not true: what was not seen changes nothing.
    const TAIL: &str = " ON CONFLICT (connection, id) DO UPDATE SET \
        name = CASE WHEN excluded.name_seen >= COALESCE(users.name_seen, excluded.name_seen) THEN excluded.name ELSE users.name END, \
        name_seen = CASE WHEN excluded.name_seen >= COALESCE(users.name_seen, excluded.name_seen) \
            THEN excluded.name_seen ELSE users.name_seen END, \
        email = CASE WHEN excluded.email_seen >= COALESCE(users.email_seen, excluded.email_seen) \
            THEN excluded.email ELSE users.email END, \
        email_seen = CASE WHEN excluded.email_seen >= COALESCE(users.email_seen, excluded.email_seen) \
            THEN excluded.email_seen ELSE users.email_seen END, \
        kind = CASE WHEN excluded.kind_seen >= COALESCE(users.kind_seen, excluded.kind_seen) THEN excluded.kind ELSE users.kind END, \
        kind_seen = CASE WHEN excluded.kind_seen >= COALESCE(users.kind_seen, excluded.kind_seen) \
            THEN excluded.kind_seen ELSE users.kind_seen END";
    set::insert(connection, HEAD, rows, values, TAIL).await
}

pub(super) async fn projects(connection: &mut Connection, rows: &[Sight<'_>]) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO projects (connection, id, key, key_seen, name, name_seen, kind, kind_seen) ";
    const TAIL: &str = " ON CONFLICT (connection, id) DO UPDATE SET \
        key = CASE WHEN excluded.key_seen >= COALESCE(projects.key_seen, excluded.key_seen) THEN excluded.key ELSE projects.key END, \
        key_seen = CASE WHEN excluded.key_seen >= COALESCE(projects.key_seen, excluded.key_seen) \
            THEN excluded.key_seen ELSE projects.key_seen END, \
        name = CASE WHEN excluded.name_seen >= COALESCE(projects.name_seen, excluded.name_seen) \
            THEN excluded.name ELSE projects.name END, \
        name_seen = CASE WHEN excluded.name_seen >= COALESCE(projects.name_seen, excluded.name_seen) \
            THEN excluded.name_seen ELSE projects.name_seen END, \
        kind = CASE WHEN excluded.kind_seen >= COALESCE(projects.kind_seen, excluded.kind_seen) \
            THEN excluded.kind ELSE projects.kind END, \
        kind_seen = CASE WHEN excluded.kind_seen >= COALESCE(projects.kind_seen, excluded.kind_seen) \
            THEN excluded.kind_seen ELSE projects.kind_seen END";
    set::insert(connection, HEAD, rows, values, TAIL).await
}

fn values<'a>(sight: &'a Sight<'_>) -> [Value<'a>; 8] {
    let [first, second, kind] = sight.values;
    [
        sight.connection.as_str().into(),
        sight.id.into(),
        first.map(|(value, _)| value).into(),
        first.map(|(_, at)| at).into(),
        second.map(|(value, _)| value).into(),
        second.map(|(_, at)| at).into(),
        kind.map_or(UNKNOWN, |(value, _)| value).into(),
        kind.map(|(_, at)| at).into(),
    ]
}
