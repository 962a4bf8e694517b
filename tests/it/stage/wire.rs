//! A wire that can be cut: a TCP proxy between us and a broker, a database or any other service.
//!
//! It ends with its last clone. What it holds up is bounded by the buffers of two sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ticketwire::shutdown::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const CHUNK: usize = 16 << 10;

#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    _ends: Arc<Ends>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    /// Connections of earlier cuts are reset.
    cuts: u64,
    is_stalled: bool,
    is_shut: bool,
    delay: Duration,
}

/// Stops everything when nobody holds the wire any more.
struct Ends(Tasks);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.token().cancel();
    }
}

impl Wire {
    /// Everything that connects to its address is connected to `target`, a host with a port.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (state, seen) = watch::channel(State::default());
        let tasks = Tasks::new();
        tasks.spawn("wire", serve(listener, target.to_owned(), seen, tasks.clone()));
        Self { address, state: Arc::new(state), _ends: Arc::new(Ends(tasks)) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection; new ones are taken.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Resets every connection, and new ones too, until `heal`.
    pub fn shut(&self) {
        self.state.send_modify(|state| *state = State { cuts: state.cuts + 1, is_shut: true, ..*state });
    }

    /// Nothing is forwarded any more, but connections stay.
    pub fn stall(&self) {
        self.state.send_modify(|state| state.is_stalled = true);
    }

    /// Each piece is held up so long, in both directions.
    pub fn slow(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// As at first. What was stalled goes on.
    pub fn heal(&self) {
        self.state.send_modify(|state| *state = State { cuts: state.cuts, ..State::default() });
    }
}

async fn serve(listener: TcpListener, target: String, seen: watch::Receiver<State>, tasks: Tasks) {
    let stop = tasks.token().clone();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((near, _)) = accepted else { continue };
        let (target, seen, stop) = (target.clone(), seen.clone(), stop.clone());
        tasks.spawn("wire connection", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = join(near, &target, seen) => {}
            }
        });
    }
}

/// Both directions, until one end closes or the wire is cut.
async fn join(mut near: TcpStream, target: &str, mut seen: watch::Receiver<State>) {
    let born = *seen.borrow_and_update();
    let far = if born.is_shut { None } else { TcpStream::connect(target).await.ok() };
    let Some(mut far) = far else {
        near.set_zero_linger().expect("a socket");
        return;
    };
    for end in [&near, &far] {
        end.set_nodelay(true).expect("a socket");
    }
    let is_cut = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let out = forward(near_read, far_write, seen.clone());
        let back = forward(far_read, near_write, seen.clone());
        tokio::select! {
            cut = seen.wait_for(|state| state.cuts != born.cuts) => cut.is_ok(),
            _ = async { tokio::join!(out, back) } => false,
        }
    };
    if is_cut {
        // Closed with this, a socket is reset.
        for end in [&near, &far] {
            end.set_zero_linger().expect("a socket");
        }
    }
}

async fn forward(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut seen: watch::Receiver<State>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length) = from.read(&mut chunk).await {
        let Ok(state) = seen.wait_for(|state| !state.is_stalled).await.map(|state| *state) else { return };
        if !state.delay.is_zero() {
            tokio::time::sleep(state.delay).await;
        }
        if length == 0 || to.write_all(&chunk[..length]).await.is_err() {
            // One that only stopped sending may still be listening.
            to.shutdown().await.ok();
            return;
        }
    }
}
