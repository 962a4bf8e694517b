//! One consumer: from the broker into the inbox of a lane, until the lane is let go of or the broker takes it back.
//!
//! Letting go means: close the channel, then drop the consumer. The other way round lapin cancels the consumer first, and the broker shows
//! the next owner what was under way in another order.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::{Channel, Consumer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connection::{Fault, answer};
use super::inbox::{Ask, Inbox};
use super::message;
use super::stamp::Stamps;
use super::topology::{Topology, close};
use crate::queue::owners::Owned;
use crate::setting::SinkName;
use crate::telemetry;

/// Rounds of counting until two in a row agree.
const ROUNDS_MAX: usize = 5;

pub(super) struct Pump {
    pub(super) sink: SinkName,
    pub(super) queue: String,
    pub(super) topology: Arc<Topology>,
    pub(super) stamps: Arc<Stamps>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) channel: Channel,
    pub(super) consumer: Consumer,
    pub(super) asks: mpsc::Receiver<Ask>,
    /// Who holds the lane has let go of it.
    pub(super) gone: CancellationToken,
    /// The sink's place is given up, or the queue closes.
    pub(super) ended: CancellationToken,
    pub(super) owned: Arc<Owned>,
}

impl Pump {
    pub(super) async fn run(mut self) {
        loop {
            let delivered = tokio::select! {
                biased;
                () = self.gone.cancelled() => break,
                () = self.ended.cancelled() => break,
                delivery = self.consumer.next() => match delivery {
                    Some(Ok(delivery)) => self.take(delivery).await,
                    Some(Err(err)) => Err(Fault::from(err)),
                    None => Err(Fault::Transient("the broker ended it".to_owned())),
                },
                Some(ask) = self.asks.recv() => self.count().await.map(|count| {
                    // Whoever asked may have gone.
                    ask.send(count).ok();
                }),
            };
            if let Err(fault) = delivered {
                tracing::info!(queue = self.queue, "`{}` is shown no more: {fault}", self.queue);
                break;
            }
        }
        self.inbox.end();
        close(&self.channel).await;
        drop(self.consumer);
        drop(self.owned);
    }

    async fn take(&self, delivery: Delivery) -> Result<(), Fault> {
        let tag = delivery.delivery_tag;
        let read = message::read(delivery);
        if let Some(fault) = &read.fault {
            let fate = if read.envelope.is_some() { "it goes on as `event.unrecognized`" } else { "it is no event of ours and is dropped" };
            tracing::error!(queue = self.queue, "a message of `{}` cannot be read: {fault}; {fate}", self.queue);
            telemetry::queue_unreadable(self.sink.as_str());
        }
        if let Some(stamp) = read.stamp {
            self.stamps.observe(stamp);
        }
        if let Some(tag) = self.inbox.push(tag, read.stamp, read.envelope.map(Arc::new)) {
            answer(self.channel.basic_ack(tag, BasicAckOptions::default())).await?;
        }
        Ok(())
    }

    /// What is ready at the broker and what lies here. What is on its way between the two comes before the answer to a second question
    /// on the same channel; so two rounds that agree have missed nothing.
    async fn count(&mut self) -> Result<u64, Fault> {
        let mut before = None;
        for _ in 0..ROUNDS_MAX {
            let (ready, _) = self.topology.count(&self.channel, &self.queue).await?;
            while let Some(Some(delivery)) = self.consumer.next().now_or_never() {
                self.take(delivery?).await?;
            }
            let round = (ready, self.inbox.held());
            if before == Some(round) {
                break;
            }
            before = Some(round);
        }
        Ok(before.map_or(0, |(ready, held)| ready + held))
    }
}
