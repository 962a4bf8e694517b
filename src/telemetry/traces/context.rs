//! `traceparent` as the W3C writes it: `00-<trace>-<span>-<flags>`, from a span into the envelope and back on the other side of the queue.
//!
//! What cannot be read is passed over, and a trace of its own begins.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Of a trace that is not sent, too, so that nobody on its road sends a part of it.
pub(super) fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let here = context.span().span_context().clone();
    let flags = here.trace_flags() & TraceFlags::SAMPLED;
    here.is_valid().then(|| format!("00-{}-{}-{:02x}", here.trace_id(), here.span_id(), flags.to_u8()))
}

/// Makes the span a part of the trace that the text names.
pub(super) fn go_on(span: &Span, traceparent: &str) {
    let Some(before) = read(traceparent) else { return };
    // It fails where nobody listens, and then there is no trace.
    let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(before));
}

fn read(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, length| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex(version, 2) || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
        return None;
    }
    // A later version may say more behind it; `ff` is none.
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::export::tests::made;
    use super::super::{Span as OurSpan, Worked};
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn only_what_the_standard_allows_is_read() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        let context = read(&good).expect("the example of the standard");
        assert_eq!((context.trace_id().to_string(), context.span_id().to_string()), (TRACE.to_owned(), SPAN.to_owned()));
        assert!(context.is_remote() && context.is_sampled());
        assert!(!read(&format!("00-{TRACE}-{SPAN}-02")).expect("another flag").is_sampled());
        assert!(read(&format!("01-{TRACE}-{SPAN}-01-more")).is_some(), "a later version");
        for bad in [
            String::new(),
            format!("{good}-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            good.to_uppercase(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}ä-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
        ] {
            assert!(read(&bad).is_none(), "{bad}");
        }
    }

    fn worked<'a>(traceparent: Option<&'a str>) -> Worked<'a> {
        let (event_id, kind) = ("acme:issue:1:created", "issue.created");
        Worked { sink: "team", lane: 3, event_id, kind, issue_key: Some("OPS-1"), attempt: 1, traceparent }
    }

    #[test]
    fn the_other_side_of_the_queue_goes_on_with_the_trace() {
        let mut carried = String::new();
        let spans = made(1.0, || {
            let door = OurSpan::receive("acme");
            let publish = door.publish(1);
            carried = publish.traceparent().expect("tracing is on");
            drop((publish, door));
            OurSpan::deliver(&worked(Some(&carried))).ended("delivered");
            OurSpan::deliver(&worked(Some("garbage"))).ended("parked");
            OurSpan::deliver(&worked(None)).ended("parked");
        });
        let span = |name: &str| spans.iter().find(|span| span.name == name).expect("such a span");
        let (door, publish, deliver) = (span("webhook receive"), span("queue publish"), span("deliver"));
        let trace = door.span_context.trace_id();
        assert_eq!(carried, format!("00-{trace}-{}-01", publish.span_context.span_id()));
        assert_eq!((publish.parent_span_id, deliver.parent_span_id), (door.span_context.span_id(), publish.span_context.span_id()));
        assert!(deliver.parent_span_is_remote && door.parent_span_id == SpanId::INVALID);
        let of_trace = spans.iter().filter(|span| span.span_context.trace_id() == trace).count();
        let of_others = spans.iter().filter(|span| span.parent_span_id == SpanId::INVALID).count();
        assert_eq!((spans.len(), of_trace, of_others), (5, 3, 3), "what cannot be read begins a trace of its own");
    }

    #[test]
    fn what_is_not_sampled_is_sent_by_nobody_on_its_road() {
        let spans = made(0.0, || {
            let carried = OurSpan::receive("acme").publish(1).traceparent().expect("tracing is on");
            assert!(read(&carried).is_some_and(|context| !context.is_sampled()), "{carried}");
            OurSpan::deliver(&worked(Some(&carried))).ended("delivered");
            // Another process decided for this one.
            OurSpan::deliver(&worked(Some(&format!("00-{TRACE}-{SPAN}-01")))).ended("delivered");
        });
        let traces: Vec<String> = spans.iter().map(|span| span.span_context.trace_id().to_string()).collect();
        assert_eq!(traces, [TRACE]);
    }

    #[test]
    fn without_a_collector_a_span_is_nothing() {
        let subscriber = tracing_subscriber::registry().with(tracing_subscriber::fmt::layer().with_filter(filter_fn(|_| false)));
        tracing::subscriber::with_default(subscriber, || {
            let door = OurSpan::receive("acme");
            assert_eq!((door.traceparent(), door.publish(1).traceparent()), (None, None));
            OurSpan::deliver(&worked(Some(&format!("00-{TRACE}-{SPAN}-01")))).ended("delivered");
        });
    }
}
