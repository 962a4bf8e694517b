//! The admin listener: metrics and health for machines, the API for people and the command line. Closed but for three paths.
//!
//! It commands nothing itself: what it orders are rows in the store that the rooms concerned obey (`Operations`).

mod access;
mod operations;
mod problem;
mod routes;
mod server;
mod settings;

pub use access::{Access, TOKEN_FILE, own_token};
pub use operations::{
    ConnectionView, DeadLetterView, OperationError, Operations, Part, QueueRow, Readiness, RuleView, Selection, SinkView,
};
pub use routes::router;
pub use server::serve;
pub use settings::Settings;
