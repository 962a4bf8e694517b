//! Statements over sets of rows. Handing a statement to the database costs more than most rows do, so rows are never written singly.
//!
//! The sizes of sets are few and fixed, so that the same few statements are prepared once and used again.

use std::collections::HashMap;
use std::hash::Hash;

use sqlx::QueryBuilder;

use super::StoreError;
use super::db::{Connection, Sql, Values};

/// Rows in one statement, at most; smaller sets are powers of two. A prepared statement takes memory for each of its rows.
const ROWS_MAX: usize = 128;

/// `<head> VALUES (...), (...) <tail>`, in as many statements as it takes.
pub(super) async fn insert<T>(
    connection: &mut Connection,
    head: &'static str,
    rows: &[T],
    bind: fn(Values<'_>, &T),
    tail: &'static str,
) -> Result<(), StoreError> {
    for rows in sets(rows) {
        values(head, rows, bind, tail).build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// The same for statements that give back rows.
pub(super) async fn insert_returning<T, R>(
    connection: &mut Connection,
    head: &'static str,
    rows: &[T],
    bind: fn(Values<'_>, &T),
    tail: &'static str,
) -> Result<Vec<R>, StoreError>
where
    R: for<'r> sqlx::FromRow<'r, <Sql as sqlx::Database>::Row> + Send + Unpin,
{
    let mut returned = Vec::new();
    for rows in sets(rows) {
        returned.extend(values(head, rows, bind, tail).build_query_as::<R>().fetch_all(&mut *connection).await?);
    }
    Ok(returned)
}

/// One row for each key, in the order in which keys first came: a statement may not touch a row twice.
pub(super) fn fold<'a, T, K: Eq + Hash>(
    rows: impl IntoIterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    replaces: impl Fn(&T, &T) -> bool,
) -> Vec<&'a T> {
    let (mut kept, mut places) = (Vec::<&T>::new(), HashMap::new());
    for row in rows {
        match places.entry(key(row)) {
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(row);
            }
            std::collections::hash_map::Entry::Occupied(place) => {
                if let Some(old) = kept.get_mut(*place.get())
                    && replaces(row, old)
                {
                    *old = row;
                }
            }
        }
    }
    kept
}

/// Parts that fit one query with `push_list`.
pub(super) fn lists<T>(ids: &[T]) -> impl Iterator<Item = &[T]> {
    ids.chunks(ROWS_MAX)
}

/// `($1, $2, ...)`, filled up to a power of two with the last one again, which changes nothing in an `IN`.
pub(super) fn push_list<T: AsRef<str>>(query: &mut QueryBuilder<Sql>, ids: &[T]) {
    query.push("(");
    let mut list = query.separated(", ");
    for place in 0..ids.len().next_power_of_two() {
        list.push_bind(ids.get(place).or(ids.last()).map(AsRef::as_ref));
    }
    query.push(")");
}

fn values<T>(head: &'static str, rows: &[T], bind: fn(Values<'_>, &T), tail: &'static str) -> QueryBuilder<Sql> {
    let mut query = QueryBuilder::new(head);
    query.push_values(rows, bind);
    query.push(tail);
    query
}

fn sets<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = rest.len().checked_ilog2().map(|bits| (1_usize << bits).min(ROWS_MAX))?;
        let (set, behind) = rest.split_at(size);
        rest = behind;
        Some(set)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_powers_of_two_and_hold_every_row_once() {
        for count in 0..600 {
            let rows: Vec<usize> = (0..count).collect();
            assert!(sets(&rows).all(|set| set.len().is_power_of_two() && set.len() <= ROWS_MAX));
            assert_eq!(sets(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        }
    }

    #[test]
    fn a_fold_keeps_one_row_per_key() {
        let rows = [("a", 1), ("b", 5), ("a", 3), ("b", 2), ("a", 3)];
        let kept = fold(&rows, |row| row.0, |new, old| new.1 >= old.1);
        assert_eq!(kept, [&("a", 3), &("b", 5)]);
    }
}
