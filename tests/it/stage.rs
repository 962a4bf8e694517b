//! The stage of the scenarios: a folder, a configuration, the real program as a process, and what can be seen of it from outside.
//!
//! Every wait has a limit; whatever was started ends with the stage.
#![expect(clippy::print_stdout, reason = "what is skipped is for people")]

mod body;
mod gate;
mod load;
mod process;
mod scene;
mod server;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Row, SqlSafeStr};
use tempfile::TempDir;
use ticketwire::shutdown::Tasks;
use tokio::net::TcpListener;
use tokio::time::Instant;

pub use body::{Story, second_webhook};
pub use gate::{Gate, Reply};
pub use load::{Load, Taken};
pub use process::Service;
pub use scene::{Scene, quoted};
pub use server::Server;
pub use wire::Wire;

pub const SECRET: &str = "hook-secret-of-the-stage";
pub const ADMIN_TOKEN: &str = "admin-token-of-the-stage-0123456789";
const POLL: Duration = Duration::from_millis(25);
/// Below the ports that the system gives to outgoing connections, so that nobody takes one between two lives of a service.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

pub struct Stage {
    dir: TempDir,
    pub receiver: u16,
    pub admin: u16,
    client: reqwest::Client,
}

/// What the receiver said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub ids: Vec<String>,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(self.out.trim()).unwrap_or_else(|err| panic!("no JSON: {err}: {self:?}"))
    }
}

impl Stage {
    pub fn new() -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
        Self { dir: tempfile::tempdir().expect("a folder"), receiver: free_port(), admin: free_port(), client }
    }

    /// Writes the configuration: the listeners of this stage and what is given.
    pub fn configure(&self, rest: &str) {
        self.configure_receiver("", rest);
    }

    /// The same with more members of `[receiver]`.
    pub fn configure_receiver(&self, receiver: &str, rest: &str) {
        let text = format!(
            "data_dir = {data:?}\n[receiver]\nlisten = \"127.0.0.1:{}\"\n{receiver}[admin]\nlisten = \"127.0.0.1:{}\"\ntokens = [{ADMIN_TOKEN:?}]\n{rest}",
            self.receiver,
            self.admin,
            data = self.path("data").display().to_string(),
        );
        std::fs::write(self.config(), text).expect("a file");
    }

    pub fn config(&self) -> PathBuf {
        self.path("ticketwire.toml")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program with arguments, in the folder of the stage.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ticketwire"));
        command.args(arguments).current_dir(self.dir.path()).env_remove("TICKETWIRE_ADMIN_TOKEN");
        command
    }

    /// Starts `serve` with the configuration and waits until it is ready.
    pub async fn serve(&self) -> Service {
        let config = self.config().display().to_string();
        self.serve_by(self.command(&["serve", "-c", &config])).await
    }

    pub async fn serve_by(&self, command: Command) -> Service {
        let mut service = Service::spawn(command, self.path("serve.out"), self.path("serve.err"));
        until("the service is ready", Duration::from_secs(40), async || {
            if let Some(code) = service.ended() {
                panic!("`serve` ended with {code:?}: {}", service.tail());
            }
            (self.status_of("/readyz").await == Some(200)).then_some(())
        })
        .await;
        service
    }

    async fn status_of(&self, path: &str) -> Option<u16> {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        self.client.get(url).send().await.ok().map(|answer| answer.status().as_u16())
    }

    pub async fn readiness(&self) -> Value {
        let url = format!("http://127.0.0.1:{}/readyz", self.admin);
        let answer = self.client.get(url).send().await.expect("an answer");
        serde_json::from_slice(&answer.bytes().await.expect("bytes")).expect("JSON")
    }

    pub async fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.admin);
        self.client.get(url).send().await.expect("metrics").text().await.expect("text")
    }

    /// A body as Jira Cloud sends it, signed. None: no answer came.
    pub async fn try_post(&self, path: &str, body: &[u8], headers: &[(&str, &str)]) -> Option<Answer> {
        let mut request = self.client.post(format!("http://127.0.0.1:{}{path}", self.receiver)).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let said: Value = serde_json::from_slice(&answer.bytes().await.ok()?).unwrap_or_default();
        let ids = said["event_ids"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        Some(Answer { status, ids })
    }

    /// The ids of a body that has to be taken.
    pub async fn post(&self, connection: &str, body: &Value, identifier: &str) -> Vec<String> {
        let answer = self.post_bytes(connection, body.to_string().as_bytes(), identifier).await;
        assert_eq!(answer.status, 200, "{body}");
        answer.ids
    }

    pub async fn post_bytes(&self, connection: &str, body: &[u8], identifier: &str) -> Answer {
        let signature = signature(SECRET, body);
        let headers = [("X-Hub-Signature", signature.as_str()), ("X-Atlassian-Webhook-Identifier", identifier)];
        self.try_post(&format!("/hooks/{connection}"), body, &headers).await.expect("an answer")
    }

    /// A signed body: the status, and the seconds of `Retry-After`.
    pub async fn post_and_see(&self, connection: &str, body: &[u8]) -> (u16, Option<u64>) {
        let url = format!("http://127.0.0.1:{}/hooks/{connection}", self.receiver);
        let request = self.client.post(url).body(body.to_vec()).header("X-Hub-Signature", signature(SECRET, body));
        let answer = request.send().await.expect("an answer");
        let seconds = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        (answer.status().as_u16(), seconds)
    }

    /// The whole lines of a file sink; a line that is no event fails.
    pub fn lines(&self, file: &str) -> Vec<Value> {
        let Ok(text) = std::fs::read(self.path(file)) else { return Vec::new() };
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let read = |line: &[u8]| serde_json::from_slice(line).unwrap_or_else(|err| panic!("a line of `{file}` is no event: {err}"));
        text[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(read).collect()
    }

    pub fn ids(&self, file: &str) -> Vec<String> {
        self.lines(file).iter().map(|line| line["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Reads the store beside the service; the statement casts every column to text.
    pub async fn rows(&self, sql: impl SqlSafeStr) -> Vec<Vec<String>> {
        let mut store = self.store().await;
        let rows = sqlx::query(sql).fetch_all(&mut store).await.expect("rows");
        store.close().await.expect("it closes");
        let text = |row: &sqlx::sqlite::SqliteRow, at| row.try_get::<Option<String>, _>(at).expect("text").unwrap_or_default();
        rows.iter().map(|row| (0..row.len()).map(|at| text(row, at)).collect()).collect()
    }

    async fn store(&self) -> SqliteConnection {
        let path = self.path("data/ticketwire.sqlite");
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(Duration::from_secs(10));
        options.connect().await.expect("the store")
    }

    pub async fn cli(&self, arguments: &[&str]) -> Said {
        let config = self.config().display().to_string();
        let mut command = self.command(arguments);
        command.args(["-c", &config]);
        said(command).await
    }

    pub async fn cli_json(&self, arguments: &[&str]) -> Value {
        self.cli(&[arguments, &["--json"]].concat()).await.json()
    }

    /// Waits until nothing waits for any of these sinks: twice in a row, since an event may be on its way from one place to another.
    pub async fn drained(&self, sinks: &[&str], limit: Duration) {
        let what = format!("nothing waits for {sinks:?}");
        let mut before = false;
        until(&what, limit, async || {
            // A broker under load sometimes does not answer in time.
            let (200, rows) = self.ask("queue").await else { return None };
            let waits = |row: &Value| sinks.contains(&row["sink"].as_str().unwrap_or_default()) && row["waiting"].as_u64() != Some(0);
            let is_empty = !rows.as_array().expect("rows").iter().any(waits);
            (std::mem::replace(&mut before, is_empty) && is_empty).then_some(())
        })
        .await;
    }

    async fn admin_json(&self, path: &str) -> Value {
        let (status, answer) = self.ask(path).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn ask(&self, path: &str) -> (u16, Value) {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.admin);
        let answer = self.client.get(url).bearer_auth(ADMIN_TOKEN).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.expect("bytes")).expect("JSON"))
    }

    /// What `trace` says of an event at a sink: the outcomes with their reasons.
    pub async fn outcomes(&self, key: &str, event: &str, sink: &str) -> Vec<(String, String)> {
        let events = self.admin_json(&format!("issues/{key}/trace")).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of_event = events.as_array().into_iter().flatten().filter(|view| view["event_id"] == event);
        let deliveries = of_event.flat_map(|view| view["deliveries"].as_array().into_iter().flatten());
        deliveries.filter(|view| view["sink"] == sink).map(|view| (text(&view["outcome"]), text(&view["reason"]))).collect()
    }
}

/// Serves until the tasks stop. Where it listens.
pub async fn listen(router: axum::Router, tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, token) = (listener.local_addr().expect("an address"), tasks.token().clone());
    tasks.spawn("endpoint", async move {
        axum::serve(listener, router).with_graceful_shutdown(token.cancelled_owned()).await.expect("it serves");
    });
    address
}

/// Runs a command to its end, on another thread: what it talks to lives in this process.
pub async fn said(mut command: Command) -> Said {
    let run = move || command.output().expect("it runs");
    let output = tokio::time::timeout(Duration::from_secs(60), tokio::task::spawn_blocking(run)).await.expect("in time").expect("no panic");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Asks again and again until there is an answer.
pub async fn until<T>(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = condition().await {
            return answer;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Whether the long versions were asked for.
pub fn is_long() -> bool {
    std::env::var("TICKETWIRE_CAMPAIGN").is_ok_and(|value| value == "long")
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.flat_map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { vec![entry.path()] }).collect()
}

fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = u32::from(PORTS.end - PORTS.start);
    loop {
        let number = std::process::id().wrapping_mul(97) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from(number % span).expect("it is below the span");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
