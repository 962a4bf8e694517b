//! What the demo prints: what people do in Jira, the event that it becomes, the Slack message and the ticket row.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{broadcast, mpsc};

use crate::cli::Failure;
use crate::cli::output::{Output, on_one_line};
use crate::setting::ConnectionName;
use crate::simulate::{Simulation, SlackMessage};
use crate::store::Store;

/// Ticket rows are shown this often, each once.
const TICKETS_EVERY: Duration = Duration::from_millis(700);
const WIDTH: usize = 110;

/// Takes what the stdout sink writes and hands on whole lines. A terminal that is too slow loses lines, never events.
pub(super) struct EventLines {
    lines: mpsc::Sender<String>,
    begun: Vec<u8>,
}

impl EventLines {
    pub(super) fn new(lines: mpsc::Sender<String>) -> Self {
        Self { lines, begun: Vec::new() }
    }
}

impl Write for EventLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let rest = self.begun.split_off(end + 1);
            let line = std::mem::replace(&mut self.begun, rest);
            let _ = self.lines.try_send(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct Show {
    actions: broadcast::Receiver<String>,
    messages: broadcast::Receiver<SlackMessage>,
    events: mpsc::Receiver<String>,
    /// Issues whose row is to be shown.
    touched: BTreeSet<String>,
    output: Output,
    is_coloured: bool,
}

impl Show {
    pub(super) fn new(simulation: &Simulation, events: mpsc::Receiver<String>, is_quiet: bool) -> Self {
        let is_coloured = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            actions: simulation.actions(),
            messages: simulation.slack_messages(),
            events,
            touched: BTreeSet::new(),
            output: Output::new(is_quiet),
            is_coloured,
        }
    }

    pub(super) fn welcome(&mut self, receiver: SocketAddr, admin: SocketAddr, directory: &Path) -> Result<(), Failure> {
        if self.output.is_json {
            return Ok(());
        }
        self.output.line(
            "Ticketwire demo: invented people work in a simulated Jira; its webhooks become events, Slack messages and ticket rows",
        )?;
        let data = directory.display();
        self.output.line(&format!("receiver http://{receiver}   metrics http://{admin}/metrics   data {data} (removed at the end)"))?;
        Ok(self.output.line("")?)
    }

    /// Prints until it is dropped.
    pub(super) async fn run(&mut self, store: &Store) -> Result<(), Failure> {
        let mut tickets = tokio::time::interval(TICKETS_EVERY);
        loop {
            tokio::select! {
                biased;
                Ok(action) = self.actions.recv() => self.line("jira", 36, &action)?,
                Some(line) = self.events.recv() => self.event(&line)?,
                Ok(message) = self.messages.recv() => self.message(&message)?,
                _ = tickets.tick() => self.tickets(store).await?,
            }
        }
    }

    /// What has come until now.
    pub(super) async fn rest(&mut self, store: &Store) -> Result<(), Failure> {
        while let Ok(action) = self.actions.try_recv() {
            self.line("jira", 36, &action)?;
        }
        while let Ok(line) = self.events.try_recv() {
            self.event(&line)?;
        }
        while let Ok(message) = self.messages.try_recv() {
            self.message(&message)?;
        }
        self.tickets(store).await
    }

    fn event(&mut self, line: &str) -> Result<(), Failure> {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let data = &event["data"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if let Some(id) = data["issue"]["id"].as_str() {
            self.touched.insert(id.to_owned());
        }
        let changes: Vec<String> = data["changes"].as_array().into_iter().flatten().map(change).collect();
        let withheld = if event["twrestricted"] == "yes" { "  [restricted]" } else { "" };
        self.line("event", 33, &format!("{:<16} {:<9} {}{withheld}", text(&data["kind"]), text(&event["subject"]), changes.join(", ")))
    }

    fn message(&mut self, message: &SlackMessage) -> Result<(), Failure> {
        self.line("slack", 35, &message.to_string())
    }

    async fn tickets(&mut self, store: &Store) -> Result<(), Failure> {
        let Ok(acme) = "acme".parse::<ConnectionName>() else { return Ok(()) };
        for id in std::mem::take(&mut self.touched) {
            let row = store.ticket(&acme, &id).await.map_err(anyhow::Error::from)?;
            let Some(row) = row else { continue };
            let state = if row.is_deleted { "deleted" } else { row.status.as_deref().unwrap_or_default() };
            let text = format!("{:<9} {:<12} {}", row.key.unwrap_or_default(), state, row.summary.unwrap_or_default());
            self.line("ticket", 32, &text)?;
        }
        Ok(())
    }

    fn line(&mut self, what: &str, colour: u8, text: &str) -> Result<(), Failure> {
        if self.output.is_json {
            return Ok(());
        }
        let text: String = on_one_line(text).chars().take(WIDTH).collect();
        let line = if self.is_coloured { format!("\x1b[{colour}m{what:<7}\x1b[0m {text}") } else { format!("{what:<7} {text}") };
        Ok(self.output.line(line.trim_end())?)
    }
}

/// What it was and what it is, as in `status: To Do → On Hold`.
fn change(change: &Value) -> String {
    let side = |side: &str| change[side]["text"].as_str().filter(|text| !text.is_empty()).unwrap_or("(none)");
    format!("{}: {} → {}", change["name"].as_str().unwrap_or_default(), side("from"), side("to"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_side_without_text_is_told() {
        let told = |from: Value, to: Value| change(&json!({ "name": "description", "from": from, "to": to }));
        assert_eq!(told(json!({ "text": "a" }), json!({ "text": "b" })), "description: a → b");
        assert_eq!(told(Value::Null, json!({ "text": "" })), "description: (none) → (none)");
    }
}
