//! Rules against recorded events, without a service: the sinks are stood in for, so that nothing can be sent.

use std::sync::Arc;

use anyhow::{Context, bail};
use async_trait::async_trait;
use serde_json::Value;

use super::Prepared;
use crate::clock::Timestamp;
use crate::config::Connection;
use crate::deliver::{Recorded, Rehearsed, Route, rehearse};
use crate::event::read_structured;
use crate::jira::{Headers, Received, normalize};
use crate::render;
use crate::setting::SinkName;
use crate::sink::{Enriched, Receipt, Sink, SinkError, Traits};

/// What the rules would make of these events, at every sink that a rule names.
pub fn rehearsal(prepared: &Prepared, recorded: &[Recorded]) -> Vec<Rehearsed> {
    let is_named = |name: &SinkName| prepared.rules.of_sink(name).next().is_some();
    let route = |sink: &crate::config::Sink| Route {
        sink: Arc::new(Understudy { name: sink.name.clone(), for_people: sink.settings.is_for_people() }),
        clearance: sink.clearance.clone(),
        enrich: false,
        rules: prepared.rules.clone(),
        names: prepared.names.clone(),
    };
    let routes: Vec<Route> = prepared.config.sinks.iter().filter(|sink| is_named(&sink.name)).map(route).collect();
    rehearse(&routes, recorded)
}

/// The events of a file: lines that a file sink wrote, webhooks as Jira sent them one on a line, or one webhook over many lines.
/// Beside either may stand what Jira shall answer: `lookup`, `watchers`, `parent`.
pub fn recorded(text: &str, connections: &[Connection], named: Option<&str>) -> anyhow::Result<Vec<Recorded>> {
    if let Ok(whole) = serde_json::from_str::<Value>(text) {
        return one(&whole, text, connections, named);
    }
    let mut events = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("line {}", number + 1);
        let value: Value = serde_json::from_str(line).with_context(|| format!("{} is no JSON", place()))?;
        events.extend(one(&value, line, connections, named).with_context(place)?);
    }
    Ok(events)
}

fn one(value: &Value, text: &str, connections: &[Connection], named: Option<&str>) -> anyhow::Result<Vec<Recorded>> {
    if value.get("specversion").is_some() {
        let event = read_structured(value).context("it is no event that this version can read")?;
        return Ok(vec![Recorded::new(event, value)]);
    }
    let connection = match (named, connections) {
        (Some(name), _) => match connections.iter().find(|connection| connection.name.as_str() == name) {
            Some(found) => found,
            None => bail!("no connection is called `{name}`"),
        },
        (None, [only]) => only,
        (None, _) => bail!("a webhook does not say which connection it came by: name it with `--connection`"),
    };
    // Jira's own time stands for the receipt, so that the same body gives the same answer tomorrow.
    let received_at = value.get("timestamp").and_then(Value::as_i64).map(Timestamp::from_ms).unwrap_or_default();
    let events = normalize(&Received {
        connection: &connection.name,
        base_url: &connection.url,
        body: text.as_bytes(),
        headers: &Headers::default(),
        received_at,
        to_markdown: render::to_markdown,
    });
    Ok(events.into_iter().map(|event| Recorded::new(event, value)).collect())
}

/// Stands in for a sink and takes nothing.
struct Understudy {
    name: SinkName,
    for_people: bool,
}

#[async_trait]
impl Sink for Understudy {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn traits(&self) -> Traits {
        Traits { repeatable: true, records_itself: false, batch: 1, for_people: self.for_people }
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        let refused = || Err(SinkError::Failed { reason: "nothing is sent in a rehearsal".into() });
        batch.iter().map(|_| refused()).collect()
    }

    async fn check(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
