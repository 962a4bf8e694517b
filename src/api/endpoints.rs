//! The table of endpoints: what there is on the admin listener, what it is asked, and what it answers.

use axum::routing::{self, MethodRouter};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::routes::{self as answer, EventPage, LetterPage, Limited, Pruning, Reason, ShadowPage, Shared, WithRaw};
use super::views::{
    ConnectionView, Counted, DeadLetterView, EventQuery, EventRow, EventView, ListedEvent, OrphanView, QueueRow, Readiness, ReplayOrder,
    ReplayView, RuleView, Selection, ShadowView, ShownDeadLetter, ShownEvent, SinkView,
};

/// What lies below it needs a token.
pub(super) const API_PREFIX: &str = "/api/v1";

pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: Option<Shape>,
    pub(super) body: Option<Shape>,
    pub(super) status: u16,
    pub(super) answer: Answer,
    pub(super) route: MethodRouter<Shared>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

/// Names a type's schema, which then stands in the document.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

#[derive(Clone, Copy)]
pub(super) enum Answer {
    Json(Shape),
    /// A list; where there is more, the header `Link` names the next page.
    Pages(Shape),
    /// Server-sent events, each with such data.
    Events(Shape),
    /// Of that media type.
    Text(&'static str),
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Endpoint {
    fn get(path: &'static str, summary: &'static str, answer: Answer, route: MethodRouter<Shared>) -> Self {
        Self { method: Method::Get, path, summary, query: None, body: None, status: 200, answer, route }
    }

    fn post(path: &'static str, summary: &'static str, answer: Answer, route: MethodRouter<Shared>) -> Self {
        Self { method: Method::Post, ..Self::get(path, summary, answer, route) }
    }

    fn query<T: JsonSchema>(self) -> Self {
        Self { query: Some(of::<T>), ..self }
    }

    fn body<T: JsonSchema>(self) -> Self {
        Self { body: Some(of::<T>), ..self }
    }

    fn accepted(self) -> Self {
        Self { status: 202, ..self }
    }

    /// Whether it is answered without a token.
    pub(super) fn is_public(&self) -> bool {
        !self.path.starts_with(API_PREFIX)
    }
}

/// Everything that there is.
#[rustfmt::skip]
pub(super) fn all() -> Vec<Endpoint> {
    use Answer::{Events, Json, Pages, Text};
    use routing::{get, post};
    type E = Endpoint;
    vec![
        E::get("/metrics", "All metrics, as Prometheus text.", Text("text/plain"), get(answer::metrics)),
        E::get("/healthz", "200 while the process serves.", Text("text/plain"), get(answer::healthz)),
        E::get("/readyz", "Whether the parts are ready; 503 while one is not.", Json(of::<Readiness>), get(answer::readyz)),
        E::get("/api/v1/openapi.json", "This document.", Json(of::<serde_json::Value>), get(answer::openapi)),
        E::get("/api/v1/events", "Events with what became of each, newest first.", Pages(of::<Vec<ListedEvent>>), get(answer::events)).query::<EventPage>(),
        E::get("/api/v1/events/stream", "Events as they come. `Last-Event-ID` goes on behind the event with that id.", Events(of::<EventRow>), get(answer::tail)).query::<EventQuery>(),
        E::get("/api/v1/events/{id}", "One event with what it says and what became of it.", Json(of::<ShownEvent>), get(answer::event)).query::<WithRaw>(),
        E::get("/api/v1/issues/{key}/trace", "The events of an issue with what became of each, oldest first; an old key follows the move.", Json(of::<Vec<EventView>>), get(answer::trace)),
        E::get("/api/v1/dead-letters", "Deliveries that will not succeed by waiting, oldest first.", Pages(of::<Vec<DeadLetterView>>), get(answer::dead_letters)).query::<LetterPage>(),
        E::get("/api/v1/dead-letters/{id}", "One dead letter with its event.", Json(of::<ShownDeadLetter>), get(answer::dead_letter)),
        E::post("/api/v1/dead-letters/retry", "Delivers dead letters again.", Json(of::<Counted>), post(answer::retry_dead)).body::<Selection>(),
        E::post("/api/v1/dead-letters/drop", "Gives dead letters up for good.", Json(of::<Counted>), post(answer::drop_dead)).body::<Selection>(),
        E::get("/api/v1/replays", "Replays, newest first.", Json(of::<Vec<ReplayView>>), get(answer::replays)).query::<Limited>(),
        E::post("/api/v1/replays", "Orders a replay; `Location` is where to look how far it is.", Json(of::<ReplayView>), post(answer::order_replay)).body::<ReplayOrder>().accepted(),
        E::get("/api/v1/replays/{id}", "One replay and how far it is.", Json(of::<ReplayView>), get(answer::replay)),
        E::post("/api/v1/replays/{id}/stop", "Stops a replay where it is.", Json(of::<ReplayView>), post(answer::stop_replay)),
        E::get("/api/v1/sinks", "The configured sinks and their state.", Json(of::<Vec<SinkView>>), get(answer::sinks)),
        E::get("/api/v1/sinks/{name}", "One sink.", Json(of::<SinkView>), get(answer::sink)),
        E::get("/api/v1/sinks/{name}/shadows", "What a sink would have sent while it was in shadow mode, oldest first.", Pages(of::<Vec<ShadowView>>), get(answer::shadows)).query::<ShadowPage>(),
        E::post("/api/v1/sinks/{name}/pause", "Holds a sink: what comes for it waits.", Json(of::<SinkView>), post(answer::pause)).body::<Reason>(),
        E::post("/api/v1/sinks/{name}/resume", "Lets a sink go on.", Json(of::<SinkView>), post(answer::resume)),
        E::get("/api/v1/queue", "What waits, per sink and lane.", Json(of::<Vec<QueueRow>>), get(answer::queue)),
        E::post("/api/v1/queue/prune", "Gives up the places of sinks that are not configured, unless it is only asked which they are.", Json(of::<Vec<OrphanView>>), post(answer::prune)).body::<Pruning>(),
        E::get("/api/v1/rules", "The rules.", Json(of::<Vec<RuleView>>), get(answer::rules)),
        E::post("/api/v1/rules/{name}/enable", "Lets a rule speak.", Json(of::<RuleView>), post(answer::enable_rule)),
        E::post("/api/v1/rules/{name}/disable", "Mutes a rule.", Json(of::<RuleView>), post(answer::disable_rule)),
        E::get("/api/v1/connections", "The connections.", Json(of::<Vec<ConnectionView>>), get(answer::connections)),
    ]
}
