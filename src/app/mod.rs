//! The composition: the one place where backends are chosen and rooms are put together. Build, start, stop.
//!
//! Started against the road (sinks first, door last), stopped along it (door first), within one deadline.

mod gauges;
mod operations;
mod prepare;
mod sinks;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

pub use prepare::{Prepared, prepare};

use crate::api::{self, Access};
use crate::clock::Clock;
use crate::config::Config;
use crate::deliver::{Delivery, Explainer, Jiras, Supervisor};
use crate::jira::Jira;
use crate::queue::Queue;
use crate::queue::embedded::Embedded;
use crate::receive::{self, Door, Source, Verifier};
use crate::render;
use crate::shutdown::Tasks;
use crate::store::Store;
use crate::telemetry::Exporter;
use operations::Backstage;

/// The whole stop ends within this, so that an orchestrator need not kill.
pub const STOP_DEADLINE: Duration = Duration::from_secs(13);
/// What requests in hand get of it.
const DOOR_DEADLINE: Duration = Duration::from_secs(2);
/// What deliveries in hand get of it.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(6);
/// Each of queue, store and the rest.
const CLOSE_DEADLINE: Duration = Duration::from_millis(1_300);

/// The service at work.
pub struct Running {
    pub receiver: SocketAddr,
    pub admin: SocketAddr,
    store: Store,
    queue: Arc<dyn Queue>,
    supervisor: Arc<Supervisor>,
    door: Tasks,
    delivery: Tasks,
    base: Tasks,
}

/// Opens everything, takes every sink's place on the road, and opens the door last.
pub async fn start(prepared: Prepared, exporter: Exporter, stdout: Box<dyn std::io::Write + Send>) -> anyhow::Result<Running> {
    let Prepared { mut config, rules, names } = prepared;
    config.receiver = within_open_files(config.receiver);
    let (door, delivery, base) = (Tasks::new(), Tasks::new(), Tasks::new());
    let clock = Clock::system();
    private_directory(&config.data_dir).with_context(|| format!("the data directory `{}` cannot be made", config.data_dir.display()))?;
    let receiver = listen(config.receiver.listen, "receiver.listen")?;
    let admin = listen(config.admin.listen, "admin.listen")?;
    let access = access(&config)?;
    let queue: Arc<dyn Queue> =
        Arc::new(Embedded::open(&config.queue.embedded, &config.data_dir.join("queue")).context("the queue cannot be opened")?);
    let store = Store::open(&config.store, &config.data_dir, &base).await.context("the store cannot be opened")?;
    let jiras = Arc::new(jiras(&config)?);
    let routes = sinks::routes(&config, &rules, &names, &store, &jiras, &clock, stdout)?;
    let delivery_room = Delivery {
        queue: queue.clone(),
        store: store.clone(),
        jiras: jiras.clone(),
        settings: config.deliver.clone(),
        clock: clock.clone(),
        tasks: delivery.clone(),
    };
    let supervisor = Arc::new(Supervisor::start(&delivery_room, routes).await.context("the sinks cannot be started")?);
    let (receiver_address, admin_address) = (receiver.local_addr()?, admin.local_addr()?);
    let sources = config.connections.iter().map(|connection| Source {
        connection: connection.name.clone(),
        base_url: connection.url.clone(),
        verifier: Verifier::new(&connection.proof),
    });
    let opened = Door::new(sources.collect(), queue.clone(), clock.clone(), render::to_markdown, config.receiver.clone());
    let explainer = Explainer { store: store.clone(), queue: queue.clone(), supervisor: supervisor.clone() };
    let backstage = Arc::new(Backstage::new(config, rules, explainer, clock, exporter, jiras));
    door.spawn("gauges", gauges::keep(backstage.clone(), door.token().clone()));
    door.spawn("expiry", gauges::expire(backstage.clone(), door.token().clone()));
    let router = api::router(backstage, Arc::new(access));
    spawn_server(&door, "admin", |stop| api::serve(admin, router, stop, DOOR_DEADLINE));
    spawn_server(&door, "receiver", |stop| receive::serve(receiver, opened, stop, DOOR_DEADLINE));
    tracing::info!(receiver = %receiver_address, admin = %admin_address, "ready: webhooks on {receiver_address}, admin on {admin_address}");
    Ok(Running { receiver: receiver_address, admin: admin_address, store, queue, supervisor, door, delivery, base })
}

impl Running {
    /// Returns when something ended that should not have.
    pub async fn failed(&self) {
        tokio::select! {
            () = self.door.token().cancelled() => {}
            () = self.delivery.token().cancelled() => {}
            () = self.base.token().cancelled() => {}
        }
    }

    /// Along the road: the door, what is in hand, the cursors, the store. False: something did not end in time.
    pub async fn stop(self) -> bool {
        let door = self.door.stop(DOOR_DEADLINE + Duration::from_millis(500)).await;
        let delivery = self.delivery.stop(DELIVERY_DEADLINE).await;
        if delivery {
            self.supervisor.stopped().await;
        }
        let queue = self.queue.close(CLOSE_DEADLINE).await;
        if let Err(err) = &queue {
            tracing::warn!("the queue did not close in order: {err}");
        }
        self.store.close(CLOSE_DEADLINE).await;
        let base = self.base.stop(CLOSE_DEADLINE).await;
        door && delivery && base && queue.is_ok()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn queue(&self) -> &Arc<dyn Queue> {
        &self.queue
    }
}

/// Connections may take half of the files that the system lets us open, so that sinks, store and Jira always find one.
fn within_open_files(mut settings: receive::Settings) -> receive::Settings {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_ok();
    let open = if raised { limit.maximum } else { limit.current };
    let most = open.map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX)).max(16);
    if settings.connections_max > most {
        tracing::warn!(most, "`receiver.connections_max` is {} but only {most} fit the limit of open files", settings.connections_max);
        settings.connections_max = most;
    }
    settings
}

/// What it holds is for its owner: raw bodies, restricted issues, the admin token. One that is there keeps its mode.
fn private_directory(path: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

fn listen(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("`{setting}`: {address} cannot be listened on; is another service running there?"))
}

fn access(config: &Config) -> anyhow::Result<Access> {
    let tokens = if config.admin.tokens.is_empty() {
        vec![api::own_token(&config.data_dir).context("the admin token cannot be written into the data directory")?]
    } else {
        config.admin.tokens.clone()
    };
    Ok(Access::new(tokens, config.admin.listen, &config.admin.hosts))
}

fn jiras(config: &Config) -> anyhow::Result<Jiras> {
    let mut jiras = Jiras::new();
    for connection in &config.connections {
        if let Some(auth) = connection.auth.clone() {
            let jira = Jira::new(connection.name.clone(), connection.url.clone(), auth, connection.flavour, render::to_markdown);
            let jira = jira.with_context(|| format!("the connection `{}` cannot be used", connection.name))?;
            jiras.insert(connection.name.clone(), Arc::new(jira));
        }
    }
    Ok(jiras)
}

fn spawn_server<F>(tasks: &Tasks, name: &'static str, serve: impl FnOnce(CancellationToken) -> F)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let token = tasks.token().clone();
    let serving = serve(token.clone());
    tasks.spawn(name, async move {
        if let Err(err) = serving.await {
            tracing::error!("the {name} listener ended: {err}");
            token.cancel();
        }
    });
}
