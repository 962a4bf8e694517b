//! Reading a body within limits: of size, of time, and of all bodies together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::setting::ByteSize;

/// The budget is counted in such pieces: what a body holds is reserved as it arrives, never as it is announced.
const PIECE: usize = 16 * 1024;

/// Memory for all bodies that are being read or stored.
#[derive(Clone)]
pub(crate) struct Budget {
    pieces: Arc<Semaphore>,
}

/// A whole body, with its share of the budget.
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _share: Vec<OwnedSemaphorePermit>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge,
    TooSlow,
    /// Too many bytes in flight.
    Busy,
    /// The sender went away.
    Gone,
}

impl Budget {
    pub(crate) fn new(size: ByteSize) -> Self {
        Self { pieces: Arc::new(Semaphore::new((size.length() / PIECE).clamp(1, Semaphore::MAX_PERMITS))) }
    }

    fn reserve(&self) -> Option<OwnedSemaphorePermit> {
        self.pieces.clone().try_acquire_owned().ok()
    }
}

pub(crate) async fn read(body: Body, announced: Option<u64>, most: ByteSize, within: Duration, budget: &Budget) -> Result<Held, BodyError> {
    if announced.is_some_and(|length| length > most.0) {
        return Err(BodyError::TooLarge);
    }
    tokio::time::timeout(within, collect(body, announced, most.length(), budget)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(mut body: Body, announced: Option<u64>, most: usize, budget: &Budget) -> Result<Held, BodyError> {
    let mut share = Vec::new();
    let mut bytes = BytesMut::new();
    // A body that comes in one piece is copied once.
    let mut first: Option<Bytes> = None;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Gone)?.into_data() else { continue };
        length += data.len();
        if length > most {
            return Err(BodyError::TooLarge);
        }
        // The first piece is free: there are at most as many as connections, and strangers must not eat the budget with them.
        while (share.len() + 1) * PIECE < length {
            share.push(budget.reserve().ok_or(BodyError::Busy)?);
        }
        match (first.take(), bytes.is_empty()) {
            (None, true) => first = Some(data),
            (Some(before), _) => {
                bytes.reserve(announced.and_then(|n| usize::try_from(n).ok()).unwrap_or(0).min(length * 2).max(length));
                bytes.extend_from_slice(&before);
                bytes.extend_from_slice(&data);
            }
            (None, false) => bytes.extend_from_slice(&data),
        }
    }
    // The event keeps its body: a piece of the connection's buffer would keep all of that, and none of it could be filled again.
    Ok(Held { bytes: first.map_or_else(|| bytes.freeze(), |piece| Bytes::copy_from_slice(&piece)), _share: share })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(body: Body, announced: Option<u64>, budget: &Budget) -> Result<usize, BodyError> {
        read(body, announced, ByteSize(100_000), Duration::from_secs(30), budget).await.map(|held| held.bytes.len())
    }

    #[tokio::test(start_paused = true)]
    async fn every_limit_has_its_answer() {
        let budget = Budget::new(ByteSize(64 * 1024));
        assert_eq!(check(Body::from(vec![0; 50_000]), Some(50_000), &budget).await, Ok(50_000));
        assert_eq!(check(Body::from(vec![0; 100_001]), None, &budget).await, Err(BodyError::TooLarge));
        assert_eq!(check(Body::empty(), Some(1 << 50), &budget).await, Err(BodyError::TooLarge));
        assert_eq!(check(Body::from(vec![0; 90_000]), None, &budget).await, Err(BodyError::Busy));
        let silent = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        assert_eq!(check(Body::from_stream(silent), None, &budget).await, Err(BodyError::TooSlow));
        let pieces = futures_util::stream::iter((0..50).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![7; 1_000]))));
        assert_eq!(check(Body::from_stream(pieces), None, &budget).await, Ok(50_000));
        assert_eq!(budget.pieces.available_permits(), 4, "every share is given back");
    }
}
