//! The way of traces to the collector: a bounded queue, a thread of its own, OTLP over HTTP.
//!
//! Whoever ends a span never waits: what the queue cannot hold and what the collector does not take is dropped and counted. The client
//! is the blocking one, made and used off the runtime: with the other kind spans vanish without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::{Layer, Registry};

use super::{Collector, TARGET, TracesError};
use crate::telemetry::record;

/// Spans that wait for the collector: about a megabyte, and half a minute of a hundred events a second at one sink.
const WAITING_MAX: usize = 4_096;
const BATCH: usize = 512;
const SEND_EVERY: Duration = Duration::from_secs(2);
/// One batch with its repeats; a collector that is slower costs spans, nothing else.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// The traces of this process, on their way to the collector.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    pub fn start(collector: &Collector) -> Result<Self, TracesError> {
        let made = std::thread::scope(|scope| scope.spawn(|| exporter(collector)).join());
        let sending = made.map_err(|_| TracesError::Client("the HTTP client panicked".to_owned()))??;
        let waiting = Arc::new(AtomicUsize::new(0));
        let exporter = Watched { inner: sending, waiting: waiting.clone(), is_failing: AtomicBool::new(false) };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING_MAX)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(SEND_EVERY)
            .build();
        let inner = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        Ok(Self { provider: provider(Bounded { inner, waiting }, collector.sample_ratio) })
    }

    /// Takes our own spans, and no others.
    pub(in crate::telemetry) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let filter = FilterFn::new(is_ours as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(env!("CARGO_PKG_NAME")))
            // Paths of sources and names of threads say nothing to whoever runs it.
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter)
            .boxed()
    }

    /// Sends what waits, for as long as the limit allows; the rest is lost. No span is made afterwards.
    pub async fn flush(self, limit: Duration) {
        let flushed = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(limit)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("not all traces reached the collector before the stop");
        }
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TARGET
}

fn provider(processor: impl SpanProcessor + 'static, sample_ratio: f64) -> SdkTracerProvider {
    let resource = Resource::builder_empty()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample_ratio))))
        .with_span_processor(processor)
        .build()
}

fn exporter(collector: &Collector) -> Result<opentelemetry_otlp::SpanExporter, TracesError> {
    let mut client = reqwest::blocking::Client::builder()
        .user_agent(concat!("Ticketwire/", env!("CARGO_PKG_VERSION")))
        // The headers are secret, and must not go elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .default_headers(collector.headers.clone())
        .timeout(SEND_LIMIT);
    if collector.is_local {
        client = client.no_proxy();
    }
    let client = client.build().map_err(|_| TracesError::Client("no HTTPS client; are CA certificates installed?".to_owned()))?;
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&collector.url)
        .with_timeout(SEND_LIMIT)
        .build()
        .map_err(|err: ExporterBuildError| TracesError::Client(err.to_string()))
}

/// Takes no more than may wait. The queue behind it drops, too, but tells nobody.
#[derive(Debug)]
struct Bounded<P> {
    inner: P,
    waiting: Arc<AtomicUsize>,
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return record::traces_dropped(1);
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(limit)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Sends, and says when that fails: once, until it goes well again.
#[derive(Debug)]
struct Watched<E> {
    inner: E,
    waiting: Arc<AtomicUsize>,
    is_failing: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        let sent = self.inner.export(batch).await;
        match &sent {
            Ok(()) if self.is_failing.swap(false, Ordering::Relaxed) => tracing::info!("the collector takes traces again"),
            Ok(()) => {}
            Err(err) => {
                record::traces_dropped(count);
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!("traces do not reach the collector, and are dropped until they do: {err}");
                }
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, limit: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(limit)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
pub(super) mod tests;
