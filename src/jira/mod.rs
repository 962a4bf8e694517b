//! Jira as it really behaves: its webhooks made into events, its REST API asked politely.

mod client;
mod model;
mod webhook;

pub use client::{
    Asked, Auth, Field, FieldSchema, Flavour, Found, Jira, JiraError, Lookup, Myself, SeenIssue, ServerInfo, Settings, Sight, Want, people,
    retry_after, watchers_of,
};
pub use webhook::{Headers, Received, content_hash, normalize};
