//! What can happen on the site: each change alters the state, writes history, and gives the bodies that Jira would send for it.
//!
//! A change of something that is not there gives no bodies.

use rand::Rng;

use super::body::Body;
use super::catalogue::{Kind, Project, SPRINT_FIELD, Status};
use super::people::{Person, mentioning};
use super::settings::Flavour;
use super::site::{Attachment, Comment, History, Issue, Item, Link, Site, Worklog, next};
use super::twin::{Talk, transition_name};

/// Who may read a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Everybody,
    /// The role "Staff".
    Role,
    /// The agents of a service desk.
    Internal,
}

fn some(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}

/// A simple field, whose change has texts and no ids.
fn texts(field: &'static str, from: Option<String>, to: Option<String>) -> Item {
    Item { field, field_id: Some(field), from_text: from, to_text: to, ..Item::default() }
}

impl Site {
    pub(crate) fn create(
        &mut self,
        actor: &'static Person,
        project: &'static Project,
        kind: Kind,
        summary: &str,
        restricted: bool,
    ) -> (u64, Vec<Body>) {
        let (now, account) = (self.now(), actor.id(self.flavour));
        let id = self.new_issue(project, kind, summary, actor, now);
        let change = next(&mut self.numbers.change);
        let Some(issue) = self.issues.get_mut(&id) else { return (id, Vec::new()) };
        issue.restricted = restricted;
        let items = vec![
            texts("description", None, some(&issue.description)),
            Item { to: some(issue.priority.id()), ..texts("priority", None, some(issue.priority.name())) },
            Item { to: some(account), of_person: true, ..texts("reporter", None, some(actor.name)) },
            Item {
                field: "Status",
                field_id: Some("status"),
                to: some(issue.status.id()),
                to_text: some(issue.status.name()),
                ..Item::default()
            },
            texts("summary", None, some(&issue.summary)),
        ];
        let history = History { id: change, author: actor, created: now, items };
        let bodies = self.issues.get(&id).map(|issue| self.issue_created(actor, issue, &history)).into_iter().collect();
        (id, bodies)
    }

    pub(crate) fn transition(&mut self, actor: &'static Person, id: u64, to: Status) -> Vec<Body> {
        let now = self.now();
        let from = self.issues.get(&id).map_or(to, |issue| issue.status);
        let type_name = transition_name(self.flavour, from, to);
        self.edit(actor, id, type_name, |issue| {
            let from = std::mem::replace(&mut issue.status, to);
            let mut items = Vec::new();
            let done = |status: Status| status == Status::Done;
            if done(from) != done(to) {
                issue.resolved = done(to).then_some(now);
                let resolution = |is: bool| (is.then(|| "10000".to_owned()), is.then(|| "Done".to_owned()));
                let ((from, from_text), (to, to_text)) = (resolution(done(from)), resolution(done(to)));
                items.push(Item { from, to, ..texts("resolution", from_text, to_text) });
            }
            items.push(Item { from: some(from.id()), to: some(to.id()), ..texts("status", some(from.name()), some(to.name())) });
            items
        })
    }

    pub(crate) fn assign(&mut self, actor: &'static Person, id: u64, to: Option<&'static Person>) -> Vec<Body> {
        let flavour = self.flavour;
        self.edit(actor, id, "issue_assigned", |issue| {
            let from = std::mem::replace(&mut issue.assignee, to);
            let account = |person: Option<&Person>| person.map(|person| person.id(flavour).to_owned());
            let name = |person: Option<&Person>| person.map(|person| person.name.to_owned());
            vec![Item { from: account(from), to: account(to), of_person: true, ..texts("assignee", name(from), name(to)) }]
        })
    }

    /// Adds the label, or takes it away where it is.
    pub(crate) fn label(&mut self, actor: &'static Person, id: u64, label: &str) -> Vec<Body> {
        self.edit(actor, id, "issue_updated", |issue| {
            let before = issue.labels.join(" ");
            match issue.labels.iter().position(|known| known == label) {
                Some(at) => drop(issue.labels.remove(at)),
                None => issue.labels.push(label.to_owned()),
            }
            vec![texts("labels", some(before), some(issue.labels.join(" ")))]
        })
    }

    pub(crate) fn rename(&mut self, actor: &'static Person, id: u64, summary: String) -> Vec<Body> {
        self.edit(actor, id, "issue_updated", |issue| {
            let before = std::mem::replace(&mut issue.summary, summary);
            vec![texts("summary", some(before), some(&issue.summary))]
        })
    }

    pub(crate) fn plan(&mut self, actor: &'static Person, id: u64, sprint: u64) -> Vec<Body> {
        let name =
            |site: &Self, id: Option<u64>| id.and_then(|id| site.sprints.get(&id)).map(|sprint| sprint.name.clone()).unwrap_or_default();
        let before = self.issues.get(&id).and_then(|issue| issue.sprint);
        let (from_text, to_text) = (name(self, before), name(self, Some(sprint)));
        self.edit(actor, id, "issue_updated", |issue| {
            issue.sprint = Some(sprint);
            vec![Item {
                field: "Sprint",
                field_id: Some(SPRINT_FIELD),
                custom: true,
                from: some(before.map(|id| id.to_string()).unwrap_or_default()),
                from_text: Some(from_text),
                to: some(sprint.to_string()),
                to_text: Some(to_text),
                of_person: false,
            }]
        })
    }

    pub(crate) fn move_to(&mut self, actor: &'static Person, id: u64, project: &'static Project) -> Vec<Body> {
        let key = self.next_key(project);
        let Some(before) = self.issues.get(&id).map(|issue| issue.key.clone()) else { return Vec::new() };
        self.old_keys.insert(before, id);
        self.edit(actor, id, "issue_moved", |issue| {
            let (from, old_key) = (std::mem::replace(&mut issue.project, project), std::mem::replace(&mut issue.key, key));
            (issue.sprint, issue.fix_version) = (None, None);
            let workflow = |project: &Project| some(format!("Workflow of {}", project.name));
            let pseudo = |field, from_text, to_text| Item { field, from_text, to_text, ..Item::default() };
            vec![
                Item {
                    from: some(from.id.to_string()),
                    to: some(project.id.to_string()),
                    ..texts("project", some(from.name), some(project.name))
                },
                Item {
                    from: some((from.id + 5).to_string()),
                    to: some((project.id + 5).to_string()),
                    ..pseudo("Workflow", workflow(from), workflow(project))
                },
                pseudo("Key", Some(old_key), some(&issue.key)),
            ]
        })
    }

    pub(crate) fn delete(&mut self, actor: &'static Person, id: u64) -> Vec<Body> {
        let now = self.now();
        let Some(issue) = self.issues.remove(&id) else { return Vec::new() };
        let mut bodies = vec![self.issue_deleted(actor, &issue, now)];
        if self.flavour == Flavour::Cloud {
            let gone = issue.comments.values().map(|comment| self.comment_event("comment_deleted", &issue, comment, now).secondary());
            bodies.extend(gone);
        }
        let links: Vec<Link> = self.links.values().filter(|link| link.source == id || link.destination == id).cloned().collect();
        for link in links {
            self.links.remove(&link.id);
            bodies.push(self.link_event("issuelink_deleted", &link, now).secondary());
        }
        bodies
    }

    pub(crate) fn comment(&mut self, author: &'static Person, id: u64, text: &str, audience: Audience) -> Vec<Body> {
        let now = self.now();
        let comment_id = next(&mut self.numbers.comment);
        let comment = Comment {
            id: comment_id,
            author,
            editor: author,
            text: mentioning(text, self.flavour),
            created: now,
            updated: now,
            internal: audience == Audience::Internal,
            restricted: audience == Audience::Role,
        };
        let Some(issue) = self.issues.get_mut(&id) else { return Vec::new() };
        issue.updated = now;
        issue.comments.insert(comment_id, comment.clone());
        self.comment_told(Talk::Created, author, id, &comment, now)
    }

    /// Nothing within the second of the last edit: Jira shows whole seconds, so two such edits could not be told apart.
    pub(crate) fn edit_comment(&mut self, editor: &'static Person, id: u64, comment_id: u64, text: &str) -> Vec<Body> {
        let (now, text) = (self.now(), mentioning(text, self.flavour));
        let Some(comment) = self.issues.get_mut(&id).and_then(|issue| issue.comments.get_mut(&comment_id)) else { return Vec::new() };
        if comment.updated.ms().div_euclid(1000) == now.ms().div_euclid(1000) {
            return Vec::new();
        }
        (comment.editor, comment.text, comment.updated) = (editor, text, now);
        let comment = comment.clone();
        self.comment_told(Talk::Updated, editor, id, &comment, now)
    }

    /// Nothing within the millisecond of the issue's last change: Data Center numbers no such deletion, so two could not be told apart.
    pub(crate) fn delete_comment(&mut self, actor: &'static Person, id: u64, comment_id: u64) -> Vec<Body> {
        let now = self.now();
        let Some(issue) = self.issues.get_mut(&id).filter(|issue| issue.updated < now) else { return Vec::new() };
        let Some(comment) = issue.comments.remove(&comment_id) else { return Vec::new() };
        self.comment_told(Talk::Deleted, actor, id, &comment, now)
    }

    /// Logging work also changes the time spent: on Cloud an issue update follows, Data Center tells the work with its issue.
    pub(crate) fn log_work(&mut self, author: &'static Person, id: u64, text: &'static str) -> Vec<Body> {
        let now = self.now();
        let seconds = self.rng.random_range(1..=8) * 900;
        let Some(issue) = self.issues.get_mut(&id) else { return Vec::new() };
        let worklog = Worklog { id: next(&mut self.numbers.worklog), author, text, seconds, created: now };
        let before: u64 = issue.worklogs.values().map(|worklog| worklog.seconds).sum();
        issue.worklogs.insert(worklog.id, worklog.clone());
        let told: Vec<Body> =
            self.issues.get(&id).map(|issue| self.worklog_event("worklog_created", issue, &worklog)).into_iter().collect();
        let update = self.edit(author, id, "issue_updated", |_| {
            let (before, after) = ((before > 0).then(|| before.to_string()), (before + seconds).to_string());
            let worklog = worklog.id.to_string();
            vec![
                Item { from: before.clone(), to: some(&after), ..texts("timespent", before, some(&after)) },
                Item { field: "WorklogId", to: some(&worklog), to_text: Some(worklog), ..Item::default() },
            ]
        });
        let update = match self.flavour {
            Flavour::Cloud => update,
            Flavour::Datacenter => self.issues.get(&id).map(|issue| self.worklog_twin(author, issue, &worklog)).into_iter().collect(),
        };
        [told, update].concat()
    }

    pub(crate) fn attach(&mut self, author: &'static Person, id: u64, (name, mime_type): (&'static str, &'static str)) -> Vec<Body> {
        let now = self.now();
        let bytes = self.rng.random_range(900..900_000);
        let Some(issue) = self.issues.get_mut(&id) else { return Vec::new() };
        let attachment = Attachment { id: next(&mut self.numbers.attachment), name, mime_type, bytes, author, created: now };
        issue.attachments.insert(attachment.id, attachment.clone());
        let mut bodies: Vec<Body> =
            self.issues.get(&id).map(|issue| self.attachment_event("attachment_created", issue, &attachment)).into_iter().collect();
        bodies.extend(self.edit(author, id, "issue_updated", |_| {
            vec![Item {
                field: "Attachment",
                field_id: Some("attachment"),
                to: some(attachment.id.to_string()),
                to_text: some(name),
                ..Item::default()
            }]
        }));
        bodies
    }

    /// Both ends get an update.
    pub(crate) fn link(&mut self, actor: &'static Person, source: u64, destination: u64) -> Vec<Body> {
        let now = self.now();
        let key = |id| self.issues.get(&id).map(|issue: &Issue| issue.key.clone());
        let (Some(source_key), Some(destination_key)) = (key(source), key(destination)) else { return Vec::new() };
        if source == destination {
            return Vec::new();
        }
        let link = Link { id: next(&mut self.numbers.link), source, destination };
        self.links.insert(link.id, link.clone());
        let mut bodies = vec![self.link_event("issuelink_created", &link, now)];
        for (id, other) in [(source, destination_key), (destination, source_key)] {
            let text = format!("This work item relates to {other}");
            bodies.extend(self.edit(actor, id, "issue_updated", |_| {
                vec![Item { field: "Link", field_id: Some("issuelinks"), to: Some(other), to_text: Some(text), ..Item::default() }]
            }));
        }
        bodies
    }

    /// Starting a sprint is two bodies in Jira.
    pub(crate) fn start_sprint(&mut self, id: u64) -> Vec<Body> {
        let now = self.now();
        let Some(sprint) = self.sprints.get_mut(&id).filter(|sprint| sprint.state() == "future") else { return Vec::new() };
        let old = sprint.clone();
        (sprint.start, sprint.end) = (Some(now), Some(now.plus(std::time::Duration::from_secs(14 * 86_400))));
        let sprint = sprint.clone();
        vec![self.sprint_event("sprint_started", &sprint, None, now), self.sprint_event("sprint_updated", &sprint, Some(&old), now)]
    }

    /// A new sprint takes the place of the closed one.
    pub(crate) fn close_sprint(&mut self, id: u64) -> Vec<Body> {
        let now = self.now();
        let Some(sprint) = self.sprints.get_mut(&id).filter(|sprint| sprint.state() == "active") else { return Vec::new() };
        sprint.complete = Some(now);
        let sprint = sprint.clone();
        let new = self.add_sprint(sprint.board, None);
        let mut bodies = vec![self.sprint_event("sprint_closed", &sprint, None, now)];
        bodies.extend(self.sprints.get(&new).map(|new| self.sprint_event("sprint_created", new, None, now)));
        bodies
    }

    /// The next version is created at once.
    pub(crate) fn release(&mut self, id: u64) -> Vec<Body> {
        let now = self.now();
        let Some(version) = self.versions.get_mut(&id).filter(|version| version.released.is_none()) else { return Vec::new() };
        version.released = Some(now);
        let version = version.clone();
        let new = self.add_version(
            version.project,
            format!("{} {}", version.name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end(), self.numbers.version),
        );
        let mut bodies = vec![self.version_event("jira:version_released", &version, now)];
        bodies.extend(self.versions.get(&new).map(|new| self.version_event("jira:version_created", new, now)));
        bodies
    }

    /// Every change of an issue: alters it, writes its history, and tells.
    fn edit(&mut self, actor: &'static Person, id: u64, type_name: &str, change: impl FnOnce(&mut Issue) -> Vec<Item>) -> Vec<Body> {
        let now = self.now();
        let Some(issue) = self.issues.get_mut(&id) else { return Vec::new() };
        let items = change(issue);
        issue.updated = now;
        let history = History { id: next(&mut self.numbers.change), author: actor, created: now, items };
        issue.histories.push(history.clone());
        self.issues.get(&id).map(|issue| self.issue_updated(type_name, issue, &history)).into_iter().collect()
    }
}
