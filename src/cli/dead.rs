//! `dead list|show|retry|drop`.

use serde_json::Value;

use super::Ended;
use super::admin::Admin;
use super::arguments::{DeadCommand, Options, Which};
use super::output::Output;
use crate::api::{DeadLetterView, Selection};

pub(crate) async fn run(what: DeadCommand, options: &Options, mut output: Output) -> Ended {
    let admin = Admin::find(options)?;
    match what {
        DeadCommand::List => list(&admin, output).await,
        DeadCommand::Show { id } => {
            let encoded = percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC);
            let letter: Value = admin.get(&format!("dead-letters/{encoded}")).await?;
            let text = if output.is_json { letter.to_string() } else { format!("{letter:#}") };
            Ok(output.line(&text)?)
        }
        DeadCommand::Retry(which) => order(&admin, "retry", "to be delivered again", which, output).await,
        DeadCommand::Drop(which) => order(&admin, "drop", "dropped", which, output).await,
    }
}

async fn list(admin: &Admin, mut output: Output) -> Ended {
    let letters: Vec<DeadLetterView> = admin.get("dead-letters").await?;
    if output.is_json {
        return Ok(output.json(&letters)?);
    }
    let row = |letter: &DeadLetterView| {
        vec![
            letter.id.clone(),
            letter.sink.to_string(),
            letter.target.clone(),
            letter.event_id.clone(),
            letter.attempts.to_string(),
            letter.last_at.to_string(),
            letter.reason.clone(),
        ]
    };
    let rows = letters.iter().map(row).collect();
    Ok(output.table(&["ID", "SINK", "TARGET", "EVENT", "TRIES", "LAST", "REASON"], rows, "no dead letters")?)
}

async fn order(admin: &Admin, verb: &str, done: &str, which: Which, mut output: Output) -> Ended {
    let selection = if which.all { Selection::All(true) } else { Selection::Ids(which.ids) };
    let answer: Value = admin.post(&format!("dead-letters/{verb}"), &selection).await?;
    if output.is_json {
        return Ok(output.json(&answer)?);
    }
    let count = answer.get("count").and_then(Value::as_u64).unwrap_or(0);
    Ok(output.line(&format!("{count} {done}"))?)
}
