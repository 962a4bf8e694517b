//! One unit of work: some envelopes of one lane for one sink, brought to an end as done, filtered, withheld, parked or dead.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{self, End};
use super::context::Known;
use super::enrich::{self, Item};
use super::guard::{self, Facts, Ruling};
use super::journal::{NotWritten, persist};
use super::meters;
use super::route::{Decision, Verdict};
use super::step::{Concerns, Wait};
use super::trail::Outcome;
use super::work::Work;
use super::worker::LaneWorker;
use crate::backoff::jittered;
use crate::event::{Event, PartitionKey};
use crate::store::{ArchiveRow, DeliveryKey, Ended, JournalRow, ParkedRow, ParkedState, Progress, Waiting, Write};

/// While Jira cannot be asked, and it did not say how long.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Why a delivery waits for what may belong to it.
pub const SETTLING_REASON: &str = "it is told together with what follows it at once";

/// A delivery that the guard let pass, with the event as it may be shown.
pub(crate) struct Ready {
    pub(crate) work: Work,
    pub(crate) event: Arc<Event>,
}

impl LaneWorker {
    /// Brings all of it to an end, written down when this returns.
    pub(crate) async fn process(&mut self, mut items: Vec<Item>) -> Result<(), NotWritten> {
        let shared = self.shared.clone();
        self.held.clear();
        self.trace(items.iter_mut());
        let _claim = shared.claims.take(items.iter().map(|item| item.event().id.clone())).await;
        let _turn = shared.lock_if_careful().await;
        for item in items.iter_mut().filter(|item| item.decisions.is_empty()) {
            item.decisions = shared.route.decide(&Known::of(&item.envelope.event), false);
        }
        let mut write = Write::default();
        if shared.pause.is_paused() {
            // Nothing is fetched for a sink that takes nothing: what waits is decided when it runs again.
            self.defer_undecided(&mut items);
            let works = self.works(&items).await?;
            meters::unknown(&works);
            works.iter().for_each(|work| self.park_behind(work, &items, "the sink is paused", &mut write));
            self.park_undecided(&items, &mut write);
            return self.persist(write).await;
        }
        self.mark_settling(&mut items);
        enrich::look_up(&mut items, &shared.route, &shared.jiras, &shared.fields, &shared.store, &shared.clock).await;
        self.defer_undecided(&mut items);
        let mut ready = Vec::new();
        let works = self.works(&items).await?;
        meters::unknown(&works);
        self.note_filtered(&items, &mut write).await;
        for work in works {
            ready.extend(self.prepare(work, &items, &mut write));
        }
        let tries = self.compose(ready, &items, &mut write).await;
        let ends = attempt::all(&shared, tries, &self.stop).await?;
        let mut refused: HashSet<(Arc<str>, PartitionKey)> = HashSet::new();
        for (work, end) in ends {
            self.record(&work, end, &items, &mut refused, &mut write);
        }
        self.park_undecided(&items, &mut write);
        // A row that waited undecided has become deliveries of its own.
        for row in items.iter().filter(|item| !is_undecided(item)).filter_map(|item| item.parked.as_ref()) {
            if !write.tried.iter().any(|tried| tried.id == row.id) {
                write.unpark.push(row.id.clone());
                self.waiting.remove_one(&row.key.target, &row.partition_key);
            }
        }
        self.persist(write).await
    }

    /// An event that cannot be decided yet waits as a whole, and so does what comes behind it: nobody knows yet where it would overtake.
    pub(super) fn defer_undecided(&self, items: &mut [Item]) {
        let sink = self.shared.route.name();
        if self.shared.route.rules.of_sink(sink).next().is_none() {
            return;
        }
        let undecided: Arc<str> = sink.as_str().into();
        let mut keys: HashSet<PartitionKey> = HashSet::new();
        for item in items.iter_mut().filter(|item| item.parked.as_ref().is_none_or(|row| row.rule.is_none())) {
            let key = item.event().partition_key.clone();
            let sends = |elsewhere: bool| {
                let counts = |decision: &Decision| decision.verdict == Verdict::Send && (!elsewhere || decision.target != undecided);
                item.decisions.iter().any(counts)
            };
            let behind_earlier = item.parked.is_none() && self.waiting.behind(&undecided, &key).is_some();
            if is_undecided(item) || (keys.contains(&key) && sends(false)) || (behind_earlier && sends(true)) {
                item.decisions = vec![Decision { rule: None, target: undecided.clone(), verdict: Verdict::Needs }];
                keys.insert(key);
            }
        }
    }

    pub(super) async fn persist(&mut self, write: Write) -> Result<(), NotWritten> {
        persist(&self.shared.store, write, &self.stop).await
    }

    /// The deliveries that are still to be made: not those that ended before.
    pub(super) async fn works(&mut self, items: &[Item]) -> Result<Vec<Work>, NotWritten> {
        let sink = self.shared.route.name();
        let ids: Vec<_> = items.iter().map(|item| &item.event().id).collect();
        let mut tries = 0_u32;
        let known = loop {
            match self.shared.store.journal(sink, &ids).await {
                Ok(rows) => break rows,
                Err(_) if self.stop.is_cancelled() => return Err(NotWritten),
                Err(err) => {
                    if tries.is_multiple_of(20) {
                        tracing::warn!(%sink, "the journal cannot be read: {err}");
                    }
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        };
        let mut works = Vec::new();
        let mut taken = HashSet::new();
        for (number, item) in items.iter().enumerate() {
            if item.replay.is_none() {
                let filtered = item.decisions.iter().filter(|decision| matches!(decision.verdict, Verdict::Filtered(_)));
                filtered.for_each(|_| {
                    meters::filtered(sink);
                    item.trail.ended(Outcome::Filtered);
                });
            }
            for decision in item.decisions.iter().filter(|decision| decision.verdict == Verdict::Send) {
                let waited = item.parked.as_ref().filter(|row| row.rule.is_some() || decision.rule.is_none());
                let (event_id, target, generation) = (item.event().id.clone(), decision.target.clone(), item.generation());
                let key = DeliveryKey { sink: sink.clone(), event_id, target, generation };
                let before = known.iter().find(|row| row.key == key);
                if item.replay.as_ref().is_some_and(|replay| replay.parked_at(&key.target)) {
                    continue;
                }
                if before.is_some_and(|row| is_over(row, item, self.shared.route.is_shadow())) || !taken.insert(key.clone()) {
                    item.trail.ended(Outcome::Known);
                    if item.replay.is_none() {
                        meters::duplicate(&item.event().connection);
                    }
                    continue;
                }
                works.push(Work {
                    failures: waited.map_or(0, |row| row.attempts),
                    unknown: before.is_some_and(|row| row.progress == Progress::Started),
                    is_found_unknown: before.is_some_and(|row| row.progress == Progress::Started && row.reason.is_none()),
                    unclean_runs: before.map_or(0, |row| row.unclean_runs),
                    ..Work::new(key, decision.rule.clone(), number)
                });
            }
        }
        Ok(works)
    }

    /// What must not be tried ends here; the rest is made ready.
    pub(super) fn prepare(&mut self, work: Work, items: &[Item], write: &mut Write) -> Option<Ready> {
        let item = &items[work.item];
        let shared = self.shared.clone();
        if let Some(reason) = shared.route.lacks_rule(&work) {
            self.dead_letter(&work, item, reason, write);
            return None;
        }
        let place = (work.key.target.clone(), item.event().partition_key.clone());
        let waits = if is_own(&work, item) { self.held.contains(&place) } else { self.waiting.behind(&place.0, &place.1).is_some() };
        if waits || (shared.blocked(&work.key.target).is_some() && !is_own(&work, item)) {
            let is_settling = self.settle_left(item, &work.key.target, work.rule.as_ref()).is_some();
            let why = if is_settling { SETTLING_REASON } else { "earlier deliveries of this issue or target wait" };
            self.park_behind(&work, items, why, write);
            return None;
        }
        if let Some(wait) = shared.blocked(&work.key.target) {
            self.park(&work, item, wait, "the target takes nothing now", false, write);
            return None;
        }
        let rule = work.rule.as_ref().and_then(|name| shared.route.rules.find(name, &work.key.sink, &work.key.target));
        if let Some(wait) = self.settle_left(item, &work.key.target, work.rule.as_ref()) {
            self.park(&work, item, wait, SETTLING_REASON, false, write);
            return None;
        }
        if let Some(Err(err)) = &item.fields {
            self.park(&work, item, ask_again(err), &format!("Jira cannot be asked: {err}"), false, write);
            return None;
        }
        match self.ruling(&work, items) {
            Ruling::Pass => {}
            Ruling::Withhold(guard, reason) => {
                meters::withheld(&work.key.sink, guard);
                item.trail.ended(Outcome::Withheld);
                write.journal.push(self.ended(&work, Ended::Withheld, Some(reason)));
                return None;
            }
            Ruling::Wait(after, reason) => {
                self.park(&work, item, after.unwrap_or(ASK_AGAIN), &reason, false, write);
                return None;
            }
        }
        let is_enriched = shared.route.enrich && enrich::is_reduced(item.event());
        let shows_unread = || shared.route.shows_unread(&Known::of(item.event()), work.rule.as_ref(), &work.key.target);
        if let Some(err) = item.unread().filter(|_| is_enriched || shows_unread()) {
            self.park(&work, item, ask_again(err), &format!("Jira cannot be asked: {err}"), false, write);
            return None;
        }
        // A sink for people shows the issue as it is now, the others write the event as it came unless they want more; none shows what
        // the guard strips.
        let is_message = rule.is_some_and(|(_, send)| send.message.is_some());
        let shown = if is_enriched { item.as_whole_as_can_be() } else { item.enriched().filter(|_| is_message) };
        let stripped = guard::stripped(shown.as_ref().unwrap_or(item.event()), &shared.route.clearance);
        let event = stripped.or(shown).map_or_else(|| Arc::new(item.event().clone()), Arc::new);
        Some(Ready { work, event })
    }

    pub(super) fn ruling(&self, work: &Work, items: &[Item]) -> Ruling {
        guard::rule_on(&self.facts(work, items), &self.shared.route.clearance)
    }

    /// What the guard decides on.
    pub(super) fn facts<'a>(&'a self, work: &'a Work, items: &'a [Item]) -> Facts<'a> {
        let (item, route) = (&items[work.item], &self.shared.route);
        let rule = work.rule.as_ref().and_then(|name| route.rules.find(name, &work.key.sink, &work.key.target));
        Facts {
            event: item.event(),
            sights: item.sights.as_deref(),
            last_level: item.last_level.as_ref(),
            internal: item.internal.as_ref(),
            talk: item.talk.as_ref(),
            privacy: item.privacy.as_ref(),
            rule: rule.map(|(rule, _)| rule),
        }
    }

    pub(super) fn record(
        &mut self,
        work: &Work,
        end: End,
        items: &[Item],
        refused: &mut HashSet<(Arc<str>, PartitionKey)>,
        write: &mut Write,
    ) {
        let item = &items[work.item];
        let place = (work.key.target.clone(), item.event().partition_key.clone());
        match end {
            End::Recorded(ended) => self.arrived(work, item, ended),
            End::Done => {
                let (ended, reason) = work.taken(self.shared.route.is_shadow());
                self.arrived(work, item, ended);
                write.journal.push(self.ended(work, ended, reason));
            }
            End::Dead { reason } => self.dead_letter(work, item, &reason, write),
            End::NotTried { reason } => self.park_behind(work, items, &reason, write),
            End::Unanswered { reason } => self.park_behind(&Work { unknown: true, ..work.clone() }, items, &reason, write),
            End::Park { wait, concerns, counted, reason } => {
                let span = match wait {
                    Wait::Told(span) => span,
                    Wait::Backoff(_) => jittered(wait.span()),
                };
                if concerns == Concerns::Target {
                    let span = self.shared.blocked(&work.key.target).unwrap_or_default().max(span);
                    let until = self.shared.clock.now().plus(span);
                    self.waiting.postpone_target(&work.key.target, until, span);
                    write.postpone.push((Waiting::Target(work.key.sink.clone(), work.key.target.clone()), until));
                }
                if refused.insert(place) {
                    self.park(work, item, span, &reason, counted, write);
                } else {
                    self.park_behind(work, items, &reason, write);
                }
            }
        }
    }

    /// Counts a delivery that arrived. The delay of a replay is not measured, because it says nothing about the queue; nor is that of what
    /// a sink in shadow mode only recorded, or a sink had no place for.
    fn arrived(&self, work: &Work, item: &Item, ended: Ended) {
        let is_delivered = ended == Ended::Delivered;
        item.trail.ended(if is_delivered { Outcome::Delivered } else { Outcome::Filtered });
        if item.replay.is_none() && is_delivered {
            meters::delay(&work.key.sink, item.event(), self.shared.clock.now());
        }
    }

    /// It waits behind who waits already, or until its target takes again.
    pub(crate) fn park_behind(&mut self, work: &Work, items: &[Item], reason: &str, write: &mut Write) {
        let item = &items[work.item];
        let place = (work.key.target.clone(), item.event().partition_key.clone());
        if let Some(own) = item.parked.as_ref().filter(|row| row.key == work.key) {
            if !self.held.contains(&place) {
                return self.park(work, item, Duration::ZERO, reason, false, write);
            }
            item.trail.ended(Outcome::Parked);
            // Who stands before it has said when they go on.
            let not_before = self.waiting.behind(&place.0, &place.1).unwrap_or(own.not_before);
            write.tried.push(ParkedRow { not_before, reason: reason.to_owned(), ..own.clone() });
            return;
        }
        let now = self.shared.clock.now();
        let behind = self.waiting.behind(&work.key.target, &item.event().partition_key);
        let wait = behind.map(|not_before| not_before.since(now)).or_else(|| self.shared.blocked(&work.key.target)).unwrap_or_default();
        self.park(work, item, wait, reason, false, write);
    }

    pub(crate) fn park(&mut self, work: &Work, item: &Item, wait: Duration, reason: &str, counted: bool, write: &mut Write) {
        let now = self.shared.clock.now();
        let attempts = work.failures + u32::from(counted);
        let key = item.event().partition_key.clone();
        if work.unknown || counted || self.shared.is_careful() || !self.shared.route.sink.traits().repeatable {
            write.journal.push(self.journal(work, work.progress_if_not_sent(), Some(reason.to_owned())));
        }
        let own = item.parked.as_ref().filter(|row| row.key == work.key);
        let first_at = own.map_or(now, |row| row.first_at);
        let expired = self.shared.settings.max_age.is_some_and(|most| now.since(first_at) > most.0);
        if expired {
            return self.dead_letter(work, item, &format!("expired: {reason}"), write);
        }
        item.trail.ended(Outcome::Parked);
        let not_before = now.plus(wait);
        self.held.insert((work.key.target.clone(), key.clone()));
        let row = ParkedRow {
            id: own.map_or_else(ParkedRow::new_id, |row| row.id.clone()),
            key: work.key.clone(),
            rule: work.rule.clone(),
            lane: self.lane_id(),
            position: item.position,
            partition_key: key.clone(),
            state: ParkedState::Waiting,
            not_before,
            attempts,
            first_at,
            last_at: now,
            reason: reason.to_owned(),
        };
        if own.is_some() {
            write.postpone.push((Waiting::Key(work.key.sink.clone(), work.key.target.clone(), key.clone()), not_before));
            self.waiting.postpone(&work.key.target, &key, not_before, wait);
            write.tried.push(row);
            return;
        }
        if reason != SETTLING_REASON {
            meters::parked(&work.key.sink);
        }
        write.archive.push(ArchiveRow { envelope: item.envelope.clone(), lane: row.lane, position: row.position });
        self.waiting.add(&work.key.target, &key, not_before, wait);
        write.park.push(row);
    }

    /// Events of which a rule cannot be decided yet wait as a whole, under the sink's own name.
    fn park_undecided(&mut self, items: &[Item], write: &mut Write) {
        for (number, item) in items.iter().enumerate().filter(|(_, item)| is_undecided(item)) {
            let sink = self.shared.route.name().clone();
            let target: Arc<str> = sink.as_str().into();
            let key = DeliveryKey { sink, event_id: item.event().id.clone(), target, generation: item.generation() };
            let work = Work::new(key, None, number);
            match item.unread() {
                Some(err) if self.is_first(&work, item) => {
                    self.park(&work, item, ask_again(err), &format!("Jira cannot be asked: {err}"), false, write);
                }
                Some(err) => self.park_behind(&work, items, &format!("Jira cannot be asked: {err}"), write),
                None if self.shared.pause.is_paused() => self.park_behind(&work, items, "the sink is paused", write),
                None => self.park_behind(&work, items, "earlier events of this issue wait", write),
            }
        }
    }

    /// Whether no earlier delivery of its issue waits for the same target.
    fn is_first(&self, work: &Work, item: &Item) -> bool {
        let place = (work.key.target.clone(), item.event().partition_key.clone());
        if is_own(work, item) { !self.held.contains(&place) } else { self.waiting.behind(&place.0, &place.1).is_none() }
    }

    pub(crate) fn dead_letter(&mut self, work: &Work, item: &Item, reason: &str, write: &mut Write) {
        item.trail.ended(Outcome::Dead);
        let now = self.shared.clock.now();
        let own = item.parked.as_ref().filter(|row| row.key == work.key);
        let row = ParkedRow {
            id: own.map_or_else(ParkedRow::new_id, |row| row.id.clone()),
            key: work.key.clone(),
            rule: work.rule.clone(),
            lane: self.lane_id(),
            position: item.position,
            partition_key: item.event().partition_key.clone(),
            state: ParkedState::Dead,
            not_before: now,
            attempts: work.failures + 1,
            first_at: own.map_or(now, |row| row.first_at),
            last_at: now,
            reason: reason.to_owned(),
        };
        tracing::error!(sink = %row.key.sink, event.id = %row.key.event_id, "a delivery to `{}` is a dead letter: {reason}", row.key.sink);
        write.journal.push(self.ended(work, Ended::Dead, Some(reason.to_owned())));
        if own.is_some() {
            self.waiting.remove_one(&row.key.target, &row.partition_key);
            write.tried.push(row);
        } else {
            write.archive.push(ArchiveRow { envelope: item.envelope.clone(), lane: row.lane, position: row.position });
            write.park.push(row);
        }
    }

    fn ended(&self, work: &Work, ended: Ended, reason: Option<String>) -> JournalRow {
        meters::outcome(&work.key.sink, ended);
        self.journal(work, Progress::Ended(ended), reason)
    }

    fn journal(&self, work: &Work, progress: Progress, reason: Option<String>) -> JournalRow {
        JournalRow {
            key: work.key.clone(),
            rule: work.rule.clone(),
            progress,
            reason,
            at: self.shared.clock.now(),
            attempts: work.failures + 1,
            unclean_runs: work.unclean_runs,
        }
    }
}

/// It is the delivery that waited, and not one that an undecided event became.
fn is_own(work: &Work, item: &Item) -> bool {
    item.parked.as_ref().is_some_and(|row| row.key == work.key)
}

pub(super) fn is_undecided(item: &Item) -> bool {
    item.decisions.iter().any(|decision| decision.verdict == Verdict::Needs)
}

/// It ended, and this is no reason to look again. What the guard withheld or a JQL filtered is decided anew where somebody asked for that;
/// so is what was only recorded, once its sink sends.
fn is_over(row: &JournalRow, item: &Item, is_shadow: bool) -> bool {
    let is_asked_for = item.replay.is_some() || item.parked.is_some();
    match row.progress {
        Progress::Ended(Ended::Withheld | Ended::Filtered) => !is_asked_for,
        Progress::Ended(Ended::Shadowed) => is_shadow || !is_asked_for,
        Progress::Ended(Ended::Delivered | Ended::Dead) => true,
        Progress::Started | Progress::Tried => false,
    }
}

pub(crate) fn ask_again(err: &crate::jira::JiraError) -> Duration {
    match err {
        crate::jira::JiraError::Unavailable { retry_after, .. } => retry_after.unwrap_or(ASK_AGAIN),
        crate::jira::JiraError::Unauthorized { .. } | crate::jira::JiraError::Refused { .. } => ASK_AGAIN,
    }
}
