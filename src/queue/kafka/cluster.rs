//! What is asked of the cluster apart from publishing and consuming: metadata, limits, groups. Every question has a time limit.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

use super::clients::{Clients, KafkaConsumer, dispose};
use super::context::Context;
use super::fault::{Fault, code};
use crate::setting::Secret;

/// More than gather while one question waits for its answer.
const EVENTS_MAX: usize = 100;

/// One partition of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) has_leader: bool,
    pub(super) copies: usize,
    pub(super) copies_in_sync: usize,
}

/// What the metadata say about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) brokers: Vec<i32>,
    /// None: there is no such topic.
    pub(super) partitions: Option<Vec<Partition>>,
}

pub(super) struct Cluster {
    consumer: Option<Arc<KafkaConsumer>>,
    admin: Option<AdminClient<Context>>,
    limit: Duration,
    shown: String,
    password: Option<Secret>,
}

impl Cluster {
    pub(super) fn new(clients: &Clients) -> Result<Self, Fault> {
        let broker = clients.broker();
        if let Some(tls) = &broker.tls {
            // What librdkafka says of it does not name it.
            for file in tls.ca_file.iter().chain(tls.client.iter().flat_map(|(certificate, key)| [certificate, key])) {
                std::fs::File::open(file).map_err(|err| Fault::Permanent(format!("`{}` cannot be read: {err}", file.display())))?;
            }
        }
        Ok(Self {
            consumer: Some(Arc::new(clients.consumer()?)),
            admin: Some(clients.admin()?),
            limit: broker.request_timeout.0,
            shown: broker.servers.join(","),
            password: broker.login.as_ref().map(|login| login.password.clone()),
        })
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Asks on a thread that may wait.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&KafkaConsumer, Duration) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (consumer, limit) = (Arc::clone(self.consumer()), self.limit);
        blocking(move || question(&consumer, limit)).await
    }

    pub(super) async fn look(&self, topic: &str) -> Result<View, Fault> {
        let topic = topic.to_owned();
        let looked = self.ask(move |consumer, limit| look(consumer, &topic, limit)).await;
        looked.map_err(|fault| self.with_cause(fault))
    }

    pub(super) async fn create(&self, topic: &NewTopic<'_>) -> Result<(), Fault> {
        let created = self.admin().create_topics([topic], &self.options()).await?;
        match created.into_iter().next() {
            Some(Err((_, code))) if code != Code::TopicAlreadyExists => Err(code.into()),
            _ => Ok(()),
        }
    }

    /// The settings of a topic, or of a broker, as a broker knows them. None: it does not tell.
    pub(super) async fn settings(&self, of: ResourceSpecifier<'_>, broker: i32) -> Result<Option<ConfigResource>, Fault> {
        let described = self.admin().describe_configs([&of], &self.options().broker_id(broker)).await;
        let refused = |code| matches!(code, Code::UnsupportedFeature | Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed);
        match described.map(|resources| resources.into_iter().next()) {
            Ok(Some(Ok(resource))) => Ok(Some(resource)),
            Ok(Some(Err(code))) if refused(code) => Ok(None),
            Ok(Some(Err(code))) => Err(code.into()),
            Ok(None) => Ok(None),
            Err(err) if code(&err).is_some_and(refused) => Ok(None),
            Err(err) => Err(err.into()),
        }
    }

    pub(super) async fn groups(&self) -> Result<Vec<String>, Fault> {
        let names = |consumer: &KafkaConsumer, limit| {
            let groups = consumer.fetch_group_list(None, limit)?;
            Ok(groups.groups().iter().map(|group| group.name().to_owned()).collect())
        };
        self.ask(names).await
    }

    /// Err(None): somebody is still in it.
    pub(super) async fn delete_group(&self, group: &str) -> Result<(), Option<Fault>> {
        let deleted = self.admin().delete_groups(&[group], &self.options()).await;
        let code = match deleted.map(|groups| groups.into_iter().next()) {
            Ok(Some(Err((_, code)))) => code,
            Ok(_) => return Ok(()),
            Err(err) => match code(&err) {
                Some(code) => code,
                None => return Err(Some(err.into())),
            },
        };
        match code {
            Code::GroupIdNotFound => Ok(()),
            Code::NonEmptyGroup => Err(None),
            code => Err(Some(code.into())),
        }
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.limit)).operation_timeout(Some(self.limit))
    }

    fn consumer(&self) -> &Arc<KafkaConsumer> {
        self.consumer.as_ref().expect("taken only when it is dropped")
    }

    fn admin(&self) -> &AdminClient<Context> {
        self.admin.as_ref().expect("taken only when it is dropped")
    }

    /// Why there was no answer is told elsewhere: the question only sees that none came.
    fn with_cause(&self, fault: Fault) -> Fault {
        let consumer = self.consumer();
        // Errors wait to be picked up, among other things.
        for _ in 0..EVENTS_MAX {
            drop(consumer.poll(Duration::ZERO));
        }
        let Some(trouble) = consumer.context().take_last_error() else {
            return fault.about(&format!("`{}` cannot be reached; check host, port, user and TLS", self.shown));
        };
        let trouble = match &self.password {
            Some(password) if !password.is_empty() => trouble.replace(password.expose(), "***"),
            _ => trouble,
        };
        let is_refusal = trouble.contains("uthentication") || trouble.contains("SSL");
        let why = format!("`{}` cannot be reached: {trouble}", self.shown);
        if is_refusal { Fault::Permanent(format!("{why}; check user, password and TLS")) } else { Fault::Transient(why) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        dispose((self.consumer.take(), self.admin.take()));
    }
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Fault::Transient("it is stopping".to_owned())))
}

fn look(consumer: &KafkaConsumer, topic: &str, limit: Duration) -> Result<View, Fault> {
    let metadata = consumer.fetch_metadata(Some(topic), limit)?;
    let brokers = metadata.brokers().iter().map(|broker| broker.id()).collect();
    let Some(found) = metadata.topics().first() else { return Ok(View { brokers, partitions: None }) };
    match found.error() {
        None => {}
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(View { brokers, partitions: None }),
        Some(err) => return Err(Code::from(err).into()),
    }
    let partition = |found: &rdkafka::metadata::MetadataPartition| Partition {
        has_leader: found.leader() >= 0,
        copies: found.replicas().len(),
        copies_in_sync: found.isr().len(),
    };
    Ok(View { brokers, partitions: Some(found.partitions().iter().map(partition).collect()) })
}
