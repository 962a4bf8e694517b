//! `[connection.NAME]`: a Jira site, its credential, and how its webhooks are proven.

use schemars::JsonSchema;
use serde::Deserialize;

use super::fingerprint::Fingerprint;
use super::fit::{Section, fit};
use super::problems::Place;
use super::secrets::{self, Reading, resolved};
use super::tree::{self, members};
use crate::jira;
use crate::receive::{BasicSettings, Proof, WebhookSettings};
use crate::setting::{BaseUrl, ConnectionName, Secret};

/// A connection with its secrets resolved.
#[derive(Debug, Clone)]
pub struct Connection {
    pub name: ConnectionName,
    pub place: Place,
    pub url: BaseUrl,
    /// None: receive only.
    pub auth: Option<jira::Auth>,
    /// None: Jira is asked.
    pub flavour: Option<jira::Flavour>,
    pub proof: Proof,
}

/// `[connection.NAME]` as it is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionSettings {
    /// The site, as in `https://acme.atlassian.net`; it never changes.
    pub url: BaseUrl,
    /// Without it nothing is asked of Jira: events stay as they came.
    pub auth: Option<jira::Settings>,
    /// Whether it is Jira Cloud or Data Center; without it Jira is asked.
    pub flavour: Option<jira::Flavour>,
    /// How the sender of its webhooks is proven.
    #[serde(default)]
    pub webhook: WebhookSettings,
}

pub(crate) fn read<'a>(
    section: &Section<'a>,
    data_dir: &std::path::Path,
    fingerprint: &mut Fingerprint,
    reading: &mut Reading<'a>,
) -> Option<Connection> {
    fingerprint.add(section, secrets::CONNECTION);
    let mut own = section.clone();
    secrets::resolve(&mut own, secrets::CONNECTION, data_dir, reading);
    fingerprint.mark(&own);
    check_proof(&own, reading);
    warn_guessable(&own, reading);
    let (settings, _) = fit::<ConnectionSettings>(&own, &[], reading.sources, &mut reading.problems)?;
    warn_path(&own, &settings.url, reading);
    let WebhookSettings { secrets, token, basic, .. } = settings.webhook;
    let pair = |basic: &BasicSettings| Secret::new(format!("{}:{}", basic.username, resolved(&basic.password).expose()));
    Some(Connection {
        name: section.name.parse().ok()?,
        place: reading.sources.place(section.offset),
        url: settings.url,
        auth: settings.auth.map(auth),
        flavour: settings.flavour,
        proof: Proof {
            secrets: secrets.iter().map(resolved).collect(),
            token: token.as_ref().map(resolved),
            basic: basic.as_ref().map(pair),
        },
    })
}

/// Looks at what is written, not at what could be read of it: a proof with a mistake in it is not missing.
fn check_proof(section: &Section<'_>, reading: &mut Reading<'_>) {
    let written = |name: &str| tree::get(&section.value, &members(&["webhook", name]));
    let has_secrets = written("secrets").is_some_and(|list| list.get_ref().as_array().is_none_or(|list| !list.is_empty()));
    let has_proof = has_secrets || written("token").is_some() || written("basic").is_some();
    let proof = written("proof").and_then(|proof| proof.get_ref().as_str());
    let place = section.place(&members(&["webhook", "proof"]), reading.sources);
    match (has_proof, proof) {
        (true, None) => {}
        (false, None) => {
            let message = format!(
                "{} has no proof of the sender: neither `webhook.secrets` nor `webhook.token` nor `webhook.basic`",
                section.label()
            );
            let hint = "add `webhook = { secrets = [{ env = \"HOOK_SECRET\" }] }`, or `webhook = { proof = \"none\" }` to take what comes";
            reading.problems.add(section.place(&members(&["webhook"]), reading.sources), message, hint);
        }
        (true, Some("none")) => {
            let message = format!("{} says `proof = \"none\"` and gives a secret or token", section.label());
            reading.problems.add(
                place,
                message,
                "remove `proof` to have the sender proven, or the secrets and the token to take what comes",
            );
        }
        (false, Some("none")) => {
            let message = format!("{} takes what comes, from anybody who can reach the receiver", section.label());
            reading.warn(place, message, "give the webhook a secret and name it in `webhook.secrets`");
        }
        // Another word is told when the section is read.
        (_, Some(_)) => {}
    }
}

/// Shorter secrets can be found by trying.
const SECRET_MIN: usize = 16;

/// What can be guessed proves nothing. What is not at hand is not looked at.
fn warn_guessable(section: &Section<'_>, reading: &mut Reading<'_>) {
    for path in tree::expand_all(&section.value, &[&["webhook", "secrets", "*"], &["webhook", "token"]]) {
        let (member, place) = (tree::label(&path), section.place(&path, reading.sources));
        let is_at_hand =
            !reading.unresolved.iter().any(|other| other.kind == section.kind && other.name == section.name && other.member == member);
        let secret = tree::get(&section.value, &path).and_then(|value| value.get_ref().as_str()).unwrap_or_default();
        if is_at_hand && (1..SECRET_MIN).contains(&secret.chars().count()) {
            let message = format!("`{member}` of {} is shorter than {SECRET_MIN} characters and can be guessed", section.label());
            reading.warn(place, message, "make a longer one, as with `openssl rand -hex 32`, and give it to Jira, too");
        }
    }
}

/// A site of Jira Cloud lies at the root of its host; what a browser shows behind it is a page.
fn warn_path(section: &Section<'_>, url: &BaseUrl, reading: &mut Reading<'_>) {
    let Some((site, page)) = url.as_str().split_once(CLOUD).filter(|(_, page)| page.starts_with('/')) else { return };
    let place = section.place(&members(&["url"]), reading.sources);
    let message = format!("`url` of {} has the path `{page}`, and a site of Jira Cloud has none", section.label());
    reading.warn(place, message, format!("write `url = \"{site}{CLOUD}\"`"));
}

/// How the hosts of Jira Cloud end.
const CLOUD: &str = ".atlassian.net";

fn auth(settings: jira::Settings) -> jira::Auth {
    match settings {
        jira::Settings::ApiToken { email, token } => jira::Auth::ApiToken { email, token: resolved(&token) },
        jira::Settings::Pat { token } => jira::Auth::Pat { token: resolved(&token) },
        jira::Settings::Basic { username, password } => jira::Auth::Basic { username, password: resolved(&password) },
    }
}

/// Two connections with one base URL could not be told apart by their events.
pub(crate) fn check_urls(connections: &[Connection], reading: &mut Reading<'_>) {
    for (at, connection) in connections.iter().enumerate() {
        let Some(first) = connections.iter().take(at).find(|first| first.url == connection.url) else { continue };
        let message = format!("`[connection.{}]` and `[connection.{}]` ({}) are one site", connection.name, first.name, first.place);
        reading.problems.add(connection.place.clone(), message, "remove one of them");
    }
}
