//! Delivers bodies as Jira does: signed, several at a time, one issue's in order; Cloud tries up to six times, Data Center once.
//!
//! A delivery that waits for its next try does not hold up its issue: as with Jira, later ones overtake it. Faults come from `Faults`.

mod rule;

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::StatusCode;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::setting::Secret;
use crate::shutdown::Tasks;

use self::rule::{RETRIES_MAX, event_ids, is_retried, login_query, retry_wait, signature};
use super::body::{Body, Flow};
use super::settings::{Delivery, Faults, Flavour, Settings};

/// What was sent so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Different bodies that were answered 200 or 204.
    pub bodies: u64,
    /// Events that the bodies sent stand for: different happenings. A repeat, a second webhook's copy and a Data Center's twin add none.
    pub events: u64,
    /// Distinct ids from the answers' `event_ids`.
    pub event_ids: BTreeSet<String>,
    /// Bodies that were refused, or not taken by the last try.
    pub given_up: u64,
    /// Bodies that the faults swallowed; they are in no other number.
    pub dropped: u64,
}

/// A hand-over to one worker waits when this many are before it.
const WAITING_MAX: usize = 64;
/// Deliveries that wait for their next try; above it Jira would be in trouble, and we give up.
const RETRYING_MAX: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Sender {
    shared: Arc<Shared>,
    lanes: Arc<[mpsc::Sender<Post>]>,
}

struct Shared {
    flavour: Flavour,
    client: reqwest::Client,
    target: Mutex<Option<String>>,
    secret: Secret,
    delivery: Delivery,
    faults: Faults,
    luck: Mutex<Luck>,
    sent: Mutex<Sent>,
    /// Hand-overs not yet at their end; `drained` waits for none.
    open: watch::Sender<u64>,
    retrying: Arc<Semaphore>,
    /// Bodies that wait for the next one of their lane to overtake them.
    held: Mutex<HashMap<String, Post>>,
    tasks: Tasks,
}

struct Luck {
    rng: StdRng,
    identifier: u64,
}

#[derive(Clone)]
struct Post {
    lane: String,
    flow: Flow,
    body: Bytes,
    signature: String,
    identifier: String,
    /// Once more after it was answered.
    repeat: bool,
    /// The copy for the second webhook.
    is_copy: bool,
    /// Stands for a happening that no other post stands for.
    counts: bool,
    /// What Data Center appends to the URL: who did it.
    query: Vec<(&'static str, String)>,
}

enum Verdict {
    Taken,
    Refused,
    Again,
}

impl Sender {
    pub fn new(settings: &Settings, tasks: &Tasks) -> std::io::Result<Self> {
        let client = reqwest::Client::builder()
            .user_agent(match settings.flavour {
                Flavour::Cloud => "Atlassian Webhook HTTP Client",
                Flavour::Datacenter => "Atlassian HttpClient 3.0.4 / JIRA-10.3.5 (10030005) / Default",
            })
            .redirect(reqwest::redirect::Policy::none())
            .timeout(settings.delivery.time_out)
            .no_proxy()
            .build()
            .map_err(std::io::Error::other)?;
        let mut rng = StdRng::seed_from_u64(settings.seed ^ 0x5eed);
        let identifier = rng.random_range(10_000_000_000_000_000..90_000_000_000_000_000);
        let shared = Arc::new(Shared {
            flavour: settings.flavour,
            client,
            target: Mutex::default(),
            secret: settings.webhook_secret.clone(),
            delivery: settings.delivery,
            faults: settings.faults,
            luck: Mutex::new(Luck { rng, identifier }),
            sent: Mutex::default(),
            open: watch::Sender::new(0),
            retrying: Arc::new(Semaphore::new(RETRYING_MAX)),
            held: Mutex::default(),
            tasks: tasks.clone(),
        });
        let lanes = (0..settings.delivery.in_flight.max(1)).map(|_| worker(&shared)).collect();
        Ok(Self { shared, lanes })
    }

    pub fn target(&self, url: String) {
        *lock(&self.shared.target) = Some(url);
    }

    pub fn sent(&self) -> Sent {
        lock(&self.shared.sent).clone()
    }

    /// Counts as open until the guard is dropped, so that whoever is about to send is waited for.
    pub fn begin(&self) -> Open {
        Open::new(&self.shared)
    }

    /// Hands a body over; waits while its lane is full. Without a target nothing is sent, as on a site without a webhook.
    pub async fn send(&self, body: &Body) {
        if lock(&self.shared.target).is_none() {
            return;
        }
        let _open = self.begin();
        let Some(fate) = self.shared.fate(body) else { return };
        let overtaken = lock(&self.shared.held).remove(&body.lane);
        let posts = [Some(fate.post), fate.copy];
        if fate.reorder {
            let [Some(post), copy] = posts else { return };
            // The place among the held stays open: `drained` lets them go first.
            lock(&self.shared.held).insert(body.lane.clone(), post);
            self.shared.open.send_modify(|open| *open += 1);
            self.queue(copy, None).await;
        } else {
            for post in posts {
                self.queue(post, fate.delay).await;
            }
        }
        self.release(overtaken).await;
    }

    /// Waits until nothing is open. False: something still was at the limit.
    pub async fn drained(&self, limit: Duration) -> bool {
        let drained = async {
            let mut open = self.shared.open.subscribe();
            // First all but the held ones, since whoever still sends may add to them.
            let held = |open: &u64| *open <= lock(&self.shared.held).len() as u64;
            open.wait_for(held).await.ok();
            let held: Vec<Post> = lock(&self.shared.held).drain().map(|(_, post)| post).collect();
            for post in held {
                self.release(Some(post)).await;
            }
            open.wait_for(|open| *open == 0).await.ok();
        };
        tokio::time::timeout(limit, drained).await.is_ok()
    }

    async fn release(&self, held: Option<Post>) {
        if held.is_some() {
            self.queue(held, None).await;
            self.shared.open.send_modify(|open| *open -= 1);
        }
    }

    async fn queue(&self, post: Option<Post>, delay: Option<Duration>) {
        let Some(post) = post else { return };
        self.shared.open.send_modify(|open| *open += 1);
        let mut hasher = DefaultHasher::new();
        post.lane.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % self.lanes.len() as u64).unwrap_or(0);
        let Some(lane) = self.lanes.get(at).cloned() else { return };
        let Some(delay) = delay else {
            // Closed only when the simulation stops, and then nobody counts any more.
            lane.send(post).await.ok();
            return;
        };
        let token = self.shared.tasks.token().clone();
        self.shared.tasks.spawn("simulated delay", async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = tokio::time::sleep(delay) => drop(lane.send(post).await),
            }
        });
    }
}

/// One of those who send: takes its lanes' posts one after the other.
fn worker(shared: &Arc<Shared>) -> mpsc::Sender<Post> {
    let (lane, mut posts) = mpsc::channel(WAITING_MAX);
    let (shared, tasks) = (Arc::clone(shared), shared.tasks.clone());
    let token = tasks.token().clone();
    tasks.spawn("simulated deliveries", async move {
        let work = async {
            while let Some(post) = posts.recv().await {
                shared.first(post).await;
            }
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = work => {}
        }
    });
    lane
}

struct Fate {
    post: Post,
    copy: Option<Post>,
    delay: Option<Duration>,
    reorder: bool,
}

impl Shared {
    /// What becomes of a body; none: it is dropped.
    fn fate(&self, body: &Body) -> Option<Fate> {
        let (faults, mut luck) = (&self.faults, lock(&self.luck));
        if luck.strikes(faults.drop) {
            lock(&self.sent).dropped += 1;
            return None;
        }
        let bytes = Bytes::from(body.json.to_string());
        let post = Post {
            lane: body.lane.clone(),
            flow: body.flow,
            signature: signature(&self.secret, &bytes),
            body: bytes,
            identifier: luck.identifier(),
            repeat: luck.strikes(faults.repeat) && self.flavour == Flavour::Cloud,
            is_copy: false,
            counts: !body.is_twin,
            query: if self.flavour == Flavour::Datacenter { login_query(&body.json) } else { Vec::new() },
        };
        let copy = (body.has_copy() && luck.strikes(faults.second_webhook)).then(|| Post {
            identifier: luck.identifier(),
            repeat: false,
            is_copy: true,
            counts: false,
            ..post.clone()
        });
        let delay = luck.strikes(faults.delay).then(|| faults.delay_most.mul_f64(luck.rng.random_range(0.0..1.0)));
        let reorder = luck.strikes(faults.reorder);
        Some(Fate { post, copy, delay, reorder })
    }

    async fn first(self: &Arc<Self>, post: Post) {
        if post.counts {
            lock(&self.sent).events += 1;
        }
        match self.attempt(&post, 0).await {
            Verdict::Taken => {
                self.taken(&post);
                if post.repeat {
                    self.attempt(&post, 1).await;
                }
            }
            Verdict::Refused => self.give_up(&post),
            Verdict::Again => return self.retry_later(post),
        }
        self.close();
    }

    fn retry_later(self: &Arc<Self>, post: Post) {
        let Ok(place) = Arc::clone(&self.retrying).try_acquire_owned() else {
            self.give_up(&post);
            return self.close();
        };
        let (shared, token) = (Arc::clone(self), self.tasks.token().clone());
        self.tasks.spawn("simulated retries", async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = shared.retries(&post) => shared.close(),
            }
            drop(place);
        });
    }

    async fn retries(&self, post: &Post) {
        for retry in 1..=RETRIES_MAX {
            let wait = retry_wait(&mut lock(&self.luck).rng, self.delivery.retry_scale);
            tokio::time::sleep(wait).await;
            match self.attempt(post, retry).await {
                Verdict::Taken => return self.taken(post),
                Verdict::Refused => break,
                Verdict::Again => {}
            }
        }
        self.give_up(post);
    }

    async fn attempt(&self, post: &Post, retry: u32) -> Verdict {
        let Some(target) = lock(&self.target).clone() else { return Verdict::Refused };
        let request = self.client.post(target).header("Content-Type", "application/json; charset=UTF-8").body(post.body.clone());
        let mut request = match self.flavour {
            Flavour::Cloud => {
                request.header("X-Atlassian-Webhook-Identifier", &post.identifier).header("X-Atlassian-Webhook-Flow", post.flow.as_str())
            }
            Flavour::Datacenter => request.query(&post.query),
        };
        if !self.secret.is_empty() {
            request = request.header("X-Hub-Signature", &post.signature);
        }
        if retry > 0 {
            request = request.header("X-Atlassian-Webhook-Retry", retry.to_string());
        }
        let again = match self.flavour {
            Flavour::Cloud => Verdict::Again,
            Flavour::Datacenter => Verdict::Refused,
        };
        let Ok(answer) = request.send().await else { return again };
        let status = answer.status();
        if matches!(status, StatusCode::OK | StatusCode::NO_CONTENT) {
            let ids = event_ids(answer).await;
            lock(&self.sent).event_ids.extend(ids);
            return Verdict::Taken;
        }
        if is_retried(status) { again } else { Verdict::Refused }
    }

    fn taken(&self, post: &Post) {
        lock(&self.sent).bodies += u64::from(!post.is_copy);
    }

    fn give_up(&self, post: &Post) {
        tracing::warn!("the simulated Jira gives up a webhook that the receiver did not take");
        lock(&self.sent).given_up += u64::from(!post.is_copy);
    }

    fn close(&self) {
        self.open.send_modify(|open| *open -= 1);
    }
}

impl Luck {
    fn strikes(&mut self, share: f64) -> bool {
        self.rng.random_bool(share.clamp(0.0, 1.0))
    }

    /// Seventeen digits: beyond what a double holds, as Jira's are.
    fn identifier(&mut self) -> String {
        self.identifier += self.rng.random_range(1..1_000);
        self.identifier.to_string()
    }
}

/// Something under way that `drained` waits for.
pub(crate) struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.send_modify(|open| *open += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
