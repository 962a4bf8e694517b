//! How a connection logs in: what is written, and what is used.

use base64::Engine;
use http::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

use super::JiraError;
use crate::setting::{ConnectionName, Secret, SecretSource};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    Cloud,
    Datacenter,
}

/// `auth` of a connection as it is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Settings {
    ApiToken {
        /// The e-mail address of the account.
        email: String,
        /// Its API token.
        token: SecretSource,
    },
    Pat {
        /// A personal access token.
        token: SecretSource,
    },
    Basic {
        /// The account's name.
        username: String,
        /// Its password.
        password: SecretSource,
    },
}

/// `auth` with its secrets resolved.
#[derive(Debug, Clone)]
pub enum Auth {
    ApiToken { email: String, token: Secret },
    Pat { token: Secret },
    Basic { username: String, password: Secret },
}

impl Auth {
    /// A credential that this flavour can never accept is refused before Jira counts a failed login.
    pub(super) fn check(&self, connection: &ConnectionName, flavour: Flavour) -> Result<(), JiraError> {
        let refused = |why| JiraError::Unauthorized { reason: format!("`auth` of connection `{connection}` cannot work: {why}") };
        self.suits(flavour).map_err(refused)
    }

    /// Err: why this flavour can never accept it, and what it takes instead.
    pub fn suits(&self, flavour: Flavour) -> Result<(), &'static str> {
        Err(match (self, flavour) {
            (Self::ApiToken { .. }, Flavour::Datacenter) => {
                "its site is a Data Center, which knows no API tokens: use `type = \"pat\"` with a personal access token"
            }
            (Self::Pat { .. }, Flavour::Cloud) => {
                "its site is on Jira Cloud, which knows no personal access tokens: use `type = \"api-token\"` with e-mail address and token"
            }
            _ => return Ok(()),
        })
    }

    /// The value of `Authorization`, marked so that nobody prints it.
    pub(super) fn header(&self, connection: &ConnectionName) -> Result<HeaderValue, JiraError> {
        let basic = |user: &str, secret: &Secret| {
            let pair = Secret::new(format!("{user}:{}", secret.expose()));
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.expose()))
        };
        let text = Secret::new(match self {
            Self::ApiToken { email, token } => basic(email, token),
            Self::Pat { token } => format!("Bearer {}", token.expose()),
            Self::Basic { username, password } => basic(username, password),
        });
        let mut header = HeaderValue::from_str(text.expose()).map_err(|_| JiraError::Unauthorized {
            reason: format!(
                "the token of connection `{connection}` holds characters that no header can carry: write it again, on one line"
            ),
        })?;
        header.set_sensitive(true);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> ConnectionName {
        "acme".parse().expect("a name")
    }

    #[test]
    fn credentials_become_headers_that_are_not_printed() {
        let token = || Secret::new("t0ken");
        for (auth, text) in [
            (Auth::ApiToken { email: "hub@people.invalid".into(), token: token() }, "Basic aHViQHBlb3BsZS5pbnZhbGlkOnQwa2Vu"),
            (Auth::Pat { token: token() }, "Bearer t0ken"),
            (Auth::Basic { username: "hub".into(), password: token() }, "Basic aHViOnQwa2Vu"),
        ] {
            let header = auth.header(&acme()).expect("a header");
            assert_eq!(header.to_str().expect("text"), text);
            assert_eq!(format!("{header:?} {auth:?}").matches("t0ken").count(), 0);
        }
        let broken = Auth::Pat { token: Secret::new("t0ken\nx") };
        insta::assert_snapshot!(broken.header(&acme()).expect_err("not a header"), @"the token of connection `acme` holds characters that no header can carry: write it again, on one line");
    }

    #[test]
    fn a_credential_must_fit_the_flavour() {
        let token = Auth::ApiToken { email: "hub@people.invalid".into(), token: Secret::new("t") };
        let pat = Auth::Pat { token: Secret::new("t") };
        let basic = Auth::Basic { username: "hub".into(), password: Secret::new("t") };
        for (auth, flavour, fits) in [
            (&token, Flavour::Cloud, true),
            (&token, Flavour::Datacenter, false),
            (&pat, Flavour::Datacenter, true),
            (&pat, Flavour::Cloud, false),
            (&basic, Flavour::Datacenter, true),
            (&basic, Flavour::Cloud, true),
        ] {
            assert_eq!(auth.check(&acme(), flavour).is_ok(), fits, "{auth:?} {flavour:?}");
        }
    }
}
