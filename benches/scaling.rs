//! What another worker brings: events per second into an endpoint that takes 50 ms for each, by one, two and three worker processes over
//! RabbitMQ and PostgreSQL.
//!
//! Each worker may use a part of one core only (a control group of Linux), as if it had a small machine for itself: otherwise one worker
//! is as fast as the lanes allow, and more of them only share that. Needs `TICKETWIRE_TEST_AMQP`, `TICKETWIRE_TEST_POSTGRES`
//! (`tests/services/start` starts them) and the right to make control groups; what is missing is said. `-- --quick` is a short run.

mod measure;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::post;
use serde_json::json;
use ticketwire::shutdown::Tasks;
use tokio::time::{Instant, sleep};

use measure::body::{self, Description};
use measure::process::Process;
use measure::{load, report};

const AMQP: &str = "TICKETWIRE_TEST_AMQP";
const POSTGRES: &str = "TICKETWIRE_TEST_POSTGRES";
/// How long the endpoint takes for an event.
const SLOW: Duration = Duration::from_millis(50);
/// Of 100 ms, so many microseconds of computing for each worker.
const QUOTA_US: u32 = 20_000;
const WORKERS: [usize; 3] = [1, 2, 3];
const LIMIT: Duration = Duration::from_secs(240);
/// Measured is from this share of the events to that one, while everybody has work: neither starting, nor the last lanes.
const MEASURED: [f64; 2] = [0.2, 0.7];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let events: usize = if is_quick { 3_000 } else { 9_000 };
    let (Ok(amqp), Ok(postgres)) = (std::env::var(AMQP), std::env::var(POSTGRES)) else {
        return report::say(&format!("left out: {AMQP} or {POSTGRES} is not set"));
    };
    let Some(group) = Group::root() else { return report::say("left out: no control group for processors can be made here") };
    drop(group);
    let requests = Arc::new((0..events as u64).map(|number| body::request(number, Description::Words)).collect::<Vec<_>>());
    let mut rows = vec![["workers", "events/s", "times the first", "CPU us per event, all workers"].map(str::to_owned).to_vec()];
    let (mut told, mut first) = (Vec::new(), None);
    for workers in WORKERS {
        let scene = Scene::set(&amqp, &postgres, workers).await?;
        let (per_second, cpu_us) = scene.drain(&requests, workers).await?;
        let times = per_second / *first.get_or_insert(per_second);
        rows.push(vec![workers.to_string(), format!("{per_second:.0}"), format!("{times:.2}"), format!("{cpu_us:.0}")]);
        told.push(json!({ "workers": workers, "per_second": per_second, "times": times, "cpu_us_per_event": cpu_us }));
    }
    let share = f64::from(QUOTA_US) / 100_000.0;
    report::table(&format!("{events} events into an endpoint that takes {SLOW:?}; each worker has {share} of a core"), &rows)?;
    report::write_json("scaling.json", &json!({ "events": events, "share_of_a_core": share, "workers": told }))
}

/// A control group that limits what processes compute; gone with this.
struct Group(PathBuf);

impl Group {
    fn root() -> Option<Self> {
        let path = PathBuf::from(format!("/sys/fs/cgroup/cpu/ticketwire-bench-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        Some(Self(path))
    }

    fn with(number: usize, process: u32) -> anyhow::Result<Self> {
        let path = PathBuf::from(format!("/sys/fs/cgroup/cpu/ticketwire-bench-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).context("a control group")?;
        let group = Self(path);
        std::fs::write(group.0.join("cpu.cfs_quota_us"), QUOTA_US.to_string())?;
        std::fs::write(group.0.join("cgroup.procs"), process.to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group goes when its last process has gone; if that is late, an empty directory stays.
        let _ = std::fs::remove_dir(&self.0);
    }
}

struct Scene {
    place: PathBuf,
    settings: String,
    front: Process,
    receiver: SocketAddr,
    taken: Arc<AtomicU64>,
    _tasks: Tasks,
}

impl Scene {
    /// An endpoint, a receiver, and places on the road; nobody works yet.
    async fn set(amqp: &str, postgres: &str, workers: usize) -> anyhow::Result<Self> {
        let place = measure::empty("scaling")?;
        let taken = Arc::new(AtomicU64::new(0));
        let counted = taken.clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = listener.local_addr()?;
        let router = Router::new().route(
            "/",
            post(move || async move {
                sleep(SLOW).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }),
        );
        let tasks = Tasks::new();
        tasks.spawn("endpoint", async move {
            // It ends with this program.
            let _ = axum::serve(listener, router).await;
        });
        let name = format!("bench_{}_{workers}", std::process::id());
        let (site, secret) = (body::SITE, body::SECRET);
        let settings = format!(
            "[queue]\nurl = \"{amqp}\"\nname = \"{name}\"\n[store]\nurl = \"{postgres}\"\nschema = \"{name}\"\n[connection.{}]\n\
             url = \"{site}\"\nwebhook.secrets = [\"{secret}\"]\n[sink.slow]\ntype = \"http\"\nurl = \"http://{endpoint}/\"\n\
             allow_private = true\nclearance = {{ security_levels = [\"*\"], restricted_comments = true, internal_comments = true }}\n",
            body::CONNECTION
        );
        let receiver = free()?;
        let front = serve(&place, "front", "receiver,console", &settings, receiver)?;
        until(|| std::net::TcpStream::connect(receiver).is_ok()).await?;
        Ok(Self { place, settings, front, receiver, taken, _tasks: tasks })
    }

    /// Fills the road and lets so many workers empty it: events a second, and what all of them computed for each.
    async fn drain(self, requests: &Arc<Vec<Vec<u8>>>, workers: usize) -> anyhow::Result<(f64, f64)> {
        let all = requests.len();
        load::send(self.receiver, requests, 0..all, 16).await?;
        let mut working = Vec::new();
        for number in 0..workers {
            let process = serve(&self.place, &format!("worker-{number}"), "worker", &self.settings, free()?)?;
            let group = Group::with(number, process.id())?;
            working.push((process, group));
        }
        let [begun, done] = MEASURED.map(|share| (all as f64 * share) as u64);
        until(|| self.taken.load(Ordering::Relaxed) >= begun).await?;
        let (from, computed) = (Instant::now(), cpu(&working)?);
        let first = self.taken.load(Ordering::Relaxed);
        until(|| self.taken.load(Ordering::Relaxed) >= done).await?;
        let count = (self.taken.load(Ordering::Relaxed) - first) as f64;
        let per_second = count / from.elapsed().as_secs_f64();
        let cpu_us = (cpu(&working)? - computed) * 1e6 / count;
        until(|| self.taken.load(Ordering::Relaxed) >= all as u64).await?;
        for (process, group) in working {
            process.kill()?;
            drop(group);
        }
        self.front.kill()?;
        Ok((per_second, cpu_us))
    }
}

fn cpu(working: &[(Process, Group)]) -> anyhow::Result<f64> {
    working.iter().map(|(process, _)| process.cpu()).sum()
}

fn serve(place: &Path, name: &str, roles: &str, settings: &str, receiver: SocketAddr) -> anyhow::Result<Process> {
    let (data, config) = (place.join(name), place.join(format!("{name}.toml")));
    let admin = free()?;
    let own = format!("data_dir = \"{}\"\n[receiver]\nlisten = \"{receiver}\"\n[admin]\nlisten = \"{admin}\"\n", data.display());
    std::fs::write(&config, own + settings)?;
    let log = std::fs::File::create(place.join(format!("{name}.log")))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticketwire"));
    Process::start(command.arg("serve").arg("-c").arg(config).args(["--role", roles]).stderr(log))
}

/// A port that was free a moment ago.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn until(condition: impl Fn() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + LIMIT;
    while !condition() {
        anyhow::ensure!(Instant::now() < end, "not within {LIMIT:?}; the logs lie in {}", measure::directory().join("scaling").display());
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
