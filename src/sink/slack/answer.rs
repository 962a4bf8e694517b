//! What Slack's answers mean: HTTP 200 says nothing, the word inside does.
//!
//! Pure: from status and body to what to do next. The reason always contains Slack's own word, because that is what people look up.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use super::super::{Receipt, Scope, SinkError, outgoing};

/// Where Slack limits us without saying for how long.
const LIMITED: Duration = Duration::from_secs(1);
/// As much of Slack's explanation as a person reads.
const DETAIL_MAX: usize = 200;

/// An answer as it came.
pub(super) struct Answer<'a> {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: &'a [u8],
}

#[derive(Deserialize)]
struct ApiResponse {
    ok: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    ts: Option<String>,
    /// The scope that `missing_scope` misses.
    #[serde(default)]
    needed: Option<String>,
    #[serde(default)]
    response_metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    messages: Vec<String>,
}

/// An answer of the Web API.
pub(super) fn api(answer: &Answer<'_>) -> Result<Receipt, SinkError> {
    let response = serde_json::from_slice::<ApiResponse>(answer.body).ok();
    if let Some(response) = response.as_ref().filter(|response| response.ok && answer.status.is_success()) {
        return Ok(Receipt { thread: response.ts.clone(), ..Receipt::default() });
    }
    let word = response.as_ref().filter(|response| !response.ok).and_then(|response| response.error.as_deref()).map(clean);
    if by_status_alone(answer.status) {
        return Err(by_status(answer, word.as_deref()));
    }
    match (word, response) {
        (Some(word), Some(response)) => Err(refusal(&word, &detail(&response), answer.retry_after)),
        // A page of something between us and Slack, or an answer cut short.
        _ => Err(outgoing::unavailable(not_from_slack(answer.status))),
    }
}

fn not_from_slack(status: StatusCode) -> String {
    format!("the answer ({status}) is not Slack's: no JSON with `ok`")
}

/// The answer to a message. A success that cannot be read may stand for a message that was posted: once more would show.
pub(super) fn posted(answer: &Answer<'_>) -> Result<Receipt, SinkError> {
    if answer.status.is_success() && serde_json::from_slice::<ApiResponse>(answer.body).is_err() {
        return Err(SinkError::Unanswered { reason: not_from_slack(answer.status) });
    }
    api(answer)
}

/// Who has an e-mail address; none: nobody.
pub(super) fn user(answer: &Answer<'_>) -> Result<Option<String>, SinkError> {
    #[derive(Deserialize)]
    struct Found {
        user: Option<User>,
    }
    #[derive(Deserialize)]
    struct User {
        id: String,
    }
    match api(answer) {
        Ok(_) => Ok(serde_json::from_slice::<Found>(answer.body).ok().and_then(|found| found.user).map(|user| user.id)),
        Err(SinkError::Refused { scope: Scope::Target, reason }) if reason.contains("`users_not_found`") => Ok(None),
        Err(err) => Err(err),
    }
}

/// Whether the message that was to be answered is not there any more.
pub(super) fn thread_is_gone(err: &SinkError) -> bool {
    let words = ["`thread_not_found`", "`message_not_found`", "`cannot_reply_to_message`", "`invalid_thread_ts`"];
    matches!(err, SinkError::Refused { scope: Scope::Target, reason } if words.iter().any(|word| reason.contains(word)))
}

/// An answer of an incoming webhook. Slack says `ok` or a word as plain text; what only resembles Slack may succeed with any text or none.
pub(super) fn webhook(answer: &Answer<'_>) -> Result<Receipt, SinkError> {
    if answer.status.is_success() {
        return Ok(Receipt::default());
    }
    let text = String::from_utf8_lossy(answer.body);
    let text = text.trim();
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let word = is_word.then(|| clean(text));
    if answer.status == StatusCode::NOT_FOUND {
        let reason = format!("Slack answered {}{}", answer.status, named(word.as_deref()));
        return Err(SinkError::Refused { scope: Scope::Sink, reason });
    }
    Err(by_status(answer, word.as_deref()))
}

/// Whether the word can add nothing: limits, redirects, and a server that is not well.
fn by_status_alone(status: StatusCode) -> bool {
    status.is_redirection() || status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

fn by_status(answer: &Answer<'_>, word: Option<&str>) -> SinkError {
    let retry_after =
        if matches!(answer.status.as_u16(), 425 | 429) { Some(answer.retry_after.unwrap_or(LIMITED)) } else { answer.retry_after };
    let mut err = outgoing::map_status("Slack", answer.status, retry_after);
    let (SinkError::Unavailable { reason, .. }
    | SinkError::Unanswered { reason }
    | SinkError::Failed { reason }
    | SinkError::Refused { reason, .. }) = &mut err;
    reason.push_str(&named(word));
    err
}

fn named(word: Option<&str>) -> String {
    word.map(|word| format!(": `{word}`")).unwrap_or_default()
}

/// What an error of the Web API means. A word that is not known speaks of the message: Slack adds such words, and waiting would
/// only hold up what comes behind it.
fn refusal(word: &str, detail: &str, retry_after: Option<Duration>) -> SinkError {
    let hint = hint(word).map(|hint| format!(": {hint}")).unwrap_or_default();
    let reason = format!("Slack answered `{word}`{hint}{detail}");
    match word {
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => {
            SinkError::Unavailable { scope: Scope::Sink, retry_after, reason }
        }
        "ratelimited" | "rate_limited" => {
            SinkError::Unavailable { scope: Scope::Target, retry_after: Some(retry_after.unwrap_or(LIMITED)), reason }
        }
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" | "missing_scope" => {
            SinkError::Refused { scope: Scope::Sink, reason }
        }
        // These too are about the token or the workspace, whatever the message.
        "not_allowed_token_type" | "org_login_required" | "ekm_access_denied" | "two_factor_setup_required" | "team_access_not_granted" => {
            SinkError::Refused { scope: Scope::Sink, reason }
        }
        // These pass, though Slack does not say when.
        "team_added_to_org" | "message_limit_exceeded" | "accesslimited" => SinkError::Failed { reason },
        _ => SinkError::Refused { scope: Scope::Target, reason },
    }
}

fn hint(word: &str) -> Option<&'static str> {
    Some(match word {
        "channel_not_found" => "there is no such channel, or the bot may not see it",
        "not_in_channel" => "invite the bot into the channel",
        "is_archived" => "the channel is archived",
        "restricted_action" => "the workspace does not let the bot post there",
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" => "give the sink a valid `token`",
        "account_inactive" => "the token belongs to a deleted user or workspace",
        "missing_scope" => "give the token's app this scope and install it again",
        _ => return None,
    })
}

fn detail(response: &ApiResponse) -> String {
    let needed = response.needed.as_deref().filter(|needed| !needed.is_empty()).map(|needed| format!("needed: {needed}"));
    let message = response.response_metadata.as_ref().and_then(|metadata| metadata.messages.first()).cloned();
    let text = needed.or(message).map(|text| text.chars().filter(|c| !c.is_control()).take(DETAIL_MAX).collect::<String>());
    text.map(|text| format!(" ({text})")).unwrap_or_default()
}

/// A word as Slack writes it. Anything else may be what we sent, echoed by something between us and Slack: it stays out of reasons.
fn clean(word: &str) -> String {
    let is_word = word.len() <= 64 && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if is_word { word.to_owned() } else { "no_word_of_slacks".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How it went, in short: `target 2s` is unavailable for two seconds, `!sink` refused, `failed`.
    fn short(outcome: &Result<Receipt, SinkError>) -> String {
        let scope = |scope: &Scope| if *scope == Scope::Sink { "sink" } else { "target" };
        match outcome {
            Ok(receipt) => format!("ok {}", receipt.thread.as_deref().unwrap_or("-")),
            Err(SinkError::Unavailable { scope: of, retry_after: None, .. }) => scope(of).to_owned(),
            Err(SinkError::Unavailable { scope: of, retry_after: Some(span), .. }) => format!("{} {}s", scope(of), span.as_secs()),
            Err(SinkError::Failed { .. }) => "failed".to_owned(),
            Err(SinkError::Unanswered { .. }) => "unanswered".to_owned(),
            Err(SinkError::Refused { scope: of, .. }) => format!("!{}", scope(of)),
        }
    }

    fn answer(status: u16, retry_after: Option<u64>, body: &str) -> Answer<'_> {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, retry_after: retry_after.map(Duration::from_secs), body: body.as_bytes() }
    }

    #[test]
    fn words_of_the_web_api() {
        for (words, expected) in [
            ("internal_error fatal_error service_unavailable request_timeout", "sink"),
            ("ratelimited rate_limited", "target 1s"),
            ("invalid_auth not_authed account_inactive token_revoked token_expired missing_scope", "!sink"),
            ("not_allowed_token_type org_login_required ekm_access_denied team_access_not_granted", "!sink"),
            ("channel_not_found is_archived not_in_channel restricted_action", "!target"),
            ("msg_too_long no_text invalid_blocks invalid_attachments msg_blocks_too_long too_many_attachments some_new_word", "!target"),
            ("team_added_to_org message_limit_exceeded", "failed"),
        ] {
            for word in words.split(' ') {
                let body = format!(r#"{{"ok":false,"error":"{word}"}}"#);
                let outcome = api(&answer(200, None, &body));
                assert_eq!(short(&outcome), expected, "{word}");
                assert!(outcome.expect_err("an error").to_string().contains(&format!("`{word}`")), "{word}");
            }
        }
    }

    #[test]
    fn answers_of_the_web_api() {
        let word = r#"{"ok":false,"error":"ratelimited"}"#;
        for (status, retry_after, body, expected) in [
            (200, None, r#"{"ok":true,"channel":"C1","ts":"1700000000.000001","message":{},"warning":"x"}"#, "ok 1700000000.000001"),
            (200, None, r#"{"ok":true}"#, "ok -"),
            (429, Some(7), word, "target 7s"),
            (429, None, "slow down", "target 1s"),
            (200, Some(7), word, "target 7s"),
            (500, None, r#"{"errorMessages":[]}"#, "sink"),
            (503, Some(3), r#"{"ok":false,"error":"service_unavailable"}"#, "sink 3s"),
            (408, None, "", "sink"),
            (502, None, "<html>", "sink"),
            (200, None, "<html><title>Log in</title></html>", "sink"),
            (200, None, "", "sink"),
            (200, None, r#"{"ok":true,"ts":"17000"#, "sink"),
            (200, None, r#"{"hello":1}"#, "sink"),
            (200, None, r#"{"ok":false}"#, "sink"),
            (403, None, "<html>", "sink"),
            (403, None, r#"{"ok":false,"error":"invalid_auth"}"#, "!sink"),
            (400, None, r#"{"ok":false,"error":"invalid_json"}"#, "!target"),
            (400, None, r#"{"ok":true}"#, "sink"),
            (302, None, "", "!sink"),
        ] {
            assert_eq!(short(&api(&answer(status, retry_after, body))), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_success_that_cannot_be_read_is_no_reason_to_post_again() {
        for (status, body, expected) in [
            (200, r#"{"ok":true,"ts":"1.2"}"#, "ok 1.2"),
            (200, "<html>", "unanswered"),
            (200, "", "unanswered"),
            (202, r#"{"ok":true,"ts":"17000"#, "unanswered"),
            (200, r#"{"ok":false,"error":"internal_error"}"#, "sink"),
            (502, "<html>", "sink"),
            (403, "<html>", "sink"),
        ] {
            assert_eq!(short(&posted(&answer(status, None, body))), expected, "{status} {body}");
        }
    }

    #[test]
    fn answers_of_an_incoming_webhook() {
        for (status, body, expected) in [
            (200, "ok", "ok -"),
            (200, "ok\n", "ok -"),
            (200, "", "ok -"),
            (200, r#"{"ok":true}"#, "ok -"),
            (202, "<html>", "ok -"),
            (204, "", "ok -"),
            (400, "invalid_payload", "!target"),
            (400, "no_text", "!target"),
            (403, "action_prohibited", "!sink"),
            (403, "invalid_token", "!sink"),
            (404, "no_service", "!sink"),
            (404, "channel_not_found", "!sink"),
            (410, "channel_is_archived", "!sink"),
            (413, "", "!target"),
            (429, "", "target 1s"),
            (500, "rollup_error", "sink"),
            (302, "", "!sink"),
            (418, "", "failed"),
        ] {
            let outcome = webhook(&answer(status, None, body));
            assert_eq!(short(&outcome), expected, "{status} {body}");
            if let Err(err) = outcome.as_ref() {
                assert!(!err.to_string().contains('<'), "{err}");
            }
        }
    }

    #[test]
    fn reasons_are_for_people() {
        let reason = |body: &str| api(&answer(200, None, body)).expect_err("an error").to_string();
        insta::assert_snapshot!(reason(r#"{"ok":false,"error":"not_in_channel"}"#), @"Slack answered `not_in_channel`: invite the bot into the channel");
        insta::assert_snapshot!(reason(r#"{"ok":false,"error":"missing_scope","needed":"chat:write","provided":"x"}"#),
            @"Slack answered `missing_scope`: give the token's app this scope and install it again (needed: chat:write)");
        insta::assert_snapshot!(reason(r#"{"ok":false,"error":"invalid_blocks","response_metadata":{"messages":["[ERROR] no more than 50 items allowed"]}}"#),
            @"Slack answered `invalid_blocks` ([ERROR] no more than 50 items allowed)");
        insta::assert_snapshot!(reason("<html>"), @"the answer (200 OK) is not Slack's: no JSON with `ok`");
        let gone = webhook(&answer(404, None, "no_service")).expect_err("an error");
        insta::assert_snapshot!(gone, @"Slack answered 404 Not Found: `no_service`");
    }
}
