//! The URL of somebody's endpoint. Its path may be a secret, so it is shown by scheme and host only.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;
use url::{Host, Url};

use super::super::address::is_public;

#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Endpoint(Url);

impl Endpoint {
    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// The host where it needs no resolver to see that it is not on the public internet.
    pub(super) fn private_host(&self) -> Option<String> {
        let private = match self.0.host()? {
            Host::Ipv4(address) => !is_public(IpAddr::V4(address)),
            Host::Ipv6(address) => !is_public(IpAddr::V6(address)),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
        };
        private.then(|| self.0.host_str().unwrap_or_default().to_owned())
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|err| format!("not a URL: {err}; write it as in `https://example.com/hooks`"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("not the URL of an endpoint: it must begin with `https://` or `http://` and name a host".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("user and password do not belong into a URL: the endpoint proves the sender by `secret`".to_owned());
        }
        Ok(Self(url))
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/...", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked_and_shown_without_their_path() {
        let endpoint: Endpoint = "https://hooks.example.com/in/hush?key=hush#hush".parse().expect("an endpoint");
        assert_eq!(format!("{endpoint:?}"), "https://hooks.example.com/...");
        for bad in
            ["", "hooks.example.com/in", "ftp://example.com", "https://", "https://u@example.com", "https://u:p@example.com", "data:x"]
        {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn private_hosts_are_seen_however_they_are_written() {
        for (url, private) in [
            ("http://127.0.0.1/", true),
            ("http://2130706433/", true),
            ("http://0x7f.1/", true),
            ("http://017700000001/", true),
            ("http://[::1]:8080/", true),
            ("http://[::ffff:10.0.0.1]/", true),
            ("http://localhost./", true),
            ("http://LOCALHOST:1/", true),
            ("http://a.localhost/", true),
            ("http://1.1.1.1/", false),
            ("https://[2606:4700:4700::1111]/", false),
            ("https://example.com/", false),
            ("https://localhost.example.com/", false),
        ] {
            assert_eq!(url.parse::<Endpoint>().expect("an endpoint").private_host().is_some(), private, "{url}");
        }
    }
}
