//! Which lanes this process works on: every living worker tells the store that it lives, and all divide the lanes by the same list.
//!
//! Two may differ about the list for a moment: the broker lets only one of them see a lane, so nothing is lost and nothing overtaken.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::revision::Present;
use super::roles::Roles;
use crate::clock::Clock;
use crate::config::Config;
use crate::event::{LaneCount, LaneId};
use crate::queue::Share;
use crate::shutdown::Tasks;
use crate::store::{Store, StoreError, Worker};

/// Several of these fit into the time after which a silent worker counts as dead.
const BEAT_EVERY: Duration = Duration::from_secs(3);

/// This process among the workers.
struct Sharing {
    store: Store,
    clock: Clock,
    me: Worker,
    lanes: LaneCount,
    share: watch::Sender<Share>,
    present: Present,
}

/// The lanes of this process. All of them, unless several workers share a store.
pub(super) async fn begin(
    config: &Config,
    roles: Roles,
    instance: &str,
    store: Option<&Store>,
    present: &Present,
    clock: &Clock,
    tasks: &Tasks,
) -> anyhow::Result<watch::Receiver<Share>> {
    let (share, shared) = watch::channel(Share::All);
    let is_shared = store.is_some_and(Store::is_shared);
    if config.queue.is_broker() && !is_shared && roles.worker {
        tracing::warn!("a broker with a store of its own serves one process only: for several set `store.url` to a PostgreSQL");
    }
    let Some(store) = store.filter(|_| is_shared && roles.worker) else { return Ok(shared) };
    let now = clock.now();
    let me = Worker { name: instance.to_owned(), road: config.queue.name.clone(), started_at: now, seen_at: now, roles: roles.to_string() };
    let mut sharing =
        Sharing { store: store.clone(), clock: clock.clone(), me, lanes: config.queue.lanes, share, present: present.clone() };
    sharing.beat().await.context("the store does not take this worker up")?;
    tasks.spawn("share", sharing.keep(tasks.token().clone()));
    Ok(shared)
}

impl Sharing {
    /// Tells that it lives and takes its part.
    async fn beat(&mut self) -> Result<(), StoreError> {
        self.me.seen_at = self.clock.now();
        self.store.beat(&self.me).await?;
        let names: Vec<String> =
            self.store.workers(&self.me.road, self.clock.now()).await?.into_iter().filter(does_work).map(|worker| worker.name).collect();
        let share = part(&self.me.name, &names, self.lanes);
        self.share.send_if_modified(|known| {
            let differs = *known != share;
            if differs {
                tracing::info!(workers = names.len(), "{} workers share the lanes; this one has {}", names.len(), described(&share));
                *known = share;
            }
            differs
        });
        // Each takes its part of what a site allows.
        let workers = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let jiras = self.present.borrow().jiras.clone();
        jiras.values().for_each(|jira| jira.share_budget(workers));
        Ok(())
    }

    /// Runs until the process stops, and then says that this worker is gone, so that the others need not wait to find out.
    async fn keep(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(BEAT_EVERY) => {}
            }
            // A store that cannot be asked changes nothing: the others see this worker no more, and the broker decides.
            if let Err(err) = self.beat().await {
                tracing::warn!("who shares the work cannot be found out: {err}");
            }
        }
        if let Err(err) = self.store.leave(&self.me.name).await {
            tracing::debug!("the others were not told that this worker leaves: {err}");
        }
    }
}

fn does_work(worker: &Worker) -> bool {
    worker.roles.split(',').any(|role| role == "worker")
}

/// Lane by lane in turn, by the workers' names in their order.
fn part(me: &str, workers: &[String], lanes: LaneCount) -> Share {
    let Some(mine) = workers.iter().position(|name| name == me) else { return Share::Lanes(BTreeSet::new()) };
    if workers.len() == 1 {
        return Share::All;
    }
    let is_mine = |lane: &LaneId| usize::from(lane.0) % workers.len() == mine;
    Share::Lanes(lanes.lanes().filter(is_mine).collect())
}

fn described(share: &Share) -> String {
    match share {
        Share::All => "all of them".to_owned(),
        Share::Lanes(lanes) => format!("{} of them", lanes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_has_one_worker() {
        let lanes = LaneCount::default();
        for count in 1..20 {
            let workers: Vec<String> = (0..count).map(|number| format!("w{number:02}")).collect();
            for lane in lanes.lanes() {
                let owners = workers.iter().filter(|worker| part(worker, &workers, lanes).holds(lane)).count();
                assert_eq!(owners, 1, "{count} workers, lane {lane}");
            }
        }
        assert_eq!(part("w1", &["w1".to_owned()], lanes), Share::All);
        assert_eq!(part("stranger", &["w1".to_owned()], lanes), Share::Lanes(BTreeSet::new()));
    }
}
