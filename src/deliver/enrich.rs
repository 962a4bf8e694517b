//! What has to be asked of Jira for a window, asked together: one read per connection carries what all its events want.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::context::Known;
use super::fields::{FieldCache, FieldNames};
use super::guard::{self, LastLevel};
use super::jql;
use super::replay::ReplayInfo;
use super::route::{Decision, Jiras, Route, Verdict};
use super::trail::Trail;
use crate::clock::Clock;
use crate::event::{Data, Entity, Envelope, Event, Issue, Kind, Position, ProjectKind};
use crate::jira::{Asked, JiraError, Privacy, Sight, Talk, Want};
use crate::setting::ConnectionName;
use crate::store::{ParkedRow, Store};
use crate::telemetry::Span;

/// Items of a window of which the rest is asked for at the same time.
const ITEMS_AT_ONCE: usize = 8;

/// An envelope on its way to one sink, with what was learnt about it.
pub(crate) struct Item {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) position: Position,
    /// The row that it waited in, if it comes from there.
    pub(crate) parked: Option<ParkedRow>,
    /// What it brings along, if it comes from the archive.
    pub(crate) replay: Option<ReplayInfo>,
    pub(crate) decisions: Vec<Decision>,
    /// One answer for each issue that it shows; none: not asked.
    pub(crate) sights: Option<Vec<Asked<Sight>>>,
    pub(crate) internal: Option<Asked<bool>>,
    /// A comment or worklog that is told late, as it is by now.
    pub(crate) talk: Option<Asked<Talk>>,
    /// Of what belongs to a project and to no issue.
    pub(crate) privacy: Option<Asked<Privacy>>,
    pub(crate) last_level: Option<LastLevel>,
    /// The names of the site's fields, where a rule of the sink uses one.
    pub(crate) fields: Option<Asked<FieldNames>>,
    /// What Jira said of its issue, where rules of the sink have a JQL. None: it was not asked.
    pub(crate) jql: Option<Asked<jql::Answers>>,
    /// It will only be parked to settle, so nothing is read for it now.
    pub(crate) is_settling: bool,
    /// Where it shows in a trace.
    pub(crate) trail: Trail,
}

impl Item {
    pub(crate) fn event(&self) -> &Event {
        &self.envelope.event
    }

    /// Of its deliveries. One that waited keeps its own.
    pub(crate) fn generation(&self) -> u32 {
        let generation = || self.replay.as_ref().map_or(0, |replay| replay.generation);
        self.parked.as_ref().map_or_else(generation, |row| row.key.generation)
    }

    fn sends(&self) -> bool {
        !self.is_settling && self.decisions.iter().any(|decision| decision.verdict == Verdict::Send)
    }

    pub(crate) fn needs(&self) -> bool {
        self.decisions.iter().any(|decision| decision.verdict == Verdict::Needs)
    }

    /// The issue as it was read for this event.
    pub(crate) fn seen(&self) -> Option<&Arc<crate::jira::SeenIssue>> {
        match self.sights.as_ref()?.first()? {
            Ok(Sight::Seen(issue)) => Some(issue),
            Ok(Sight::NotVisible) | Err(_) => None,
        }
    }

    /// Why something could not be asked for, if waiting may help.
    pub(crate) fn unread(&self) -> Option<&JiraError> {
        let may_help = |err: &&JiraError| !matches!(err, JiraError::Refused { .. });
        let sight = self.sights.iter().flatten().filter_map(|sight| sight.as_ref().err()).find(may_help);
        let names = || self.fields.as_ref()?.as_ref().err();
        sight.or_else(names).or_else(|| self.jql.as_ref()?.as_ref().err())
    }

    /// The event as it is shown, with all that was learnt.
    pub(crate) fn known<'a>(&'a self, event: &'a Event) -> Known<'a> {
        Known {
            now: now_of(self),
            fields: self.fields.as_ref().and_then(|asked| asked.as_ref().ok()),
            jql: self.jql.as_ref().and_then(|asked| asked.as_ref().ok()),
            ..Known::of(event)
        }
    }

    /// Decides anew with all that was learnt.
    pub(crate) fn decide(&mut self, route: &Route) {
        let event = self.enriched();
        self.decisions = route.decide(&self.known(event.as_ref().unwrap_or(self.event())), true);
    }

    /// The event with its issue made whole by what was read.
    pub(crate) fn enriched(&self) -> Option<Event> {
        let seen = self.seen().filter(|_| is_reduced(self.event()))?;
        let mut event = self.event().clone();
        event.data.issue = Some(Box::new(seen.issue.clone()));
        event.data.project = seen.project.clone().or(event.data.project);
        if let Some(key) = &seen.issue.key {
            event.subject.clone_from(key);
        }
        event.secrecy.level_known = true;
        event.secrecy.project_private |= seen.secrecy.project_private;
        Some(event)
    }

    /// The event as an enriching sink writes it: where its issue could not be read, it says so.
    pub(crate) fn as_whole_as_can_be(&self) -> Option<Event> {
        let degraded = || Event { data: Data { degraded: vec!["issue".to_owned()], ..self.event().data.clone() }, ..self.event().clone() };
        self.enriched().or_else(|| is_reduced(self.event()).then(degraded))
    }

    fn project(&self) -> Option<ProjectKind> {
        let of_event = self.event().data.project.as_ref().map(|project| project.kind).filter(|kind| *kind != ProjectKind::Unknown);
        of_event.or_else(|| self.seen()?.project.as_ref().map(|project| project.kind))
    }
}

/// Reads what rules, messages and the guard need, and decides anew where a rule had to wait for it.
pub(crate) async fn look_up(items: &mut [Item], route: &Route, jiras: &Jiras, fields: &FieldCache, store: &Store, clock: &Clock) {
    let mut wanted: BTreeMap<ConnectionName, Vec<(usize, Want)>> = BTreeMap::new();
    for (number, item) in items.iter().enumerate() {
        let event = item.event();
        let resumes = || {
            let shows = |decision: &Decision| route.shows_unread(&Known::of(event), decision.rule.as_ref(), &decision.target);
            item.parked.is_some() && item.decisions.iter().any(shows)
        };
        let wants = || guard::needs_read(event, &route.clearance) || (route.enrich && is_reduced(event)) || resumes();
        let read = item.needs() || (item.sends() && wants());
        if read && jiras.contains_key(&event.connection) {
            let after = Some(after(item, clock));
            let wants = issues_of(event).into_iter().map(|issue_id| (number, Want { issue_id, after }));
            wanted.entry(event.connection.clone()).or_default().extend(wants);
        }
    }
    for (connection, wants) in wanted {
        let Some(jira) = jiras.get(&connection) else { continue };
        let (numbers, wants): (Vec<usize>, Vec<Want>) = wants.into_iter().unzip();
        // One request carries what all of them want: it shows in the trace of the first.
        let span = numbers.first().map_or_else(Span::none, |first| items[*first].trail.span().clone());
        let sights = span.within(jira.issues(&wants)).await;
        for (number, sight) in numbers.into_iter().zip(sights) {
            items[number].sights.get_or_insert_default().push(sight);
        }
    }
    if route.names_fields() {
        name_fields(items, jiras, fields).await;
    }
    for item in items.iter_mut().filter(|item| item.needs() && item.unread().is_none()) {
        item.decide(route);
    }
    jql::ask(items, route, jiras, clock).await;
    let sending = items.iter_mut().filter(|item| item.sends());
    let asked: Vec<_> = sending.map(|item| ask_the_rest(item, route, jiras, store, clock)).collect();
    stream::iter(asked).buffer_unordered(ITEMS_AT_ONCE).collect::<()>().await;
}

/// Asked once for each connection, whatever the answer.
async fn name_fields(items: &mut [Item], jiras: &Jiras, fields: &FieldCache) {
    let mut known: BTreeMap<ConnectionName, Asked<FieldNames>> = BTreeMap::new();
    for item in items.iter_mut().filter(|item| item.needs() || item.sends()) {
        let connection = &item.envelope.event.connection;
        let Some(jira) = jiras.get(connection) else { continue };
        if !known.contains_key(connection) {
            known.insert(connection.clone(), item.trail.within(fields.names(connection, jira)).await);
        }
        item.fields = known.get(connection).cloned();
    }
}

/// The questions that few events raise: notes that do not say whether they are internal, talk that waited, things of a project, levels of
/// issues that are gone.
async fn ask_the_rest(item: &mut Item, route: &Route, jiras: &Jiras, store: &Store, clock: &Clock) {
    ask_of_talk(item, route, jiras, clock).await;
    let event = &item.envelope.event;
    if guard::needs_privacy(event, &route.clearance)
        && let (Some(jira), Some(place)) = (jiras.get(&event.connection), guard::place_of(event))
    {
        item.privacy = Some(item.trail.within(jira.privacy(&place, after(item, clock))).await);
    }
    if event.kind() == Kind::IssueDeleted
        && let Some(issue_id) = event.issue_id()
        && !event.secrecy.level_known
        && !route.clearance.clears_all_levels()
    {
        item.last_level = match store.ticket_level(&event.connection, issue_id).await {
            Ok(level) => level.map(LastLevel::Was),
            Err(err) => Some(LastLevel::Unread(err.to_string())),
        };
    }
}

/// Whether a note is internal that does not say so, and what talk has become that is told late: of a comment one read tells both.
async fn ask_of_talk(item: &mut Item, route: &Route, jiras: &Jiras, clock: &Clock) {
    let event = &item.envelope.event;
    let needs_internal = guard::needs_internal(event, item.project(), &route.clearance);
    let place = jiras.get(&event.connection).zip(event.issue_id());
    let after = after(item, clock);
    if is_late(item)
        && guard::needs_talk(event, &route.clearance)
        && let Some((jira, issue_id)) = place
    {
        let may_be_note = needs_internal && item.unread().is_none();
        item.talk = match &event.data.entity {
            Some(Entity::Comment(comment)) => Some(item.trail.within(jira.comment(issue_id, &comment.id, may_be_note, after)).await),
            Some(Entity::Worklog(worklog)) => Some(item.trail.within(jira.worklog(issue_id, &worklog.id, after)).await),
            _ => None,
        };
    }
    if needs_internal && let Some(Entity::Comment(comment)) = &event.data.entity {
        let unread = item.unread().map(|err| Err(err.clone()));
        let of_talk = || match item.talk.as_ref()? {
            Ok(talk) => Some(Ok(!matches!(talk, Talk::There { is_internal: false, .. }))),
            Err(err) => Some(Err(err.clone())),
        };
        item.internal = match (unread.or_else(of_talk), place) {
            (Some(known), _) => Some(known),
            // Of a deleted comment nobody can say any more, and of one without its issue nobody can ask.
            (None, Some((jira, issue_id))) if event.kind() != Kind::CommentDeleted => {
                Some(item.trail.within(jira.comment_internal(issue_id, &comment.id, after)).await)
            }
            _ => Some(Ok(true)),
        };
    }
}

/// What was read before this says nothing about the delivery: one that waited, or comes from the archive, is seen anew, because a level may have been set since.
pub(crate) fn after(item: &Item, clock: &Clock) -> Instant {
    if is_late(item) { Instant::now() } else { received(&item.envelope, clock) }
}

fn is_late(item: &Item) -> bool {
    item.parked.is_some() || item.replay.is_some()
}

/// What was read before an event was received says nothing about it. An envelope that comes from disk knows only the wall time.
fn received(envelope: &Envelope, clock: &Clock) -> Instant {
    let now = Instant::now();
    let ago = clock.now().since(envelope.event.data.received_at);
    envelope.received.or_else(|| now.checked_sub(ago)).unwrap_or(now)
}

/// Its issue is not whole, and there is more to be read.
pub(crate) fn is_reduced(event: &Event) -> bool {
    event.data.issue.as_ref().is_some_and(|issue| issue.partial)
}

/// The issues that an event shows: its own, and the other end of a link.
fn issues_of(event: &Event) -> Vec<String> {
    let mut ids: Vec<String> = event.issue_id().map(str::to_owned).into_iter().collect();
    if let Some(Entity::Link(link)) = &event.data.entity {
        ids.push(link.destination.id.clone());
    }
    ids
}

/// What `now` is for rules and messages.
pub(crate) fn now_of(item: &Item) -> Option<&Issue> {
    item.seen().map(|seen| &seen.issue)
}
