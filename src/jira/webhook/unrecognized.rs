//! Something authentic that is no event we know: kept whole, so that nothing is lost.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Received;
use super::body::Body;
use super::telling::delivered;
use crate::clock::Timestamp;
use crate::event::{Data, Entity, Event, EventId, Kind, Origin, PartitionKey, Secrecy, Unrecognized, encode_part};

/// Known by Jira's delivery identifier, else by its bytes. An empty body without identifier tells nothing at all, so its id is random:
/// rather told twice than lost.
pub(super) fn unrecognized<const BRIEF: bool>(received: &Received<'_>, body: Option<&Body<'_, BRIEF>>, reason: &str) -> Event {
    let sha256 = hex::encode(Sha256::digest(received.body));
    let id = match received.headers.identifier.as_deref().filter(|identifier| !identifier.is_empty()) {
        Some(identifier) => identifier.to_owned(),
        None if received.body.is_empty() => Uuid::new_v4().to_string(),
        None => sha256.clone(),
    };
    let name = body.and_then(Body::name).map(str::to_owned);
    let bytes = u64::try_from(received.body.len()).unwrap_or(u64::MAX);
    Event {
        id: EventId::new(received.connection, &["unrecognized", &id]),
        connection: received.connection.clone(),
        source: received.base_url.clone(),
        subject: format!("unrecognized:{}", encode_part(&id)),
        partition_key: PartitionKey::entity(received.connection, "unrecognized", &id),
        secrecy: Secrecy::default(),
        data: Data {
            kind: Kind::Unrecognized,
            origin: Origin::Webhook,
            occurred_at: body.and_then(|body| body.timestamp).map_or(received.received_at, |ms| Timestamp::from_ms(ms.0)),
            received_at: received.received_at,
            jira: delivered(received, body),
            actor: None,
            project: None,
            issue: None,
            changes: Vec::new(),
            degraded: Vec::new(),
            entity: Some(Entity::Unrecognized(Unrecognized { event: name, reason: reason.to_owned(), bytes, sha256 })),
        },
    }
}
