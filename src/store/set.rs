//! Statements over sets of rows. Handing a statement to the database costs more than most rows do, so rows are never written singly.
//!
//! The sizes of sets are few and fixed, so that the same few statements are prepared once and used again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::StoreError;
use super::db::{Connection, Record, Statement, Value};

/// Rows in one statement, at most; smaller sets are powers of two. A prepared statement takes memory for each of its rows.
const ROWS_MAX: usize = 128;

/// `<head> VALUES (...), (...) <tail>`, in as many statements as it takes.
pub(super) async fn insert<T, const N: usize>(
    connection: &mut Connection,
    head: &'static str,
    rows: &[T],
    values: for<'r> fn(&'r T) -> [Value<'r>; N],
    tail: &'static str,
) -> Result<(), StoreError> {
    for rows in sets(rows) {
        connection.execute(Statement::new(head).rows(rows, values).push(tail)).await?;
    }
    Ok(())
}

/// The same for statements that give back rows.
pub(super) async fn insert_returning<T, R: Record, const N: usize>(
    connection: &mut Connection,
    head: &'static str,
    rows: &[T],
    values: for<'r> fn(&'r T) -> [Value<'r>; N],
    tail: &'static str,
) -> Result<Vec<R>, StoreError> {
    let mut returned = Vec::new();
    for rows in sets(rows) {
        returned.extend(connection.fetch::<R>(Statement::new(head).rows(rows, values).push(tail)).await?);
    }
    Ok(returned)
}

/// One row for each key: a statement may not touch a row twice. In the order of the keys: two processes that wait for each other's rows
/// would wait in vain.
pub(super) fn fold<'a, T: ?Sized, K: Ord>(
    rows: impl IntoIterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    replaces: impl Fn(&T, &T) -> bool,
) -> Vec<&'a T> {
    let mut kept = BTreeMap::<K, &T>::new();
    for row in rows {
        match kept.entry(key(row)) {
            Entry::Vacant(place) => {
                place.insert(row);
            }
            Entry::Occupied(mut old) if replaces(row, old.get()) => *old.get_mut() = row,
            Entry::Occupied(_) => {}
        }
    }
    kept.into_values().collect()
}

/// Parts that fit one query with `Statement::list`.
pub(super) fn lists<T>(ids: &[T]) -> impl Iterator<Item = &[T]> {
    ids.chunks(ROWS_MAX)
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
    fn a_fold_keeps_one_row_per_key_in_their_order() {
        let rows = [("b", 1), ("a", 5), ("b", 3), ("a", 2), ("b", 3)];
        let kept = fold(&rows, |row| row.0, |new, old| new.1 >= old.1);
        assert_eq!(kept, [&("a", 5), &("b", 3)]);
    }
}
