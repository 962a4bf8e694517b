//! What is looked after all the time: the exchange and what is bound to it, how much waits, who else has a place, our share of lanes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::connection::Fault;
use super::shared::Shared;
use super::topology::close;
use crate::queue::Share;

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// To read the list costs two writes, so it is read less often.
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
            () = shared.message_returned.notified() => {}
            () = sleep_until(next_look) => {}
        }
        if Instant::now() >= next_sinks {
            next_sinks = Instant::now() + SINKS_EVERY;
            if let Err(fault) = refresh_sinks(&shared).await {
                tracing::debug!("the list of sinks cannot be read, or what they are bound by: {fault}");
            }
        }
        if let Err(fault) = look(&shared).await {
            tracing::debug!("the broker cannot be looked after: {fault}");
        }
        next_look = Instant::now() + LOOK_EVERY;
    }
}

/// A single binding that somebody removed shows nowhere, because the message still finds other queues.
async fn refresh_sinks(shared: &Shared) -> Result<(), Fault> {
    shared.read_sinks().await?;
    shared.bind_all().await
}

async fn look(shared: &Shared) -> Result<(), Fault> {
    let channel = shared.control.channel().await?;
    let found = shared.topology.look_for_exchange(&channel).await;
    close(&channel).await;
    let is_missing = matches!(found, Err(Fault::Missing(_)));
    if is_missing || shared.unbound.load(Ordering::Relaxed) {
        let exchange = shared.topology.names.exchange();
        tracing::error!(exchange, "`{exchange}` has lost what was bound to it; it is bound again");
        // Until all are bound, a message would find some queues, and be taken for stored by all.
        shared.unbound.store(true, Ordering::Relaxed);
        shared.bind_all().await?;
        shared.unbound.store(false, Ordering::Relaxed);
    } else {
        found?;
    }
    shared.check_backlog().await
}
