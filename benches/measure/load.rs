//! Senders that cost as little as they can: prepared bytes out, a glance at the answer, the same connection again.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What a run of requests came to. Every answer was 200.
pub struct Sent {
    pub per_second: f64,
    /// In milliseconds, sorted.
    latencies: Vec<f64>,
}

impl Sent {
    pub fn percentile(&self, percent: usize) -> f64 {
        let place = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(place).copied().unwrap_or(f64::NAN)
    }
}

/// Sends each of the requests once, over so many connections.
pub async fn send(address: SocketAddr, requests: &Arc<Vec<Vec<u8>>>, which: Range<usize>, connections: usize) -> anyhow::Result<Sent> {
    let next = Arc::new(AtomicUsize::new(which.start));
    let mut senders = JoinSet::new();
    let count = which.len();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        senders.spawn(sender(stream, requests.clone(), next.clone(), which.end));
    }
    let started = Instant::now();
    let mut latencies = Vec::with_capacity(count);
    while let Some(ended) = senders.join_next().await {
        latencies.extend(ended??.into_iter().map(|took| took.as_secs_f64() * 1_000.0));
    }
    let per_second = count as f64 / started.elapsed().as_secs_f64();
    anyhow::ensure!(latencies.len() == count, "{} of {count} requests were answered", latencies.len());
    latencies.sort_by(f64::total_cmp);
    Ok(Sent { per_second, latencies })
}

async fn sender(mut stream: TcpStream, requests: Arc<Vec<Vec<u8>>>, next: Arc<AtomicUsize>, end: usize) -> anyhow::Result<Vec<Duration>> {
    let (mut latencies, mut answer) = (Vec::new(), vec![0; 4_096]);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(number).filter(|_| number < end) else { return Ok(latencies) };
        let started = Instant::now();
        stream.write_all(request).await?;
        let mut length = 0;
        loop {
            let room = answer.get_mut(length..).filter(|room| !room.is_empty()).context("an answer that is too long")?;
            let read = stream.read(room).await?;
            anyhow::ensure!(read > 0, "the connection was closed");
            length += read;
            if answer.get(..length).is_some_and(is_whole) {
                break;
            }
        }
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer.get(..length).unwrap_or_default()));
        latencies.push(started.elapsed());
    }
}

/// Whether head and body are there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else { return false };
    let field = b"content-length: ";
    let Some(at) = answer.windows(field.len()).position(|bytes| bytes == field) else { return true };
    let digits = answer.iter().skip(at + field.len()).take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    answer.len() >= head + length
}
