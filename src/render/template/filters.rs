//! The filters of templates: those of the engine that can do no harm, and ours: `link`, `truncate`, `date`, `bold`, `quote`, `duration`,
//! `mention`.
//!
//! A filter that gives plain text gives it unescaped, and it is escaped when it is printed; one that gives text in the dialect marks
//! it safe. So nothing is escaped twice, and everything once.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value, filters};

use super::values::Body;
use crate::render::{Dialect, MAX_BYTES};

/// What a template may use; anything else is refused when it is compiled.
pub(super) const FILTERS: [&str; 36] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "count",
    "d",
    "date",
    "default",
    "dictsort",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "link",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "replace",
    "reject",
    "rejectattr",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "split",
    "string",
    "title",
];
pub(super) const MORE_FILTERS: [&str; 10] =
    ["trim", "truncate", "unique", "upper", "urlencode", "zip", "bold", "duration", "mention", "quote"];

/// These would declare text safe that is not, or show the engine's inside.
const REMOVED: [&str; 8] = ["safe", "escape", "e", "tojson", "pprint", "format", "indent", "chain"];

const DATE_FORMAT: &str = "%Y-%m-%d %H:%M";

pub(super) fn install(environment: &mut Environment<'static>, dialect: Dialect) {
    for name in REMOVED {
        environment.remove_filter(name);
    }
    environment.remove_global("debug");
    install_for_words(environment, dialect);
    environment.add_test("none", |value: &Value| is_nothing(value));
    environment.add_filter("length", |value: &Value| length(value));
    environment.add_filter("count", |value: &Value| length(value));
    environment.add_filter("truncate", move |value: &Value, characters: Option<usize>| truncate(dialect, value, characters.unwrap_or(255)));
    environment.add_filter("link", move |label: &Value, address: &Value| link(dialect, label, address));
    environment.add_filter("bold", move |value: &Value| bold(dialect, value));
    environment.add_filter("quote", move |value: &Value| quote(dialect, value));
    environment.add_filter("duration", |value: &Value| duration(value));
    environment.add_filter("mention", move |value: &Value| mention(dialect, value));
    environment
        .add_filter("date", |value: &Value, format: Option<String>, zone: Option<String>| date(value, format.as_deref(), zone.as_deref()));
}

/// Filters that change text work on its words, and what they give is escaped again when it is printed. The engine's own would tear
/// a link or an entity apart and take the pieces for safe.
fn install_for_words(environment: &mut Environment<'static>, dialect: Dialect) {
    environment.add_filter("upper", move |value: &Value| words(dialect, value).to_uppercase());
    environment.add_filter("lower", move |value: &Value| words(dialect, value).to_lowercase());
    environment.add_filter("title", move |value: &Value| filters::title(words(dialect, value).into()));
    environment.add_filter("capitalize", move |value: &Value| {
        let text = words(dialect, value);
        let mut characters = text.chars();
        let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
        first + &characters.as_str().to_lowercase()
    });
    environment.add_filter("replace", move |value: &Value, from: &Value, to: &Value| {
        replace(&words(dialect, value), &words(dialect, from), &words(dialect, to))
    });
    environment.add_filter("trim", move |value: &Value, set: Option<String>| {
        let text = words(dialect, value);
        set.map_or_else(|| text.trim().to_owned(), |set| text.trim_matches(|c| set.contains(c)).to_owned())
    });
    environment.add_filter("split", move |value: &Value, at: Option<Arc<str>>, most: Option<i64>| {
        filters::split(&Value::from(words(dialect, value)), at, most)
    });
    environment.add_filter("lines", move |value: &Value| filters::lines(&Value::from(words(dialect, value))));
    environment.add_filter("reverse", move |value: &Value| match text(dialect, value) {
        Some(text) => Ok(Value::from(text.chars().rev().collect::<String>())),
        None => value.reverse(),
    });
    environment.add_filter("first", move |value: &Value| match text(dialect, value) {
        Some(text) => Ok(text.chars().next().map_or(Value::UNDEFINED, Value::from)),
        None => filters::first(value),
    });
    environment.add_filter("last", move |value: &Value| match text(dialect, value) {
        Some(text) => Ok(text.chars().next_back().map_or(Value::UNDEFINED, Value::from)),
        None => filters::last(value.clone()),
    });
}

fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    if from.is_empty() {
        return Ok(text.to_owned());
    }
    // The engine counts a result only when it is there, and this one can be far longer than what it is made of.
    if text.matches(from).count().saturating_mul(to.len()) > 4 * MAX_BYTES {
        return Err(ErrorKind::OutOfFuel.into());
    }
    Ok(text.replace(from, to))
}

/// The words of a value that is text.
fn text(dialect: Dialect, value: &Value) -> Option<String> {
    let is_text = value.kind() == ValueKind::String || value.downcast_object_ref::<Body>().is_some();
    is_text.then(|| words(dialect, value))
}

fn words(dialect: Dialect, value: &Value) -> String {
    if is_nothing(value) {
        return String::new();
    }
    let text = value.to_string();
    if value.is_safe() { dialect.words(&text) } else { text }
}

fn is_nothing(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

fn length(value: &Value) -> Result<usize, Error> {
    if is_nothing(value) {
        return Ok(0);
    }
    if let Some(body) = value.downcast_object_ref::<Body>() {
        return Ok(body.words().chars().count());
    }
    value.len().ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("a {} has no length", value.kind())))
}

fn truncate(dialect: Dialect, value: &Value, characters: usize) -> Value {
    if is_nothing(value) {
        return Value::UNDEFINED;
    }
    if let Some(body) = value.downcast_object_ref::<Body>() {
        return Value::from_safe_string(dialect.truncate(body.shown(), characters));
    }
    let text = value.to_string();
    if value.is_safe() {
        Value::from_safe_string(dialect.truncate(&text, characters))
    } else {
        Value::from(Dialect::Plain.truncate(&text, characters))
    }
}

/// `{{ issue.key | link(issue.url) }}`. Without an address the label stays; without a label the address is shown.
fn link(dialect: Dialect, label: &Value, address: &Value) -> Value {
    if is_nothing(address) {
        return label.clone();
    }
    let address = address.to_string();
    let shown = if is_nothing(label) { address.clone() } else { words(dialect, label) };
    Value::from_safe_string(dialect.link(&shown, &address))
}

/// As it is printed in the dialect.
fn shown(dialect: Dialect, value: &Value) -> String {
    if is_nothing(value) {
        return String::new();
    }
    if let Some(body) = value.downcast_object_ref::<Body>() {
        return body.shown().to_owned();
    }
    let text = value.to_string();
    if value.is_safe() { text } else { dialect.escape(&text) }
}

fn bold(dialect: Dialect, value: &Value) -> Value {
    let text = shown(dialect, value);
    let text = text.trim();
    // A mark that stands in the text itself would end the bold there.
    let marked = match dialect {
        _ if text.is_empty() => return Value::UNDEFINED,
        Dialect::SlackMrkdwn if !text.contains(['*', '\n']) => format!("*{text}*"),
        Dialect::Markdown if !text.contains('\n') => format!("**{text}**"),
        Dialect::Plain | Dialect::SlackMrkdwn | Dialect::Markdown => text.to_owned(),
    };
    Value::from_safe_string(marked)
}

/// Every line begins with `> `, which all dialects read as a quotation.
fn quote(dialect: Dialect, value: &Value) -> Value {
    let text = shown(dialect, value);
    if text.trim().is_empty() {
        return Value::UNDEFINED;
    }
    let lines: Vec<String> = text.trim_end().lines().map(|line| format!("> {line}").trim_end().to_owned()).collect();
    Value::from_safe_string(lines.join("\n"))
}

/// `{{ worklog.seconds | duration }}` is `2h 30m`. What is no number of seconds stays as it is.
fn duration(value: &Value) -> Value {
    if is_nothing(value) {
        return Value::UNDEFINED;
    }
    let Some(seconds) = value.as_i64().or_else(|| value.to_string().trim().parse().ok()) else { return value.clone() };
    let (minutes, rest) = (seconds.unsigned_abs() / 60, seconds.unsigned_abs() % 60);
    let parts = [(minutes / 60, "h"), (minutes % 60, "m"), (if minutes == 0 { rest } else { 0 }, "s")];
    let written: Vec<String> = parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    let sign = if seconds < 0 { "-" } else { "" };
    Value::from(if written.is_empty() { "0m".to_owned() } else { format!("{sign}{}", written.join(" ")) })
}

/// `{{ issue.assignee | mention }}`: in Slack a mark that the sink turns into a mention of whom the account belongs to; else the name.
/// Text of a ticket cannot make such a mark: its brackets are escaped.
fn mention(dialect: Dialect, value: &Value) -> Value {
    let text = |name: &str| value.get_attr(name).ok().filter(|member| !is_nothing(member)).map(|member| member.to_string());
    let (Some(id), name) = (text("id"), text("name")) else { return value.clone() };
    let name = name.unwrap_or_else(|| "somebody".to_owned());
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'.' | b'@'));
    match dialect {
        Dialect::SlackMrkdwn if is_plain => Value::from_safe_string(format!("<@jira:{id}|{}>", dialect.escape(&name))),
        Dialect::SlackMrkdwn | Dialect::Plain | Dialect::Markdown => Value::from(name),
    }
}

/// `{{ event.occurred_at | date("%H:%M", "Europe/Berlin") }}`; a day without a time has no zone.
fn date(value: &Value, format: Option<&str>, zone: Option<&str>) -> Result<Value, Error> {
    if is_nothing(value) {
        return Ok(Value::UNDEFINED);
    }
    let text = value.to_string();
    let refuse = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
    let written = if let Ok(day) = text.parse::<jiff::civil::Date>()
        && text.len() <= 10
    {
        jiff::fmt::strtime::format(format.unwrap_or("%Y-%m-%d"), day)
    } else {
        let at = value.as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok()).or_else(|| text.parse().ok());
        let Some(at) = at else { return Err(refuse("`date` needs a time as in `2026-11-22T10:00:00.000Z`".to_owned())) };
        let zone = match zone {
            Some(name) => TimeZone::get(name).map_err(|_| refuse(format!("`{name}` is no time zone as in `Europe/Berlin`")))?,
            None => TimeZone::UTC,
        };
        jiff::fmt::strtime::format(format.unwrap_or(DATE_FORMAT), &at.to_zoned(zone))
    };
    written.map(Value::from).map_err(|err| refuse(format!("`{}` is no format of a date: {err}", format.unwrap_or_default())))
}
