//! The receivers that are measured: the real one, and less and less of it.

use std::hint::black_box;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use ticketwire::clock::Clock;
use ticketwire::jira::{Headers, Received, normalize};
use ticketwire::queue::Queue;
use ticketwire::receive::{self, Receiver, Source};
use ticketwire::render::to_markdown;
use ticketwire::shutdown::Tasks;
use ticketwire::telemetry;

use super::{body, process, typed};

const PATIENCE: Duration = Duration::from_secs(5);

/// A queue of a receiver that has one: by the receiver's name and a place on the disk.
pub type Road = Arc<dyn Queue>;

/// Runs one of them until its input is closed; its address is the first line of its output.
pub fn serve<F>(name: &str, place: &Path, open: impl FnOnce(String, PathBuf) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<Option<Road>>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    runtime.block_on(async {
        let tasks = Tasks::new();
        let queue = open(name.to_owned(), place.to_owned()).await?;
        match &queue {
            Some(queue) => durable(listener, queue.clone(), &tasks)?,
            None => {
                let router = bare(name, body::source()?)?;
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tasks.spawn("receiver", async move {
                    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
                    // It ends with the process.
                    let _ = axum::serve(listener, router).await;
                });
            }
        }
        writeln!(std::io::stdout(), "{address}")?;
        tokio::task::spawn_blocking(process::until_closed).await?;
        if let Some(queue) = queue {
            tasks.stop(PATIENCE).await;
            queue.close(PATIENCE).await?;
        }
        anyhow::Ok(())
    })?;
    runtime.shutdown_background();
    Ok(())
}

/// The receiver as it is in the service, with its metrics and logs.
fn durable(listener: TcpListener, queue: Road, tasks: &Tasks) -> anyhow::Result<()> {
    let exporter = telemetry::install()?;
    telemetry::install_logs("info", None)?;
    let receiver = Receiver::new(vec![body::source()?], queue, Clock::system(), to_markdown, receive::Settings::default());
    let stop = tasks.token().clone();
    tasks.spawn("receiver", async move {
        // What goes wrong is seen by the sender.
        let _ = receive::serve(listener, receiver, None, stop, PATIENCE).await;
    });
    let stop = tasks.token().clone();
    tasks.spawn("upkeep", async move {
        while tokio::time::timeout(PATIENCE, stop.cancelled()).await.is_err() {
            exporter.run_upkeep();
        }
    });
    Ok(())
}

struct Bare {
    source: Source,
    work: fn(&Source, &[u8]),
}

fn bare(name: &str, source: Source) -> anyhow::Result<Router> {
    let work: fn(&Source, &[u8]) = match name {
        "hmac" => |_, _| {},
        "parse" => |_, body| drop(black_box(typed::parse(body))),
        "normalize" => |source, body| {
            let received = Received {
                connection: &source.connection,
                base_url: &source.base_url,
                body,
                headers: &Headers::default(),
                received_at: Clock::system().now(),
                to_markdown,
            };
            drop(black_box(normalize(&received)));
        },
        _ => anyhow::bail!("no receiver is called `{name}`"),
    };
    Ok(Router::new().route("/hooks/{connection}", post(take)).with_state(Arc::new(Bare { source, work })))
}

async fn take(State(bare): State<Arc<Bare>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers.get("x-hub-signature").map(|value| value.as_bytes());
    match bare.source.verifier.verify(body, receive::Credentials { signature, ..receive::Credentials::default() }) {
        Ok(proven) => {
            (bare.work)(&bare.source, proven.get());
            StatusCode::OK
        }
        Err(_) => StatusCode::UNAUTHORIZED,
    }
}
