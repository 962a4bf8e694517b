//! The base URL of a Jira site: http or https, perhaps with a context path, never with a trailing slash, user, query or fragment.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct BaseUrl(Arc<str>);

impl BaseUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The page of an issue, for people. Never built from `self` links: those may name a gateway or lack a part.
    pub fn browse(&self, key: &str) -> String {
        format!("{}/browse/{key}", self.0)
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` is not a base URL: {why}; write it as in `https://acme.atlassian.net`");
        let url = Url::parse(text).map_err(|err| wrong(&err.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("it must begin with `https://` or `http://` and name a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // The text is not repeated: it holds a password.
            return Err("a base URL has no user and no password: credentials belong into `auth`".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it must end with the path"));
        }
        Ok(Self(url.as_str().trim_end_matches('/').into()))
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.0.as_ref().to_owned()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_checked() {
        for (text, kept) in
            [("https://acme.atlassian.net/", "https://acme.atlassian.net"), ("http://127.0.0.1:99/jira/", "http://127.0.0.1:99/jira")]
        {
            assert_eq!(text.parse::<BaseUrl>().expect("a base URL").as_str(), kept);
        }
        for bad in ["not a url", "ftp://x", "https://u:p@x", "https://x?a=1", "https://x#y", "acme.atlassian.net"] {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
        }
    }
}
