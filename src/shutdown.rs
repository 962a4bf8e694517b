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
    /// The group that this one is a part of.
    whole: Option<Box<Tasks>>,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// A part that can be stopped alone; it stops with the whole, which waits for it.
    pub fn part(&self) -> Self {
        Self { tracker: TaskTracker::new(), token: self.token.child_token(), whole: Some(Box::new(self.clone())) }
    }

    /// Fires when the group is asked to stop.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// The one place that spawns. A panic ends the task, is logged, and stops the group with all it is a part of: nothing goes on half alive.
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (mut group, mut counted) = (self, Vec::new());
        while let Some(whole) = &group.whole {
            counted.push(group.tracker.token());
            group = whole;
        }
        let token = group.token.clone();
        group.tracker.spawn(async move {
            // Held until the task has ended: the groups above wait for it, too.
            let _counted = counted;
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
        tokio::time::timeout(deadline, self.ended()).await.is_ok()
    }

    /// Asks all to stop and returns when they have, however long that takes.
    pub async fn ended(&self) {
        self.token.cancel();
        self.tracker.close();
        self.tracker.wait().await;
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

    #[tokio::test(start_paused = true)]
    async fn a_part_stops_alone_and_with_the_whole() {
        let whole = Tasks::new();
        let (first, second) = (whole.part(), whole.part());
        for part in [&first, &second] {
            let token = part.token().clone();
            part.spawn("part", async move { token.cancelled().await });
        }
        first.ended().await;
        assert!(first.token().is_cancelled() && !second.token().is_cancelled() && !whole.token().is_cancelled());
        assert!(whole.stop(Duration::from_secs(1)).await && second.token().is_cancelled());

        let (whole, stuck) = (Tasks::new(), Tasks::new());
        whole.part().part().spawn("stuck", std::future::pending());
        assert!(!whole.stop(Duration::from_secs(1)).await, "the whole waits for its parts");
        stuck.part().spawn("panic", async { panic!("on purpose") });
        stuck.token().cancelled().await;
    }
}
