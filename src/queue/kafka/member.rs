//! One sink's membership in its group, on a thread of its own that polls all the time, however long deliveries take.
//!
//! ```text
//! assigned ── a source for each lane, then handed out
//! passed   ── committed a few times a second, all lanes at once
//! revoked  ── taken back, let go of, committed, then given away
//! broken   ── what the offset points to is gone: noted, and the lane goes on with what is left
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::time::Instant;

use super::clients::{Clients, KafkaConsumer};
use super::context::{self, Context, GroupEvent};
use super::fault::Fault;
use super::offsets::{self, Span, list_with};
use super::shared::Place;
use crate::event::{LaneCount, LaneId};
use crate::queue::Share;
use crate::telemetry;

const POLL: Duration = Duration::from_millis(100);
/// What was passed since is shown again after a crash.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
/// A commit without an answer is made again after so long, and after twice as long each time that this does not help: the client waits
/// for the answer as long as it takes, even for ever.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const ANSWERED_WITHIN_MOST: Duration = Duration::from_secs(300);
/// How long a lane that is let go of waits for the answer to its last commit.
const SAVED_WITHIN: Duration = Duration::from_secs(2);
const SAVED_LOOK: Duration = Duration::from_millis(5);
/// How long owners may finish what they have in hand before their lane goes to another process.
const LET_GO_WITHIN: Duration = Duration::from_secs(5);
/// When the queue closes there is less time; owners have stopped before.
const CLOSED_WITHIN: Duration = Duration::from_millis(400);
/// After a consumer that was of no more use.
const RESTART_DELAY: Duration = Duration::from_secs(3);
/// The same trouble is told again after so long.
const WARN_AGAIN_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Member {
    pub(super) place: Arc<Place>,
    pub(super) clients: Clients,
    pub(super) topic: String,
    pub(super) lanes: LaneCount,
    pub(super) limit: Duration,
    assigned: BTreeSet<LaneId>,
    /// Until when the last commit may wait for its answer.
    committing: Option<Instant>,
    commit_timeout: Duration,
    warned: BTreeMap<String, Instant>,
}

impl Member {
    pub(super) fn new(place: &Arc<Place>, clients: &Clients, topic: &str, lanes: LaneCount, limit: Duration) -> Self {
        let (place, clients, topic) = (Arc::clone(place), clients.clone(), topic.to_owned());
        Self {
            place,
            clients,
            topic,
            lanes,
            limit,
            assigned: BTreeSet::new(),
            committing: None,
            commit_timeout: ANSWERED_WITHIN,
            warned: BTreeMap::new(),
        }
    }

    /// Until the place is given up or the queue closes. A consumer that is of no more use is replaced.
    pub(super) fn run(mut self, first: (Arc<KafkaConsumer>, Context)) {
        let ended = self.place.ended.clone().drop_guard();
        // Whatever ends this thread takes the lanes back for good.
        let taken = self.place.owners.taken().clone().drop_guard();
        let mut next = Some(first);
        while !self.is_ending() {
            match next.take().map_or_else(|| self.clients.member(&self.place.sink), Ok) {
                Ok((consumer, context)) => self.run_consumer(consumer, &context),
                Err(fault) => self.warn_once(&fault.to_string()),
            }
            let until = Instant::now() + RESTART_DELAY;
            while !self.is_ending() && Instant::now() < until {
                std::thread::sleep(POLL);
            }
        }
        drop((taken, ended));
    }

    fn is_ending(&self) -> bool {
        self.place.owners.taken().is_cancelled()
    }

    fn run_consumer(&mut self, consumer: Arc<KafkaConsumer>, context: &Context) {
        self.place.set_consumer(Some(&consumer));
        let leaving = Leaving { consumer: Arc::clone(&consumer), context: context.clone(), topic: self.topic.clone() };
        if let Err(err) = self.serve(&consumer, context) {
            tracing::error!(sink = %self.place.sink, "`{}` is cut off from its group: {}", self.place.sink, self.explain(&err));
        }
        let is_lost = !self.is_ending();
        self.release(&consumer, context, self.assigned.clone(), if is_lost { Duration::ZERO } else { CLOSED_WITHIN }, is_lost);
        self.committing = None;
        self.place.set_consumer(None);
        // The sources are gone: this is the last of it, unless somebody asks something of it right now.
        drop((consumer, leaving));
    }

    /// Err: this consumer is of no more use.
    fn serve(&mut self, consumer: &Arc<KafkaConsumer>, context: &Context) -> Result<(), KafkaError> {
        consumer.subscribe(&[&self.topic])?;
        let mut commit_at = Instant::now() + COMMIT_EVERY;
        while !self.is_ending() {
            self.poll(consumer, POLL)?;
            self.handle_events(consumer, context)?;
            self.reset_broken_lanes(consumer);
            if Instant::now() >= commit_at {
                commit_at = Instant::now() + COMMIT_EVERY;
                if self.committing.is_none_or(|until| Instant::now() >= until) {
                    self.commit(consumer, context, &self.assigned.clone());
                }
            }
        }
        Ok(())
    }

    fn poll(&mut self, consumer: &KafkaConsumer, limit: Duration) -> Result<(), KafkaError> {
        match consumer.poll(limit) {
            None => {}
            Some(Ok(_)) => self.warn_once("a message came beside its lane"),
            Some(Err(err @ KafkaError::MessageConsumptionFatal(_))) => return Err(err),
            Some(Err(err)) if is_outage(&err) => self.warn_once("no broker answers; its lanes go on when one does"),
            Some(Err(err)) => self.warn_once(&err.to_string()),
        }
        Ok(())
    }

    fn handle_events(&mut self, consumer: &Arc<KafkaConsumer>, context: &Context) -> Result<(), KafkaError> {
        while let Some(event) = context.next_event() {
            match event {
                GroupEvent::Assigned(partitions) => self.assign(consumer, &partitions)?,
                GroupEvent::Revoked(partitions) => {
                    let lanes = partitions.iter().filter_map(|partition| self.lane_of(*partition)).collect();
                    // What another has by now, nobody here can commit.
                    let is_lost = consumer.assignment_lost();
                    self.release(consumer, context, lanes, if is_lost { Duration::ZERO } else { LET_GO_WITHIN }, is_lost);
                    consumer.incremental_unassign(&list(&self.topic, &partitions))?;
                }
                GroupEvent::Committed(answer) => self.on_commit_answer(answer),
            }
        }
        Ok(())
    }

    /// The source of a lane is split off before anything is read, so that nothing of it goes elsewhere.
    fn assign(&mut self, consumer: &Arc<KafkaConsumer>, partitions: &[i32]) -> Result<(), KafkaError> {
        for lane in partitions {
            let Some(lane) = self.lane_of(*lane) else { continue };
            if let Some(source) = consumer.split_partition_queue(&self.topic, lane.0.into()) {
                self.place.feed(lane).begin(source);
                self.assigned.insert(lane);
            }
        }
        consumer.incremental_assign(&list(&self.topic, partitions))?;
        self.share_assigned();
        Ok(())
    }

    /// None: the topic has got more partitions since, and nothing of ours is in those.
    fn lane_of(&self, partition: i32) -> Option<LaneId> {
        u16::try_from(partition).ok().map(LaneId).filter(|lane| lane.0 < self.lanes.get())
    }

    fn share_assigned(&self) {
        self.place.owners.share(&Share::Lanes(self.assigned.clone()));
    }

    /// Takes lanes back, waits for their owners, and commits what they passed.
    fn release(&mut self, consumer: &Arc<KafkaConsumer>, context: &Context, lanes: BTreeSet<LaneId>, limit: Duration, is_lost: bool) {
        self.assigned = self.assigned.difference(&lanes).copied().collect();
        self.share_assigned();
        let until = Instant::now() + limit;
        while lanes.iter().any(|lane| self.place.owners.is_owned(*lane)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        if !is_lost && !self.commit_and_wait(consumer, context, &lanes) {
            self.place.note_unsaved();
        }
        for lane in lanes {
            self.place.feed(lane).end();
        }
    }

    /// Commits what was passed of these lanes, and waits for the answer. What else comes meanwhile waits its turn.
    fn commit_and_wait(&mut self, consumer: &Arc<KafkaConsumer>, context: &Context, lanes: &BTreeSet<LaneId>) -> bool {
        let until = Instant::now() + SAVED_WITHIN;
        let mut later = Vec::new();
        self.commit(consumer, context, lanes);
        while self.is_unsaved(lanes) && Instant::now() < until {
            if self.poll(consumer, SAVED_LOOK).is_err() {
                break;
            }
            while let Some(event) = context.next_event() {
                match event {
                    GroupEvent::Committed(answer) => self.on_commit_answer(answer),
                    other => later.push(other),
                }
            }
            if self.committing.is_none() && self.is_unsaved(lanes) {
                std::thread::sleep(POLL);
                self.commit(consumer, context, lanes);
            }
        }
        context.push_front(later);
        !self.is_unsaved(lanes)
    }

    fn is_unsaved(&self, lanes: &BTreeSet<LaneId>) -> bool {
        lanes.iter().any(|lane| self.place.feed(*lane).to_commit().is_some())
    }

    /// Asks the broker to store what was passed. The answer comes as an event, from a thread that may wait for it: this one must go on polling.
    fn commit(&mut self, consumer: &Arc<KafkaConsumer>, context: &Context, lanes: &BTreeSet<LaneId>) {
        let passed = |lane: &LaneId| Some((i32::from(lane.0), self.place.feed(*lane).to_commit()?));
        let offsets: Vec<_> = lanes.iter().filter_map(passed).collect();
        if offsets.is_empty() {
            return;
        }
        let (consumer, context, topic) = (Arc::clone(consumer), context.clone(), self.topic.clone());
        let commit = move || {
            let list = list_with(&topic, offsets.iter().copied());
            context.committed(list.and_then(|list| Ok(consumer.commit(&list, CommitMode::Sync)?)).map(|()| offsets));
        };
        match std::thread::Builder::new().name(format!("queue commit {}", self.place.sink)).spawn(commit) {
            Ok(_) => {
                self.commit_timeout =
                    if self.committing.is_some() { (self.commit_timeout * 2).min(ANSWERED_WITHIN_MOST) } else { ANSWERED_WITHIN };
                self.committing = Some(Instant::now() + self.commit_timeout);
            }
            Err(err) => self.warn_once(&format!("places cannot be stored, which is tried again: no thread can be started: {err}")),
        }
    }

    /// The answer to a commit.
    fn on_commit_answer(&mut self, answer: Result<Vec<(i32, i64)>, Fault>) {
        self.committing = None;
        match answer {
            Ok(stored) => {
                for (partition, offset) in stored {
                    if let Some(lane) = self.lane_of(partition) {
                        self.place.feed(lane).committed(offset);
                    }
                }
            }
            Err(fault) => self.warn_once(&format!("places cannot be stored, which is tried again: {fault}")),
        }
    }

    /// Lanes that cannot go on where they stand.
    fn reset_broken_lanes(&mut self, consumer: &KafkaConsumer) {
        for lane in self.assigned.clone() {
            let Some(next) = self.place.feed(lane).broken() else { continue };
            if let Err(fault) = self.reset_offset(consumer, lane, next) {
                self.warn_once(&format!("lane {lane} cannot go on: {fault}"));
                self.place.feed(lane).mark_broken();
            }
        }
    }

    fn reset_offset(&self, consumer: &KafkaConsumer, lane: LaneId, next: Option<i64>) -> Result<(), Fault> {
        let known = match next {
            Some(next) => Some(next),
            None => offsets::committed(consumer, &self.topic, self.lanes, self.limit)?.get(usize::from(lane.0)).copied().flatten(),
        };
        let (low, high) = consumer.fetch_watermarks(&self.topic, lane.0.into(), self.limit)?;
        let (from, lost) = resume(known, Span { low, high });
        let sink = &self.place.sink;
        match known {
            Some(known) if lost > 0 => tracing::error!(
                %sink, %lane, lost,
                "`{sink}` has lost {lost} events of lane {lane}: it stood at {known}, and the topic begins at {low}; what is missing is in the archive, \
                 if that had read it"
            ),
            Some(known) if from != known => {
                tracing::error!(%sink, %lane, "`{sink}` stood at {known} in lane {lane}, which ends at {high}: the topic was made anew or cut, and is read again from {low}");
            }
            Some(_) => {}
            None => {
                tracing::warn!(%sink, %lane, "`{sink}` has no place in lane {lane}, though it has in others: it begins with the oldest that is kept")
            }
        }
        telemetry::queue_lost(sink.as_str(), lost);
        let old = list(&self.topic, &[lane.0.into()]);
        consumer.incremental_unassign(&old)?;
        self.place.feed(lane).restart(from);
        consumer.incremental_assign(&list_with(&self.topic, [(lane.0.into(), from)])?)?;
        Ok(())
    }

    fn warn_once(&mut self, what: &str) {
        self.warned.retain(|_, at| at.elapsed() < WARN_AGAIN_AFTER);
        if !self.warned.contains_key(what) {
            tracing::warn!(sink = %self.place.sink, "the group of `{}`: {what}", self.place.sink);
            self.warned.insert(what.to_owned(), Instant::now());
        }
    }

    fn explain(&self, err: &KafkaError) -> String {
        match (err.rdkafka_error_code(), &self.clients.broker().instance) {
            (Some(Code::FencedInstanceId | Code::UnreleasedInstanceId), Some(instance)) => {
                format!("another process calls itself `{instance}` too; give each its own `queue.instance`")
            }
            _ => err.to_string(),
        }
    }
}

/// A client that is about to end, also by a panic: if changes of its group were heard and not looked at, its end would wait for ever.
struct Leaving {
    consumer: Arc<KafkaConsumer>,
    context: Context,
    topic: String,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        for event in self.context.close() {
            match event {
                GroupEvent::Assigned(partitions) => context::answer_rebalance(&self.consumer, true, &list(&self.topic, &partitions)),
                GroupEvent::Revoked(partitions) => context::answer_rebalance(&self.consumer, false, &list(&self.topic, &partitions)),
                GroupEvent::Committed(_) => {}
            }
        }
    }
}

/// Where to go on, and how many records are gone for good.
fn resume(known: Option<i64>, span: Span) -> (i64, u64) {
    match known {
        Some(known) if known > span.high => (span.low, 0),
        Some(known) if known >= span.low => (known, 0),
        Some(known) => (span.low, span.low.abs_diff(known)),
        None => (span.low, 0),
    }
}

/// Each connection that fails says so, in several ways.
fn is_outage(err: &KafkaError) -> bool {
    let codes = [Code::BrokerTransportFailure, Code::AllBrokersDown, Code::Resolve, Code::OperationTimedOut];
    err.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

/// Without offsets: where the group stands.
fn list(topic: &str, partitions: &[i32]) -> rdkafka::TopicPartitionList {
    let mut list = rdkafka::TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::queue::kafka::Settings;
    use crate::queue::kafka::names::Names;

    #[test]
    fn a_client_ends_though_its_group_changed_at_the_last_moment() {
        let imitation = MockCluster::new(1).unwrap();
        let names = Names::new("road");
        imitation.create_topic(names.topic(), 4, 1).unwrap();
        let broker = Settings::default().broker(&format!("kafka://{}", imitation.bootstrap_servers()), None).unwrap();
        let (consumer, context) = Clients::new(&broker, &names).member(&"docs".parse().unwrap()).unwrap();
        consumer.subscribe(&[names.topic()]).unwrap();
        let next = || loop {
            consumer.poll(Duration::from_millis(10));
            if let Some(event) = context.next_event() {
                break event;
            }
        };
        let GroupEvent::Assigned(lanes) = next() else { panic!("it has lanes first") };
        consumer.incremental_assign(&list(names.topic(), &lanes)).unwrap();
        consumer.unsubscribe();
        context.push_front(vec![next()]);
        let (tell, ended) = mpsc::channel();
        std::thread::spawn(move || {
            drop(Leaving { consumer, context, topic: names.topic().to_owned() });
            tell.send(())
        });
        ended.recv_timeout(Duration::from_secs(30)).expect("it ended");
    }

    #[test]
    fn what_is_gone_is_counted_and_what_is_left_is_read() {
        let span = Span { low: 10, high: 20 };
        for (known, expected) in
            [(Some(15), (15, 0)), (Some(10), (10, 0)), (Some(20), (20, 0)), (Some(3), (10, 7)), (Some(21), (10, 0)), (None, (10, 0))]
        {
            assert_eq!(resume(known, span), expected, "{known:?}");
        }
    }
}
