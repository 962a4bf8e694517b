//! A statement and its values, for either database: `?` stands for the next value, wherever it stands.
//!
//! Only three types ever go in, so that neither database has to guess one. No text of ours holds a `?` of its own.

use std::borrow::Cow;

pub(in crate::store) enum Value<'a> {
    Text(Option<Cow<'a, str>>),
    Number(Option<i64>),
    Bytes(&'a [u8]),
}

pub(in crate::store) struct Statement<'a> {
    pub(super) sql: Cow<'static, str>,
    pub(super) values: Vec<Value<'a>>,
}

impl<'a> Statement<'a> {
    pub(in crate::store) fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { sql: sql.into(), values: Vec::new() }
    }

    pub(in crate::store) fn push(mut self, sql: &str) -> Self {
        self.sql.to_mut().push_str(sql);
        self
    }

    /// The value of the first `?` that has none yet.
    pub(in crate::store) fn bind(mut self, value: impl Into<Value<'a>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// `VALUES (?, ?), (?, ?)`
    pub(in crate::store) fn rows<T, const N: usize>(mut self, rows: &'a [T], values: fn(&'a T) -> [Value<'a>; N]) -> Self {
        let row = format!("({})", vec!["?"; N].join(", "));
        let sql = self.sql.to_mut();
        sql.push_str("VALUES ");
        sql.push_str(&vec![row.as_str(); rows.len()].join(", "));
        self.values.extend(rows.iter().flat_map(values));
        self
    }

    /// `(?, ?)`, filled up to a power of two with the last one again, which changes nothing in an `IN`.
    pub(in crate::store) fn list<T: AsRef<str>>(mut self, ids: &'a [T]) -> Self {
        let places = 0..ids.len().next_power_of_two();
        self.sql.to_mut().push_str(&format!("({})", vec!["?"; places.len()].join(", ")));
        self.values.extend(places.map(|place| Value::from(ids.get(place).or(ids.last()).map(AsRef::as_ref))));
        self
    }

    /// With `$1`, `$2`, ... in the place of each `?`.
    pub(super) fn numbered(&self) -> String {
        let mut parts = self.sql.split('?');
        let mut sql = String::with_capacity(self.sql.len() + self.values.len() * 4);
        sql.push_str(parts.next().unwrap_or_default());
        for (place, part) in parts.enumerate() {
            sql.push('$');
            sql.push_str(&(place + 1).to_string());
            sql.push_str(part);
        }
        sql
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.map(Cow::Owned))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(Some(number.into()))
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbered_in_their_order() {
        let check = |statement: Statement<'_>, expected: &str, values: usize| {
            assert_eq!((statement.numbered().as_str(), statement.values.len()), (expected, values));
        };
        check(Statement::new("SELECT 1"), "SELECT 1", 0);
        check(Statement::new("a = ? AND b = ?").bind("x").bind(1_i64), "a = $1 AND b = $2", 2);
        let rows: fn(&i64) -> [Value<'_>; 2] = |row| [(*row).into(), Some("x").into()];
        check(Statement::new("WITH t AS (").rows(&[1, 2], rows).push(") x"), "WITH t AS (VALUES ($1, $2), ($3, $4)) x", 4);
        check(Statement::new("id IN ").list(&["a", "b", "c"]), "id IN ($1, $2, $3, $4)", 4);
        check(Statement::new("id IN ").list(&["a"]).push(" AND b = ?").bind(None::<i64>), "id IN ($1) AND b = $2", 2);
    }
}
