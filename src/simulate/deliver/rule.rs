//! Jira's rules for one delivery, as functions: how it is signed, who is named in its URL, when it is tried again, and what the answer said.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use rand::rngs::StdRng;
use reqwest::StatusCode;
use sha2::Sha256;

use crate::setting::Secret;

pub(super) const RETRIES_MAX: u32 = 5;
/// Answers are small; more than this is not read.
const ANSWER_MAX: usize = 1 << 20;

/// `X-Hub-Signature` of a body.
pub(super) fn signature(secret: &Secret, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Data Center names the person in the URL, by login name and key.
pub(super) fn login_query(body: &serde_json::Value) -> Vec<(&'static str, String)> {
    let people = [&body["user"], &body["comment"]["updateAuthor"], &body["worklog"]["updateAuthor"], &body["attachment"]["author"]];
    let Some(person) = people.into_iter().find(|person| person.is_object()) else { return Vec::new() };
    let part = |name, member: &str| Some((name, person[member].as_str()?.to_owned()));
    [part("user_id", "name"), part("user_key", "key")].into_iter().flatten().collect()
}

pub(super) fn is_retried(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 425 | 429) || status.is_server_error()
}

/// Five to fifteen minutes, scaled.
pub(super) fn retry_wait(rng: &mut StdRng, scale: f64) -> Duration {
    Duration::from_secs_f64((rng.random_range(300.0..=900.0) * scale).max(0.0))
}

pub(super) async fn event_ids(mut answer: reqwest::Response) -> Vec<String> {
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        text.extend_from_slice(&chunk);
        if text.len() > ANSWER_MAX {
            return Vec::new();
        }
    }
    #[derive(serde::Deserialize)]
    struct Answer {
        event_ids: Vec<String>,
    }
    serde_json::from_slice(&text).map(|answer: Answer| answer.event_ids).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn signatures_are_the_documented_ones() {
        for (secret, body, expected) in [
            ("It's a Secret to Everybody", "Hello World!", "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"),
            ("It's a Secret to Everybody", "", "66a0c074deaa0f489ead6537e0d32f9a344b90bbeda705b6ed45ecd3b413fb40"),
            ("schlüssel-🔑", r#"{"summary":"Größe – 日本"}"#, "4a2c558862d6d1cb7869156d1ea22a4b91c8d89426832a47b049068932153e51"),
        ] {
            assert_eq!(signature(&Secret::new(secret), body.as_bytes()), format!("sha256={expected}"));
        }
    }

    proptest! {
        #[test]
        fn jira_waits_five_to_fifteen_minutes(seed: u64) {
            let wait = retry_wait(&mut StdRng::seed_from_u64(seed), 1.0);
            prop_assert!((300..=900).contains(&wait.as_secs()), "{wait:?}");
        }
    }
}
