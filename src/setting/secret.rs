//! Secrets: values that have no `Debug`, and the three ways to give one.

use std::fmt;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A value that must never be printed, logged or stored in plain text.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The one way to the text: search for `expose` to see every use.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// How a configuration gives a secret: literally, by environment variable, or by file.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text, `{ env = \"NAME\" }` or `{ file = \"/path\" }`")]
pub enum SecretSource {
    Literal(#[schemars(with = "String")] LiteralSecret),
    Env(EnvSource),
    File(FileSource),
}

/// A secret that stands in the file itself.
#[derive(Clone, Deserialize)]
pub struct LiteralSecret(String);

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvSource {
    /// The environment variable that holds the secret.
    pub env: String,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// A file that holds the secret; a line break at its end is ignored.
    pub file: std::path::PathBuf,
}

impl SecretSource {
    pub fn literal(text: impl Into<String>) -> Self {
        Self::Literal(LiteralSecret(text.into()))
    }

    pub fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    /// Reads the secret. `variable` looks up an environment variable: only the configuration's load passes the real one.
    /// Err: what is wrong, for people, without the value.
    pub fn resolve(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Secret, String> {
        match self {
            Self::Literal(LiteralSecret(text)) => Ok(Secret::new(text.clone())),
            Self::Env(EnvSource { env }) => {
                variable(env).map(Secret::new).ok_or_else(|| format!("the environment variable `{env}` is not set"))
            }
            Self::File(FileSource { file }) => std::fs::read_to_string(file)
                .map(|text| Secret::new(text.trim_end_matches(['\r', '\n'])))
                .map_err(|err| format!("the secret file `{}` cannot be read: {err}", file.display())),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("[secret]"),
            Self::Env(source) => write!(f, "env {}", source.env),
            Self::File(source) => write!(f, "file {}", source.file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?}", SecretSource::literal("hunter2")), "[secret] [secret]");
    }

    #[test]
    fn three_ways_to_give_one() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "from-file\n").expect("writing it");
        let variable = |name: &str| (name == "SET").then(|| "from-env".to_owned());
        let sources = [
            SecretSource::literal("literal"),
            SecretSource::Env(EnvSource { env: "SET".into() }),
            SecretSource::File(FileSource { file: file.path().into() }),
        ];
        let texts: Vec<_> = sources.iter().map(|s| s.resolve(&variable).expect("it resolves").expose().to_owned()).collect();
        assert_eq!(texts, ["literal", "from-env", "from-file"]);
        let missing = SecretSource::Env(EnvSource { env: "UNSET".into() });
        assert_eq!(missing.resolve(&variable).err().as_deref(), Some("the environment variable `UNSET` is not set"));
    }
}
