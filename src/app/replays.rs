//! Orders to deliver from the archive: checked, written down, and told how far they are. The lanes' workers carry them out.

use std::collections::{BTreeMap, HashMap};

use super::names;
use super::operations::{AdminService, Outcome, unavailable};
use crate::api::{OperationError, ReplayOrder, ReplayView, ReplayedSink};
use crate::deliver::PauseState;
use crate::setting::SinkName;
use crate::store::{Replay, ReplayLane, ReplayState};

pub(super) async fn order(service: &AdminService, order: &ReplayOrder) -> Outcome<ReplayView> {
    let now = service.clock.now();
    let until = order.until.unwrap_or(now).min(now);
    if order.since > until {
        return Err(OperationError::Wrong(format!("`since` is {}, which is after `until`: {until}", order.since)));
    }
    let sinks = sinks(service, order)?;
    let replay = Replay {
        id: Replay::new_id(),
        generation: 0,
        since: order.since,
        until,
        rule: order.rule.clone(),
        dry_run: order.dry_run,
        ordered_at: now,
    };
    let id = replay.id.clone();
    service.explainer.store.order_replay(replay, order.again, sinks).await.map_err(unavailable)?;
    tracing::info!(replay = %id, "replay `{id}` was ordered");
    show(service, &id).await
}

pub(super) async fn list(service: &AdminService, limit: usize) -> Outcome<Vec<ReplayView>> {
    let mut views = Vec::new();
    for replay in service.explainer.store.replays(limit).await.map_err(unavailable)? {
        views.push(view(service, replay).await?);
    }
    Ok(views)
}

pub(super) async fn show(service: &AdminService, id: &str) -> Outcome<ReplayView> {
    let replay = service.explainer.store.replay(id).await.map_err(unavailable)?;
    let replay = replay.ok_or_else(|| OperationError::NotFound(format!("no replay has the id `{id}`")))?;
    view(service, replay).await
}

pub(super) async fn stop(service: &AdminService, id: &str) -> Outcome<ReplayView> {
    show(service, id).await?;
    service.explainer.store.stop_replay(id).await.map_err(unavailable)?;
    show(service, id).await
}

/// The sinks concerned: the one that is named, those of the rule that is named, or all.
fn sinks(service: &AdminService, order: &ReplayOrder) -> Outcome<Vec<SinkName>> {
    let revision = service.present.borrow();
    let mut sinks: Vec<SinkName> = revision.config.sinks.iter().map(|sink| sink.name.clone()).collect();
    if let Some(name) = &order.sink {
        sinks.retain(|sink| sink.as_str() == name);
        if sinks.is_empty() {
            return Err(names::no_sink(name, &revision.config));
        }
    }
    if let Some(name) = &order.rule {
        let rule = revision.rules.list().iter().find(|rule| *rule.name == **name);
        let rule = rule.ok_or_else(|| names::no_rule(name, &revision.config))?;
        sinks.retain(|sink| rule.sends.iter().any(|send| send.to == *sink));
        if sinks.is_empty() {
            return Err(OperationError::Wrong(format!("rule `{name}` sends nothing there")));
        }
    }
    Ok(sinks)
}

async fn view(service: &AdminService, replay: Replay) -> Outcome<ReplayView> {
    let lanes = service.explainer.store.replay_lanes(&replay.id).await.map_err(unavailable)?;
    let mut paused: HashMap<SinkName, String> = HashMap::new();
    for (sink, state) in service.explainer.supervisor.states() {
        if let PauseState::Paused(reason) = state {
            paused.insert(sink.clone(), reason);
        }
    }
    let mut sinks: BTreeMap<SinkName, ReplayedSink> = BTreeMap::new();
    for lane in &lanes {
        let sink = sinks.entry(lane.sink.clone()).or_insert_with(|| nothing_yet(lane.sink.clone()));
        if lane.state == ReplayState::Open && !replay.dry_run {
            sink.paused = paused.get(&lane.sink).cloned();
        }
        add(sink, lane);
    }
    let is = |state: ReplayState| lanes.iter().any(|lane| lane.state == state);
    let state = match (is(ReplayState::Open), is(ReplayState::Stopped)) {
        (true, _) => "running",
        (false, true) => "stopped",
        (false, false) => "done",
    };
    Ok(ReplayView {
        id: replay.id,
        state: state.into(),
        since: replay.since,
        until: replay.until,
        rule: replay.rule,
        again: replay.generation > 0,
        dry_run: replay.dry_run,
        ordered_at: replay.ordered_at,
        sinks: sinks.into_values().collect(),
    })
}

fn nothing_yet(sink: SinkName) -> ReplayedSink {
    ReplayedSink { sink, paused: None, events: 0, seen: 0, delivered: 0, filtered: 0, withheld: 0, dead: 0, parked: 0, known: 0 }
}

fn add(sink: &mut ReplayedSink, lane: &ReplayLane) {
    sink.events += lane.events;
    sink.seen += lane.counts.seen;
    sink.delivered += lane.counts.delivered;
    sink.filtered += lane.counts.filtered;
    sink.withheld += lane.counts.withheld;
    sink.dead += lane.counts.dead;
    sink.parked += lane.counts.parked;
    sink.known += lane.counts.known;
}
