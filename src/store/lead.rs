//! Work that only one process may do: whoever leads a job holds its lock in Postgres, for as long as the connection lasts.
//!
//! A lead that is lost is noticed within seconds. Until then two may believe that they lead, so what a leader does must bear being done
//! twice. With SQLite there is one process, and it leads whatever it wants to.

use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::db::HeldLock;
use super::{Store, StoreError};

/// How often the connection is tried out: the server tells nobody that a lock is gone.
const TRIED_OUT_EVERY: Duration = Duration::from_secs(2);

/// Given back when it is dropped.
pub struct Lead {
    lost: CancellationToken,
    _given_back: DropGuard,
}

impl Lead {
    /// Whether this process still leads, as far as it knows.
    pub fn is_held(&self) -> bool {
        !self.lost.is_cancelled()
    }

    /// Returns when the lead is lost.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl Store {
    /// The lead of a job; none: another process has it. Ask again from time to time.
    pub async fn lead(&self, job: &'static str) -> Result<Option<Lead>, StoreError> {
        let Some(lock) = self.shared.db.lock(job).await? else { return Ok(None) };
        let (lost, given_back) = (CancellationToken::new(), CancellationToken::new());
        if let Some(lock) = lock {
            let keeping = keep(lock, job, lost.clone(), given_back.clone(), self.shared.tasks.token().clone());
            self.shared.tasks.spawn("store lead", keeping);
        }
        Ok(Some(Lead { lost, _given_back: given_back.drop_guard() }))
    }
}

async fn keep(mut lock: HeldLock, job: &'static str, lost: CancellationToken, given_back: CancellationToken, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = given_back.cancelled() => break,
            () = stop.cancelled() => break,
            () = tokio::time::sleep(TRIED_OUT_EVERY) => {}
        }
        if !lock.is_held().await {
            tracing::warn!(job, "the lead of `{job}` is lost: the store's connection that held it ended");
            lost.cancel();
            return;
        }
    }
    // In this order, or another process would lead while this one still believes that it does.
    lost.cancel();
    lock.release().await;
}
