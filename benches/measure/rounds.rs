//! One receiver in one round: warmed up, measured over many connections, then over one.

use std::sync::Arc;

use anyhow::Context;

use super::body::{self, Description};
use super::process::Process;
use super::{disk, empty, load};

/// Prepared requests.
pub type Requests = Arc<Vec<Vec<u8>>>;

pub struct Plan {
    pub rounds: usize,
    pub warm_up: usize,
    pub many: usize,
    pub single: usize,
    pub starts: usize,
}

impl Plan {
    /// Bodies for all phases, each another event.
    pub fn requests(&self, description: Description) -> Requests {
        let count = self.warm_up + self.many + self.single;
        Arc::new((0..count as u64).map(|number| body::request(number, description)).collect())
    }
}

/// What is told of one receiver.
#[derive(Clone, Default)]
pub struct Figures {
    pub per_second: f64,
    pub cpu_us: f64,
    pub p50: f64,
    pub p99: f64,
    pub p50_single: f64,
    pub idle_mb: f64,
    pub peak_mb: f64,
    pub fdatasync_ms: f64,
}

/// Warm up, many connections, one connection.
pub async fn one(plan: &Plan, name: &str, requests: &Requests) -> anyhow::Result<Figures> {
    let place = empty("way-in")?;
    let mut process = Process::again(&["serve", name, place.to_str().context("a path that is text")?])?;
    let address = process.line()?.parse()?;
    let (idle_mb, _) = process.memory()?;
    let (warm, many) = (plan.warm_up, plan.warm_up + plan.many);
    load::send(address, requests, 0..warm, 64).await?;
    let before = process.cpu()?;
    let sent = load::send(address, requests, warm..many, 64).await?;
    let cpu_us = (process.cpu()? - before) * 1e6 / plan.many as f64;
    let single = load::send(address, requests, many..many + plan.single, 1).await?;
    let (_, peak_mb) = process.memory()?;
    process.stop()?;
    let fdatasync_ms = disk::fdatasync_ms(&place)?;
    std::fs::remove_dir_all(&place)?;
    Ok(Figures {
        per_second: sent.per_second,
        cpu_us,
        p50: sent.percentile(50),
        p99: sent.percentile(99),
        p50_single: single.percentile(50),
        idle_mb,
        peak_mb,
        fdatasync_ms,
    })
}
