//! Threads: which message began what is said of one issue at one target, so that the next finds it, after a restart too.

use super::db::{Connection, Statement, Value};
use super::rows::ThreadRow;
use super::{Store, StoreError, set};
use crate::clock::Timestamp;
use crate::event::PartitionKey;
use crate::setting::SinkName;

/// The last one stands: where the first message of a thread is gone, another began.
pub(super) async fn begin(connection: &mut Connection, rows: impl Iterator<Item = &ThreadRow>) -> Result<(), StoreError> {
    const HEAD: &str = "INSERT INTO threads (sink, target, partition_key, reference, at) ";
    const TAIL: &str = " ON CONFLICT (sink, target, partition_key) DO UPDATE SET reference = excluded.reference, at = excluded.at";
    let key = |row: &ThreadRow| (row.sink.clone(), row.target.clone(), row.partition_key.as_str().to_owned());
    set::insert(connection, HEAD, &set::fold(rows, key, |_, _| true), values, TAIL).await
}

fn values<'a>(row: &'a &ThreadRow) -> [Value<'a>; 5] {
    [row.sink.as_str().into(), (&*row.target).into(), row.partition_key.as_str().into(), row.reference.as_str().into(), row.at.ms().into()]
}

pub(super) async fn expire(connection: &mut Connection, before: Timestamp) -> Result<u64, StoreError> {
    connection.execute(Statement::new("DELETE FROM threads WHERE at < ?").bind(before.ms())).await
}

impl Store {
    /// The message that began the thread of an issue there.
    pub async fn thread(&self, sink: &SinkName, target: &str, key: &PartitionKey) -> Result<Option<String>, StoreError> {
        let sql = "SELECT reference FROM threads WHERE sink = ? AND target = ? AND partition_key = ?";
        let found: Option<(String,)> = self.fetch_one(Statement::new(sql).bind(sink.as_str()).bind(target).bind(key.as_str())).await?;
        Ok(found.map(|(reference,)| reference))
    }
}
