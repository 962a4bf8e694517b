//! What Jira, or whatever stands before it, says in the body of an error. For people: short, on one line, without addresses.

use serde_json::Value;

const LENGTH_MAX: usize = 200;
/// A longer body is no message.
const BODY_BYTES_MAX: usize = 64 << 10;

/// `None` if the body contains no message.
pub(super) fn said(body: &[u8]) -> Option<String> {
    if body.len() > BODY_BYTES_MAX {
        return None;
    }
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => from_json(&value)?,
        Err(_) => from_text(&String::from_utf8_lossy(body)),
    };
    let clean = tidy(&text);
    (!clean.is_empty()).then_some(clean)
}

/// Jira has had many forms; the first that matches wins.
fn from_json(value: &Value) -> Option<String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut parts: Vec<String> = Vec::new();
    if let Some(messages) = value.get("errorMessages").and_then(Value::as_array) {
        parts.extend(messages.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    if let Some(errors) = value.get("errors").and_then(Value::as_object) {
        parts.extend(errors.iter().filter_map(|(field, why)| Some(format!("{field}: {}", why.as_str()?))));
    }
    if !parts.is_empty() {
        return Some(parts.join("; "));
    }
    let oauth = || Some([text("error")?, text("error_description").unwrap_or_default()].join(": "));
    text("message").or_else(|| text("errorMessage")).or_else(oauth).or_else(|| text("detail")).or_else(|| text("title"))
}

/// The title of a page, else the text itself.
fn from_text(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|at| {
        let from = at.checked_add("<title>".len())?;
        let length = lower.get(from..)?.find("</title>")?;
        text.get(from..from.checked_add(length)?)
    });
    title.unwrap_or(text).to_owned()
}

fn tidy(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.map(|word| if word.contains('@') { "[address]" } else { word }).take(LENGTH_MAX).collect::<Vec<_>>().join(" ");
    line.chars().take(LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bodies_of_errors_are_read() {
        for (body, text) in [
            (r#"{"errorMessages":["Issue does not exist."],"errors":{}}"#, Some("Issue does not exist.")),
            (r#"{"errorMessages":[],"errors":{"jql":"no such field"}}"#, Some("jql: no such field")),
            (r#"{"errorMessages":[],"errors":{}}"#, None),
            (r#"{"message":"null for uri","status-code":404}"#, Some("null for uri")),
            (r#"{"errorMessage":"gone"}"#, Some("gone")),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, Some("invalid_grant: expired")),
            (r#"{"code":401,"message":"Unauthorized"}"#, Some("Unauthorized")),
            (r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"no such path"}"#, Some("no such path")),
            ("<html><head><TITLE>Log in -\n Acme</TITLE></head>", Some("Log in - Acme")),
            ("user hub@people.invalid is unknown\u{7}", Some("user [address] is unknown")),
            ("", None),
            ("x".repeat(100_000).as_str(), None),
        ] {
            assert_eq!(said(body.as_bytes()).as_deref(), text, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_body_gives_one_short_line(body in proptest::collection::vec(any::<u8>(), 0..600)) {
            let line = said(&body).unwrap_or_default();
            prop_assert!(line.chars().count() <= LENGTH_MAX && !line.contains(char::is_control));
        }
    }
}
