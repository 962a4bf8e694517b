//! Ticketwire receives Jira webhooks, stores them durably as events, and delivers them in order, and once, to every sink.
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
