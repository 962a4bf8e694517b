//! The admin listener: metrics and health for machines, the API for people and the command line. Closed but for three paths.
//!
//! It commands nothing itself: what it orders are rows in the store that the rooms concerned carry out (`Operations`).
//! One table of endpoints makes the router and the OpenAPI document.

mod audit;
mod auth;
mod endpoints;
mod extract;
mod openapi;
mod operations;
mod problem;
mod routes;
mod server;
mod settings;
mod views;

pub use auth::{AdminAuth, TOKEN_FILE, load_or_create_token};
pub use operations::{OperationError, Operations};
pub use routes::router;
pub use server::serve;
pub use settings::Settings;
pub use views::{
    ConnectionView, Counted, DeadLetterView, DeadQuery, DeliveryView, EventQuery, EventRow, EventView, ListedEvent, OrphanView, Page, Part,
    QueueRow, Readiness, ReplayOrder, ReplayView, ReplayedSink, RuleView, Selection, ShadowMessage, ShadowQuery, ShadowView,
    ShownDeadLetter, ShownEvent, SinkView,
};
