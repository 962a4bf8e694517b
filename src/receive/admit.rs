//! From a proven body to stored events: normalize, forget repeats, publish, and name the ids.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::recent::RecentIds;
use super::twins::TwinFilter;
use super::verify::{Credentials, NotProven, Verified, Verifier};
use crate::clock::Clock;
use crate::event::{Detail, Envelope, Event, EventId, Kind, ToMarkdown};
use crate::jira::{Headers, Received, identify, normalize};
use crate::queue::{PublishError, Queue};
use crate::setting::{BaseUrl, ConnectionName};
use crate::telemetry::{self, Entrance, Span};

/// Larger bodies are proven and read on a thread of their own, so that others do not wait.
const LARGE: usize = 256 * 1024;

/// Jira gives up after twenty or thirty seconds; what is stored after that collapses with the repeat.
const PUBLISH_LIMIT: Duration = Duration::from_secs(10);

/// A connection as the receiver knows it.
pub struct Source {
    pub connection: ConnectionName,
    pub base_url: BaseUrl,
    pub verifier: Verifier,
}

/// A source with the metrics of its connection.
pub(crate) struct Known {
    pub(crate) source: Source,
    pub(crate) metrics: Entrance,
}

/// What a request brought besides its body.
pub(crate) struct Claim {
    pub(crate) signature: Option<Bytes>,
    pub(crate) token: Option<String>,
    pub(crate) authorization: Option<Bytes>,
    pub(crate) headers: Headers,
}

impl Claim {
    pub(crate) fn credentials(&self) -> Credentials<'_> {
        Credentials { signature: self.signature.as_deref(), token: self.token.as_deref(), authorization: self.authorization.as_deref() }
    }
}

#[derive(Debug)]
pub(crate) enum NotAdmitted {
    NotProven(NotProven),
    NotStored(PublishError),
}

pub(crate) struct Admission {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) clock: Clock,
    pub(crate) to_markdown: ToMarkdown,
    recent: RecentIds,
    twins: TwinFilter,
}

impl Admission {
    pub(crate) fn new(queue: Arc<dyn Queue>, clock: Clock, to_markdown: ToMarkdown) -> Self {
        Self { queue, clock, to_markdown, recent: RecentIds::default(), twins: TwinFilter::default() }
    }

    /// The ids of the body's events, in the order of publication, once they would survive a crash.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        known: &Arc<Known>,
        body: Bytes,
        claim: Claim,
        span: &Span,
    ) -> Result<Vec<EventId>, NotAdmitted> {
        let received = Instant::now();
        let (events, body) = if body.len() > LARGE {
            let (this, known) = (self.clone(), known.clone());
            let read = tokio::task::spawn_blocking(move || this.read(&known.source, body, &claim)).await;
            read.map_err(|_| NotAdmitted::NotStored(PublishError::Unavailable("reading the body failed".into())))?
        } else {
            self.read(&known.source, body, &claim)
        }
        .map_err(NotAdmitted::NotProven)?;
        self.store(known, events, body, received, span).await
    }

    fn read(&self, source: &Source, body: Bytes, claim: &Claim) -> Result<(Vec<Event>, Bytes), NotProven> {
        let body: Verified<Bytes> = source.verifier.verify(body, claim.credentials())?;
        let make = match self.queue.detail() {
            Detail::Brief => identify,
            Detail::Whole => normalize,
        };
        let events = make(&Received {
            connection: &source.connection,
            base_url: &source.base_url,
            body: body.get(),
            headers: &claim.headers,
            received_at: self.clock.now(),
            to_markdown: self.to_markdown,
        });
        Ok((events, body.into_inner()))
    }

    async fn store(
        &self,
        known: &Known,
        events: Vec<Event>,
        body: Bytes,
        received: Instant,
        span: &Span,
    ) -> Result<Vec<EventId>, NotAdmitted> {
        let ids: Vec<EventId> = events.iter().map(|event| event.id.clone()).collect();
        if let [event] = events.as_slice()
            && let Some(twin) = self.twins.twin_of(event, &body)
        {
            telemetry::duplicate(event.connection.as_str());
            return Ok(vec![twin]);
        }
        if self.recent.contains_all(ids.iter()) {
            events.iter().for_each(|event| telemetry::duplicate(event.connection.as_str()));
            return Ok(ids);
        }
        let publishing = span.publish(events.len());
        let traceparent = publishing.traceparent();
        let envelope = |event: Event| {
            let (raw, traceparent) = (body.clone(), traceparent.clone());
            // Unrecognized events may get a random id, so they cannot be rebuilt from the body.
            let renewable = event.kind() != Kind::Unrecognized;
            Arc::new(Envelope { event, raw, target: None, traceparent, received: Some(received), renewable })
        };
        let envelopes: Vec<Arc<Envelope>> = events.into_iter().map(envelope).collect();
        let published = tokio::time::timeout(PUBLISH_LIMIT, self.queue.publish(envelopes.clone())).await;
        if let Err(err) = published.unwrap_or_else(|_| Err(PublishError::Unavailable("the queue took too long".into()))) {
            publishing.failed();
            return Err(NotAdmitted::NotStored(err));
        }
        drop(publishing);
        self.recent.remember(&ids);
        for envelope in &envelopes {
            let event = &envelope.event;
            self.twins.remember(event, &body);
            known.metrics.event(event.kind().as_str());
            known.metrics.receipt_delay(event.data.received_at.since(event.data.occurred_at));
        }
        Ok(ids)
    }
}
