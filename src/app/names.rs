//! Names that somebody gives of what there is: one that is not known is told, with the one that was probably meant.

use crate::api::OperationError;
use crate::config::{self, Config};
use crate::event::Kind;

pub(super) fn no_sink(name: &str, config: &Config) -> OperationError {
    OperationError::NotFound(unknown("sink", name, config.sinks.iter().map(|sink| sink.name.as_str())))
}

pub(super) fn no_rule(name: &str, config: &Config) -> OperationError {
    OperationError::NotFound(unknown("rule", name, config.rules.iter().map(|rule| rule.name.as_str())))
}

pub(super) fn no_connection(name: &str, config: &Config) -> OperationError {
    OperationError::NotFound(unknown("connection", name, config.connections.iter().map(|connection| connection.name.as_str())))
}

/// Kinds are the same in every service: who asks for one that is none has mistyped it.
pub(super) fn check_kind(name: &str) -> Result<(), OperationError> {
    let is_known = Kind::ALL.iter().any(|kind| kind.as_str() == name);
    let wrong = || OperationError::Wrong(unknown("kind of event", name, Kind::ALL.iter().map(|kind| kind.as_str())));
    if is_known { Ok(()) } else { Err(wrong()) }
}

/// Says so, and which was probably meant.
pub(crate) fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.collect();
    let hint = if known.is_empty() { "there is none".to_owned() } else { config::suggest(name, &known, "there are") };
    format!("no {what} is called `{name}`; {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_with_what_was_meant() {
        let told = |name: &str, known: &[&'static str]| unknown("sink", name, known.iter().copied());
        assert_eq!(told("teem", &["events", "team"]), "no sink is called `teem`; did you mean `team`?");
        assert_eq!(told("nowhere", &["events", "team"]), "no sink is called `nowhere`; there are `events`, `team`");
        assert_eq!(told("team", &[]), "no sink is called `team`; there is none");
        let kind = check_kind("issue.craeted").expect_err("it is none").to_string();
        assert_eq!(kind, "no kind of event is called `issue.craeted`; did you mean `issue.created`?");
        assert!(Kind::ALL.iter().all(|kind| check_kind(kind.as_str()).is_ok()));
    }
}
