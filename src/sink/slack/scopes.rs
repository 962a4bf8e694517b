//! What a bot token may do: Slack lists its scopes beside every answer, so `auth.test` shows what will be refused later.

use reqwest::header::HeaderMap;

use super::super::{Scope, SinkError};

/// Without it no message is posted.
const WRITE: &str = "chat:write";
/// Without it a name or a picture of its own is left out.
const CUSTOMIZE: &str = "chat:write.customize";

/// Err: which scope is missing. A token that tells no scopes is taken as it is: those of older apps do not.
pub(super) fn suffice(headers: &HeaderMap, has_own_name: bool) -> Result<(), SinkError> {
    let Some(listed) = headers.get("x-oauth-scopes").and_then(|value| value.to_str().ok()) else { return Ok(()) };
    let has = |scope: &str| listed.split(',').any(|held| held.trim() == scope || held.trim() == "bot");
    let missing: Vec<&str> = [(WRITE, true), (CUSTOMIZE, has_own_name)]
        .into_iter()
        .filter(|(scope, is_needed)| *is_needed && !has(scope))
        .map(|(scope, _)| scope)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "the token lacks the scope {}: add it at api.slack.com under OAuth & Permissions > Bot Token Scopes, reinstall the app, and use the new token",
        missing.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(" and ")
    );
    Err(SinkError::Refused { scope: Scope::Sink, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_scopes_are_named() {
        for (listed, has_own_name, missing) in [
            (Some("chat:write,chat:write.customize"), true, None),
            (Some("chat:write, channels:read"), false, None),
            (Some("chat:write"), true, Some("`chat:write.customize`")),
            (Some("channels:read"), true, Some("`chat:write` and `chat:write.customize`")),
            (Some(""), false, Some("`chat:write`")),
            (None, true, None),
        ] {
            let headers = listed.map(|listed| ("x-oauth-scopes".parse().expect("a name"), listed.parse().expect("a value")));
            let found = suffice(&headers.into_iter().collect(), has_own_name);
            let told = found.as_ref().err().map(ToString::to_string);
            assert_eq!(
                told.as_deref().map(|reason| reason.contains(missing.unwrap_or("?"))),
                missing.map(|_| true),
                "{listed:?}: {told:?}"
            );
        }
    }
}
