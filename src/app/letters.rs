//! Dead letters as the API shows and names them.

use super::names;
use super::operations::{AdminService, Outcome, unavailable};
use crate::api::{DeadLetterView, DeadQuery, OperationError, Page, Selection, ShownDeadLetter};
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::store::{DeadFilter, DeadSelection, ParkedRow};

pub(super) async fn page(service: &AdminService, which: &DeadQuery, cursor: Option<&str>, limit: usize) -> Outcome<Page<DeadLetterView>> {
    let after = cursor.map(place).transpose()?;
    check_sink(service, which).await?;
    let store = &service.explainer.store;
    let rows = store.dead_letters(&filter(which), after, limit).await.map_err(unavailable)?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| format!("{}.{}", row.first_at.ms(), row.id));
    let events: Vec<EventId> = rows.iter().map(|row| row.key.event_id.clone()).collect();
    let keys = store.issue_keys(&events).await.map_err(unavailable)?;
    let view = |row: ParkedRow| {
        let issue_key = keys.get(&row.key.event_id).cloned();
        view(row, issue_key)
    };
    Ok(Page { rows: rows.into_iter().map(view).collect(), next })
}

pub(super) async fn show(service: &AdminService, id: &str) -> Outcome<ShownDeadLetter> {
    let store = &service.explainer.store;
    let row = store.dead_letter(id).await.map_err(unavailable)?;
    let row = row.ok_or_else(|| OperationError::NotFound(format!("no dead letter has the id `{id}`")))?;
    let archived = store.archived(&row.key.event_id).await.map_err(unavailable)?;
    let issue_key = store.issue_keys(std::slice::from_ref(&row.key.event_id)).await.map_err(unavailable)?.remove(&row.key.event_id);
    let event = archived.map(|archived| serde_json::to_value(&archived.envelope.event.data)).transpose();
    let event = event.map_err(|err| OperationError::Unavailable(format!("the event cannot be shown: {err}")))?;
    Ok(ShownDeadLetter { letter: view(row, issue_key), event: event.unwrap_or_default() })
}

/// None: nothing was selected. A filter without anything in it is no filter: all must be said.
pub(super) async fn selection(service: &AdminService, which: &Selection) -> Outcome<Option<DeadSelection>> {
    match which {
        Selection::Ids(ids) => Ok(Some(DeadSelection::Ids(ids.clone()))),
        Selection::Matching(query) if *query == DeadQuery::default() => {
            Err(OperationError::Wrong("`matching` names nothing: say `all` if all are meant".into()))
        }
        Selection::Matching(query) => {
            check_sink(service, query).await?;
            Ok(Some(DeadSelection::Matching(filter(query))))
        }
        Selection::All(true) => Ok(Some(DeadSelection::Matching(DeadFilter::default()))),
        Selection::All(false) => Ok(None),
    }
}

/// A sink that is neither configured nor has dead letters of before is a slip of whoever names it.
async fn check_sink(service: &AdminService, which: &DeadQuery) -> Outcome<()> {
    let Some(name) = &which.sink else { return Ok(()) };
    let is_configured = service.present.borrow().config.sinks.iter().any(|sink| sink.name.as_str() == name);
    if is_configured {
        return Ok(());
    }
    let counts = service.explainer.store.dead_counts().await.map_err(unavailable)?;
    if counts.iter().any(|(sink, _)| sink.as_str() == name) {
        return Ok(());
    }
    Err(names::no_sink(name, &service.present.borrow().config))
}

fn filter(which: &DeadQuery) -> DeadFilter {
    let DeadQuery { sink, target, reason, since } = which.clone();
    DeadFilter { sink, target, reason, since }
}

fn place(cursor: &str) -> Outcome<(Timestamp, &str)> {
    let place = cursor.split_once('.').and_then(|(at, id)| Some((Timestamp::from_ms(at.parse().ok()?), id)));
    place.ok_or_else(|| OperationError::Wrong("`cursor` is not one that this service gave".into()))
}

fn view(row: ParkedRow, issue_key: Option<String>) -> DeadLetterView {
    DeadLetterView {
        id: row.id,
        event_id: row.key.event_id.to_string(),
        issue_key,
        sink: row.key.sink,
        target: row.key.target.to_string(),
        rule: row.rule.as_deref().map(str::to_owned),
        reason: row.reason,
        attempts: row.attempts,
        first_at: row.first_at,
        last_at: row.last_at,
    }
}
