//! `queue status`.

use super::Ended;
use super::admin::Admin;
use super::arguments::{Options, QueueCommand};
use super::output::Output;
use crate::api::QueueRow;

pub(crate) async fn run(what: &QueueCommand, options: &Options, mut output: Output) -> Ended {
    let QueueCommand::Status = what;
    let rows: Vec<QueueRow> = Admin::find(options)?.get("queue").await?;
    if output.is_json {
        return Ok(output.json(&rows)?);
    }
    let row = |row: &&QueueRow| {
        let oldest = row.oldest_seconds.map(|seconds| format!("{seconds} s")).unwrap_or_default();
        vec![row.sink.clone(), row.lane.to_string(), row.waiting.to_string(), oldest]
    };
    let waiting: Vec<&QueueRow> = rows.iter().filter(|row| row.waiting > 0).collect();
    Ok(output.table(&["SINK", "LANE", "WAITING", "OLDEST"], waiting.iter().map(row).collect(), "nothing waits")?)
}
