//! Jira as it really behaves: its webhooks made into events, its REST API asked politely.

mod client;
mod model;
mod webhook;

pub use client::{
    Asked, Auth, Field, FieldSchema, Flavour, Found, Jira, JiraError, Lookup, Match, Myself, Place, Privacy, SeenIssue, ServerInfo,
    Settings, Sight, Talk, Want, people, retry_after, watchers_of,
};
pub use webhook::{Headers, Received, content_hash, identify, normalize};
