//! The admin listener: metrics and health for machines, the API for people and the command line. Closed but for three paths.
//!
//! It commands nothing itself: what it orders are rows in the store that the rooms concerned obey (`Operations`).
//! One table of endpoints makes the router and the OpenAPI document.

mod access;
mod asked;
mod audit;
mod endpoints;
mod openapi;
mod operations;
mod problem;
mod routes;
mod server;
mod settings;
mod views;

pub use access::{Access, TOKEN_FILE, own_token};
pub use operations::{OperationError, Operations};
pub use routes::router;
pub use server::serve;
pub use settings::Settings;
pub use views::{
    ConnectionView, Counted, DeadLetterView, DeadQuery, DeliveryView, EventQuery, EventRow, EventView, ListedEvent, OrphanView, Page, Part,
    QueueRow, Readiness, ReplayOrder, ReplayView, ReplayedSink, RuleView, Selection, ShadowMessage, ShadowQuery, ShadowView,
    ShownDeadLetter, ShownEvent, SinkView,
};
