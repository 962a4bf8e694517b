//! The state of the simulated site, the same for the same seed: issues and what hangs on them, sprints, versions, and all numbers given out.
//!
//! It knows what exists and who may see it; how it changes stands in `change`, how it looks in `shape`.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::clock::{Clock, Timestamp};

use super::catalogue::{DOCS, HELP, Kind, OPS, PROJECTS, Priority, Project, Status};
use super::people::{PIA, Person, STAFF};
use super::settings::{Account, Flavour};
use super::words;

pub struct Site {
    pub(crate) base: String,
    pub(crate) flavour: Flavour,
    pub(crate) rng: StdRng,
    pub(crate) issues: BTreeMap<u64, Issue>,
    pub(crate) links: BTreeMap<u64, Link>,
    pub(crate) sprints: BTreeMap<u64, Sprint>,
    pub(crate) versions: BTreeMap<u64, Version>,
    /// How many actions there were.
    pub(crate) actions: u64,
    /// Keys of issues before they were moved: Jira resolves them for ever.
    pub(super) old_keys: BTreeMap<String, u64>,
    pub(super) numbers: Numbers,
    last_keys: BTreeMap<&'static str, u64>,
    clock: Clock,
    latest: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Issue {
    pub id: u64,
    pub key: String,
    pub project: &'static Project,
    pub kind: Kind,
    pub summary: String,
    pub description: String,
    pub status: Status,
    pub priority: Priority,
    pub assignee: Option<&'static Person>,
    pub reporter: &'static Person,
    pub labels: Vec<String>,
    pub sprint: Option<u64>,
    pub fix_version: Option<u64>,
    /// Has the security level "Staff only".
    pub restricted: bool,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub resolved: Option<Timestamp>,
    pub comments: BTreeMap<u64, Comment>,
    pub worklogs: BTreeMap<u64, Worklog>,
    pub attachments: BTreeMap<u64, Attachment>,
    pub histories: Vec<History>,
}

#[derive(Debug, Clone)]
pub(crate) struct Comment {
    pub id: u64,
    pub author: &'static Person,
    pub editor: &'static Person,
    pub text: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// An internal note of a service desk.
    pub internal: bool,
    /// For the role "Staff" only.
    pub restricted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Worklog {
    pub id: u64,
    pub author: &'static Person,
    pub text: &'static str,
    pub seconds: u64,
    pub created: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Attachment {
    pub id: u64,
    pub name: &'static str,
    pub mime_type: &'static str,
    pub bytes: u64,
    pub author: &'static Person,
    pub created: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub id: u64,
    pub source: u64,
    pub destination: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct History {
    pub id: u64,
    pub author: &'static Person,
    pub created: Timestamp,
    pub items: Vec<Item>,
}

/// One line of a changelog.
#[derive(Debug, Clone, Default)]
pub(crate) struct Item {
    pub field: &'static str,
    /// Some of Jira's own pseudo-fields have none.
    pub field_id: Option<&'static str>,
    pub custom: bool,
    pub from: Option<String>,
    pub from_text: Option<String>,
    pub to: Option<String>,
    pub to_text: Option<String>,
    /// `from` and `to` are accounts.
    pub of_person: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Sprint {
    pub id: u64,
    pub board: u64,
    pub name: String,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub complete: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub id: u64,
    pub project: &'static Project,
    pub name: String,
    pub released: Option<Timestamp>,
}

/// The latest number given out, per kind of thing.
pub(super) struct Numbers {
    pub issue: u64,
    pub comment: u64,
    pub worklog: u64,
    pub attachment: u64,
    pub link: u64,
    pub change: u64,
    pub sprint: u64,
    pub version: u64,
}

pub(super) fn next(number: &mut u64) -> u64 {
    *number += 1;
    *number
}

impl Sprint {
    pub fn state(&self) -> &'static str {
        match (self.start, self.complete) {
            (_, Some(_)) => "closed",
            (Some(_), None) => "active",
            (None, None) => "future",
        }
    }
}

impl Site {
    /// A site where people have worked for some weeks.
    pub fn new(base: impl Into<String>, flavour: Flavour, seed: u64, clock: Clock) -> Self {
        let numbers = Numbers {
            issue: 10_000,
            comment: 20_000,
            worklog: 30_000,
            attachment: 40_000,
            link: 50_000,
            change: 60_000,
            sprint: 0,
            version: 10_100,
        };
        let mut site = Self {
            base: base.into(),
            flavour,
            rng: StdRng::seed_from_u64(seed),
            issues: BTreeMap::new(),
            links: BTreeMap::new(),
            sprints: BTreeMap::new(),
            versions: BTreeMap::new(),
            actions: 0,
            old_keys: BTreeMap::new(),
            numbers,
            last_keys: BTreeMap::new(),
            latest: Timestamp::default(),
            clock,
        };
        site.furnish();
        site
    }

    /// The time of the site: never goes back.
    pub(crate) fn now(&mut self) -> Timestamp {
        self.latest = self.latest.max(self.clock.now());
        self.latest
    }

    /// By id, by key, or by a key it had before a move.
    pub(crate) fn find(&self, id_or_key: &str) -> Option<&Issue> {
        if let Ok(id) = id_or_key.parse::<u64>() {
            return self.issues.get(&id);
        }
        let key = id_or_key.to_ascii_uppercase();
        self.old_keys.get(&key).and_then(|id| self.issues.get(id)).or_else(|| self.issues.values().find(|issue| issue.key == key))
    }

    pub(crate) fn sees(&self, account: &Account, issue: &Issue) -> bool {
        (account.sees_restricted || !issue.restricted) && browses(account, issue.project)
    }

    pub(super) fn next_key(&mut self, project: &'static Project) -> String {
        format!("{}-{}", project.key, next(self.last_keys.entry(project.key).or_default()))
    }

    fn furnish(&mut self) {
        let now = self.now();
        for board in PROJECTS.iter().filter_map(|project| project.board) {
            self.add_sprint(board, Some(now));
            self.add_sprint(board, None);
        }
        for (project, name) in [(&DOCS, "Spring edition"), (&OPS, "Office move"), (&OPS, "Quiet servers")] {
            self.add_version(project, name.to_owned());
        }
        let start = |weeks: u64| Timestamp::from_ms(now.ms() - i64::try_from(weeks * 7 * 86_400_000).unwrap_or(0));
        for (project, kind, summaries) in [
            (&DOCS, Kind::Story, &words::DOCS_SUMMARIES[..]),
            (&OPS, Kind::Task, &words::OPS_SUMMARIES[..]),
            (&HELP, Kind::Request, &words::HELP_SUMMARIES[..]),
        ] {
            for (number, summary) in summaries.iter().take(6).enumerate() {
                let created = start(6).plus(Duration::from_secs(3_600 * 31 * number as u64));
                self.add_old(project, kind, summary, created);
            }
        }
    }

    fn add_old(&mut self, project: &'static Project, kind: Kind, summary: &str, created: Timestamp) {
        let reporter = if project == &HELP { &PIA } else { self.pick(&STAFF) };
        let issue = self.new_issue(project, kind, summary, reporter, created);
        if let Some(issue) = self.issues.get_mut(&issue) {
            issue.assignee = STAFF.get(usize::try_from(issue.id).unwrap_or(0) % STAFF.len()).copied();
        }
    }

    pub(super) fn new_issue(
        &mut self,
        project: &'static Project,
        kind: Kind,
        summary: &str,
        reporter: &'static Person,
        created: Timestamp,
    ) -> u64 {
        let id = next(&mut self.numbers.issue);
        let issue = Issue {
            id,
            key: self.next_key(project),
            project,
            kind,
            summary: summary.to_owned(),
            description: self.pick(&words::DESCRIPTIONS).to_owned(),
            status: Status::ToDo,
            priority: self.pick(&Priority::ALL),
            assignee: None,
            reporter,
            labels: Vec::new(),
            sprint: None,
            fix_version: None,
            restricted: false,
            created,
            updated: created,
            resolved: None,
            comments: BTreeMap::new(),
            worklogs: BTreeMap::new(),
            attachments: BTreeMap::new(),
            histories: Vec::new(),
        };
        self.issues.insert(id, issue);
        id
    }

    pub(super) fn add_sprint(&mut self, board: u64, start: Option<Timestamp>) -> u64 {
        let id = next(&mut self.numbers.sprint);
        let end = start.map(|at| at.plus(Duration::from_secs(14 * 86_400)));
        self.sprints.insert(id, Sprint { id, board, name: format!("Sprint {id}"), start, end, complete: None });
        id
    }

    pub(super) fn add_version(&mut self, project: &'static Project, name: String) -> u64 {
        let id = next(&mut self.numbers.version);
        self.versions.insert(id, Version { id, project, name, released: None });
        id
    }

    /// One of several, by the seed.
    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.random_range(0..all.len())]
    }
}

pub(crate) fn browses(account: &Account, project: &Project) -> bool {
    !account.hidden_projects.contains(project.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_sites() {
        let clock = Clock::at(Timestamp::from_ms(1_765_441_200_120));
        let site = |seed| {
            let mut site = Site::new("http://jira.example", Flavour::Cloud, seed, clock.clone());
            (0..200).flat_map(|_| site.act().bodies).map(|body| body.json.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(site(7), site(7));
        assert_ne!(site(7), site(8));
    }

    #[test]
    fn issues_are_found_by_id_key_and_former_key() {
        let mut site = Site::new("http://jira.example", Flavour::Cloud, 1, Clock::at(Timestamp::from_ms(1_765_441_200_120)));
        let id = site.find("docs-4").map(|issue| issue.id).unwrap();
        assert_eq!(site.find(&id.to_string()).map(|issue| issue.key.clone()), Some("DOCS-4".into()));
        site.move_to(STAFF[0], id, &OPS);
        assert_eq!(site.find("DOCS-4").map(|issue| issue.key.clone()), Some("OPS-7".into()));
        assert!(site.find("DOCS-99").is_none());
    }
}
