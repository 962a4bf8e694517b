//! One lane of one sink in this process: what librdkafka has read ahead, what of it was looked at, and how far it is passed.
//!
//! It outlives whoever owns the lane, so that the next owner is shown what was not passed. Without a source the lane belongs to nobody
//! here. A position is the offset after the message; so what was passed last is also the offset to commit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use tokio::sync::Notify;

use super::context::Context;
use super::message::{self, Read};
use crate::clock::Timestamp;
use crate::event::{Envelope, Position};
use crate::queue::{QueueError, Seen};
use crate::setting::SinkName;
use crate::telemetry;

pub(super) type Source = PartitionQueue<Context>;

pub(super) struct Feed {
    sink: SinkName,
    state: Mutex<State>,
    /// The source has something, or the lane was lost.
    pub(super) arrived: Arc<Notify>,
}

#[derive(Default)]
struct State {
    source: Option<Source>,
    /// Counts the times that the lane came to this process: an owner of an earlier time has lost it.
    epoch: u64,
    held: VecDeque<Held>,
    /// The offset after the last that was looked at.
    next: Option<i64>,
    passed: Option<i64>,
    /// What of that the broker has stored.
    committed: Option<i64>,
    is_broken: bool,
}

struct Held {
    after: i64,
    /// None: it is nothing of ours.
    envelope: Option<Arc<Envelope>>,
}

impl Feed {
    pub(super) fn new(sink: &SinkName) -> Arc<Self> {
        Arc::new(Self { sink: sink.clone(), state: Mutex::default(), arrived: Arc::default() })
    }

    pub(super) fn begin(&self, mut source: Source) {
        let arrived = Arc::clone(&self.arrived);
        source.set_nonempty_callback(move || arrived.notify_one());
        let mut state = self.state();
        *state = State { source: Some(source), epoch: state.epoch + 1, ..State::default() };
    }

    pub(super) fn end(&self) {
        let mut state = self.state();
        let epoch = state.epoch;
        let ended = std::mem::replace(&mut *state, State { epoch, ..State::default() });
        drop(state);
        // With the source goes a client, perhaps; nobody may wait for that with the lock in hand.
        drop(ended);
        self.arrived.notify_one();
    }

    pub(super) fn epoch(&self) -> u64 {
        self.state().epoch
    }

    /// The first `limit` that were not passed; perhaps none.
    pub(super) fn window(&self, epoch: u64, limit: usize) -> Result<Vec<Seen>, QueueError> {
        let mut state = self.state_of(epoch)?;
        state.fill(limit, &self.sink);
        let ours = |held: &Held| Some(Seen { position: position(held.after), envelope: held.envelope.clone()? });
        Ok(state.held.iter().filter_map(ours).take(limit).collect())
    }

    /// Lets go of everything up to `past`.
    pub(super) fn pass(&self, epoch: u64, past: Position) -> Result<(), QueueError> {
        let mut state = self.state_of(epoch)?;
        let mut is_passing = false;
        while let Some(held) = state.held.pop_front_if(|held| position(held.after) <= past || (is_passing && held.envelope.is_none())) {
            is_passing = true;
            state.passed = Some(held.after);
        }
        Ok(())
    }

    /// How far it is passed, if that is known without asking.
    pub(super) fn passed(&self) -> Option<i64> {
        self.state().passed
    }

    /// When the first that was not passed was received.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let mut state = self.state();
        state.fill(1, &self.sink);
        state.held.iter().find_map(|held| held.envelope.as_ref()).map(|envelope| envelope.event.data.received_at)
    }

    /// The offset to commit, if it is not stored yet.
    pub(super) fn to_commit(&self) -> Option<i64> {
        let state = self.state();
        state.passed.filter(|passed| state.committed != Some(*passed))
    }

    pub(super) fn committed(&self, offset: i64) {
        self.state().committed = Some(offset);
    }

    /// The offset at which it cannot go on, once: some of what follows is not there any more. `Some(None)`: it never had one.
    pub(super) fn broken(&self) -> Option<Option<i64>> {
        let mut state = self.state();
        std::mem::take(&mut state.is_broken).then_some(state.next.or(state.passed))
    }

    /// The offset could not be repaired: marks it as broken again, so that it is tried once more.
    pub(super) fn mark_broken(&self) {
        self.state().is_broken = true;
    }

    /// It goes on with this offset; what is held stays, unless it is from a topic that was made anew and counts from its beginning again.
    pub(super) fn restart(&self, from: i64) {
        let mut state = self.state();
        if state.next.is_some_and(|next| next > from) {
            // Positions in the former topic would pass records that nobody has seen.
            state.epoch += 1;
            state.held.clear();
        }
        state.next = Some(from);
        if state.held.is_empty() {
            state.passed = Some(from);
        }
    }

    fn state_of(&self, epoch: u64) -> Result<MutexGuard<'_, State>, QueueError> {
        let state = self.state();
        if state.source.is_some() && state.epoch == epoch { Ok(state) } else { Err(QueueError::Lost) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes from the source until `limit` of ours are held, or it has no more at the moment.
    fn fill(&mut self, limit: usize, sink: &SinkName) {
        let Some(source) = &self.source else { return };
        let mut held = self.held.iter().filter(|held| held.envelope.is_some()).count();
        while held < limit {
            let message = match source.poll(Duration::ZERO) {
                None => return,
                Some(Ok(message)) => message,
                Some(Err(err)) => {
                    self.is_broken |= is_gap(&err);
                    tracing::debug!(%sink, "a lane of `{sink}`: {err}");
                    continue;
                }
            };
            let after = message.offset() + 1;
            if self.next.is_some_and(|next| message.offset() < next) {
                continue;
            }
            self.next = Some(after);
            let envelope = envelope(message::read(&message), sink);
            if envelope.is_none() && self.held.is_empty() {
                self.passed = Some(after);
                continue;
            }
            held += usize::from(envelope.is_some());
            self.held.push_back(Held { after, envelope });
        }
    }
}

fn envelope(read: Read, sink: &SinkName) -> Option<Arc<Envelope>> {
    if let Some(fault) = &read.fault {
        let fate = if read.envelope.is_some() { "it goes on as `event.unrecognized`" } else { "it is no event of ours and is passed over" };
        tracing::error!(%sink, "a message for `{sink}` cannot be read: {fault}; {fate}");
        telemetry::queue_unreadable(sink.as_str());
    }
    read.envelope.map(Arc::new)
}

/// Whether the source has stopped because there is nothing at its offset, or it has no offset.
fn is_gap(err: &KafkaError) -> bool {
    let codes = [Code::AutoOffsetReset, Code::OffsetOutOfRange, Code::LogTruncation, Code::NoOffset];
    err.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

pub(super) fn position(after: i64) -> Position {
    Position(u64::try_from(after).unwrap_or_default())
}
