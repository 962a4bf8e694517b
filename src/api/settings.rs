//! What a user may set of the admin listener: `[admin]`.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::setting::SecretSource;

/// `[admin]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where metrics, health and the API are served; meant to stay inside.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Any of them opens the API; without one a token is generated into `<data_dir>/admin.token`.
    pub tokens: Vec<SecretSource>,
    /// Names under which the API may be called besides `localhost` and the address itself.
    pub hosts: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9080)), tokens: Vec::new(), hosts: Vec::new() }
    }
}
