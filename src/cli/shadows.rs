//! `sink shadows NAME`: what a sink in shadow mode would have sent.

use super::admin::{Admin, encoded};
use super::arguments::ShadowWhich;
use super::output::Output;
use super::{Ended, Failure};
use crate::api::{ShadowMessage, ShadowQuery, ShadowView};

/// All that was recorded, oldest first.
pub(super) async fn fetch(admin: &Admin, name: &str, which: &ShadowWhich) -> Result<Vec<ShadowView>, Failure> {
    let query = ShadowQuery { since: which.since, until: which.until };
    admin.list(&format!("sinks/{}/shadows", encoded(name)), &query, usize::MAX).await
}

pub(super) async fn list(admin: &Admin, name: &str, which: &ShadowWhich, mut output: Output) -> Ended {
    let shadows = fetch(admin, name, which).await?;
    if output.is_json {
        return Ok(output.json(&shadows)?);
    }
    if shadows.is_empty() {
        return Ok(output.line("nothing was recorded")?);
    }
    shadows.iter().try_for_each(|shadow| show(shadow, name, &mut output))
}

fn show(shadow: &ShadowView, name: &str, output: &mut Output) -> Ended {
    let target = if shadow.target == name { String::new() } else { format!("  {}", shadow.target) };
    let rule = shadow.rule.as_ref().map(|rule| format!("  by rule `{rule}`")).unwrap_or_default();
    output.line(&format!("{}{target}  {}{rule}", shadow.at, shadow.event_id))?;
    let Some(message) = &shadow.message else { return Ok(()) };
    if let Some(as_whom) = signature(message) {
        output.line(&format!("    {as_whom}"))?;
    }
    message.text.lines().try_for_each(|line| output.line(format!("    | {line}").trim_end()))?;
    for (what, json) in [("blocks", &message.blocks), ("attachments", &message.attachments)] {
        if let Some(json) = json {
            output.line(&format!("    {what}: {json}"))?;
        }
    }
    Ok(())
}

/// What it says of itself besides the text.
fn signature(message: &ShadowMessage) -> Option<String> {
    let members = [("as", &message.username), ("with", &message.icon_url), ("in the thread of", &message.thread)];
    let told: Vec<String> = members.iter().filter_map(|(word, value)| Some(format!("{word} {}", value.as_deref()?))).collect();
    (!told.is_empty()).then(|| told.join(" "))
}
