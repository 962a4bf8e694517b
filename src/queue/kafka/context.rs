//! What librdkafka calls back: noted here, and dealt with by whoever polls.
//!
//! An answer to a change of the group is not given in the call itself: lanes must be let go of first, which takes a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::fault::Fault;

/// What happened to a member of a group.
#[derive(Debug)]
pub(super) enum GroupEvent {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    /// The answer to a commit: the offsets that the broker has stored.
    Committed(Result<Vec<(i32, i64)>, Fault>),
}

#[derive(Clone, Default)]
pub(super) struct Context {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    events: VecDeque<GroupEvent>,
    last_error: Option<String>,
    is_closing: bool,
}

impl Context {
    pub(super) fn next_event(&self) -> Option<GroupEvent> {
        self.state().events.pop_front()
    }

    /// Who waited for the answer to a commit has it.
    pub(super) fn committed(&self, answer: Result<Vec<(i32, i64)>, Fault>) {
        self.state().events.push_back(GroupEvent::Committed(answer));
    }

    /// Puts events back that their reader cannot use yet, before all that came since.
    pub(super) fn push_front(&self, early: Vec<GroupEvent>) {
        let mut state = self.state();
        for event in early.into_iter().rev() {
            state.events.push_front(event);
        }
    }

    /// The last thing that went wrong with a connection, once.
    pub(super) fn take_last_error(&self) -> Option<String> {
        self.state().last_error.take()
    }

    /// From now on nobody polls for events: changes of the group are answered within the callback, because closing the client waits for that.
    /// It waits likewise for the answer to those that came before and are still unanswered, which this returns.
    #[must_use]
    pub(super) fn close(&self) -> Vec<GroupEvent> {
        let mut state = self.state();
        state.is_closing = true;
        state.events.drain(..).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    /// It tells of every connection that fails, again and again; what matters comes back to us as an error.
    fn log(&self, _level: RDKafkaLogLevel, what: &str, message: &str) {
        tracing::debug!(what, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("librdkafka: {error}: {reason}");
        // That all brokers are down follows from each of them, which says why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.state().last_error = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = list.elements().iter().map(|entry| entry.partition()).collect();
        let is_assigned = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let mut state = self.state();
        if !state.is_closing {
            state.events.push_back(if is_assigned { GroupEvent::Assigned(partitions) } else { GroupEvent::Revoked(partitions) });
            return;
        }
        drop(state);
        answer_rebalance(consumer, is_assigned, list);
    }
}

/// Agrees to a change of the group that comes while it is left.
pub(super) fn answer_rebalance(consumer: &BaseConsumer<Context>, is_assigned: bool, list: &TopicPartitionList) {
    let answered = if is_assigned { consumer.incremental_assign(list) } else { consumer.incremental_unassign(list) };
    if let Err(err) = answered {
        tracing::debug!("a change of the group came while it was left: {err}");
    }
}
