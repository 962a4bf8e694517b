//! Writing down what happened: with patience, because what was done must be known, and never by doing it again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::store::{Store, Write};

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
/// How long a stopping process still tries to write down what it did.
const LAST_TRIES: u32 = 5;

/// The process stops and the store does not take it: what was done may be done again.
#[derive(Debug)]
pub(crate) struct NotWritten;

/// Writes until the store takes it. While it does not, the lane holds and the queue absorbs.
pub(crate) async fn persist(store: &Store, write: Write, stop: &CancellationToken) -> Result<(), NotWritten> {
    if write.is_empty() {
        return Ok(());
    }
    let mut tries = 0;
    loop {
        let Err(err) = store.write(write.clone()).await else { return Ok(()) };
        tries += 1;
        if tries == 1 || tries % 20 == 0 {
            tracing::warn!(tries, "the store does not take what was done: {err}");
        }
        if stop.is_cancelled() && tries >= LAST_TRIES {
            return Err(NotWritten);
        }
        tokio::time::sleep(BACKOFF.after(tries)).await;
    }
}
