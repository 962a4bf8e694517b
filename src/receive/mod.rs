//! The receiver: proves the sender, normalizes, stores durably, and only then answers. It asks nobody anything.
//!
//! An authentic body is never refused for its content. What it answers when it cannot store is what Jira repeats.

mod admit;
mod body;
mod connections;
mod origin;
mod recent;
mod server;
mod settings;
mod tls;
mod twins;
mod verify;

pub use admit::Source;
pub use server::{Receiver, router, serve};
pub use settings::{BasicSettings, NoProof, Proof, Settings, WebhookSettings};
pub use tls::{Tls, TlsError, TlsSettings};
pub use verify::{Credentials, NotProven, Verified, Verifier};
