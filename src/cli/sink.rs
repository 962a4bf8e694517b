//! `sink list|pause|resume`; `shadows` and `diff` have files of their own.

use serde_json::json;

use super::admin::Admin;
use super::arguments::{Options, SinkCommand};
use super::output::Output;
use super::{Ended, diff, shadows};
use crate::api::SinkView;

pub(crate) async fn run(what: SinkCommand, options: &Options, mut output: Output) -> Ended {
    let admin = Admin::find(options)?;
    let sink: SinkView = match what {
        SinkCommand::List => return list(&admin, output).await,
        SinkCommand::Shadows { name, which } => return shadows::list(&admin, &name, &which, output).await,
        SinkCommand::Diff { name, file, which } => return diff::run(&admin, &name, &file, &which, output).await,
        SinkCommand::Pause { name, reason } => admin.post(&format!("sinks/{name}/pause"), &json!({ "reason": reason })).await?,
        SinkCommand::Resume { name } => admin.post(&format!("sinks/{name}/resume"), &json!({})).await?,
    };
    if output.is_json {
        return Ok(output.json(&sink)?);
    }
    Ok(output.line(&format!("sink `{}` is {}", sink.name, sink.state))?)
}

async fn list(admin: &Admin, mut output: Output) -> Ended {
    let sinks: Vec<SinkView> = admin.get("sinks").await?;
    if output.is_json {
        return Ok(output.json(&sinks)?);
    }
    let row = |sink: &SinkView| {
        let state = if sink.shadow { format!("{} (shadow)", sink.state) } else { sink.state.clone() };
        let counted = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        let (waiting, dead) = (counted(sink.waiting), counted(sink.dead));
        vec![sink.name.to_string(), sink.kind.clone(), state, waiting, dead, sink.reason.clone().unwrap_or_default()]
    };
    Ok(output.table(&["NAME", "TYPE", "STATE", "WAITING", "DEAD", "REASON"], sinks.iter().map(row).collect(), "no sinks are configured")?)
}
