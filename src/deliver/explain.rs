//! What became of an event at each sink: the answer of `trace`. Computed from journal, waiting room, cursors and rules; nothing is kept for it.

use std::collections::HashMap;
use std::sync::Arc;

use super::context::Known;
use super::route::{Decision, Verdict};
use super::supervise::{Shared, Supervisor};
use crate::clock::Timestamp;
use crate::event::{EventId, Kind, LaneId, Position};
use crate::queue::Queue;
use crate::setting::SinkName;
use crate::store::{Archived, Ended, JournalRow, ParkedRow, ParkedState, Progress, Store, StoreError};

/// An event and what became of it.
#[derive(Debug, Clone)]
pub struct EventView {
    pub event_id: EventId,
    pub kind: Kind,
    pub received_at: Timestamp,
    pub deliveries: Vec<DeliveryView>,
}

/// One delivery. `outcome` is `delivered`, `filtered`, `withheld`, `dead`, `parked`, `unknown` or `pending`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryView {
    pub sink: SinkName,
    pub target: String,
    pub rule: Option<String>,
    pub outcome: String,
    pub reason: Option<String>,
    pub at: Option<Timestamp>,
    pub attempts: u32,
}

/// Knows where to look.
pub struct Explainer {
    pub store: Store,
    pub queue: Arc<dyn Queue>,
    pub supervisor: Arc<Supervisor>,
}

impl Explainer {
    /// The events of an issue, oldest first; an old key follows the move.
    pub async fn trace(&self, key: &str) -> Result<Vec<EventView>, StoreError> {
        let events = self.store.archived_by_key(key).await?;
        self.explain(&events).await
    }

    pub async fn explain(&self, events: &[Archived]) -> Result<Vec<EventView>, StoreError> {
        let ids: Vec<EventId> = events.iter().map(|archived| archived.envelope.event.id.clone()).collect();
        // First what waits, then what ended: what moves on between the two looks is seen ended, never lost.
        let parked = self.store.parked_of_events(&ids).await?;
        let journal = self.store.journal_of_events(&ids).await?;
        let mut passed = HashMap::new();
        let mut views = Vec::new();
        for archived in events {
            let mut deliveries = Vec::new();
            for shared in self.supervisor.sinks() {
                let sink = shared.route.name();
                let at = self.passed(sink, archived.lane, &mut passed).await;
                deliveries.extend(of_sink(&shared, archived, &journal, &parked, at, self.supervisor.started_at()));
            }
            let event = &archived.envelope.event;
            views.push(EventView { event_id: event.id.clone(), kind: event.kind(), received_at: event.data.received_at, deliveries });
        }
        Ok(views)
    }

    async fn passed(&self, sink: &SinkName, lane: LaneId, known: &mut HashMap<(SinkName, LaneId), Option<Position>>) -> Option<Position> {
        if let Some(position) = known.get(&(sink.clone(), lane)) {
            return *position;
        }
        let position = self.queue.passed(sink, lane).await.ok().flatten();
        known.insert((sink.clone(), lane), position);
        position
    }
}

fn of_sink(
    shared: &Shared,
    archived: &Archived,
    journal: &[JournalRow],
    parked: &[ParkedRow],
    passed: Option<Position>,
    started_at: Timestamp,
) -> Vec<DeliveryView> {
    let event = &archived.envelope.event;
    let sink = shared.route.name();
    let mut rows: Vec<&JournalRow> = journal.iter().filter(|row| row.key.sink == *sink && row.key.event_id == event.id).collect();
    let mut waiting: Vec<&ParkedRow> = parked.iter().filter(|row| row.key.sink == *sink && row.key.event_id == event.id).collect();
    let is_passed = passed.is_some_and(|position| position >= archived.position);
    let mut views = Vec::new();
    for decision in shared.route.decide(&Known::of(event), true) {
        let place = |rule: &Option<Arc<str>>, target: &str| *rule == decision.rule && *target == *decision.target;
        let waits = waiting.iter().rposition(|row| place(&row.rule, &row.key.target));
        let ended = rows.iter().rposition(|row| place(&row.rule, &row.key.target));
        let row = ended.map(|number| rows.swap_remove(number));
        match (waits.map(|number| waiting.swap_remove(number)), row) {
            (Some(row), _) => views.push(of_parked(row)),
            (None, Some(row)) => views.push(of_journal(row, started_at)),
            (None, None) => views.push(of_decision(sink, decision, is_passed)),
        }
    }
    let acted = !waiting.is_empty() || !rows.is_empty();
    if acted {
        // What was decided with the issue at hand is the answer, not what the rules say without it.
        views.retain(|view| !is_decided_now(view) || view.rule.is_some());
    }
    let undecided = waiting.iter().any(|row| row.state == ParkedState::Waiting && row.rule.is_none());
    if undecided {
        // The event waits as a whole: what the rules say without the issue is not the answer.
        views.retain(|view| !is_decided_now(view));
    }
    views.extend(waiting.into_iter().map(of_parked));
    views.extend(rows.into_iter().map(|row| of_journal(row, started_at)));
    views
}

/// The rules say so, and no record does: what a sink in shadow mode recorded is filtered, too, and has its time.
fn is_decided_now(view: &DeliveryView) -> bool {
    view.outcome == "filtered" && view.at.is_none()
}

fn of_parked(row: &ParkedRow) -> DeliveryView {
    let outcome = match row.state {
        ParkedState::Waiting => "parked",
        ParkedState::Dead => "dead",
    };
    DeliveryView {
        sink: row.key.sink.clone(),
        target: row.key.target.to_string(),
        rule: row.rule.as_deref().map(str::to_owned),
        outcome: outcome.into(),
        reason: Some(row.reason.clone()),
        at: Some(row.last_at),
        attempts: row.attempts,
    }
}

fn of_journal(row: &JournalRow, started_at: Timestamp) -> DeliveryView {
    let outcome = match row.progress {
        Progress::Ended(Ended::Delivered) => "delivered",
        Progress::Ended(Ended::Withheld) => "withheld",
        Progress::Ended(Ended::Shadowed) => "filtered",
        Progress::Ended(Ended::Dead) => "dead",
        // Under way in this process, or cut off in an earlier one.
        Progress::Started if row.at >= started_at => "pending",
        Progress::Started => "unknown",
        Progress::Tried => "pending",
    };
    DeliveryView {
        sink: row.key.sink.clone(),
        target: row.key.target.to_string(),
        rule: row.rule.as_deref().map(str::to_owned),
        outcome: outcome.into(),
        reason: row.reason.clone(),
        at: Some(row.at),
        attempts: row.attempts,
    }
}

fn of_decision(sink: &SinkName, decision: Decision, is_passed: bool) -> DeliveryView {
    let (outcome, reason) = match decision.verdict {
        _ if !is_passed => ("pending", None),
        Verdict::Filtered(why) => ("filtered", Some(why)),
        Verdict::Send | Verdict::Needs => ("filtered", Some("it came before this sink or rule was there".into())),
    };
    let rule = decision.rule.as_deref().map(str::to_owned);
    DeliveryView { sink: sink.clone(), target: decision.target.to_string(), rule, outcome: outcome.into(), reason, at: None, attempts: 0 }
}
