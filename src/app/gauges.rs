//! Work on a timer: gauges that nobody else keeps, and rows that have outlived their retention.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::operations::AdminService;
use crate::clock::{Clock, Jumps, Timestamp};
use crate::deliver::{Jiras, SETTLING_REASON};
use crate::setting::SinkName;
use crate::telemetry::{self, Exporter};

const GAUGES_EVERY: Duration = Duration::from_secs(5);
const EXPIRE_EVERY: Duration = Duration::from_secs(600);
/// How long nothing is removed after the clock was set.
const TRUSTED_AFTER: Duration = Duration::from_secs(3_600);

/// Backlog, waiting room and dead letters per sink, as of a few seconds ago.
pub(super) async fn keep(service: Arc<AdminService>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        budgets(&service.present.borrow().jiras);
        measure(&service).await;
        service.exporter.run_upkeep();
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(GAUGES_EVERY) => {}
        }
    }
}

/// What the exporter needs where nobody keeps gauges.
pub(super) async fn upkeep(exporter: Exporter, stop: CancellationToken) {
    while tokio::time::timeout(GAUGES_EVERY, stop.cancelled()).await.is_err() {
        exporter.run_upkeep();
    }
}

/// A pause and what has filled up since the last request are seen here only.
fn budgets(jiras: &Jiras) {
    jiras.iter().for_each(|(connection, jira)| telemetry::jira_budget(connection.as_str(), jira.budget_remaining()));
}

/// What cannot be read keeps its last figure: a store in trouble must not look like one without dead letters.
async fn measure(service: &AdminService) {
    let explainer = &service.explainer;
    let store = &explainer.store;
    let (Ok(backlog), Ok(waits), Ok(settling), Ok(letters)) = (
        explainer.queue.backlog().await,
        store.waiting_counts().await,
        store.waiting_because(SETTLING_REASON).await,
        store.dead_counts().await,
    ) else {
        return;
    };
    let mut waiting: BTreeMap<SinkName, (u64, Option<i64>)> = BTreeMap::new();
    for row in backlog {
        let entry = waiting.entry(row.sink).or_default();
        entry.0 += row.waiting;
        let oldest = row.oldest.map(Timestamp::ms);
        entry.1 = [entry.1, oldest].into_iter().flatten().min();
    }
    let mut parked: BTreeMap<SinkName, u64> = waiting.keys().map(|sink| (sink.clone(), 0)).collect();
    let mut dead = parked.clone();
    for (sink, _, count, _) in waits {
        *parked.entry(sink).or_default() += count;
    }
    // A busy channel always has some that settle, and nothing is wrong with them.
    for (sink, count) in settling {
        parked.entry(sink).and_modify(|parked| *parked = parked.saturating_sub(count));
    }
    for (sink, count) in letters {
        *dead.entry(sink).or_default() += count;
    }
    for (sink, (count, oldest)) in &waiting {
        telemetry::queue_events(sink.as_str(), *count);
        telemetry::queue_oldest(sink.as_str(), *oldest);
    }
    parked.iter().for_each(|(sink, count)| telemetry::parked_deliveries(sink.as_str(), *count));
    dead.iter().for_each(|(sink, count)| telemetry::dead_letters(sink.as_str(), *count));
}

/// Says when the system's clock was set: ages that were shown before and after do not fit together.
pub(super) async fn watch_clock(clock: Clock, stop: CancellationToken) {
    let mut jumps = Jumps::since(clock.now());
    while tokio::time::timeout(GAUGES_EVERY, stop.cancelled()).await.is_err() {
        let Some(jumped) = jumps.look(clock.now()) else { continue };
        telemetry::clock_jump();
        let (seconds, direction) = (jumped.unsigned_abs() / 1_000, if jumped > 0 { "ahead" } else { "back" });
        tracing::warn!(
            seconds,
            "the system's clock went {direction} by {seconds} s: times of before and after do not fit together; is NTP at work?"
        );
    }
}

/// Whether the system's clock says how old something is: not for a while after it was set, because it may be set back.
struct Trust {
    jumps: Jumps,
    jumped_at: Option<Instant>,
}

impl Trust {
    fn since(now: Timestamp) -> Self {
        Self { jumps: Jumps::since(now), jumped_at: None }
    }

    fn is_given(&mut self, now: Timestamp) -> bool {
        if self.jumps.look(now).is_some() {
            self.jumped_at = Some(Instant::now());
        }
        self.jumped_at.is_none_or(|at| at.elapsed() >= TRUSTED_AFTER)
    }
}

/// Of several processes one does it.
pub(super) async fn expire(service: Arc<AdminService>, stop: CancellationToken) {
    let store = &service.explainer.store;
    let mut trust = Trust::since(service.clock.now());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EXPIRE_EVERY) => {}
        }
        if !trust.is_given(service.clock.now()) {
            continue;
        }
        let lead = match store.lead("expiry").await {
            Ok(Some(lead)) => lead,
            Ok(None) => continue,
            Err(err) => {
                tracing::warn!("who removes what is too old cannot be found out: {err}");
                continue;
            }
        };
        let expired = store.expire(service.clock.now()).await;
        drop(lead);
        match expired {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "{count} rows have outlived their retention and are gone"),
            Err(err) => tracing::warn!("what is too old cannot be removed now: {err}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jira::{Auth, Jira};
    use crate::render;
    use crate::setting::{ConnectionName, Secret};

    #[tokio::test(start_paused = true)]
    async fn nothing_is_removed_until_the_clock_is_trusted_again() {
        let start = Timestamp::from_ms(1_765_441_200_000);
        let (begun, forty_days) = (Instant::now(), Duration::from_secs(40 * 86_400));
        let mut trust = Trust::since(start);
        let mut given = Vec::new();
        for look in 1..=9 {
            tokio::time::advance(EXPIRE_EVERY).await;
            let set_ahead = if look >= 2 { forty_days } else { Duration::ZERO };
            given.push(trust.is_given(start.plus(begun.elapsed()).plus(set_ahead)));
        }
        assert_eq!(given, [true, false, false, false, false, false, false, true, true]);
    }

    #[tokio::test]
    async fn a_budget_shows_before_anything_is_asked() {
        let acme: ConnectionName = "acme".parse().expect("a name");
        let auth = Auth::Pat { token: Secret::new("a token") };
        let base_url = "https://jira.acme.example".parse().expect("a base URL");
        let jira = Jira::new(acme.clone(), base_url, auth, None, render::to_markdown).expect("a client");
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || budgets(&Jiras::from([(acme, Arc::new(jira))])));
        let text = recorder.handle().render();
        assert!(text.contains("ticketwire_jira_budget_remaining_ratio{connection=\"acme\"} 1"), "{text}");
    }
}
