//! What becomes spans, and what is dropped.

use std::sync::Mutex;

use futures_util::FutureExt;
use opentelemetry_sdk::error::OTelSdkError;
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::telemetry::metrics::tests::rendered;
use crate::telemetry::traces::Span as OurSpan;

/// Keeps what it gets.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Kept {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().expect("no panic meanwhile").push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The spans that come of it, in the order in which they end.
pub(in crate::telemetry) fn made(sample_ratio: f64, work: impl FnOnce()) -> Vec<SpanData> {
    let kept = Kept::default();
    let traces = Traces { provider: provider(kept.clone(), sample_ratio) };
    let layers = vec![traces.layer()];
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layers), work);
    std::mem::take(&mut *kept.0.lock().expect("no panic meanwhile"))
}

#[test]
fn only_our_spans_are_sent_and_say_only_what_they_are_told() {
    let spans = made(1.0, || {
        let door = OurSpan::receive("acme");
        door.0.in_scope(|| {
            let other = tracing::info_span!(target: "hyper::client", "request", url = "https://jira.example/?key=hush");
            let _inside = other.enter();
            tracing::error!(target: "ticketwire::deliver", "an event, no span: hush");
            tracing::info_span!("ours, but not of the road", secret = "hush").in_scope(|| ());
            OurSpan::ask_jira("acme", "bulkfetch").answered(503);
        });
        door.events(2);
        door.answered(200);
        assert!(OurSpan::ask_jira("acme", "myself").0.is_none(), "nobody's span waits for it");
    });
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["jira request", "webhook receive"]);
    assert_eq!(spans[0].parent_span_id, spans[1].span_context.span_id());
    let said = |span: &SpanData| span.attributes.iter().map(|said| format!("{}={}", said.key, said.value)).collect::<Vec<_>>();
    assert_eq!(said(&spans[0]), ["connection=acme", "endpoint=bulkfetch", "http.response.status_code=503"]);
    assert_eq!(said(&spans[1]), ["connection=acme", "events=2", "http.response.status_code=200"]);
    assert!(matches!(spans[0].status, opentelemetry::trace::Status::Error { .. }), "{:?}", spans[0].status);
    assert!(!format!("{spans:?}").contains("hush") && spans.iter().all(|span| span.events.is_empty()), "{spans:?}");
}

#[test]
fn a_span_lasts_until_it_is_ended_and_not_until_it_was_last_left() {
    let spans = made(1.0, || {
        let span = OurSpan::receive("first");
        span.within(std::future::ready(())).now_or_never().expect("it is ready");
        let later = OurSpan::receive("later");
        span.ended("delivered");
        drop((span, later));
    });
    assert!(spans[0].end_time > spans[1].start_time, "{spans:?}");
}

#[test]
fn what_cannot_wait_or_be_sent_is_dropped_and_counted() {
    #[derive(Debug)]
    struct Away;
    impl SpanExporter for Away {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Err(OTelSdkError::InternalFailure("no connection".to_owned()))
        }
    }
    let span = made(1.0, || drop(OurSpan::receive("acme"))).remove(0);
    let waiting = Arc::new(AtomicUsize::new(WAITING_MAX - 1));
    let kept = Kept::default();
    let queue = Bounded { inner: kept.clone(), waiting: waiting.clone() };
    let sending = Watched { inner: Away, waiting: waiting.clone(), is_failing: AtomicBool::new(false) };
    let text = rendered(|| {
        (0..3).for_each(|_| queue.on_end(span.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert!(runtime.block_on(sending.export(vec![span.clone(); 5])).is_err());
        queue.on_end(span.clone());
    });
    assert_eq!(kept.0.lock().expect("no panic meanwhile").len(), 2, "there was room for one, and then for five");
    assert_eq!(waiting.load(Ordering::Relaxed), WAITING_MAX - 4);
    let dropped = text.lines().find(|line| line.starts_with("ticketwire_traces_dropped_total")).expect("it is counted");
    assert!(dropped.ends_with(" 7"), "{dropped}");
}
