//! A believable Jira site, Cloud or Data Center, and a small Slack, both in this process: for the demo, the tests and the benches.
//!
//! Invented people work on invented issues; webhooks are signed and delivered as Jira does, and REST answers what they did.
//! It uses nothing of ours but the lowest layer, so that it cannot share what we misunderstand of Jira.

mod act;
mod adf;
mod body;
mod catalogue;
mod change;
mod deliver;
mod people;
mod rest;
mod settings;
mod shape;
mod site;
mod slack;
mod twin;
mod words;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::shutdown::Tasks;

pub use act::{Act, Deed};
pub use body::{Body, Flow};
pub use deliver::Sent;
pub use settings::{Account, Delivery, Faults, Flavour, Settings};
pub use site::Site;
pub use slack::{Slack, SlackMessage};

/// Lines about actions that a slow listener may lag behind.
const ACTIONS_LAG_MAX: usize = 1_024;

/// A running simulation; it stops with the tasks it was started on. Clones are handles of the same.
#[derive(Clone)]
pub struct Simulation {
    site: Arc<Mutex<Site>>,
    settings: Arc<Settings>,
    sender: deliver::Sender,
    slack: Slack,
    jira_url: String,
    slack_url: String,
    actions: broadcast::Sender<String>,
    people: Arc<Mutex<CancellationToken>>,
    tasks: Tasks,
}

impl Simulation {
    /// Opens the listeners of the settings and serves Jira's REST API and Slack's Web API. People rest until `people_work`.
    pub async fn start(settings: Settings, tasks: &Tasks) -> std::io::Result<Self> {
        let jira = TcpListener::bind(settings.jira_listen).await?;
        let slack_listener = TcpListener::bind(settings.slack_listen).await?;
        let jira_url = format!("http://{}", jira.local_addr()?);
        let slack_url = format!("http://{}", slack_listener.local_addr()?);
        let site = Arc::new(Mutex::new(Site::new(jira_url.clone(), settings.flavour, settings.seed, settings.clock.clone())));
        let settings = Arc::new(settings);
        let rest = rest::Rest::new(Arc::clone(&site), Arc::clone(&settings));
        let slack = Slack::new(settings.slack_token.clone(), settings.clock.clone());
        serve(tasks, "simulated Jira", jira, rest.router());
        serve(tasks, "simulated Slack", slack_listener, slack.router());
        Ok(Self {
            sender: deliver::Sender::new(&settings, tasks)?,
            site,
            settings,
            slack,
            jira_url,
            slack_url,
            actions: broadcast::Sender::new(ACTIONS_LAG_MAX),
            people: Arc::default(),
            tasks: tasks.clone(),
        })
    }

    pub fn jira_url(&self) -> String {
        self.jira_url.clone()
    }

    /// The base of Slack: its `api_url` is this and `/api`.
    pub fn slack_url(&self) -> String {
        self.slack_url.clone()
    }

    pub fn flavour(&self) -> Flavour {
        self.settings.flavour
    }

    pub fn email(&self) -> &str {
        &self.settings.account.email
    }

    /// On Data Center a personal access token.
    pub fn api_token(&self) -> &str {
        self.settings.account.api_token.expose()
    }

    /// The account's login name on Data Center.
    pub fn username(&self) -> &'static str {
        people::WIRE.login
    }

    /// Of that login name.
    pub fn password(&self) -> &str {
        self.settings.account.password.expose()
    }

    pub fn webhook_secret(&self) -> &str {
        self.settings.webhook_secret.expose()
    }

    pub fn slack_token(&self) -> &str {
        self.settings.slack_token.expose()
    }

    /// Points the webhook at a receiver. Until then the site has none, and what happens is not sent.
    pub fn webhook_to(&self, url: String) {
        self.sender.target(url);
    }

    /// People begin to work, `pace` actions per second, the first at once.
    pub fn people_work(&self, pace: f64) {
        let token = self.tasks.token().child_token();
        std::mem::replace(&mut *lock(&self.people), token.clone()).cancel();
        let (this, open) = (self.clone(), self.sender.begin());
        self.tasks.spawn("simulated people", async move {
            let _open = open;
            let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / pace.clamp(0.001, 100_000.0)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                tokio::select! {
                    biased;
                    () = token.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                this.act().await;
            }
        });
    }

    /// One action, now: what was done, after its bodies were handed over for delivery.
    pub async fn act(&self) -> Act {
        let act = lock(&self.site).act();
        self.tell(act).await
    }

    /// The same for one action that is wanted.
    pub async fn perform(&self, key: &str, deed: Deed<'_>) -> Act {
        let act = lock(&self.site).perform(key, deed);
        self.tell(act).await
    }

    async fn tell(&self, act: Act) -> Act {
        // Nobody may be listening.
        self.actions.send(act.line.clone()).ok();
        for body in &act.bodies {
            self.sender.send(body).await;
        }
        act
    }

    /// People stop, and what they caused is delivered or given up, at most until the limit. Then the counts since the start.
    pub async fn people_stop_and_drain(&self, limit: Duration) -> Sent {
        lock(&self.people).cancel();
        if !self.sender.drained(limit).await {
            tracing::warn!("the simulated Jira still had webhooks to deliver at the limit of {limit:?}");
        }
        self.sender.sent()
    }

    pub fn sent(&self) -> Sent {
        self.sender.sent()
    }

    /// Messages that Slack takes from now on.
    pub fn slack_messages(&self) -> broadcast::Receiver<SlackMessage> {
        self.slack.listen()
    }

    pub fn slack(&self) -> &Slack {
        &self.slack
    }

    /// One line per action from now on, as in `Mira Falk moved DOCS-4 to On Hold`.
    pub fn actions(&self) -> broadcast::Receiver<String> {
        self.actions.subscribe()
    }
}

fn serve(tasks: &Tasks, name: &'static str, listener: TcpListener, router: axum::Router) {
    let token = tasks.token().clone();
    tasks.spawn(name, async move {
        if let Err(err) = axum::serve(listener, router).with_graceful_shutdown(token.cancelled_owned()).await {
            tracing::error!("the {name} stopped: {err}");
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
