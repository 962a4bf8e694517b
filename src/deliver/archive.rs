//! The archive: the built-in subscriber that keeps every envelope. Mandatory, and first on the road: `trace` and the waiting room read it.

use tokio_util::sync::CancellationToken;

use super::journal::persist;
use crate::queue::{Lane, RetryingLane};
use crate::setting::SinkName;
use crate::store::{ArchiveRow, Store, Write};

/// A row is small work, so the archive takes larger windows than the sinks.
const WINDOW: usize = 256;

/// Keeps what comes through one lane, until the lane is lost or the process stops.
pub(crate) async fn run(lane: Box<dyn Lane>, store: &Store, stop: &CancellationToken) {
    let mut lane = RetryingLane::new(lane, &SinkName::archive());
    let taken = lane.taken();
    loop {
        let window = tokio::select! {
            () = stop.cancelled() => return,
            () = taken.cancelled() => return,
            window = lane.window(WINDOW) => window,
        };
        let seen = match window {
            Ok(seen) => seen,
            Err(err) => {
                tracing::warn!(lane = %lane.id(), "the archive lost lane {}: {err}", lane.id());
                return;
            }
        };
        let Some(last) = seen.last().map(|seen| seen.position) else { continue };
        let id = lane.id();
        let archive = seen.into_iter().map(|seen| ArchiveRow { envelope: seen.envelope, lane: id, position: seen.position }).collect();
        if persist(store, Write { archive, ..Write::default() }, stop).await.is_err() || lane.advance(last).await.is_err() {
            return;
        }
    }
}
