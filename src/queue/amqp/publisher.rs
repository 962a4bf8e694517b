//! One lane's publisher: writes publications in the order they come, and answers each when all of it is confirmed.
//!
//! A channel for each lane: messages of one lane find the same queues, so it does not matter which of their confirms lapin gives a
//! returned message to. When the connection is lost, what was under way is answered `Unavailable`: nobody knows what became of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use futures_util::{Future, StreamExt, poll};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::{Fault, answer};
use super::message::Message;
use super::shared::Shared;
use super::topology::close;
use crate::backoff::jittered;
use crate::queue::PublishError;

/// How long a publication waits for a connection: a broker that is started again need not be felt.
const RECONNECT_LIMIT: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// After such a wait was in vain, others are told at once for so long.
const FAIL_FAST_FOR: Duration = Duration::from_secs(1);

pub(super) struct Publication {
    pub(super) messages: Vec<Message>,
    pub(super) answer: oneshot::Sender<Result<(), PublishError>>,
    pub(super) permit: OwnedSemaphorePermit,
}

type Confirming = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;
type Reconnecting = Pin<Box<dyn Future<Output = Result<Channel, Fault>> + Send>>;
type PendingAnswer = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Publisher {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Publication>,
    under_way: FuturesUnordered<PendingAnswer>,
    channel: Option<Channel>,
    /// Why there is no channel, and until when nobody tries again.
    failed: Option<(String, Instant)>,
}

impl Publisher {
    pub(super) fn new(shared: Arc<Shared>, requests: mpsc::Receiver<Publication>) -> Self {
        Self { shared, requests, under_way: FuturesUnordered::new(), channel: None, failed: None }
    }

    /// Until the queue closes and what is under way has ended.
    pub(super) async fn run(mut self) {
        let closing = self.shared.tasks.token().clone();
        let mut reconnecting: Option<(Reconnecting, Publication)> = None;
        loop {
            tokio::select! {
                biased;
                Some(()) = self.under_way.next(), if !self.under_way.is_empty() => {}
                reconnected = reconnected(&mut reconnecting), if reconnecting.is_some() => {
                    if let Some((_, publication)) = reconnecting.take() {
                        self.reconnected(reconnected, publication).await;
                    }
                }
                () = closing.cancelled() => break,
                request = self.requests.recv(), if reconnecting.is_none() => match request {
                    Some(publication) => reconnecting = self.take(publication).await,
                    None => break,
                },
            }
        }
        self.requests.close();
        while let Ok(publication) = self.requests.try_recv() {
            publication.refuse("it is closed");
        }
        while self.under_way.next().await.is_some() {}
        if let Some(channel) = &self.channel {
            // One that is only dropped closes itself some time, perhaps while its connection is being closed, which lapin does not survive.
            close(channel).await;
        }
    }

    /// Publishes it, or says how a channel may be had first.
    async fn take(&mut self, publication: Publication) -> Option<(Reconnecting, Publication)> {
        if publication.answer.is_closed() {
            return None;
        }
        if let Some(channel) = self.channel.clone().filter(|channel| channel.status().connected()) {
            self.publish(&channel, publication).await;
            return None;
        }
        if let Some((why, _)) = self.failed.as_ref().filter(|(_, until)| Instant::now() < *until) {
            publication.refuse(why);
            return None;
        }
        self.channel = None;
        Some((Box::pin(reconnect(Arc::clone(&self.shared))), publication))
    }

    async fn reconnected(&mut self, reconnected: Result<Channel, Fault>, publication: Publication) {
        match reconnected {
            Ok(channel) => {
                self.failed = None;
                self.channel = Some(channel.clone());
                self.publish(&channel, publication).await;
            }
            Err(fault) => {
                let why = fault.to_string();
                publication.refuse(&why);
                self.failed = Some((why, Instant::now() + FAIL_FAST_FOR));
            }
        }
    }

    /// Each message is handed to lapin before the next, and all of them before anything else is taken: so they stand together.
    async fn publish(&mut self, channel: &Channel, publication: Publication) {
        let Publication { messages, answer, permit } = publication;
        let exchange: ShortString = self.shared.topology.names.exchange().into();
        let generation = self.shared.binding_generation();
        let mut waiting = Vec::new();
        let mut confirmed = Vec::new();
        for message in messages {
            let mut confirming: Confirming = Box::pin(confirm(channel.clone(), exchange.clone(), message, self.shared.stamps.next()));
            match poll!(confirming.as_mut()) {
                std::task::Poll::Ready(done) => confirmed.push(done),
                std::task::Poll::Pending => waiting.push(confirming),
            }
        }
        let shared = Arc::clone(&self.shared);
        self.under_way.push(Box::pin(async move {
            confirmed.extend(join_all(waiting).await);
            drop(answer.send(publish_result(&shared, confirmed, generation).await));
            drop(permit);
        }));
    }
}

impl Publication {
    fn refuse(self, why: &str) {
        drop(self.answer.send(Err(PublishError::Unavailable(why.to_owned()))));
    }
}

async fn reconnected(reconnecting: &mut Option<(Reconnecting, Publication)>) -> Result<Channel, Fault> {
    match reconnecting {
        Some((reconnecting, _)) => reconnecting.await,
        None => std::future::pending().await,
    }
}

/// A channel of a connection that stands, as soon as there is one.
async fn reconnect(shared: Arc<Shared>) -> Result<Channel, Fault> {
    let until = Instant::now() + RECONNECT_LIMIT;
    loop {
        let opened = timeout_at(until, open(&shared)).await;
        match opened {
            Ok(Err(Fault::Transient(_))) if Instant::now() + RETRY_EVERY < until => sleep(jittered(RETRY_EVERY)).await,
            Ok(opened) => return opened,
            Err(_) => {
                return Err(Fault::Transient(format!("there is no connection to the broker, and none came within {RECONNECT_LIMIT:?}")));
            }
        }
    }
}

async fn open(shared: &Shared) -> Result<Channel, Fault> {
    let channel = shared.publishing.channel().await?;
    answer(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

async fn confirm(channel: Channel, exchange: ShortString, message: Message, stamp: u64) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = message.properties(stamp);
    channel.basic_publish(exchange, message.routing_key, options, &message.body, properties).await?.await
}

/// `generation`: that of the bindings when the messages were written.
async fn publish_result(shared: &Shared, confirmed: Vec<lapin::Result<Confirmation>>, generation: u64) -> Result<(), PublishError> {
    let mut is_returned = false;
    for confirmation in confirmed {
        match confirmation {
            Ok(Confirmation::Ack(returned)) => is_returned |= returned.is_some(),
            Ok(Confirmation::Nack(_) | Confirmation::NotRequested) => {
                return Err(PublishError::Unavailable("the broker could not store it".to_owned()));
            }
            Err(err) => {
                let fault = Fault::from(err);
                if matches!(fault, Fault::Missing(_)) {
                    shared.mark_unbound();
                    shared.rebind_needed.notify_one();
                }
                shared.learn_limit(&fault);
                return Err(PublishError::Unavailable(format!("the broker did not confirm it: {fault}")));
            }
        }
    }
    if shared.is_unbound() || shared.binding_generation() != generation {
        return Err(PublishError::Unavailable("bindings were missing meanwhile, so some sinks may not have it".to_owned()));
    }
    if is_returned { shared.handle_unroutable().await } else { Ok(()) }
}
