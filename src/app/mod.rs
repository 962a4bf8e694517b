//! The composition: the one place where backends are chosen and rooms are put together. Build, start, stop.
//!
//! Started against the road (sinks first, listeners last), stopped along it (listeners first), within one deadline.

mod check;
mod events;
mod gauges;
mod instance;
mod letters;
mod names;
mod operations;
mod prepare;
mod rehearse;
mod reload;
mod replays;
mod revision;
mod road;
mod roles;
mod shadows;
mod share;
mod sinks;
mod sites;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

pub use check::{Finding, Level, Running as RunningService, check};
pub(crate) use names::unknown;
pub use prepare::{Prepared, prepare};
pub use rehearse::{recorded, rehearsal};
pub use reload::NotReloaded;
pub use road::renew;
pub use roles::Roles;

use reload::Live;
use revision::Revision;
use sinks::{Building, Output};

use crate::api::{self, AdminAuth};
use crate::clock::Clock;
use crate::config::Draft;
use crate::deliver::{Delivery, Supervisor};
use crate::queue::Queue;
use crate::receive::{self, Receiver, Tls};
use crate::render;
use crate::shutdown::Tasks;
use crate::store::Store;
use crate::telemetry::{self, Exporter};

/// The whole stop ends within this, so that an orchestrator need not kill.
pub const STOP_DEADLINE: Duration = Duration::from_secs(13);
/// What is left of traces gets so long after that: the collector may be away, and nobody waits for it.
pub const TRACES_DEADLINE: Duration = Duration::from_secs(1);
/// How long requests in hand may take of that time.
const LISTENERS_DEADLINE: Duration = Duration::from_secs(2);
/// How long deliveries in hand may take of that time.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(6);
/// How long each of queue, store and the rest may take to close.
const CLOSE_DEADLINE: Duration = Duration::from_millis(1_300);

/// The service at work, or that part of it which its roles name.
pub struct Running {
    /// None: this process takes no webhooks.
    pub receiver: Option<SocketAddr>,
    pub admin: SocketAddr,
    queue: Arc<dyn Queue>,
    live: Live,
    inside: Option<Inside>,
    listeners: Tasks,
    delivery: Tasks,
    base: Tasks,
}

/// What lies behind the road. A process that only receives has none of it, and needs no store.
struct Inside {
    store: Store,
    supervisor: Arc<Supervisor>,
    /// What sinks are begun with.
    delivery: Delivery,
}

/// What runs, in the order in which it stops.
#[derive(Clone, Default)]
struct Groups {
    listeners: Tasks,
    delivery: Tasks,
    base: Tasks,
}

/// Opens everything, takes every sink's place on the road, and listens last.
pub async fn start(
    prepared: Prepared,
    roles: Roles,
    exporter: Exporter,
    stdout: Box<dyn std::io::Write + Send>,
) -> anyhow::Result<Running> {
    begin(Groups::default(), prepared, roles, exporter, stdout).await
}

/// As `start`, but given up when `stop` completes, because a broker or a database may hold up a start for long. `None`: it was given up,
/// and all that had begun has ended.
pub async fn start_unless(
    stop: impl Future<Output = ()>,
    prepared: Prepared,
    roles: Roles,
    exporter: Exporter,
    stdout: Box<dyn std::io::Write + Send>,
) -> anyhow::Result<Option<Running>> {
    let groups = Groups::default();
    tokio::select! {
        running = begin(groups.clone(), prepared, roles, exporter, stdout) => return running.map(Some),
        () = stop => {}
    }
    groups.listeners.stop(LISTENERS_DEADLINE).await;
    groups.delivery.stop(DELIVERY_DEADLINE).await;
    groups.base.stop(CLOSE_DEADLINE).await;
    Ok(None)
}

async fn begin(
    groups: Groups,
    prepared: Prepared,
    roles: Roles,
    exporter: Exporter,
    stdout: Box<dyn std::io::Write + Send>,
) -> anyhow::Result<Running> {
    let Prepared { mut config, rules, names } = prepared;
    config.receiver = within_open_files(config.receiver);
    let Groups { listeners, delivery, base } = groups;
    let clock = Clock::system();
    private_directory(&config.data_dir).with_context(|| format!("the data directory `{}` cannot be made", config.data_dir.display()))?;
    let instance = instance::name(config.queue.instance(), &config.data_dir)
        .context("the name of this process cannot be kept in the data directory")?;
    let receiver = if roles.receiver { Some(listen(config.receiver.listen, "receiver.listen")?) } else { None };
    let admin = listen(config.admin.listen, "admin.listen")?;
    let tls = config.receiver.tls.as_ref().map(Tls::load).transpose().context("`receiver.tls`")?;
    let auth = Arc::new(AdminAuth::new(revision::tokens(&config)?, config.admin.listen, &config.admin.hosts));
    let store = match roles.need_store() {
        true => Some(Store::open(&config.store, &config.data_dir, &base).await.context("the store cannot be opened")?),
        false => None,
    };
    if let Some(store) = &store {
        sites::remember(&config.connections, store, clock.now()).await?;
    }
    let jiras = revision::jiras(&config, None)?;
    let first = Arc::new(Revision { config, rules, names, jiras });
    let config = &first.config;
    let (revision, present) = watch::channel(first.clone());
    let share = share::begin(config, roles, &instance, store.as_ref(), &present, &clock, &delivery).await?;
    let queue = road::open(config, roles, share, &base).await.context("the queue cannot be opened")?;
    if let Some(store) = store.as_ref().filter(|_| roles.worker) {
        road::enter(config, queue.as_ref(), store, clock.now()).await.context("what waits in the store cannot be brought to this queue")?;
    }
    let output = Output::new(stdout);
    let inside = match store {
        Some(store) => {
            let delivery = Delivery {
                queue: queue.clone(),
                store: store.clone(),
                jiras: first.jiras.clone(),
                settings: config.deliver.clone(),
                clock: clock.clone(),
                tasks: delivery.clone(),
                instance,
            };
            let routes = Building { revision: &first, store: &store, clock: &clock, output: &output, before: None }.routes()?;
            let started =
                if roles.worker { Supervisor::start(&delivery, routes).await } else { Supervisor::watch(&delivery, routes).await };
            let supervisor = Arc::new(started.context("the sinks cannot be started")?);
            Some(Inside { store, supervisor, delivery })
        }
        None => None,
    };
    let opened = Receiver::new(revision::sources(config), queue.clone(), clock.clone(), render::to_markdown, config.receiver.clone());
    let operations = operations::behind(present, roles, &queue, inside.as_ref(), clock.clone(), exporter, &listeners);
    let router = api::router(operations, auth.clone());
    let receiver_address = receiver.as_ref().map(TcpListener::local_addr).transpose()?;
    let admin_address = admin.local_addr()?;
    spawn_server(&listeners, "admin", |stop| api::serve(admin, router, stop, LISTENERS_DEADLINE));
    if let Some(receiver) = receiver {
        let (serving, tls) = (opened.clone(), tls.clone());
        spawn_server(&listeners, "receiver", |stop| receive::serve(receiver, serving, tls, stop, LISTENERS_DEADLINE));
    }
    telemetry::config_reload(true);
    let webhooks = receiver_address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
    tracing::info!(%roles, receiver = %webhooks, admin = %admin_address, "ready: webhooks on {webhooks}, admin on {admin_address}");
    let live = Live { revision, receiver: opened, tls, auth, queue: queue.clone(), roles, clock, output, refused: Mutex::new(false) };
    Ok(Running { receiver: receiver_address, admin: admin_address, queue, live, inside, listeners, delivery, base })
}

impl Running {
    /// Takes up another configuration, or tells why the one of before stays at work. May be given up at any moment: then that stays too.
    pub async fn reload(&self, draft: Draft) -> Result<(), NotReloaded> {
        self.live.reload(draft, self.inside.as_ref()).await
    }

    /// The level of logs in the configuration at work.
    pub fn log_level(&self) -> Option<String> {
        self.live.revision.borrow().config.log.level.clone()
    }

    /// What the configuration at work was read from.
    pub fn watched(&self) -> Vec<PathBuf> {
        self.live.revision.borrow().config.watched.clone()
    }

    /// Returns when something ended that should not have.
    pub async fn failed(&self) {
        tokio::select! {
            () = self.listeners.token().cancelled() => {}
            () = self.delivery.token().cancelled() => {}
            () = self.base.token().cancelled() => {}
        }
    }

    /// Along the road: the listeners, what is in hand, the cursors, the store. False: something did not end in time.
    pub async fn stop(self) -> bool {
        let listeners = self.listeners.stop(LISTENERS_DEADLINE + Duration::from_millis(500)).await;
        let delivery = self.delivery.stop(DELIVERY_DEADLINE).await;
        if let Some(inside) = self.inside.as_ref().filter(|_| delivery) {
            inside.supervisor.stopped().await;
        }
        let queue = self.queue.close(CLOSE_DEADLINE).await;
        if let Err(err) = &queue {
            tracing::warn!("the queue did not close in order: {err}");
        }
        if let Some(inside) = &self.inside {
            inside.store.close(CLOSE_DEADLINE).await;
        }
        let base = self.base.stop(CLOSE_DEADLINE).await;
        listeners && delivery && base && queue.is_ok()
    }

    /// None: this process only receives.
    pub fn store(&self) -> Option<&Store> {
        self.inside.as_ref().map(|inside| &inside.store)
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
