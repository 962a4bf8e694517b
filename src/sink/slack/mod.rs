//! Slack: a message that a rule composed, into a channel (Web API) or to where an incoming webhook leads.
//!
//! Text and blocks come escaped; nothing here adds meaning to them. Slack has no key against repeats, so that doing it twice shows:
//! the caller records before it calls. How often a channel may be written to is learnt from Slack's own 429.

mod answer;
mod cut;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, RequestBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::answer::Answer;
use super::address::Reach;
use super::{BuildError, Clearance, Enriched, Message, Receipt, Scope, Sink, SinkError, Traits, outgoing};
use crate::clock::Clock;
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
    /// The name that messages bear whose rule gives none.
    pub username: Option<String>,
    /// Likewise the picture.
    pub icon_url: Option<String>,
    /// Slack's Web API: `https://slack.com/api` unless there is something between.
    pub api_url: Option<BaseUrl>,
    /// What restricted content it takes: nothing unless said otherwise.
    pub clearance: Option<Clearance>,
}

impl Settings {
    pub fn clearance(&self) -> Clearance {
        self.clearance.clone().unwrap_or_else(Clearance::nothing)
    }

    /// What can be said without touching anything.
    pub fn check(&self) -> Result<(), BuildError> {
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
    Ok(SlackSink { name, access, username: settings.username.clone(), icon_url: settings.icon_url.clone(), client, clock })
}

struct SlackSink {
    name: SinkName,
    access: Access,
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

    async fn deliver(&self, batch: &[Enriched]) -> Vec<Result<Receipt, SinkError>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for delivery in batch {
            outcomes.push(match &delivery.message {
                Some(message) => self.post(&delivery.target, message).await,
                None => Err(SinkError::Refused { scope: Scope::Target, reason: "no message: no rule composed one".to_owned() }),
            });
        }
        outcomes
    }

    async fn check(&self) -> Result<(), SinkError> {
        match &self.access {
            Access::Token { token, api_url } => {
                let request = self.client.post(format!("{api_url}/auth.test")).bearer_auth(token.expose());
                self.call(request, answer::api).await.map(|_| ())
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
}

impl SlackSink {
    async fn post(&self, channel: &str, message: &Message) -> Result<Receipt, SinkError> {
        let text = cut::within(&message.text, cut::TEXT_MAX);
        let mut post = Post {
            channel: None,
            text: &text,
            blocks: message.blocks.as_ref(),
            username: message.username.as_deref().or(self.username.as_deref()),
            icon_url: message.icon_url.as_deref().or(self.icon_url.as_deref()),
            unfurl_links: false,
            unfurl_media: false,
            mrkdwn: true,
        };
        match &self.access {
            Access::Token { token, api_url } => {
                post.channel = Some(channel);
                let request = self.client.post(format!("{api_url}/chat.postMessage")).bearer_auth(token.expose());
                self.call(with_json(request, &post), answer::api).await
            }
            Access::Webhook(url) => self.call(with_json(self.client.post(url.expose()), &post), answer::webhook).await,
        }
    }

    async fn call(&self, request: RequestBuilder, read: fn(&Answer<'_>) -> Result<Receipt, SinkError>) -> Result<Receipt, SinkError> {
        let mut response = request.send().await.map_err(outgoing::trouble)?;
        let (status, retry_after) = (response.status(), outgoing::retry_after(response.headers(), &self.clock));
        let body = outgoing::body(&mut response, BODY_MAX).await.map_err(outgoing::trouble)?;
        read(&Answer { status, retry_after, body: &body })
    }
}

/// Slack warns where the character set is not named.
fn with_json(request: RequestBuilder, post: &Post<'_>) -> RequestBuilder {
    request.header(reqwest::header::CONTENT_TYPE, "application/json; charset=utf-8").json(post)
}

#[cfg(test)]
mod tests;
