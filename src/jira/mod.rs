//! Jira as it really behaves: its webhooks made into events, its REST API asked politely.

mod client;
mod model;
mod webhook;

pub use client::{
    Asked, Auth, Field, FieldSchema, Flavour, Jira, JiraError, Myself, SeenIssue, ServerInfo, Settings, Sight, Want, retry_after,
};
pub use webhook::{Headers, Received, content_hash, normalize};
