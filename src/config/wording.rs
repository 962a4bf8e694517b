//! What the deserializer says, in words for people: what is wrong, and what to do.
//!
//! A text or number is never repeated where its type is wrong: it may be a secret in the wrong place.

use super::nearest::nearest;

/// The problem's message and hint. `member` is where it was found, empty for the section itself; `also` are names that the
/// section knows beside those of the message.
pub(crate) fn reword(message: &str, section: &str, member: &str, also: &[&str]) -> (String, String) {
    let message = message.lines().next().unwrap_or_default();
    if let Some(name) = quoted_after(message, "unknown field ") {
        let parent = member.rsplit_once('.').map_or(section.to_owned(), |(parent, _)| format!("`{parent}` of {section}"));
        let mut known = expected(message);
        known.extend(also);
        return (format!("`{name}` is no member of {parent}"), suggest(name, &known, "its members are"));
    }
    if let Some(name) = quoted_after(message, "unknown variant ") {
        return (format!("`{member}` of {section}: `{name}` is not known"), suggest(name, &expected(message), "write one of"));
    }
    if let Some(name) = quoted_after(message, "missing field ") {
        let parent = if member.is_empty() { section.to_owned() } else { format!("`{member}` of {section}") };
        return (format!("`{name}` is missing in {parent}"), format!("add `{name} = ...`; `ticketwire config example` shows it"));
    }
    let subject = if member.is_empty() { section.to_owned() } else { format!("`{member}` of {section}") };
    if let Some(rest) = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "))
        && let Some((found, wanted)) = rest.rsplit_once(", expected ")
    {
        return (format!("{subject} is of the wrong type: {}", found_kind(found)), format!("write {}", wanted_kind(wanted)));
    }
    if message == "invalid socket address syntax" {
        return (format!("{subject} is not an address"), format!("write {ADDRESS}"));
    }
    if let Some(wanted) = message.strip_prefix("expected ") {
        return (format!("{subject} is of the wrong type"), format!("write {wanted}"));
    }
    for remedy in ["; write ", ": write ", ": use "] {
        if let Some((what, hint)) = message.split_once(remedy) {
            let verb = remedy.trim_start_matches([';', ':', ' ']);
            return (format!("{subject}: {what}"), format!("{verb}{hint}"));
        }
    }
    (format!("{subject}: {message}"), "`ticketwire config example` shows every member".to_owned())
}

const ADDRESS: &str = "an address and a port, as in `127.0.0.1:8080`";

/// What was found, in the file's words and without a text's or number's content.
fn found_kind(found: &str) -> String {
    match found.split_once(' ').map_or((found, ""), |(kind, rest)| (kind, rest)) {
        ("string", _) => "a text".to_owned(),
        ("map", _) => "a table".to_owned(),
        ("sequence", _) => "a list".to_owned(),
        ("integer" | "floating", _) => "a number".to_owned(),
        ("boolean", value) => value.to_owned(),
        _ => found.to_owned(),
    }
}

/// What was wanted, in the file's words.
fn wanted_kind(wanted: &str) -> &str {
    match wanted {
        "a string" => "a text",
        "a sequence" => "a list",
        "a boolean" => "`true` or `false`",
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "a map" => "a table",
        "socket address" => ADDRESS,
        other if other.starts_with("struct ") || other.contains("enum ") => "a table",
        other => other,
    }
}

/// `did you mean ...?`, or all there is.
pub(crate) fn suggest(typed: &str, known: &[&str], otherwise: &str) -> String {
    match nearest(typed, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("{otherwise} {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// The name of an unknown or missing member, if the message is of that kind.
pub(crate) fn quoted_after<'m>(message: &'m str, prefix: &str) -> Option<&'m str> {
    message.strip_prefix(prefix)?.strip_prefix('`')?.split_once('`').map(|(name, _)| name)
}

/// The names behind `, expected`.
fn expected(message: &str) -> Vec<&str> {
    let list = message.rsplit_once(", expected ").map_or("", |(_, list)| list);
    list.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_and_what_to_do() {
        let rows = [
            ("unknown field `listn`, expected one of `listen`, `max_body`", "listn"),
            ("unknown field `colour`, expected `url`", "auth.colour"),
            ("unknown variant `cluod`, expected `cloud` or `datacenter`", "flavour"),
            ("missing field `url`", ""),
            ("missing field `token`", "auth"),
            ("invalid type: string \"hunter2, expected x\", expected a sequence", "webhook.secrets"),
            ("invalid type: integer `17`, expected socket address", "listen"),
            ("invalid type: map, expected a string", "channel"),
            ("invalid type: boolean `true`, expected usize", "connections_max"),
            ("invalid type: floating point `1.5`, expected struct Settings", "clearance"),
            ("invalid socket address syntax", "listen"),
            ("expected a text, `{ env = \"NAME\" }` or `{ file = \"/path\" }`", "token"),
            ("`x` is not a base URL: relative URL without a base; write it as in `https://acme.atlassian.net`", "url"),
            ("0 lanes: the number must be between 1 and 256", "lanes"),
        ];
        let said: Vec<_> = rows.iter().map(|(message, member)| reword(message, "`[x]`", member, &[])).collect();
        let text: String = said.iter().map(|(message, hint)| format!("{message} -> {hint}\n")).collect();
        assert!(!text.contains("hunter2"), "{text}");
        insta::assert_snapshot!(text, @r#"
        `listn` is no member of `[x]` -> did you mean `listen`?
        `colour` is no member of `auth` of `[x]` -> its members are `url`
        `flavour` of `[x]`: `cluod` is not known -> did you mean `cloud`?
        `url` is missing in `[x]` -> add `url = ...`; `ticketwire config example` shows it
        `token` is missing in `auth` of `[x]` -> add `token = ...`; `ticketwire config example` shows it
        `webhook.secrets` of `[x]` is of the wrong type: a text -> write a list
        `listen` of `[x]` is of the wrong type: a number -> write an address and a port, as in `127.0.0.1:8080`
        `channel` of `[x]` is of the wrong type: a table -> write a text
        `connections_max` of `[x]` is of the wrong type: `true` -> write a whole number
        `clearance` of `[x]` is of the wrong type: a number -> write a table
        `listen` of `[x]` is not an address -> write an address and a port, as in `127.0.0.1:8080`
        `token` of `[x]` is of the wrong type -> write a text, `{ env = "NAME" }` or `{ file = "/path" }`
        `url` of `[x]`: `x` is not a base URL: relative URL without a base -> write it as in `https://acme.atlassian.net`
        `lanes` of `[x]`: 0 lanes: the number must be between 1 and 256 -> `ticketwire config example` shows every member
        "#);
    }
}
