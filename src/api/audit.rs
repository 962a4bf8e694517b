//! What the log says of an order: which members were given, and what they name of ours. What people type freely (a reason, or a target,
//! which may be a person) is only said to be there.

use axum::response::Response;

use super::views::{DeadQuery, ReplayOrder, Selection};

/// What was ordered, on its way from the answer to the log.
#[derive(Clone)]
pub(super) struct AuditNote(pub(super) String);

/// Ids that are named one by one.
const IDS_MAX: usize = 10;

/// The answer to an order, with what the log is to say of it.
pub(super) fn with_audit_note(order: String, mut answer: Response) -> Response {
    answer.extensions_mut().insert(AuditNote(order));
    answer
}

pub(super) fn selection(which: &Selection) -> String {
    match which {
        Selection::All(all) => format!("all={all}"),
        Selection::Ids(ids) => {
            let named: Vec<&str> = ids.iter().take(IDS_MAX).map(String::as_str).collect();
            let more = if ids.len() > IDS_MAX { format!(" and {} more", ids.len() - IDS_MAX) } else { String::new() };
            format!("ids={}{more}", named.join(","))
        }
        Selection::Matching(DeadQuery { sink, target, reason, since }) => members(&[
            ("sink", sink.clone()),
            ("target", target.as_ref().map(|_| "given".to_owned())),
            ("reason", reason.as_ref().map(|_| "given".to_owned())),
            ("since", since.map(|since| since.to_string())),
        ]),
    }
}

pub(super) fn replay(order: &ReplayOrder) -> String {
    members(&[
        ("since", Some(order.since.to_string())),
        ("until", order.until.map(|until| until.to_string())),
        ("rule", order.rule.as_ref().map(|rule| format!("`{rule}`"))),
        ("sink", order.sink.clone()),
        ("again", Some(order.again.to_string())),
        ("dry_run", Some(order.dry_run.to_string())),
    ])
}

/// Those that are given.
pub(super) fn members(members: &[(&str, Option<String>)]) -> String {
    let given = members.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
    given.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn an_order_is_told_without_what_people_type_freely() {
        let query = DeadQuery {
            sink: Some("team".into()),
            target: Some("@ada@people.invalid".into()),
            reason: Some("Ada".into()),
            since: Some(Timestamp::from_ms(0)),
        };
        let told = selection(&Selection::Matching(query));
        assert_eq!(told, "sink=team target=given reason=given since=1970-01-01T00:00:00.000Z");
        assert_eq!(selection(&Selection::Ids(vec!["d1".into(), "d2".into()])), "ids=d1,d2");
        assert!(selection(&Selection::Ids(vec!["d".into(); 12])).ends_with(",d and 2 more"));
        assert_eq!(selection(&Selection::All(true)), "all=true");
        let order = ReplayOrder {
            since: Timestamp::from_ms(0),
            until: None,
            rule: Some("new tickets".into()),
            sink: None,
            again: false,
            dry_run: true,
        };
        assert_eq!(replay(&order), "since=1970-01-01T00:00:00.000Z rule=`new tickets` again=false dry_run=true");
    }
}
