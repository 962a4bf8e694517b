//! Names on the broker: exchange, queues, routing keys.

use crate::event::{Event, LaneId};
use crate::setting::SinkName;

/// Stands for the sink of an envelope that is for everybody.
const ALL: &str = "all";
/// Jira allows no longer key by default; whatever comes, a routing key must fit 255 bytes.
const PROJECT_MAX: usize = 64;

#[derive(Debug, Clone)]
pub(super) struct Names {
    name: String,
}

impl Names {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    pub(super) fn exchange(&self) -> String {
        format!("{}.events", self.name)
    }

    /// Holds nothing; its maximum length is the number of lanes.
    pub(super) fn lanes(&self) -> String {
        format!("{}.lanes", self.name)
    }

    /// Holds a message for each sink that ever had a place.
    pub(super) fn sinks(&self) -> String {
        format!("{}.sinks", self.name)
    }

    pub(super) fn queue(&self, sink: &SinkName, lane: LaneId) -> String {
        format!("{}.{sink}.{lane}", self.name)
    }

    /// As the broker's own lists show a connection.
    pub(super) fn connection(&self, purpose: &str) -> String {
        format!("ticketwire {} {purpose}", self.name)
    }
}

/// What a sink's queue takes. The archive keeps everything, also what is for one sink only.
pub(super) fn bindings(sink: &SinkName, lane: LaneId) -> Vec<String> {
    if *sink == SinkName::archive() {
        return vec![format!("{lane}.#")];
    }
    vec![format!("{lane}.{ALL}.#"), format!("{lane}.{sink}.#")]
}

/// `<lane>.<sink or all>.<entity>.<verb>.<project or _>`
pub(super) fn routing_key(lane: LaneId, target: Option<&SinkName>, event: &Event) -> String {
    format!("{lane}.{}.{}", target.map_or(ALL, SinkName::as_str), subject(event))
}

/// `<entity>.<verb>.<project or _>`
pub(super) fn subject(event: &Event) -> String {
    let kind = event.data.kind;
    format!("{}.{}.{}", kind.entity(), kind.verb(), project(event))
}

/// Dots would be levels of their own. Where the body names no project, the issue's key does.
fn project(event: &Event) -> String {
    let of_issue = || event.data.issue.as_ref()?.key.as_deref()?.rsplit_once('-').map(|(project, _)| project);
    let key = event.data.project.as_ref().and_then(|project| project.key.as_deref()).or_else(of_issue).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let key: String = key.chars().take(PROJECT_MAX).map(plain).collect();
    if key.is_empty() { "_".to_owned() } else { key }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{Data, Delivered, EventId, Issue, Kind, Origin, PartitionKey, Project, ProjectKind, Secrecy};
    use crate::setting::ConnectionName;

    fn event(kind: Kind, project: Option<&str>, issue: Option<&str>) -> Event {
        let acme: ConnectionName = "acme".parse().expect("a name");
        let project = project.map(|key| Project { id: "1".into(), key: Some(key.into()), name: None, kind: ProjectKind::Software });
        let issue = issue.map(|key| Box::new(Issue { key: Some(key.into()), ..Issue::only_id("7") }));
        let data = Data {
            kind,
            origin: Origin::Webhook,
            occurred_at: Timestamp::default(),
            received_at: Timestamp::default(),
            jira: Delivered::default(),
            actor: None,
            project,
            issue,
            changes: Vec::new(),
            degraded: Vec::new(),
            entity: None,
        };
        Event {
            id: EventId::known("id"),
            connection: acme.clone(),
            source: "https://acme.example".parse().expect("a base URL"),
            subject: "x".into(),
            partition_key: PartitionKey::issue(&acme, "7"),
            secrecy: Secrecy::default(),
            data,
        }
    }

    #[test]
    fn routing_keys_have_five_parts() {
        let docs: SinkName = "docs".parse().expect("a name");
        for (kind, project, issue, target, expected) in [
            (Kind::IssueUpdated, Some("DOCS"), None, None, "7.all.issue.updated.DOCS"),
            (Kind::CommentCreated, None, Some("AB_C-41"), None, "7.all.comment.created.AB_C"),
            (Kind::IssueSnapshot, Some("DOCS"), Some("OPS-1"), Some(&docs), "7.docs.issue.snapshot.DOCS"),
            (Kind::AppContainerAccessBlocked, None, None, None, "7.all.app.container_access_blocked._"),
            (Kind::UserCreated, Some(""), None, None, "7.all.user.created._"),
            (Kind::ProjectCreated, Some("a.b*#é"), None, None, "7.all.project.created.a_b___"),
        ] {
            assert_eq!(routing_key(LaneId(7), target, &event(kind, project, issue)), expected);
        }
        let long = event(Kind::IssueUpdated, Some(&"X".repeat(1_000)), None);
        let name = "s".repeat(63).parse().expect("a name");
        assert!(routing_key(LaneId(255), Some(&name), &long).len() < 255);
    }

    #[test]
    fn the_archive_takes_everything_and_a_sink_its_own() {
        let docs: SinkName = "docs".parse().expect("a name");
        assert_eq!(bindings(&docs, LaneId(3)), ["3.all.#", "3.docs.#"]);
        assert_eq!(bindings(&SinkName::archive(), LaneId(3)), ["3.#"]);
        assert_eq!(Names::new("wire").queue(&SinkName::archive(), LaneId(3)), "wire._archive.3");
    }
}
