//! Replay: a lane's worker walks what the archive holds of its lane, in the lane's order, and takes it through the same rules, guard,
//! journal, step and parking as what comes new.
//!
//! It has its turn between windows and overtakes nothing: an event that the lane itself has not passed yet is waited for, and behind a
//! delivery that waits it waits, too. While Jira cannot be asked, what needs that stays in the archive and is looked at again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{self, End};
use super::context::Known;
use super::enrich::{self, Item};
use super::guard::Ruling;
use super::journal::NotWritten;
use super::meters;
use super::route::Verdict;
use super::window::is_undecided;
use super::worker::{LaneWorker, item};
use crate::event::{EventId, Position};
use crate::store::{Archived, Ended, ParkedState, Progress, ReplayCounts, ReplayLane, ReplayPlace, ReplayStep, StoreError, Write};

/// While it cannot go on: the lane has not come so far, or Jira or the store cannot be asked.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// More than this must not wait in the lane: the archive keeps the rest just as well.
const WAITING_MAX: u64 = 1_024;

/// What an item from the archive brings along.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReplayInfo {
    pub(crate) generation: u32,
    /// Where it waits already.
    parked_at: Vec<Arc<str>>,
    /// It is of no concern: meant for another sink, or waiting as a whole.
    is_idle: bool,
}

/// The next few of a lane in the archive.
struct Batch {
    /// How far the replay has come with each item, and with those that the lane itself has not passed.
    places: Vec<ReplayPlace>,
    items: Vec<Item>,
    /// How far it goes where nothing of it can be read.
    skipped: Option<ReplayPlace>,
    is_end: bool,
}

impl ReplayInfo {
    pub(crate) fn parked_at(&self, target: &Arc<str>) -> bool {
        self.parked_at.contains(target)
    }
}

/// The replays that a lane still has to do, the oldest order first.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    open: Vec<ReplayLane>,
    not_before: Option<Instant>,
    /// How far the lane itself has come, as far as is known.
    passed: Option<Position>,
}

impl Replays {
    pub(crate) fn load(&mut self, open: Vec<ReplayLane>) {
        (self.open, self.not_before) = (open, None);
    }

    pub(crate) fn lane_passed(&mut self, position: Position) {
        self.passed = self.passed.max(Some(position));
    }

    fn back_off(&mut self) {
        self.not_before = Some(Instant::now() + RETRY_DELAY);
    }

    fn step(&mut self, step: &ReplayStep) {
        self.not_before = None;
        if step.is_done {
            self.open.retain(|lane| lane.replay.id != step.replay);
        } else if let Some(lane) = self.open.iter_mut().find(|lane| lane.replay.id == step.replay) {
            lane.after = step.after;
        }
    }
}

impl LaneWorker {
    /// When the next step of a replay may be taken, if there is one to take.
    pub(super) fn replay_due(&self) -> Option<Instant> {
        let lane = self.replays.open.first()?;
        let is_held = self.shared.pause.is_paused() || self.waiting.count() >= WAITING_MAX;
        if is_held && !lane.replay.dry_run {
            return None;
        }
        Some(self.replays.not_before.unwrap_or_else(Instant::now))
    }

    /// The next few events of the oldest replay.
    pub(super) async fn replay(&mut self) -> Result<(), NotWritten> {
        let is_due = self.replay_due().is_some_and(|due| due <= Instant::now());
        let Some(lane) = self.replays.open.first().filter(|_| is_due).cloned() else { return Ok(()) };
        let most = self.shared.window();
        let Batch { places, mut items, skipped, is_end } = match self.read(&lane, most).await {
            Ok(read) => read,
            Err(err) => {
                tracing::warn!(sink = %lane.sink, lane = %lane.lane, replay = %lane.replay.id, "a replay cannot be read: {err}");
                self.replays.back_off();
                return Ok(());
            }
        };
        let _claim = self.shared.claims.clone().take(items.iter().map(|item| item.event().id.clone())).await;
        let shared = self.shared.clone();
        let _turn = shared.lock_if_careful().await;
        self.held.clear();
        self.decide_again(&lane, &mut items).await;
        items.truncate(items.iter().position(is_undecided).unwrap_or(items.len()));
        let after = items.len().checked_sub(1).and_then(|last| places.get(last).copied()).or(skipped).unwrap_or(lane.after);
        let is_done = is_end && items.len() == places.len();
        if items.is_empty() && !is_done && after == lane.after {
            self.replays.back_off();
            return Ok(());
        }
        let (mut write, counts) = if lane.replay.dry_run { self.dry_run(&items).await? } else { self.execute(&mut items).await? };
        let step = ReplayStep { replay: lane.replay.id, sink: lane.sink, lane: lane.lane, after, counts, is_done };
        self.replays.step(&step);
        write.replay = Some(step);
        self.persist(write).await?;
        shared.progressed();
        Ok(())
    }

    /// What comes next, with an item for each of those that the lane itself has passed.
    async fn read(&mut self, lane: &ReplayLane, most: usize) -> Result<Batch, StoreError> {
        let store = self.shared.store.clone();
        let found = store.replayed(lane, most).await?;
        let is_end = found.len() < most;
        let (read, skipped) = self.readable(found);
        let ids: Vec<EventId> = read.iter().map(|(_, archived)| archived.envelope.event.id.clone()).collect();
        let parked = store.parked_of_events(&ids).await?;
        let passed = self.passed_of(&read).await;
        let sink = self.shared.route.name();
        let item_of = |archived: &Archived| {
            let event = &archived.envelope.event;
            let waits = |row: &&crate::store::ParkedRow| {
                let is_ours = row.key.sink == *sink && row.key.event_id == event.id && row.key.generation == lane.replay.generation;
                is_ours && row.state == ParkedState::Waiting
            };
            let waiting: Vec<_> = parked.iter().filter(waits).collect();
            let is_undecided = waiting.iter().any(|row| row.rule.is_none()) && self.shared.route.rules.of_sink(sink).next().is_some();
            let is_foreign = archived.envelope.target.as_ref().is_some_and(|target| target != sink);
            let replay = ReplayInfo {
                generation: lane.replay.generation,
                parked_at: waiting.iter().map(|row| row.key.target.clone()).collect(),
                is_idle: is_undecided || is_foreign,
            };
            Item { replay: Some(replay), ..item(archived.envelope.clone(), archived.position) }
        };
        let items = read.iter().take(passed).map(|(_, archived)| item_of(archived)).collect();
        Ok(Batch { places: read.into_iter().map(|(place, _)| place).collect(), items, skipped, is_end })
    }

    /// Those that can be read, each with the place before the next of them, which is its own or one that cannot be read. Second: how far
    /// it goes where there are none.
    fn readable(&mut self, found: Vec<(ReplayPlace, Result<Archived, StoreError>)>) -> (Vec<(ReplayPlace, Archived)>, Option<ReplayPlace>) {
        let (mut read, mut skipped): (Vec<(ReplayPlace, Archived)>, _) = (Vec::new(), None);
        for (place, archived) in found {
            match archived {
                Ok(archived) => read.push((place, archived)),
                Err(StoreError::Unusable(why) | StoreError::Rejected(why) | StoreError::Unavailable(why)) => {
                    self.log_unreadable_once(&why);
                    if let Some(last) = read.last_mut() { last.0 = place } else { skipped = Some(place) }
                }
            }
        }
        let skipped = skipped.filter(|_| read.is_empty());
        (read, skipped)
    }

    /// How many of these the lane itself has passed. A lane in which nothing waits has passed everything, whatever its queue calls it.
    async fn passed_of(&mut self, read: &[(ReplayPlace, Archived)]) -> usize {
        let Some(last) = read.last().map(|(_, archived)| archived.position) else { return 0 };
        let (sink, lane, queue) = (self.shared.route.name().clone(), self.lane_id(), self.shared.queue.clone());
        if self.replays.passed < Some(last)
            && let Ok(Some(passed)) = queue.passed(&sink, lane).await
        {
            self.replays.lane_passed(passed);
        }
        if self.replays.passed < Some(last) {
            let waits = |row: &crate::queue::Backlog| row.sink == sink && row.lane == lane && row.waiting > 0;
            if queue.backlog().await.is_ok_and(|rows| !rows.iter().any(waits)) {
                return read.len();
            }
        }
        count_passed(read, self.replays.passed)
    }

    /// Decides by the rules of today, with what Jira says now.
    async fn decide_again(&mut self, lane: &ReplayLane, items: &mut [Item]) {
        let shared = &self.shared;
        let narrow = |item: &mut Item| {
            if let Some(rule) = &lane.replay.rule {
                item.decisions.retain(|decision| decision.rule.as_deref() == Some(rule));
            }
        };
        for item in items.iter_mut().filter(|item| item.replay.as_ref().is_some_and(|replay| !replay.is_idle)) {
            item.decisions = shared.route.decide(&Known::of(&item.envelope.event), false);
            narrow(item);
        }
        enrich::look_up(items, &shared.route, &shared.jiras, &shared.fields, &shared.store, &shared.clock).await;
        items.iter_mut().for_each(narrow);
        self.defer_undecided(items);
    }

    async fn execute(&mut self, items: &mut [Item]) -> Result<(Write, ReplayCounts), NotWritten> {
        let is_sent = |item: &&mut Item| item.decisions.iter().any(|decision| decision.verdict == Verdict::Send);
        self.trace(items.iter_mut().filter(is_sent));
        let (mut write, mut ready, mut refused) = (Write::default(), Vec::new(), HashSet::new());
        let works = self.works(items).await?;
        meters::unknown(&works);
        let mut counts = counted(items, works.len());
        self.note_filtered(items, &mut write).await;
        for work in works {
            ready.extend(self.prepare(work, items, &mut write));
        }
        let tries = self.compose(ready, items, &mut write).await;
        for (work, end) in attempt::all(&self.shared.clone(), tries, &self.stop.clone()).await? {
            let is_shadow = self.shared.route.is_shadow();
            let has_no_place = matches!(end, End::Recorded(Ended::Filtered));
            *taken(&mut counts, is_shadow || has_no_place) += u64::from(matches!(end, End::Done | End::Recorded(_)));
            self.record(&work, end, items, &mut refused, &mut write);
        }
        let ended = |ended: Ended| write.journal.iter().filter(|row| row.progress == Progress::Ended(ended)).count() as u64;
        (counts.withheld, counts.dead) = (ended(Ended::Withheld), ended(Ended::Dead));
        counts.parked = write.park.iter().filter(|row| row.state == ParkedState::Waiting).count() as u64;
        Ok((write, counts))
    }

    /// What would happen; nothing does.
    async fn dry_run(&mut self, items: &[Item]) -> Result<(Write, ReplayCounts), NotWritten> {
        let works = self.works(items).await?;
        let mut counts = counted(items, works.len());
        for work in &works {
            match self.ruling(work, items) {
                Ruling::Pass => *taken(&mut counts, self.shared.route.is_shadow()) += 1,
                Ruling::Withhold(..) => counts.withheld += 1,
                Ruling::Wait(..) => counts.parked += 1,
            }
        }
        Ok((Write::default(), counts))
    }
}

/// By their own positions: how far the replay comes with them may be the place of one that cannot be read, which nobody waits for.
fn count_passed(read: &[(ReplayPlace, Archived)], passed: Option<Position>) -> usize {
    read.iter().take_while(|(_, archived)| Some(archived.position) <= passed).count()
}

/// What a sink in shadow mode takes is filtered, as is what a sink has no place for.
fn taken(counts: &mut ReplayCounts, is_filtered: bool) -> &mut u64 {
    if is_filtered { &mut counts.filtered } else { &mut counts.delivered }
}

/// What is known before anything is tried: `works` deliveries are to be made.
fn counted(items: &[Item], works: usize) -> ReplayCounts {
    let sends = |item: &Item| item.decisions.iter().filter(|decision| decision.verdict == Verdict::Send).count();
    let is_idle = |item: &&Item| item.replay.as_ref().is_some_and(|replay| replay.is_idle);
    let idle = items.iter().filter(is_idle).count();
    let all: usize = items.iter().map(sends).sum();
    ReplayCounts {
        seen: items.len() as u64,
        filtered: (items.iter().filter(|item| sends(item) == 0).count() - idle) as u64,
        known: (all.saturating_sub(works) + idle) as u64,
        ..ReplayCounts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LaneId;
    use crate::sink::sample;

    #[test]
    fn nothing_waits_for_the_lane_to_pass_what_cannot_be_read() {
        let envelope = sample::enriched(1).envelope;
        let read = |position: u64, goes_to: u64| {
            let archived = Archived { envelope: envelope.clone(), lane: LaneId(0), position: Position(position) };
            (ReplayPlace { position: Position(goes_to), number: 1 }, archived)
        };
        let found = [read(4, 4), read(5, 9), read(10, 10)];
        let count = |passed: u64| count_passed(&found, Some(Position(passed)));
        assert_eq!((count_passed(&found, None), count(4), count(5), count(9), count(10)), (0, 1, 2, 2, 3));
    }
}
