//! Secrets and paths in a section: resolved where they stand, before the section is read.
//!
//! Afterwards the settings hold literal secrets only, so that nobody asks the environment or a secret's file again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeValue, ValueDeserializer};

use super::fit::Section;
use super::problems::{Finding, Place, Problems};
use super::sources::Sources;
use super::tree;
use crate::setting::{Secret, SecretSource};

/// Members that hold a secret: `*` stands for every entry of a list, and for every member of a table. A test holds this against the settings' schemas.
pub(crate) const CONNECTION: &[&[&str]] =
    &[&["auth", "token"], &["auth", "password"], &["webhook", "secrets", "*"], &["webhook", "token"], &["webhook", "basic", "password"]];
pub(crate) const ADMIN: &[&[&str]] = &[&["tokens", "*"]];
pub(crate) const QUEUE: &[&[&str]] = &[&["password"]];
pub(crate) const STORE: &[&[&str]] = &[&["password"]];
pub(crate) const TRACES: &[&[&str]] = &[&["headers", "*"]];

/// What a load has at hand, and what it finds.
pub(crate) struct Reading<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) problems: Problems,
    pub(crate) warnings: Vec<Finding>,
    /// Whether a secret that cannot be resolved is a mistake.
    pub(crate) needs_secrets: bool,
    pub(crate) unresolved: Vec<Unresolved>,
    pub(crate) watched: Vec<PathBuf>,
}

/// A secret that is not at hand. What holds it must not be used: it has a text in its place that nobody accepts.
#[derive(Debug, Clone)]
pub struct Unresolved {
    /// The section: `connection`, `sink`, `queue`.
    pub kind: &'static str,
    /// Of the section; may be empty.
    pub name: String,
    /// As in `auth.token`.
    pub member: String,
    /// What is missing, and where it is named.
    pub finding: Finding,
}

impl Reading<'_> {
    pub(crate) fn warn(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.warnings.push(Finding { place, message: message.into(), hint: hint.into() });
    }
}

/// The secret of a setting that was loaded: it is literal by then, whatever its source was.
pub fn resolved(source: &SecretSource) -> Secret {
    source.resolve(&|_| None).unwrap_or_else(|_| Secret::new(""))
}

/// Puts the secrets themselves in the place of their sources.
pub(crate) fn resolve(section: &mut Section<'_>, patterns: &[&[&str]], data_dir: &Path, reading: &mut Reading<'_>) {
    for path in tree::expand_all(&section.value, patterns) {
        let place = section.place(&path, reading.sources);
        let subject = format!("`{}` of {}", tree::label(&path), section.label());
        let Some(value) = tree::get_mut(&mut section.value, &path) else { continue };
        // What is no secret at all is told when the section is read.
        let Ok(mut source) = SecretSource::deserialize(ValueDeserializer::from(value.clone())) else { continue };
        if let SecretSource::File(source) = &mut source {
            source.file = data_dir.join(&source.file);
            reading.watched.push(source.file.clone());
        }
        let resolved = match source.resolve(&|name| reading.environment.get(name).cloned()) {
            Ok(secret) => secret.expose().to_owned(),
            Err(why) => {
                let finding = Finding { place, message: format!("{subject}: {why}"), hint: remedy(&source).to_owned() };
                if reading.needs_secrets {
                    reading.problems.add(finding.place.clone(), finding.message.clone(), finding.hint.clone());
                }
                let (kind, name, member) = (section.kind, section.name.clone(), tree::label(&path));
                reading.unresolved.push(Unresolved { kind, name, member, finding });
                *value.get_mut() = DeValue::String(Cow::Borrowed("not resolved"));
                continue;
            }
        };
        let is_overridden = reading.sources.variable_at(value.span().start).is_some();
        if resolved.is_empty() {
            reading.problems.add(place, format!("{subject} is an empty secret"), "give it a value: an empty secret proves nothing");
        } else {
            if resolved.trim() != resolved {
                reading.warn(
                    place.clone(),
                    format!("{subject} begins or ends with white space"),
                    "remove it, unless it belongs to the secret",
                );
            }
            if source.is_literal() && !is_overridden {
                reading.warn(place, format!("{subject} stands in the file itself"), "use `{ env = \"NAME\" }` or `{ file = \"/path\" }`");
            }
        }
        *value.get_mut() = DeValue::String(Cow::Owned(resolved));
    }
}

fn remedy(source: &SecretSource) -> &'static str {
    match source {
        SecretSource::Literal(_) => "",
        SecretSource::Env(_) => "set it where the service is started",
        SecretSource::File(_) => "make it readable for the service; relative paths are against `data_dir`",
    }
}

/// Makes the paths of a section absolute.
pub(crate) fn make_absolute(section: &mut Section<'_>, patterns: &[&[&str]], data_dir: &Path) {
    for path in tree::expand_all(&section.value, patterns) {
        if let Some(value) = tree::get_mut(&mut section.value, &path)
            && let Some(text) = value.get_ref().as_str()
            && !text.is_empty()
        {
            let whole = data_dir.join(text).display().to_string();
            *value.get_mut() = DeValue::String(Cow::Owned(whole));
        }
    }
}
