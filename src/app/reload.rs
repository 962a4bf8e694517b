//! Another configuration for a running service: what changed stops and starts, all else works on.
//!
//! First everything that can fail, which changes nothing and may be given up at any moment; then the change, in one go. What cannot
//! change live is refused by name, and with it the whole reload: the service runs by one configuration, never by parts of two.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::prepare::{Prepared, prepare};
use super::revision::{self, Revision};
use super::sinks::{self, Output};
use super::{Inside, Roles, road, sites};
use crate::api::AdminAuth;
use crate::clock::Clock;
use crate::config::{Changes, Config, Draft, Problems};
use crate::deliver::{Change, Delivery, Reserved};
use crate::queue::Queue;
use crate::receive::{Receiver, Tls};
use crate::telemetry;

/// Why the previous configuration stays active.
#[derive(Debug, thiserror::Error)]
pub enum NotReloaded {
    /// The configuration has mistakes and must be corrected.
    #[error("{0}")]
    Problems(#[from] Problems),
    /// These settings cannot change while the service runs.
    #[error("{} cannot change while the service runs: restart it, or take the change back", .0.join(", "))]
    Fixed(Vec<String>),
    /// Something failed that may succeed at another try.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// What a reload exchanges.
pub(super) struct Live {
    pub(super) revision: watch::Sender<Arc<Revision>>,
    pub(super) receiver: Receiver,
    pub(super) tls: Option<Tls>,
    pub(super) auth: Arc<AdminAuth>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) roles: Roles,
    pub(super) clock: Clock,
    pub(super) output: Output,
    /// Whether the last reload was refused. Held during a reload, so that there is one at a time.
    pub(super) refused: Mutex<bool>,
}

impl Live {
    pub(super) async fn reload(&self, draft: Draft, inside: Option<&Inside>) -> Result<(), NotReloaded> {
        let mut refused = self.refused.lock().await;
        let reloaded = self.take_up(draft, inside, *refused).await;
        *refused = reloaded.is_err();
        telemetry::config_reload(reloaded.is_ok());
        match &reloaded {
            Ok(()) => {}
            Err(NotReloaded::Problems(problems)) => {
                for problem in problems.findings() {
                    tracing::error!(hint = problem.hint, "{}: {}", problem.place, problem.message);
                }
                tracing::error!("{} and is rejected; the previous configuration stays active", problems.summary());
            }
            Err(err) => tracing::error!("the configuration is rejected; the previous configuration stays active: {err}"),
        }
        reloaded
    }

    async fn take_up(&self, draft: Draft, inside: Option<&Inside>, was_refused: bool) -> Result<(), NotReloaded> {
        let before = self.revision.borrow().clone();
        let Prepared { config, rules, names } = prepare(draft)?;
        let changes = before.config.changes(&config);
        if changes.are_none() {
            self.renew_certificate()?;
            let told = if was_refused { "the file is good again; nothing else changed" } else { "nothing changed in the configuration" };
            tracing::info!(config = config.hash(), "{told}");
            return Ok(());
        }
        if !changes.fixed().is_empty() {
            return Err(NotReloaded::Fixed(changes.fixed().to_vec()));
        }
        let jiras = revision::jiras(&config, Some((&before.jiras, &changes)))?;
        let tokens = revision::tokens(&config)?;
        let next = Arc::new(Revision { config, rules, names, jiras });
        let mut plan = (Vec::new(), Reserved::default());
        if let Some(inside) = inside {
            sites::remember(&next.config.connections, &inside.store, self.clock.now()).await?;
            next.rules.refresh(&inside.store).await.map_err(anyhow::Error::from)?;
            plan.0 = self.plan(&before, &next, &changes, inside)?;
            plan.1 = inside.supervisor.reserve(&inside.delivery, &plan.0).await.map_err(anyhow::Error::from)?;
        } else if self.roles.receiver {
            road::reserve_all(self.queue.as_ref(), &next.config).await.map_err(anyhow::Error::from)?;
        }
        self.renew_certificate()?;
        // From here on nothing fails and nobody waits.
        self.receiver.exchange(revision::sources(&next.config), &next.config.receiver);
        self.auth.replace(tokens, &next.config.admin.hosts);
        if let Some(inside) = inside {
            let delivery = Delivery { jiras: next.jiras.clone(), settings: next.config.deliver.clone(), ..inside.delivery.clone() };
            inside.supervisor.change(&delivery, plan.0, plan.1);
        }
        tell(&before.config, &next.config, &changes);
        self.revision.send_replace(next);
        Ok(())
    }

    /// The certificate may have changed although the names of its files have not.
    fn renew_certificate(&self) -> Result<(), NotReloaded> {
        self.tls.as_ref().map_or(Ok(()), Tls::renew).map_err(|err| NotReloaded::Failed(err.into()))
    }

    /// What becomes of each sink; those that are built anew are built now.
    fn plan(&self, before: &Revision, next: &Revision, changes: &Changes, inside: &Inside) -> anyhow::Result<Vec<Change>> {
        let building = sinks::Building {
            revision: next,
            store: &inside.store,
            clock: &self.clock,
            output: &self.output,
            before: Some(&before.config),
        };
        let all_begin_anew = changes.concern_jira() || changes.concern_delivery();
        let mut plan = Vec::new();
        for sink in &next.config.sinks {
            // The ticket store asks Jira by itself.
            let is_another = changes.concern_sink(&sink.name) || (changes.concern_jira() && sinks::asks_jira(sink));
            let running = inside.supervisor.built(&sink.name).filter(|_| !is_another);
            plan.push(match running {
                Some(_) if !all_begin_anew && !changes.concern_rules_of(&sink.name) => Change::Keep(sink.name.clone()),
                Some(running) => Change::Renew(building.route(sink, running)),
                None => Change::Renew(building.route(sink, building.sink(sink)?)),
            });
        }
        Ok(plan)
    }
}

fn tell(before: &Config, next: &Config, changes: &Changes) {
    for warning in &next.warnings {
        tracing::warn!("{}: {}", warning.place, warning.message);
    }
    for gone in before.sinks.iter().filter(|sink| !next.sinks.iter().any(|kept| kept.name == sink.name)) {
        tracing::warn!(sink = %gone.name, "sink `{}` is not configured any more and stops; its place on the queue stays, for when it comes back", gone.name);
    }
    let changed: Vec<&str> = changes.sections().into_iter().map(|section| section.trim_matches('`')).collect();
    tracing::info!(config = next.hash(), "the configuration is reloaded: {}", changed.join(" "));
}
