//! How soon the whole service answers its first webhook, and what it takes of the memory when nothing happens.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::measure::process::Process;
use crate::measure::{self, body, load, median};

const TRY_EVERY: Duration = Duration::from_micros(200);
const LIMIT: Duration = Duration::from_secs(10);
/// Long enough for what is done once after the start.
const QUIET: Duration = Duration::from_secs(2);

pub struct Figures {
    pub first_answer_ms: f64,
    pub idle_mb: f64,
}

impl Figures {
    pub fn told(&self) -> String {
        format!("start to the first 200: {:.1} ms; idle: {:.1} MB", self.first_answer_ms, self.idle_mb)
    }

    pub fn json(&self) -> Value {
        json!({ "first_answer_ms": self.first_answer_ms, "idle_mb": self.idle_mb })
    }
}

/// The binary with the ticket store as its only sink, on an empty directory each time.
pub async fn measure(starts: usize, requests: &Arc<Vec<Vec<u8>>>) -> anyhow::Result<Figures> {
    let (mut answered, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        let place = measure::empty("start-up")?;
        let (receiver, admin) = (free_address()?, free_address()?);
        let config = place.join("ticketwire.toml");
        let (name, site, secret) = (body::CONNECTION, body::SITE, body::SECRET);
        std::fs::write(
            &config,
            format!(
                "data_dir = \"{}\"\n[receiver]\nlisten = \"{receiver}\"\n[admin]\nlisten = \"{admin}\"\n[connection.{name}]\n\
                 url = \"{site}\"\nwebhook.secrets = [\"{secret}\"]\n[sink.tickets]\ntype = \"tickets\"\n",
                place.join("data").display()
            ),
        )?;
        let started = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ticketwire"));
        let process = Process::start(command.arg("serve").arg("--config").arg(&config).stderr(Stdio::null()))?;
        while tokio::net::TcpStream::connect(receiver).await.is_err() {
            anyhow::ensure!(started.elapsed() < LIMIT, "the service did not start: `{}`", config.display());
            tokio::time::sleep(TRY_EVERY).await;
        }
        load::send(receiver, requests, 0..1, 1).await.context("the first webhook")?;
        answered.push(started.elapsed().as_secs_f64() * 1_000.0);
        if idle.len() < 3 {
            tokio::time::sleep(QUIET).await;
            idle.push(process.memory()?.0);
        }
        process.kill()?;
        std::fs::remove_dir_all(&place)?;
    }
    Ok(Figures { first_answer_ms: median(answered), idle_mb: median(idle) })
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
