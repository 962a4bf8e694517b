//! The admin listener itself.

use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioTimer;
use tokio_util::sync::CancellationToken;

/// Machines that scrape and people who ask send their headers at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection may make us hold before its headers are read.
const READ_BUFFER: usize = 64 * 1024;

/// Serves until the token fires, then finishes what is in hand within the deadline.
pub async fn serve(listener: std::net::TcpListener, router: Router, stop: CancellationToken, deadline: Duration) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let handle = axum_server::Handle::new();
    let mut server = axum_server::from_tcp(listener)?.handle(handle.clone()).http1_only();
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(READ_BUFFER);
    let serving = server.serve(router.into_make_service());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended,
        () = stop.cancelled() => {
            handle.graceful_shutdown(Some(deadline));
            serving.await
        }
    }
}
