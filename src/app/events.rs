//! Looking at events: pages of the archive, one event whole, and those that come while somebody looks on.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::names;
use super::operations::{AdminService, Outcome, unavailable};
use crate::api::{DeliveryView, EventQuery, EventRow, EventView, ListedEvent, OperationError, Page, ShownEvent};
use crate::clock::Timestamp;
use crate::deliver;
use crate::event::{Event, EventId, structured};
use crate::setting::ConnectionName;
use crate::store::{Archived, EventFilter, EventPlace, Store, StoreError};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Events that are read at a time.
const MANY: usize = 500;
/// Processes that share a database may commit in another order than they number. An event may become visible this late.
const LATE: Duration = Duration::from_secs(5);
/// What is remembered of that time, at most.
const REMEMBERED_MAX: usize = 10_000;

pub(super) async fn page(service: &AdminService, which: &EventQuery, cursor: Option<&str>, limit: usize) -> Outcome<Page<ListedEvent>> {
    let after = cursor.map(place).transpose()?;
    check(service, which).await?;
    let explainer = &service.explainer;
    let found = explainer.store.archived_page(&filter(which), after, limit).await.map_err(unavailable)?;
    let next = found.last().filter(|_| found.len() == limit).map(|(place, _)| format!("{}.{}", place.received_at.ms(), place.number));
    let archived: Vec<Archived> = found.into_iter().map(|(_, archived)| archived).collect();
    let explained = explainer.explain(&archived).await.map_err(unavailable)?;
    let keys = keys(&explainer.store, &archived).await.map_err(unavailable)?;
    let listed =
        archived.iter().zip(explained).map(|(archived, view)| ListedEvent { row: row(archived, &keys), deliveries: deliveries(view) });
    Ok(Page { rows: listed.collect(), next })
}

pub(super) async fn show(service: &AdminService, id: &str, raw: bool) -> Outcome<ShownEvent> {
    let explainer = &service.explainer;
    let archived = explainer.store.archived(&EventId::known(id)).await.map_err(unavailable)?;
    let archived = archived.ok_or_else(|| OperationError::NotFound(format!("the archive holds no event `{id}`")))?;
    let explained = explainer.explain(std::slice::from_ref(&archived)).await.map_err(unavailable)?;
    let keys = keys(&explainer.store, std::slice::from_ref(&archived)).await.map_err(unavailable)?;
    let event = serde_json::from_slice(&structured(&archived.envelope, &archived.envelope.event, raw)).unwrap_or_default();
    Ok(ShownEvent { row: row(&archived, &keys), deliveries: explained.into_iter().flat_map(deliveries).collect(), event })
}

pub(super) async fn trace(service: &AdminService, key: &str) -> Outcome<Vec<EventView>> {
    let views = service.explainer.trace(key).await.map_err(unavailable)?;
    let view = |view: deliver::EventView| EventView {
        event_id: view.event_id.clone(),
        kind: view.kind,
        received_at: view.received_at,
        deliveries: deliveries(view),
    };
    Ok(views.into_iter().map(view).collect())
}

/// Ends with the service.
pub(super) async fn tail(
    service: &AdminService,
    which: &EventQuery,
    after: Option<i64>,
    stop: CancellationToken,
    place: OwnedSemaphorePermit,
) -> Outcome<BoxStream<'static, (i64, EventRow)>> {
    check(service, which).await?;
    let store = service.explainer.store.clone();
    let after = match after {
        Some(after) => after,
        None => store.archive_end().await.map_err(unavailable)?,
    };
    let tail =
        Tail { store, filter: filter(which), after, told: BTreeSet::new(), marks: VecDeque::new(), found: VecDeque::new(), _place: place };
    Ok(stream::unfold(tail, Tail::next).take_until(stop.cancelled_owned()).boxed())
}

/// Somebody who looks on.
struct Tail {
    store: Store,
    filter: EventFilter,
    /// Everything up to this number was told, or will not come any more.
    after: i64,
    told: BTreeSet<i64>,
    /// The last number that was told at a time.
    marks: VecDeque<(Instant, i64)>,
    found: VecDeque<(i64, EventRow)>,
    _place: OwnedSemaphorePermit,
}

impl Tail {
    async fn next(mut self) -> Option<((i64, EventRow), Self)> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Some((found, self));
            }
            if !self.look().await {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Whether there was something. A store that cannot be read is asked again.
    async fn look(&mut self) -> bool {
        let read = self.store.archived_after(&self.filter, self.after, MANY + self.told.len()).await.unwrap_or_default();
        let (numbers, new): (Vec<i64>, Vec<Archived>) = read.into_iter().filter(|(number, _)| self.told.insert(*number)).unzip();
        let keys = keys(&self.store, &new).await.unwrap_or_default();
        self.found.extend(numbers.into_iter().zip(new.iter().map(|archived| row(archived, &keys))));
        if let Some((number, _)) = self.found.back() {
            self.marks.push_back((Instant::now(), *number));
        }
        while let Some((at, number)) = self.marks.front().copied()
            && (at.elapsed() >= LATE || self.told.len() > REMEMBERED_MAX)
        {
            self.marks.pop_front();
            self.after = self.after.max(number);
            self.told = self.told.split_off(&number.saturating_add(1));
        }
        !self.found.is_empty()
    }
}

/// A kind that there is not, or a connection that is neither configured nor known from before, is a slip of whoever names it.
async fn check(service: &AdminService, which: &EventQuery) -> Outcome<()> {
    which.kind.as_deref().map_or(Ok(()), names::check_kind)?;
    let Some(name) = &which.connection else { return Ok(()) };
    let is_configured = service.present.borrow().config.connections.iter().any(|connection| connection.name.as_str() == name);
    if is_configured {
        return Ok(());
    }
    if let Ok(connection) = name.parse::<ConnectionName>()
        && service.explainer.store.has_events_of(&connection).await.map_err(unavailable)?
    {
        return Ok(());
    }
    Err(names::no_connection(name, &service.present.borrow().config))
}

fn filter(which: &EventQuery) -> EventFilter {
    let EventQuery { kind, connection, issue, since, until } = which.clone();
    EventFilter { kind, connection, issue_key: issue, since, until }
}

fn place(cursor: &str) -> Outcome<EventPlace> {
    let place = cursor
        .split_once('.')
        .and_then(|(at, number)| Some(EventPlace { received_at: Timestamp::from_ms(at.parse().ok()?), number: number.parse().ok()? }));
    place.ok_or_else(|| OperationError::Wrong("`cursor` is not one that this service gave".into()))
}

type Keys = HashMap<EventId, String>;

/// The keys of issues that the events name by their ids only, as far as the store knows them.
async fn keys(store: &Store, archived: &[Archived]) -> Result<Keys, StoreError> {
    let is_nameless = |event: &&Event| event.data.issue.as_ref().is_some_and(|issue| issue.key.is_none());
    let nameless = archived.iter().map(|archived| &archived.envelope.event).filter(is_nameless);
    store.issue_keys(&nameless.map(|event| event.id.clone()).collect::<Vec<EventId>>()).await
}

fn row(archived: &Archived, keys: &Keys) -> EventRow {
    let event = &archived.envelope.event;
    EventRow {
        event_id: event.id.clone(),
        kind: event.kind(),
        connection: event.connection.clone(),
        issue_key: event.data.issue.as_ref().and_then(|issue| issue.key.clone()).or_else(|| keys.get(&event.id).cloned()),
        received_at: event.data.received_at,
    }
}

fn deliveries(view: deliver::EventView) -> Vec<DeliveryView> {
    let shown = |delivery: deliver::DeliveryView| DeliveryView {
        sink: delivery.sink,
        target: delivery.target,
        rule: delivery.rule,
        outcome: delivery.outcome,
        reason: delivery.reason,
        at: delivery.at,
        attempts: delivery.attempts,
        generation: delivery.generation,
        dead_letter: delivery.dead_letter,
    };
    view.deliveries.into_iter().map(shown).collect()
}
