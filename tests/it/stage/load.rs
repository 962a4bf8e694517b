//! Issues that are changed without a pause, by several senders at once; a body is sent until it is taken, as Jira does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ticketwire::shutdown::Tasks;
use tokio::time::MissedTickBehavior;

use super::{SECRET, Stage, Story, signature};

const SENDERS: u64 = 12;
const STEPS: u64 = 5;
/// A body every so often by each sender: a load under which the machine still has time for other tests.
const PACE: Duration = Duration::from_millis(12);

/// What was taken of one issue.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    pub ids: Vec<String>,
    pub summary: String,
}

pub struct Load {
    taken: Arc<Mutex<BTreeMap<u64, Taken>>>,
    tasks: Tasks,
}

impl Load {
    pub fn start(stage: &Arc<Stage>) -> Self {
        let (taken, tasks) = (Arc::new(Mutex::new(BTreeMap::new())), Tasks::new());
        for sender in 0..SENDERS {
            let (stage, taken, token) = (Arc::clone(stage), Arc::clone(&taken), tasks.token().clone());
            tasks.spawn("sender", async move {
                let mut pace = tokio::time::interval(PACE);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for number in (0_u64..).map(|round| round * SENDERS + sender) {
                    let mut story = Story::new(number, "OPS");
                    for step in 0..STEPS {
                        let body = if step == 0 { story.created() } else { story.renamed(&format!("step {step} of {number}")) };
                        let bytes = body.to_string().into_bytes();
                        let ids = loop {
                            if token.is_cancelled() {
                                return;
                            }
                            pace.tick().await;
                            if let Some(ids) = sent(&stage, &bytes, &format!("{number}-{step}")).await {
                                break ids;
                            }
                        };
                        let mut taken = lock(&taken);
                        let of_issue: &mut Taken = taken.entry(story.id).or_default();
                        of_issue.ids.extend(ids);
                        of_issue.summary.clone_from(&story.summary);
                    }
                }
            });
        }
        Self { taken, tasks }
    }

    pub fn count(&self) -> usize {
        lock(&self.taken).values().map(|taken| taken.ids.len()).sum()
    }

    /// Everything that was taken, by issue.
    pub async fn stop(self) -> BTreeMap<u64, Taken> {
        assert!(self.tasks.stop(Duration::from_secs(30)).await, "the senders do not stop");
        lock(&self.taken).clone()
    }
}

async fn sent(stage: &Stage, body: &[u8], identifier: &str) -> Option<Vec<String>> {
    let signature = signature(SECRET, body);
    let headers = [("X-Hub-Signature", signature.as_str()), ("X-Atlassian-Webhook-Identifier", identifier)];
    let answer = stage.try_post("/hooks/acme", body, &headers).await?;
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    (answer.status == 200).then_some(answer.ids)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
