//! `queue status|prune`.

use serde_json::json;

use super::Ended;
use super::admin::Admin;
use super::arguments::{Options, QueueCommand};
use super::output::Output;
use crate::api::{OrphanView, QueueRow};

pub(crate) async fn run(what: &QueueCommand, options: &Options, output: Output) -> Ended {
    let admin = Admin::find(options)?;
    match what {
        QueueCommand::Status => status(&admin, output).await,
        QueueCommand::Prune { dry_run } => prune(&admin, *dry_run, output).await,
    }
}

async fn status(admin: &Admin, mut output: Output) -> Ended {
    let rows: Vec<QueueRow> = admin.get("queue").await?;
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

async fn prune(admin: &Admin, dry_run: bool, mut output: Output) -> Ended {
    let orphans: Vec<OrphanView> = admin.post("queue/prune", &json!({ "dry_run": dry_run })).await?;
    if output.is_json {
        return Ok(output.json(&orphans)?);
    }
    let done = if dry_run { "would be given up" } else { "given up" };
    let row = |orphan: &OrphanView| vec![orphan.sink.clone(), orphan.waiting.to_string(), done.to_owned()];
    Ok(output.table(&["SINK", "WAITING", ""], orphans.iter().map(row).collect(), "every place on the queue has its sink")?)
}
