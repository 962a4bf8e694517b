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
use crate::store::{Archived, DeliveryKey, Ended, JournalRow, ParkedRow, ParkedState, Progress, Store, StoreError};

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
    /// 0 for an event as it came, another for each replay that delivers everything once more.
    pub generation: u32,
    /// The id of the dead letter that it is.
    pub dead_letter: Option<String>,
}

/// What is looked at for an answer.
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
            let (sinks, started_at) = (self.supervisor.sinks(), self.supervisor.started_at());
            for shared in &sinks {
                let at = self.passed(shared.route.name(), archived.lane, &mut passed).await;
                deliveries.extend(of_sink(shared, archived, &journal, &parked, at, started_at));
            }
            let event = &archived.envelope.event;
            let is_gone = |key: &DeliveryKey| key.event_id == event.id && !sinks.iter().any(|shared| *shared.route.name() == key.sink);
            let waiting = parked.iter().filter(|row| is_gone(&row.key)).collect();
            deliveries.extend(recorded(waiting, journal.iter().filter(|row| is_gone(&row.key)).collect(), started_at));
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
    // An event that waited as a whole, and does no longer, has become what the other rows say.
    let has_rules = shared.route.rules.of_sink(sink).next().is_some();
    let is_over = |row: &JournalRow| has_rules && row.rule.is_none() && row.progress == Progress::Tried;
    let ours = |row: &&JournalRow| row.key.sink == *sink && row.key.event_id == event.id && !is_over(row);
    let mut rows: Vec<&JournalRow> = journal.iter().filter(ours).collect();
    let mut waiting: Vec<&ParkedRow> = parked.iter().filter(|row| row.key.sink == *sink && row.key.event_id == event.id).collect();
    let is_passed = passed.is_some_and(|position| position >= archived.position);
    // What the sink itself has no place for, no rule was asked about.
    let is_earlier = event.data.received_at < shared.since && shared.route.sink.takes(event).is_ok();
    let mut views = Vec::new();
    // Rules with a JQL that got their target the event, as the records say.
    let mut asked: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    for decision in shared.route.decide(&Known::of(event), true) {
        let place = |rule: &Option<Arc<str>>, target: &str| *rule == decision.rule && *target == *decision.target;
        let waits = waiting.iter().rposition(|row| place(&row.rule, &row.key.target));
        let ended = rows.iter().rposition(|row| place(&row.rule, &row.key.target));
        let row = ended.map(|number| rows.swap_remove(number));
        let waits = waits.map(|number| waiting.swap_remove(number));
        let was_filtered = row.is_some_and(|row| row.progress == Progress::Ended(Ended::Filtered));
        if let Some(rule) = &decision.rule
            && decision.verdict == Verdict::Needs
            && (waits.is_some() || (row.is_some() && !was_filtered))
        {
            asked.push((decision.target.clone(), rule.clone()));
        }
        match (waits, row) {
            (Some(waiting), row) => views.push(of_parked(waiting, row, started_at)),
            (None, Some(row)) => views.push(of_journal(row, started_at)),
            (None, None) => {
                let winner = asked.iter().find(|(target, _)| *target == decision.target).map(|(_, rule)| rule);
                views.push(of_decision(sink, decision, winner, is_passed, is_earlier));
            }
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
    views.extend(recorded(waiting, rows, started_at));
    views
}

/// What the records alone say: no rule of today speaks of these deliveries, or their sink is not configured any more.
fn recorded(waiting: Vec<&ParkedRow>, mut rows: Vec<&JournalRow>, started_at: Timestamp) -> Vec<DeliveryView> {
    let mut views = Vec::new();
    for parked in waiting {
        let row = rows.iter().position(|row| row.key == parked.key).map(|number| rows.swap_remove(number));
        views.push(of_parked(parked, row, started_at));
    }
    views.extend(rows.into_iter().map(|row| of_journal(row, started_at)));
    views
}

/// The rules say so, and no record does: what a sink in shadow mode recorded is filtered, too, and has its time.
fn is_decided_now(view: &DeliveryView) -> bool {
    view.outcome == "filtered" && view.at.is_none()
}

fn of_parked(row: &ParkedRow, journal: Option<&JournalRow>, started_at: Timestamp) -> DeliveryView {
    let outcome = match row.state {
        ParkedState::Waiting if journal.is_some_and(|row| is_in_doubt(row, started_at)) => "unknown",
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
        generation: row.key.generation,
        dead_letter: (row.state == ParkedState::Dead).then(|| row.id.clone()),
    }
}

/// Its answer was lost, or the process that began it is gone. Without a reason it is under way in this one.
fn is_in_doubt(row: &JournalRow, started_at: Timestamp) -> bool {
    row.progress == Progress::Started && (row.reason.is_some() || row.at < started_at)
}

fn of_journal(row: &JournalRow, started_at: Timestamp) -> DeliveryView {
    let outcome = match row.progress {
        Progress::Ended(Ended::Delivered) => "delivered",
        Progress::Ended(Ended::Withheld) => "withheld",
        Progress::Ended(Ended::Shadowed | Ended::Filtered) => "filtered",
        Progress::Ended(Ended::Dead) => "dead",
        Progress::Started if is_in_doubt(row, started_at) => "unknown",
        Progress::Started | Progress::Tried => "pending",
    };
    DeliveryView {
        sink: row.key.sink.clone(),
        target: row.key.target.to_string(),
        rule: row.rule.as_deref().map(str::to_owned),
        outcome: outcome.into(),
        reason: row.reason.clone(),
        at: Some(row.at),
        attempts: row.attempts,
        generation: row.key.generation,
        dead_letter: None,
    }
}

/// `winner`: the rule before it by which its target got the event. `is_earlier`: the event came before the rules of today, and others may
/// have decided about it.
fn of_decision(sink: &SinkName, decision: Decision, winner: Option<&Arc<str>>, is_passed: bool, is_earlier: bool) -> DeliveryView {
    let (outcome, reason) = match (decision.verdict, winner) {
        _ if !is_passed => ("pending", None),
        (Verdict::Filtered(why), _) if is_earlier => ("filtered", Some(format!("by today's rules: {why}"))),
        (Verdict::Filtered(why), _) => ("filtered", Some(why)),
        (_, Some(winner)) => ("filtered", Some(format!("same target as rule {winner}"))),
        (Verdict::Needs, None) => {
            ("filtered", Some("the JQL of its rule did not match, or it came before this sink or rule was there".into()))
        }
        (Verdict::Send, None) => ("filtered", Some("it came before this sink or rule was there".into())),
    };
    let rule = decision.rule.as_deref().map(str::to_owned);
    DeliveryView {
        sink: sink.clone(),
        target: decision.target.to_string(),
        rule,
        outcome: outcome.into(),
        reason,
        at: None,
        attempts: 0,
        generation: 0,
        dead_letter: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::parked;
    use super::*;

    fn journal(number: u32, progress: Progress, reason: Option<&str>) -> JournalRow {
        let connection = "acme".parse().expect("a name");
        let event_id = EventId::new(&connection, &["issue", "1", "change", &number.to_string()]);
        JournalRow {
            key: DeliveryKey { sink: "team".parse().expect("a name"), event_id, target: "#a".into(), generation: 0 },
            rule: Some("to a".into()),
            progress,
            reason: reason.map(str::to_owned),
            at: Timestamp::from_ms(5_000),
            attempts: 1,
            unclean_runs: 0,
        }
    }

    #[test]
    fn what_other_rules_decided_is_explained_by_those_of_today_and_says_so() {
        let reason = |is_passed, is_earlier| {
            let verdict = Verdict::Filtered("rule `new` does not match".into());
            let decision = Decision { rule: Some("new".into()), target: "#a".into(), verdict };
            let view = of_decision(&"team".parse().expect("a name"), decision, None, is_passed, is_earlier);
            (view.outcome, view.reason)
        };
        assert_eq!(reason(true, false), ("filtered".into(), Some("rule `new` does not match".into())));
        assert_eq!(reason(true, true), ("filtered".into(), Some("by today's rules: rule `new` does not match".into())));
        assert_eq!(reason(false, true), ("pending".into(), None));
    }

    #[test]
    fn the_records_of_a_delivery_are_one_line_and_say_where_nobody_knows() {
        let rows = [
            journal(1, Progress::Started, Some("no answer")),
            journal(2, Progress::Tried, Some("no answer")),
            journal(3, Progress::Started, None),
            journal(4, Progress::Ended(Ended::Delivered), None),
        ];
        let waiting: Vec<ParkedRow> = rows.iter().take(2).map(parked).collect();
        let outcomes = |started_at: i64| {
            let views = recorded(waiting.iter().collect(), rows.iter().collect(), Timestamp::from_ms(started_at));
            let mut outcomes: Vec<String> = views.into_iter().map(|view| view.outcome).collect();
            outcomes.sort();
            outcomes
        };
        assert_eq!(outcomes(1_000), ["delivered", "parked", "pending", "unknown"], "the third is under way");
        assert_eq!(outcomes(9_000), ["delivered", "parked", "unknown", "unknown"], "it was under way in an earlier process");
    }
}
