//! The composition: the one place where backends are chosen and rooms are put together. Build, start, stop.
//!
//! Started against the road (sinks first, door last), stopped along it (door first), within one deadline.

mod gauges;
mod instance;
mod operations;
mod prepare;
mod road;
mod roles;
mod share;
mod sinks;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

pub use prepare::{Prepared, prepare};
pub use roles::Roles;

use crate::api::{self, Access};
use crate::clock::Clock;
use crate::config::Config;
use crate::deliver::{Delivery, Jiras, Supervisor};
use crate::jira::Jira;
use crate::queue::Queue;
use crate::receive::{self, Door, Source, Verifier};
use crate::render;
use crate::shutdown::Tasks;
use crate::store::Store;
use crate::telemetry::Exporter;

/// The whole stop ends within this, so that an orchestrator need not kill.
pub const STOP_DEADLINE: Duration = Duration::from_secs(13);
/// What requests in hand get of it.
const DOOR_DEADLINE: Duration = Duration::from_secs(2);
/// What deliveries in hand get of it.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(6);
/// Each of queue, store and the rest.
const CLOSE_DEADLINE: Duration = Duration::from_millis(1_300);

/// The service at work, or that part of it which its roles name.
pub struct Running {
    /// None: this process takes no webhooks.
    pub receiver: Option<SocketAddr>,
    pub admin: SocketAddr,
    queue: Arc<dyn Queue>,
    inside: Option<Inside>,
    door: Tasks,
    delivery: Tasks,
    base: Tasks,
}

/// What lies behind the road. A process that only receives has none of it, and needs no store.
struct Inside {
    store: Store,
    supervisor: Arc<Supervisor>,
}

/// Opens everything, takes every sink's place on the road, and opens the door last.
pub async fn start(
    prepared: Prepared,
    roles: Roles,
    exporter: Exporter,
    stdout: Box<dyn std::io::Write + Send>,
) -> anyhow::Result<Running> {
    let Prepared { mut config, rules, names } = prepared;
    config.receiver = within_open_files(config.receiver);
    let (door, delivery, base) = (Tasks::new(), Tasks::new(), Tasks::new());
    let clock = Clock::system();
    private_directory(&config.data_dir).with_context(|| format!("the data directory `{}` cannot be made", config.data_dir.display()))?;
    let instance = instance::name(config.queue.instance(), &config.data_dir)
        .context("the name of this process cannot be kept in the data directory")?;
    let receiver = if roles.receiver { Some(listen(config.receiver.listen, "receiver.listen")?) } else { None };
    let admin = listen(config.admin.listen, "admin.listen")?;
    let access = access(&config)?;
    let store = match roles.need_store() {
        true => Some(Store::open(&config.store, &config.data_dir, &base).await.context("the store cannot be opened")?),
        false => None,
    };
    let jiras = Arc::new(jiras(&config)?);
    let share = share::begin(&config, roles, &instance, store.as_ref(), &jiras, &clock, &delivery).await?;
    let queue = road::open(&config, roles, share, &base).await.context("the queue cannot be opened")?;
    let supervisor = match &store {
        Some(store) => {
            let room = Delivery {
                queue: queue.clone(),
                store: store.clone(),
                jiras: jiras.clone(),
                settings: config.deliver.clone(),
                clock: clock.clone(),
                tasks: delivery.clone(),
                instance,
            };
            let routes = sinks::routes(&config, &rules, &names, store, &jiras, &clock, stdout)?;
            let started = if roles.worker { Supervisor::start(&room, routes).await } else { Supervisor::watch(&room, routes).await };
            Some(Arc::new(started.context("the sinks cannot be started")?))
        }
        None => None,
    };
    let inside = store.zip(supervisor).map(|(store, supervisor)| Inside { store, supervisor });
    let opened = Door::new(sources(&config), queue.clone(), clock.clone(), render::to_markdown, config.receiver.clone());
    let operations = operations::behind(config, roles, rules, &queue, inside.as_ref(), clock, exporter, jiras, &door);
    let router = api::router(operations, Arc::new(access));
    let receiver_address = receiver.as_ref().map(TcpListener::local_addr).transpose()?;
    let admin_address = admin.local_addr()?;
    spawn_server(&door, "admin", |stop| api::serve(admin, router, stop, DOOR_DEADLINE));
    if let Some(receiver) = receiver {
        spawn_server(&door, "receiver", |stop| receive::serve(receiver, opened, stop, DOOR_DEADLINE));
    }
    let webhooks = receiver_address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
    tracing::info!(%roles, receiver = %webhooks, admin = %admin_address, "ready: webhooks on {webhooks}, admin on {admin_address}");
    Ok(Running { receiver: receiver_address, admin: admin_address, queue, inside, door, delivery, base })
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
        door && delivery && base && queue.is_ok()
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

fn access(config: &Config) -> anyhow::Result<Access> {
    let tokens = if config.admin.tokens.is_empty() {
        vec![api::own_token(&config.data_dir).context("the admin token cannot be written into the data directory")?]
    } else {
        config.admin.tokens.clone()
    };
    Ok(Access::new(tokens, config.admin.listen, &config.admin.hosts))
}

fn sources(config: &Config) -> Vec<Source> {
    let source = |connection: &crate::config::Connection| Source {
        connection: connection.name.clone(),
        base_url: connection.url.clone(),
        verifier: Verifier::new(&connection.proof),
    };
    config.connections.iter().map(source).collect()
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
