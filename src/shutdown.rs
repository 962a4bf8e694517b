//! Tasks that are waited for: every task has a name, a token that asks it to stop, and an end that somebody observes.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of tasks that stop together. Clones belong to the same group.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Fires when the group is asked to stop.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// The one place that spawns. A panic ends the task, is logged, and stops the whole group: nothing goes on half alive.
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        self.tracker.spawn(async move {
            if let Err(err) = tokio::spawn(task).await
                && err.is_panic()
            {
                tracing::error!(task = name, "task `{name}` panicked: stopping");
                token.cancel();
            }
        });
    }

    /// Asks all to stop and waits. False: some were still running at the deadline.
    pub async fn stop(&self, deadline: Duration) -> bool {
        self.token.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tasks_are_waited_for_until_the_deadline() {
        let quick = Tasks::new();
        let token = quick.token().clone();
        quick.spawn("quick", async move { token.cancelled().await });
        assert!(quick.stop(Duration::from_secs(1)).await);

        let stuck = Tasks::new();
        stuck.spawn("stuck", std::future::pending());
        assert!(!stuck.stop(Duration::from_secs(1)).await);
    }
}
