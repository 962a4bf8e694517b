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
pub(super) enum News {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    /// The answer to a commit: the offsets that the broker has stored.
    Committed(Result<Vec<(i32, i64)>, Fault>),
}

#[derive(Clone, Default)]
pub(super) struct Ears {
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    news: VecDeque<News>,
    trouble: Option<String>,
    is_closing: bool,
}

impl Ears {
    pub(super) fn news(&self) -> Option<News> {
        self.heard().news.pop_front()
    }

    /// Who waited for the answer to a commit has it.
    pub(super) fn committed(&self, answer: Result<Vec<(i32, i64)>, Fault>) {
        self.heard().news.push_back(News::Committed(answer));
    }

    /// Puts news back that its listener cannot use yet, before all that came since.
    pub(super) fn put_back(&self, early: Vec<News>) {
        let mut heard = self.heard();
        for news in early.into_iter().rev() {
            heard.news.push_front(news);
        }
    }

    /// The last thing that went wrong with a connection, once.
    pub(super) fn trouble(&self) -> Option<String> {
        self.heard().trouble.take()
    }

    /// From now on nobody polls for news: changes of the group are answered within the callback, because closing the client waits for that.
    /// It waits just so for the answer to those that were heard before and are still unanswered, which this returns.
    #[must_use]
    pub(super) fn close(&self) -> Vec<News> {
        let mut heard = self.heard();
        heard.is_closing = true;
        heard.news.drain(..).collect()
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Ears {
    /// It tells of every connection that fails, again and again; what matters comes back to us as an error.
    fn log(&self, _level: RDKafkaLogLevel, what: &str, message: &str) {
        tracing::debug!(what, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("librdkafka: {error}: {reason}");
        // That all brokers are down follows from each of them, which says why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.heard().trouble = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Ears {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = list.elements().iter().map(|entry| entry.partition()).collect();
        let is_assigned = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let mut heard = self.heard();
        if !heard.is_closing {
            heard.news.push_back(if is_assigned { News::Assigned(partitions) } else { News::Revoked(partitions) });
            return;
        }
        drop(heard);
        answer(consumer, is_assigned, list);
    }
}

/// Agrees to a change of the group that comes while it is left.
pub(super) fn answer(consumer: &BaseConsumer<Ears>, is_assigned: bool, list: &TopicPartitionList) {
    let answered = if is_assigned { consumer.incremental_assign(list) } else { consumer.incremental_unassign(list) };
    if let Err(err) = answered {
        tracing::debug!("a change of the group came while it was left: {err}");
    }
}
