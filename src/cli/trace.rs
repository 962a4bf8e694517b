//! `trace KEY`: where is my event?

use super::admin::{Admin, encoded};
use super::arguments::Options;
use super::output::Output;
use super::{Ended, Failure};
use crate::api::{DeliveryView, EventView};

pub(crate) async fn run(key: &str, options: &Options, mut output: Output) -> Ended {
    let events: Vec<EventView> = Admin::find(options)?.get(&format!("issues/{}/trace", encoded(key))).await?;
    if output.is_json {
        output.json(&events)?;
    } else {
        show(&events, key, &mut output)?;
    }
    if events.is_empty() { Err(Failure::No) } else { Ok(()) }
}

fn show(events: &[EventView], key: &str, output: &mut Output) -> Ended {
    if events.is_empty() {
        output.line(&format!("no event of `{key}` is in the archive"))?;
    }
    for event in events {
        output.line(&format!("{}  {}  {}", event.received_at, event.kind, event.event_id))?;
        show_deliveries(&event.deliveries, output)?;
    }
    Ok(())
}

pub(super) fn show_deliveries(deliveries: &[DeliveryView], output: &mut Output) -> Ended {
    for delivery in deliveries {
        let target = if delivery.target == delivery.sink.as_str() { String::new() } else { format!(" {}", delivery.target) };
        let is_told = |rule: &str| delivery.reason.as_ref().is_some_and(|reason| reason.contains(&format!("rule `{rule}`")));
        let rule = delivery.rule.as_ref().filter(|rule| !is_told(rule)).map(|rule| format!(" by rule `{rule}`")).unwrap_or_default();
        let reason = delivery.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let at = delivery.at.map(|at| format!(" at {at}")).unwrap_or_default();
        let again = if delivery.generation > 0 { " (again)" } else { "" };
        let letter = delivery.dead_letter.as_ref().map(|id| format!(" (dead letter {id})")).unwrap_or_default();
        output.line(&format!("    {:<9} {}{target}{rule}{at}{again}{reason}{letter}", delivery.outcome, delivery.sink))?;
    }
    Ok(())
}
