//! A lane as one sink owns it: a channel with a consumer of its own, which ends as a whole and is opened afresh.

use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::connection::{Fault, answer};
use super::inbox::Inbox;
use super::pump::Pump;
use super::shared::{Place, Shared};
use crate::event::{LaneId, Position};
use crate::queue::owners::Owned;
use crate::queue::{Lane, QueueError, Seen, Subscription};

/// Questions about the backlog that may wait for a pump.
const ASKS_MAX: usize = 4;

pub(super) struct AmqpSubscription {
    pub(super) shared: Arc<Shared>,
    pub(super) place: Arc<Place>,
}

#[async_trait]
impl Subscription for AmqpSubscription {
    async fn next_lane(&mut self) -> Result<Box<dyn Lane>, QueueError> {
        let owned = self.place.owners.take().await?;
        let (answer, opened) = oneshot::channel();
        let (shared, place) = (Arc::clone(&self.shared), Arc::clone(&self.place));
        // On a task of its own: whoever gives up waiting must not drop a consumer before its channel is closed.
        self.shared.tasks.spawn("queue lane", async move {
            match open(&shared, &place, owned).await {
                Ok((lane, pump)) => {
                    // A lane that nobody takes is dropped here, and ends its pump.
                    drop(answer.send(Ok(lane)));
                    pump.run().await;
                }
                Err(fault) => drop(answer.send(Err(fault))),
            }
        });
        let lane = opened.await.map_err(|_| QueueError::Lost)??;
        Ok(Box::new(lane))
    }
}

async fn open(shared: &Shared, place: &Place, owned: Owned) -> Result<(AmqpLane, Pump), Fault> {
    let lane = owned.lane();
    let queue = shared.topology.names.queue(&place.sink, lane);
    let (channel, consumer) = match consume(shared, place, &queue).await {
        Err(Fault::Missing(why)) => {
            tracing::error!(queue, "`{queue}` is gone ({why}) and with it what waited there; it is made again");
            shared.topology.make_lane(&shared.control, &place.sink, lane).await?;
            consume(shared, place, &queue).await?
        }
        opened => opened?,
    };
    let (inbox, owned) = (Arc::clone(place.inbox(lane)), Arc::new(owned));
    let (to, asks) = mpsc::channel(ASKS_MAX);
    inbox.begin(to);
    let gone = CancellationToken::new();
    let lane = AmqpLane {
        lane,
        inbox: Arc::clone(&inbox),
        channel: channel.clone(),
        taken: owned.taken().clone(),
        ended: place.owners.taken().clone(),
        gone: gone.clone(),
        _owned: Arc::clone(&owned),
    };
    let pump = Pump {
        sink: place.sink.clone(),
        queue,
        topology: Arc::clone(&shared.topology),
        stamps: Arc::clone(&shared.stamps),
        inbox,
        channel,
        consumer,
        asks,
        gone,
        ended: place.owners.taken().clone(),
        owned,
    };
    Ok((lane, pump))
}

async fn consume(shared: &Shared, place: &Place, queue: &str) -> Result<(Channel, Consumer), Fault> {
    let channel = place.connection.channel().await?;
    answer(channel.basic_qos(shared.prefetch, BasicQosOptions::default())).await?;
    let consuming = channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
    let consumer = answer(consuming).await?;
    Ok((channel, consumer))
}

struct AmqpLane {
    lane: LaneId,
    inbox: Arc<Inbox>,
    channel: Channel,
    taken: CancellationToken,
    ended: CancellationToken,
    gone: CancellationToken,
    /// Held beside the pump's: a lane whose consumer has ended is not opened again while somebody here still works on what it was shown,
    /// and would pass what the next owner is shown in its place.
    _owned: Arc<Owned>,
}

#[async_trait]
impl Lane for AmqpLane {
    fn id(&self) -> LaneId {
        self.lane
    }

    fn taken(&self) -> CancellationToken {
        self.taken.clone()
    }

    async fn window(&mut self, limit: usize) -> Result<Vec<Seen>, QueueError> {
        loop {
            let arrived = self.inbox.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.taken.is_cancelled() {
                return Err(QueueError::Lost);
            }
            let seen = self.inbox.window(limit.max(1))?;
            if !seen.is_empty() {
                return Ok(seen);
            }
            tokio::select! {
                () = arrived => {}
                () = self.taken.cancelled() => return Err(QueueError::Lost),
            }
        }
    }

    /// A lane that only left this process's share can still be passed: what was done in hand need not be done again by the next owner.
    async fn advance(&mut self, past: Position) -> Result<(), QueueError> {
        if self.ended.is_cancelled() {
            return Err(QueueError::Lost);
        }
        if let Some(tag) = self.inbox.pass(past)? {
            let acked = answer(self.channel.basic_ack(tag, BasicAckOptions { multiple: true })).await;
            acked.map_err(|_| QueueError::Lost)?;
        }
        Ok(())
    }
}

impl Drop for AmqpLane {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}
