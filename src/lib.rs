//! Ticketwire: a wire service for Jira. Webhooks come in, become events on a durable road, and reach every sink once and in order.
//!
//! Rooms are layers: each imports only rooms below it, never a sister; `tests/tidy.rs` keeps it so. See ARCHITECTURE.md.

pub mod api;
pub mod app;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod event;
pub mod jira;
pub mod queue;
pub mod receive;
pub mod render;
pub mod setting;
pub mod shutdown;
pub mod simulate;
pub mod sink;
pub mod store;
pub mod telemetry;
