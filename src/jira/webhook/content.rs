//! What a body says, without when it was sent: two webhooks of one site tell the same thing in bodies that differ in just that.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 over the body without `timestamp` and `matchedWebhookIds`, its members sorted; nothing where it is not JSON that can be read.
pub fn content_hash(body: &[u8]) -> Option<[u8; 32]> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    if let Value::Object(members) = &mut value {
        members.shift_remove("timestamp");
        members.shift_remove("matchedWebhookIds");
    }
    value.sort_all_objects();
    Some(Sha256::digest(value.to_string()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_has_one_hash() {
        let sprint = content_hash(br#"{"timestamp":1,"webhookEvent":"sprint_updated","sprint":{"id":7,"name":"A"}}"#);
        let check = |body: &str, same: bool| assert_eq!(content_hash(body.as_bytes()) == sprint, same, "{body}");
        check(r#"{"sprint": {"name": "A", "id": 7}, "matchedWebhookIds": [3], "webhookEvent": "sprint_updated", "timestamp": 2}"#, true);
        check(r#"{"webhookEvent":"sprint_updated","sprint":{"id":7,"name":"B"}}"#, false);
        check(r#"{"webhookEvent":"sprint_updated","sprint":{"id":7,"name":"A","timestamp":1}}"#, false);
        for bad in ["", "not json", "{"] {
            assert_eq!(content_hash(bad.as_bytes()), None, "{bad}");
        }
    }
}
