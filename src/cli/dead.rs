//! `dead list|show|retry|drop`.

use super::admin::{Admin, encoded};
use super::arguments::{DeadCommand, DeadWhich, Options, Which};
use super::output::Output;
use super::{Ended, Failure};
use crate::api::{Counted, DeadLetterView, DeadQuery, Selection, ShownDeadLetter};

pub(crate) async fn run(what: DeadCommand, options: &Options, mut output: Output) -> Ended {
    if let DeadCommand::Retry(which) | DeadCommand::Drop(which) = &what {
        which.check()?;
    }
    let admin = Admin::find(options)?;
    match what {
        DeadCommand::List { which, limit } => list(&admin, &which.query(), limit, output).await,
        DeadCommand::Show { id } => {
            let letter: ShownDeadLetter = admin.get(&format!("dead-letters/{}", encoded(&id))).await?;
            let text = if output.is_json { serde_json::to_string(&letter) } else { serde_json::to_string_pretty(&letter) };
            Ok(output.line(&text.map_err(|err| Failure::Other(err.into()))?)?)
        }
        DeadCommand::Retry(which) => order(&admin, "retry", "to be delivered again", which, output).await,
        DeadCommand::Drop(which) => order(&admin, "drop", "dropped", which, output).await,
    }
}

impl Which {
    fn check(&self) -> Ended {
        let is_said = self.all || !self.ids.is_empty() || self.matching.query() != DeadQuery::default();
        let missing = "say which: ids as shown by `dead list`, a filter (`--sink`, `--target`, `--reason`, `--since`), or `--all`";
        if is_said { Ok(()) } else { Err(Failure::Usage(missing.to_owned())) }
    }
}

impl DeadWhich {
    fn query(&self) -> DeadQuery {
        let Self { sink, target, reason, since } = self.clone();
        DeadQuery { sink, target, reason, since }
    }
}

async fn list(admin: &Admin, which: &DeadQuery, limit: Option<usize>, mut output: Output) -> Ended {
    let letters: Vec<DeadLetterView> = admin.list("dead-letters", which, limit.unwrap_or(usize::MAX)).await?;
    if output.is_json {
        return Ok(output.json(&letters)?);
    }
    let row = |letter: &DeadLetterView| {
        vec![
            letter.id.clone(),
            letter.sink.to_string(),
            letter.target.clone(),
            letter.issue_key.clone().unwrap_or_default(),
            letter.event_id.clone(),
            letter.attempts.to_string(),
            letter.last_at.to_string(),
            letter.reason.clone(),
        ]
    };
    let rows = letters.iter().map(row).collect();
    Ok(output.table(&["ID", "SINK", "TARGET", "ISSUE", "EVENT", "TRIES", "LAST", "REASON"], rows, "no dead letters")?)
}

async fn order(admin: &Admin, verb: &str, done: &str, which: Which, mut output: Output) -> Ended {
    let query = which.matching.query();
    let selection = match (which.all, which.ids.is_empty()) {
        (true, _) => Selection::All(true),
        (false, false) => Selection::Ids(which.ids),
        (false, true) => Selection::Matching(query),
    };
    let answer: Counted = admin.post(&format!("dead-letters/{verb}"), &selection).await?;
    if output.is_json {
        return Ok(output.json(&answer)?);
    }
    Ok(output.line(&format!("{} {done}", answer.count))?)
}
