//! Slack: a message that a rule composed, into a channel (Web API) or to where an incoming webhook leads.
//!
//! Text and blocks come escaped; nothing here adds meaning to them. Slack has no key against repeats, so that doing it twice shows:
//! the caller records before it calls. How often a channel may be written to is learnt from Slack's own 429.

mod answer;
mod cut;
mod people;
mod scopes;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::answer::Answer;
use self::people::People;
use super::address::Reach;
use super::{BuildError, Clearance, Enriched, Message, Receipt, Scope, Sink, SinkError, Traits, outgoing};
use crate::clock::Clock;
use crate::jira::retry_after;
use crate::setting::{BaseUrl, Secret, SecretSource, SinkName};

const TIMEOUT: Duration = Duration::from_secs(10);
const API_URL: &str = "https://slack.com/api";
/// Slack's answer repeats the message; beyond this it is not Slack's.
const BODY_MAX: usize = 1024 * 1024;

/// Needs `token` or `webhook_url`, and only one of them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A bot's token, `xoxb-...`.
    pub token: Option<SecretSource>,
    /// An incoming webhook: its channel is fixed.
    pub webhook_url: Option<SecretSource>,
    /// Where messages go whose rule names no channel: an id, or a name as in `#docs`.
    pub channel: Option<String>,
    /// The name under which messages appear whose rule gives none.
    pub username: Option<String>,
    /// The picture beside messages whose rule gives none.
    pub icon_url: Option<String>,
    /// Slack's Web API: `https://slack.com/api` unless there is something between.
    pub api_url: Option<BaseUrl>,
    /// Slack's user ids by account id or e-mail address, for mentions and direct messages. Whoever is not named here is looked up by the
    /// e-mail address that Jira shows, if the token may (`users:read.email`).
    pub people: BTreeMap<String, String>,
    /// What restricted content it takes: nothing unless said otherwise.
    pub clearance: Option<Clearance>,
}

impl Settings {
    pub fn clearance(&self) -> Clearance {
        self.clearance.clone().unwrap_or_else(Clearance::nothing)
    }

    /// What can be said without touching anything.
    pub fn check(&self) -> Result<(), BuildError> {
        if let Some((who, user)) = self.people.iter().find(|(_, user)| !is_user(user)) {
            return Err(BuildError::setting("people", format!("`{user}` of `{who}` is no user id of Slack, as in `U0123ABCD`")));
        }
        if let Some(channel) = self.channel.as_deref().filter(|channel| !channel.starts_with('@') && !is_channel(channel)) {
            return Err(BuildError::setting("channel", format!("`{channel}` is no channel: write {CHANNELS}")));
        }
        match (&self.token, &self.webhook_url) {
            (None, None) => Err(BuildError::setting("token", "a `token` or a `webhook_url` is needed")),
            (Some(_), Some(_)) => Err(BuildError::setting("webhook_url", "there is a `token` too: give one of them")),
            (None, Some(_)) if self.channel.is_some() => {
                Err(BuildError::setting("channel", "an incoming webhook has a channel of its own: leave `channel` out, or use a `token`"))
            }
            _ => Ok(()),
        }
    }
}

/// How a channel is written.
pub const CHANNELS: &str = "a name as in `#docs`, or an id as in `C0123ABCD`";
/// Slack takes no longer name.
const CHANNEL_MAX: usize = 80;

/// Whether it can be the name or id of a channel, or the id of a person. Letters of any script may stand in a name.
pub fn is_channel(text: &str) -> bool {
    let name = text.strip_prefix('#').unwrap_or(text);
    let fits = |c: char| if c.is_ascii() { c.is_ascii_alphanumeric() || matches!(c, '-' | '_') } else { !c.is_whitespace() };
    (1..=CHANNEL_MAX).contains(&name.chars().count()) && name.chars().all(fits)
}

fn is_user(id: &str) -> bool {
    id.starts_with(['U', 'W']) && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// What the settings of these names resolved to.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    pub token: Option<Secret>,
    pub webhook_url: Option<Secret>,
}

pub fn build(name: SinkName, settings: &Settings, secrets: Secrets, clock: Clock) -> Result<impl Sink + use<>, BuildError> {
    settings.check()?;
    let access = match secrets {
        Secrets { token: Some(token), webhook_url: None } => Access::token(token, settings.api_url.as_ref())?,
        Secrets { token: None, webhook_url: Some(url) } => Access::webhook(url)?,
        _ => return Err(BuildError::setting("token", "a `token` or a `webhook_url` is needed, and only one of them")),
    };
    let client = outgoing::client(TIMEOUT, Reach::Anywhere)?;
    let (username, icon_url) = (settings.username.clone(), settings.icon_url.clone());
    Ok(SlackSink { name, access, people: People::new(&settings.people), username, icon_url, client, clock })
}

struct SlackSink {
    name: SinkName,
    access: Access,
    people: People,
    username: Option<String>,
    icon_url: Option<String>,
    client: Client,
    clock: Clock,
}

enum Access {
    Token { token: Secret, api_url: String },
    Webhook(Secret),
}

impl Access {
    fn token(token: Secret, api_url: Option<&BaseUrl>) -> Result<Self, BuildError> {
        if token.is_empty() || !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BuildError::setting("token", "it is empty, or has characters that no token of Slack has"));
        }
        Ok(Self::Token { token, api_url: api_url.map_or(API_URL, BaseUrl::as_str).to_owned() })
    }

    fn webhook(url: Secret) -> Result<Self, BuildError> {
        let right = url::Url::parse(url.expose()).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
        if !right {
            return Err(BuildError::setting("webhook_url", "not a URL as in `https://hooks.slack.com/services/...`"));
        }
        Ok(Self::Webhook(url))
    }
}

/// A message as Slack takes it. Names and places are never made into links: `link_names` and `parse` stay away.
#[derive(Serialize)]
struct Post<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    /// Always there: the notification, and what is read where blocks are not shown.
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<&'a serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachments: Option<&'a serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon_url: Option<&'a str>,
    unfurl_links: bool,
    unfurl_media: bool,
    mrkdwn: bool,
}

#[async_trait]
impl Sink for SlackSink {
    fn name(&self) -> &SinkName {
        &self.name
    }

    fn traits(&self) -> Traits {
        Traits { repeatable: false, records_itself: false, batch: 1, for_people: true }
    }

    fn completed(&self, message: &Message) -> Message {
        Message {
            text: cut::within(&message.text, cut::TEXT_MAX).into_owned(),
            username: message.username.clone().or_else(|| self.username.clone()),
            icon_url: message.icon_url.clone().or_else(|| self.icon_url.clone()),
            ..message.clone()
        }
    }

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for delivery in batch {
            outcomes.push(match &delivery.message {
                Some(message) => self.post(delivery, message).await,
                None => Err(SinkError::Refused { scope: Scope::Target, reason: "no message: no rule composed one".to_owned() }),
            });
        }
        outcomes
    }

    async fn check(&self) -> Result<(), SinkError> {
        match &self.access {
            Access::Token { token, api_url } => {
                let request = self.client.post(format!("{api_url}/auth.test")).bearer_auth(token.expose());
                let (answered, headers) = self.exchange(request, answer::api).await;
                answered?;
                scopes::suffice(&headers, self.username.is_some() || self.icon_url.is_some())
            }
            Access::Webhook(url) => {
                // Without a text nothing is posted, and a webhook that lives says that the text is missing.
                let request = self.client.post(url.expose()).json(&serde_json::json!({}));
                match self.call(request, answer::webhook).await {
                    Ok(_) | Err(SinkError::Refused { scope: Scope::Target, .. }) => Ok(()),
                    Err(err) => Err(err),
                }
            }
        }
    }

    async fn is_there(&self) -> Result<(), SinkError> {
        match &self.access {
            Access::Token { .. } => self.check().await,
            // What only resembles Slack may show whatever comes.
            Access::Webhook(_) => Ok(()),
        }
    }
}

impl SlackSink {
    async fn post(&self, delivery: &Enriched, message: &Message) -> Result<Receipt, SinkError> {
        let text = self.mentioning(&message.text, delivery).await?;
        let text = cut::within(&text, cut::TEXT_MAX);
        let blocks = self.mentioning_in(&message.blocks, delivery).await?;
        let attachments = self.mentioning_in(&message.attachments, delivery).await?;
        let channel = self.channel(delivery).await?;
        let mut post = Post {
            channel: None,
            text: &text,
            blocks: blocks.as_ref(),
            attachments: attachments.as_ref(),
            thread_ts: message.thread.as_deref(),
            username: message.username.as_deref().or(self.username.as_deref()),
            icon_url: message.icon_url.as_deref().or(self.icon_url.as_deref()),
            unfurl_links: false,
            unfurl_media: false,
            mrkdwn: true,
        };
        match &self.access {
            Access::Token { token, api_url } => {
                post.channel = Some(&channel);
                let url = format!("{api_url}/chat.postMessage");
                let call = |post: &Post<'_>| {
                    let request = self.client.post(&url).bearer_auth(token.expose());
                    self.call(with_json(request, post), answer::posted)
                };
                match call(&post).await {
                    // Nothing was posted yet, so that this is still the first try.
                    Err(err) if post.thread_ts.is_some() && answer::thread_is_gone(&err) => {
                        post.thread_ts = None;
                        call(&post).await
                    }
                    Ok(receipt) => Ok(Receipt { thread: message.thread.clone().or(receipt.thread), ..Receipt::default() }),
                    refused => refused,
                }
            }
            Access::Webhook(url) => self.call(with_json(self.client.post(url.expose()), &post), answer::webhook).await,
        }
    }

    /// The channel, or the person that the target means.
    async fn channel<'d>(&self, delivery: &'d Enriched) -> Result<Cow<'d, str>, SinkError> {
        if !delivery.target.starts_with('@') {
            return Ok(Cow::Borrowed(&delivery.target));
        }
        let refused = |reason: String| SinkError::Refused { scope: Scope::Target, reason };
        let somebody = people::target(&delivery.event, &delivery.target).ok_or_else(|| refused("there is nobody to write to".into()))?;
        // What looking up is refused for concerns this message only: others go on.
        let user = self.user(&somebody).await.map_err(|err| match err {
            SinkError::Refused { reason, .. } => refused(format!("who it is in Slack cannot be looked up: {reason}")),
            other => other,
        })?;
        let who = somebody.name.as_deref().unwrap_or("the person");
        user.map(Cow::Owned).ok_or_else(|| refused(format!("nobody in Slack is known to be {who}: name the user in the sink's `people`")))
    }

    /// None: nobody there has this address.
    async fn look_up(&self, email: &str) -> Result<Option<String>, SinkError> {
        let Access::Token { token, api_url } = &self.access else { return Ok(None) };
        let request = self.client.get(format!("{api_url}/users.lookupByEmail")).query(&[("email", email)]);
        self.call(request.bearer_auth(token.expose()), answer::user).await.map_err(SinkError::of_a_question)
    }

    async fn call<T>(&self, request: RequestBuilder, read: fn(&Answer<'_>) -> Result<T, SinkError>) -> Result<T, SinkError> {
        self.exchange(request, read).await.0
    }

    /// What the answer means, and its headers.
    async fn exchange<T>(
        &self,
        request: RequestBuilder,
        read: fn(&Answer<'_>) -> Result<T, SinkError>,
    ) -> (Result<T, SinkError>, HeaderMap) {
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(err) => return (Err(outgoing::map_error(err)), HeaderMap::new()),
        };
        let (status, retry_after) = (response.status(), retry_after(response.headers(), self.clock.now()));
        let answered = match outgoing::body(&mut response, BODY_MAX).await {
            Ok(body) => read(&Answer { status, retry_after, body: &body }),
            // The status says already that it was taken.
            Err(_) if status.is_success() => read(&Answer { status, retry_after, body: &[] }),
            // The status says already that it was not.
            Err(err) => Err(outgoing::map_error(err).of_a_question()),
        };
        (answered, std::mem::take(response.headers_mut()))
    }
}

/// Slack warns where the character set is not named.
fn with_json(request: RequestBuilder, post: &Post<'_>) -> RequestBuilder {
    request.header(reqwest::header::CONTENT_TYPE, "application/json; charset=utf-8").json(post)
}

#[cfg(test)]
mod tests;
