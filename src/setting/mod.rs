//! The vocabulary of settings: secrets that cannot be printed, sizes, spans of time, names, networks, base URLs and what follows them.
//!
//! Each type is checked where it is made, so that whoever holds one need not check again.

mod base_url;
mod name;
mod network;
mod path_suffix;
mod secret;
mod size;
mod span;

pub use base_url::BaseUrl;
pub use name::{ConnectionName, NameError, SinkName};
pub use network::Network;
pub use path_suffix::PathSuffix;
pub use secret::{Secret, SecretSource};
pub use size::ByteSize;
pub use span::Span;
