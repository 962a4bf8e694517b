//! What is looked after all the time: the exchange and what is bound to it, how much waits, who else has a place, our share of lanes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::connection::Fault;
use super::shared::Shared;
use super::topology::close;
use crate::queue::Share;

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The list is locked while it is read, and binding asks once for each lane of each sink: less often, then.
const SINKS_EVERY: Duration = Duration::from_secs(30);

pub(super) async fn run(shared: Arc<Shared>, mut share: watch::Receiver<Share>) {
    let (mut next_look, mut next_sinks) = (Instant::now(), Instant::now() + SINKS_EVERY);
    let mut can_change = true;
    loop {
        tokio::select! {
            () = shared.tasks.token().cancelled() => return,
            changed = share.changed(), if can_change => {
                can_change = changed.is_ok();
                let share = share.borrow_and_update().clone();
                shared.all_places().iter().for_each(|place| place.owners.share(&share));
                continue;
            }
            () = shared.rebind_needed.notified() => {}
            () = sleep_until(next_look) => {}
        }
        let is_sinks_turn = Instant::now() >= next_sinks;
        if is_sinks_turn {
            next_sinks = Instant::now() + SINKS_EVERY;
            if let Err(fault) = shared.read_sinks().await {
                tracing::debug!("the list of sinks cannot be read: {fault}");
            }
        }
        match look(&shared, is_sinks_turn).await {
            Err(fault) if shared.is_unbound() => tracing::warn!("what is missing cannot be bound yet: {fault}"),
            Err(fault) => tracing::debug!("the broker cannot be looked after: {fault}"),
            Ok(()) => {}
        }
        next_look = Instant::now() + LOOK_EVERY;
    }
}

/// With `rebind` also what is not known to be missing: a single binding that somebody removed shows nowhere, because a message still finds
/// other queues.
async fn look(shared: &Shared, rebind: bool) -> Result<(), Fault> {
    let channel = shared.control.channel().await?;
    let found = shared.topology.look_for_exchange(&channel).await;
    close(&channel).await;
    match found {
        Err(Fault::Missing(_)) => shared.mark_unbound(),
        found => found?,
    }
    if rebind || shared.is_unbound() {
        shared.bind_all().await?;
        shared.mark_bound();
    }
    shared.check_backlog().await
}
