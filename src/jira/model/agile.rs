//! Sprints and boards: as entities of their own, and sprints as values of an issue's field, which old sites write as strings.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::scalar::{Id, Moment, Text, at, filled, known, owned_id};
use crate::event::{self, SprintRef};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sprint<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    name: Option<Text<'a>>,
    state: Option<Text<'a>>,
    goal: Option<Text<'a>>,
    board_id: Option<Id<'a>>,
    origin_board_id: Option<Id<'a>>,
    start_date: Option<Moment>,
    end_date: Option<Moment>,
    complete_date: Option<Moment>,
}

impl Sprint<'_> {
    pub(crate) fn id(&self) -> Option<&str> {
        known(self.id.as_ref())
    }

    fn board(&self) -> Option<String> {
        owned_id(self.origin_board_id.as_ref()).or_else(|| owned_id(self.board_id.as_ref()))
    }

    /// `id` stands in where the object has none of its own.
    pub(crate) fn state(&self, id: &str) -> event::SprintState {
        event::SprintState {
            id: self.id().unwrap_or(id).to_owned(),
            board_id: self.board(),
            name: filled(self.name.as_ref()),
            state: self.state.as_ref().and_then(|state| lower(state.as_str())),
            goal: filled(self.goal.as_ref()),
            start_at: at(self.start_date),
            end_at: at(self.end_date),
            completed_at: at(self.complete_date),
        }
    }

    fn reference(&self) -> Option<SprintRef> {
        let state = self.state.as_ref().and_then(|state| lower(state.as_str()));
        Some(SprintRef { id: self.id()?.to_owned(), name: filled(self.name.as_ref()), state, board_id: self.board() })
    }
}

/// `future`, `active` or `closed`, as the newer form writes them.
fn lower(state: &str) -> Option<String> {
    match state.to_ascii_lowercase().as_str() {
        "" => None,
        "complete" => Some("closed".to_owned()),
        state => Some(state.to_owned()),
    }
}

/// The sprints in the value of a custom field; nothing where the value is something else.
pub(crate) fn sprints(field: &RawValue) -> Option<Vec<SprintRef>> {
    let raw = field.get();
    let first = raw.strip_prefix('[')?.trim_start();
    if first.starts_with('"') && raw.contains("state=") && raw.contains("id=") {
        let texts: Vec<Option<Text<'_>>> = serde_json::from_str(raw).ok()?;
        let found: Vec<_> = texts.iter().flatten().filter_map(|text| from_text(text.as_str())).collect();
        return (!found.is_empty()).then_some(found);
    }
    if first.starts_with('{') && raw.contains("\"state\"") && (raw.contains("\"boardId\"") || raw.contains("\"originBoardId\"")) {
        let sprints: Vec<Option<Sprint<'_>>> = serde_json::from_str(raw).ok()?;
        let found: Vec<_> = sprints.iter().flatten().filter_map(Sprint::reference).collect();
        return (!found.is_empty()).then_some(found);
    }
    None
}

const KEYS: [&str; 13] = [
    "id",
    "rapidViewId",
    "state",
    "name",
    "goal",
    "startDate",
    "endDate",
    "completeDate",
    "activatedDate",
    "sequence",
    "synced",
    "autoStartStop",
    "incompleteIssuesDestinationId",
];

/// `...Sprint@1f2e3d[id=7,rapidViewId=2,state=ACTIVE,name=Sprint 3, ops,goal=,...]`: the order varies, and names and goals may contain
/// commas, `=`, brackets and line feeds. So a comma separates only where a known key and `=` come next.
fn from_text(text: &str) -> Option<SprintRef> {
    let inner = text.get(text.find('[')? + 1..text.rfind(']')?)?;
    let (mut id, mut board_id, mut state, mut name) = (None, None, None, None);
    let mut rest = Some(inner);
    while let Some(part) = rest {
        let (this, next) = split(part);
        rest = next;
        let Some((key, value)) = this.split_once('=') else { continue };
        let value = Some(value).filter(|value| !matches!(*value, "" | "<null>"));
        match key {
            "id" => id = value,
            "rapidViewId" => board_id = value,
            "state" => state = value,
            "name" => name = value,
            _ => {}
        }
    }
    state?;
    Some(SprintRef {
        id: id?.to_owned(),
        name: name.map(str::to_owned),
        state: state.and_then(lower),
        board_id: board_id.map(str::to_owned),
    })
}

/// Up to the next comma that separates, and what follows it.
fn split(text: &str) -> (&str, Option<&str>) {
    for (place, _) in text.match_indices(',') {
        let after = &text[place + 1..];
        if KEYS.iter().any(|key| after.strip_prefix(key).is_some_and(|value| value.starts_with('='))) {
            return (&text[..place], Some(after));
        }
    }
    (text, None)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Board<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    name: Option<Text<'a>>,
    #[serde(rename = "type")]
    kind: Option<Text<'a>>,
    location: Option<Location<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    id: Option<Id<'a>>,
    project_id: Option<Id<'a>>,
}

impl Board<'_> {
    pub(crate) fn entity(&self) -> Option<event::Board> {
        let project_id = self.location.as_ref().and_then(|location| {
            let of_project = location.kind.as_ref().is_some_and(|kind| kind.as_str() == "project");
            owned_id(location.project_id.as_ref()).or_else(|| owned_id(location.id.as_ref()).filter(|_| of_project))
        });
        let id = known(self.id.as_ref())?.to_owned();
        Some(event::Board { id, name: filled(self.name.as_ref()), kind: filled(self.kind.as_ref()), project_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sprints_are_read_from_strings_and_objects() {
        let check = |json: &str, expected: &[(&str, &str, &str, &str)]| {
            let raw: &RawValue = serde_json::from_str(json).expect("JSON");
            let found = sprints(raw).unwrap_or_default();
            let found: Vec<_> = found
                .iter()
                .map(|sprint| {
                    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                    (sprint.id.clone(), text(&sprint.name), text(&sprint.state), text(&sprint.board_id))
                })
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(id, name, state, board)| ((*id).to_owned(), (*name).to_owned(), (*state).to_owned(), (*board).to_owned()))
                .collect();
            assert_eq!(found, expected, "{json}");
        };
        check(
            r#"["com.atlassian.greenhopper.service.sprint.Sprint@1f2e3d[id=7,rapidViewId=2,state=ACTIVE,name=Sprint 3, ops,goal=,startDate=2025-12-11T08:00:00.000Z,completeDate=<null>,sequence=7]"]"#,
            &[("7", "Sprint 3, ops", "active", "2")],
        );
        check(
            r#"[ "x[completeDate=<null>,goal=one\ntwo, a=b [c],id=7,name=<null>,rapidViewId=<null>,state=COMPLETE]", null, "no sprint" ]"#,
            &[("7", "-", "closed", "-")],
        );
        check(r#"[{"id":12,"name":"Sprint 4","state":"active","boardId":2},null]"#, &[("12", "Sprint 4", "active", "2")]);
        for other in [r#"["state=","id="]"#, r#"[{"state":"open","boardId":[]}]"#, "[]", "null", r#""state=id=""#, "[7]"] {
            check(other, &[]);
        }
    }
}
