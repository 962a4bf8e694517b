//! Who does what and when: the first actions are a fixed script that shows what matters, later ones are chosen by the seed.

use rand::Rng;

use super::body::Body;
use super::catalogue::{DOCS, HELP, Kind, OPS, Project, Status};
use super::change::Audience;
use super::people::{INA, MIRA, ODE, PIA, Person, ROBO, STAFF, TAREK};
use super::site::{Issue, Site};
use super::words;

/// What somebody did, in one line, and the bodies that Jira sends for it.
#[derive(Debug, Clone)]
pub struct Act {
    pub line: String,
    pub bodies: Vec<Body>,
}

/// What a test or a script has done on the site, by Mira Falk.
#[derive(Debug, Clone, Copy)]
pub enum Deed<'a> {
    /// To the status of this name.
    Move(&'a str),
    Rename(&'a str),
    Comment(&'a str),
}

/// Above this many issues people delete instead of creating, so that a long run stays small.
const ISSUES_MAX: usize = 2_000;

impl Site {
    /// Somebody does something; there is always at least one body.
    pub fn act(&mut self) -> Act {
        self.actions += 1;
        if let Some(act) = self.scripted(self.actions).filter(|act| !act.bodies.is_empty()) {
            return act;
        }
        // Not everything is possible at every moment, but creating is: the loop ends.
        loop {
            let act = self.chosen();
            if !act.bodies.is_empty() {
                return act;
            }
        }
    }

    /// No bodies where there is no such issue, or no such status, or it is in it.
    pub(super) fn perform(&mut self, key: &str, deed: Deed<'_>) -> Act {
        let nothing = Act { line: String::new(), bodies: Vec::new() };
        let Some(id) = self.find(key).map(|issue| issue.id) else { return nothing };
        match deed {
            Deed::Move(name) => match Status::ALL.into_iter().find(|status| status.name() == name) {
                Some(to) => self.do_transition(&MIRA, id, to),
                None => nothing,
            },
            Deed::Rename(summary) => {
                Act { line: format!("{} renamed {key}", MIRA.name), bodies: self.rename(&MIRA, id, summary.to_owned()) }
            }
            Deed::Comment(text) => self.do_comment(&MIRA, id, text, Audience::Everybody),
        }
    }

    fn scripted(&mut self, number: u64) -> Option<Act> {
        let id = |site: &Self, key: &str| site.find(key).map(|issue| issue.id);
        Some(match number {
            1 => self.do_transition(&MIRA, id(self, "DOCS-4")?, Status::OnHold),
            2 => self.do_create(&ODE, &OPS, Kind::Bug, "Office printer prints only in magenta", false),
            3 => self.do_comment(&TAREK, id(self, "OPS-7")?, "I can reproduce it. Waiting for *cyan*.", Audience::Everybody),
            4 => self.do_create(&INA, &OPS, Kind::Task, "Salaries visible in the invoice export", true),
            5 => self.do_comment(
                &INA,
                id(self, "HELP-2")?,
                "Internal: this customer has called three times, please be quick.",
                Audience::Internal,
            ),
            6 => self.do_move(&MIRA, id(self, "DOCS-3")?, &OPS),
            7 => self.do_delete(&ODE, id(self, "DOCS-6")?),
            8 => self.do_log_work(&TAREK, id(self, "OPS-7")?),
            _ => return None,
        })
    }

    fn chosen(&mut self) -> Act {
        let actor = self.pick(&STAFF);
        let Some(id) = self.any_issue() else { return self.new_issue_by_chance(actor) };
        match self.rng.random_range(0..100) {
            0..14 => self.new_issue_by_chance(actor),
            14..34 => {
                let to = self.pick(&Status::ALL);
                self.do_transition(actor, id, to)
            }
            34..41 => self.do_assign(actor, id),
            41..47 => self.do_label(actor, id),
            47..52 => self.do_rename(actor, id),
            52..70 => self.comment_by_chance(actor, id),
            70..75 => self.do_edit_comment(actor, id),
            75..78 => self.do_delete_comment(actor, id),
            78..83 => self.do_log_work(actor, id),
            83..86 => self.do_link(actor, id),
            86..89 => self.do_attach(actor, id),
            89..92 => self.do_plan(actor, id),
            92..94 => {
                let to = self.pick(&[&DOCS, &OPS]);
                self.do_move(actor, id, to)
            }
            94..97 => self.do_delete(actor, id),
            97..99 => self.do_sprint(actor),
            _ => self.do_release(actor),
        }
    }

    fn any_issue(&mut self) -> Option<u64> {
        let at = self.rng.random_range(0..self.issues.len().max(1));
        self.issues.keys().nth(at).copied()
    }

    /// The key people use for it.
    fn key(&self, id: u64) -> String {
        self.issues.get(&id).map(|issue| issue.key.clone()).unwrap_or_default()
    }

    fn new_issue_by_chance(&mut self, actor: &'static Person) -> Act {
        if self.issues.len() >= ISSUES_MAX
            && let Some(id) = self.any_issue()
        {
            return self.do_delete(actor, id);
        }
        match self.rng.random_range(0..10) {
            0..3 => {
                let summary = self.pick(&words::DOCS_SUMMARIES);
                self.do_create(actor, &DOCS, Kind::Story, summary, false)
            }
            3..6 => {
                let (kind, summary) = (self.pick(&[Kind::Bug, Kind::Task]), self.pick(&words::OPS_SUMMARIES));
                self.do_create(actor, &OPS, kind, summary, false)
            }
            6 => {
                let summary = self.pick(&words::RESTRICTED_SUMMARIES);
                self.do_create(actor, &OPS, Kind::Task, summary, true)
            }
            _ => {
                let summary = self.pick(&words::HELP_SUMMARIES);
                self.do_create(&PIA, &HELP, Kind::Request, summary, false)
            }
        }
    }

    fn comment_by_chance(&mut self, actor: &'static Person, id: u64) -> Act {
        let in_help = self.issues.get(&id).is_some_and(|issue| issue.project == &HELP);
        let (audience, text) = match self.rng.random_range(0..10) {
            0..4 if in_help => (Audience::Internal, self.pick(&words::INTERNAL_NOTES)),
            0..2 => (Audience::Role, self.pick(&words::STAFF_COMMENTS)),
            _ => (Audience::Everybody, self.pick(&words::COMMENTS)),
        };
        let author = if audience == Audience::Everybody && in_help { self.pick(&[actor, &PIA]) } else { actor };
        self.do_comment(author, id, text, audience)
    }

    fn do_create(&mut self, actor: &'static Person, project: &'static Project, kind: Kind, summary: &str, restricted: bool) -> Act {
        let (id, bodies) = self.create(actor, project, kind, summary, restricted);
        let shown = if restricted { "for staff only".to_owned() } else { format!("\"{summary}\"") };
        Act { line: format!("{} created {} {} {shown}", actor.name, kind.name().to_lowercase(), self.key(id)), bodies }
    }

    fn do_transition(&mut self, actor: &'static Person, id: u64, to: Status) -> Act {
        let line = format!("{} moved {} to {}", actor.name, self.key(id), to.name());
        let bodies = if self.issues.get(&id).is_some_and(|issue| issue.status != to) { self.transition(actor, id, to) } else { Vec::new() };
        Act { line, bodies }
    }

    fn do_assign(&mut self, actor: &'static Person, id: u64) -> Act {
        let to = self.pick(&[Some(&MIRA), Some(&ODE), Some(&TAREK), Some(&INA), None]);
        let before = self.issues.get(&id).and_then(|issue| issue.assignee).map(|person| person.account_id);
        let bodies = if before == to.map(|person| person.account_id) { Vec::new() } else { self.assign(actor, id, to) };
        Act { line: format!("{} assigned {} to {}", actor.name, self.key(id), to.map_or("nobody", |person| person.name)), bodies }
    }

    fn do_label(&mut self, actor: &'static Person, id: u64) -> Act {
        let label = self.pick(&words::LABELS);
        let actor = self.pick(&[actor, &ROBO]);
        Act { bodies: self.label(actor, id, label), line: format!("{} changed the labels of {}", actor.name, self.key(id)) }
    }

    fn do_rename(&mut self, actor: &'static Person, id: u64) -> Act {
        let summary = self.issues.get(&id).map(|issue| match issue.summary.strip_suffix(" (again)") {
            Some(shorter) => shorter.to_owned(),
            None => format!("{} (again)", issue.summary),
        });
        Act { bodies: self.rename(actor, id, summary.unwrap_or_default()), line: format!("{} renamed {}", actor.name, self.key(id)) }
    }

    fn do_comment(&mut self, author: &'static Person, id: u64, text: &str, audience: Audience) -> Act {
        let what = match audience {
            Audience::Everybody => "commented on",
            Audience::Role => "commented for staff only on",
            Audience::Internal => "wrote an internal note on",
        };
        Act { bodies: self.comment(author, id, text, audience), line: format!("{} {what} {}", author.name, self.key(id)) }
    }

    fn do_edit_comment(&mut self, actor: &'static Person, id: u64) -> Act {
        let text = self.pick(&words::COMMENTS);
        let comment = self.last_comment(id);
        let bodies = comment.map(|comment| self.edit_comment(actor, id, comment, text)).unwrap_or_default();
        Act { line: format!("{} edited a comment on {}", actor.name, self.key(id)), bodies }
    }

    fn do_delete_comment(&mut self, actor: &'static Person, id: u64) -> Act {
        let bodies = self.last_comment(id).map(|comment| self.delete_comment(actor, id, comment)).unwrap_or_default();
        Act { line: format!("{} deleted a comment on {}", actor.name, self.key(id)), bodies }
    }

    fn last_comment(&self, id: u64) -> Option<u64> {
        self.issues.get(&id).and_then(|issue: &Issue| issue.comments.keys().next_back().copied())
    }

    fn do_log_work(&mut self, actor: &'static Person, id: u64) -> Act {
        let text = self.pick(&words::WORK);
        Act { bodies: self.log_work(actor, id, text), line: format!("{} logged work on {}", actor.name, self.key(id)) }
    }

    fn do_link(&mut self, actor: &'static Person, id: u64) -> Act {
        let other = self.any_issue().unwrap_or(id);
        Act { line: format!("{} linked {} with {}", actor.name, self.key(id), self.key(other)), bodies: self.link(actor, id, other) }
    }

    fn do_attach(&mut self, actor: &'static Person, id: u64) -> Act {
        let file = self.pick(&words::FILES);
        Act { bodies: self.attach(actor, id, file), line: format!("{} attached a file to {}", actor.name, self.key(id)) }
    }

    fn do_plan(&mut self, actor: &'static Person, id: u64) -> Act {
        let (board, now_in) = self.issues.get(&id).map(|issue| (issue.project.board, issue.sprint)).unwrap_or_default();
        let open =
            self.sprints.values().find(|sprint| Some(sprint.board) == board && sprint.complete.is_none() && Some(sprint.id) != now_in);
        let bodies = match open.map(|sprint| sprint.id) {
            Some(sprint) => self.plan(actor, id, sprint),
            None => Vec::new(),
        };
        Act { line: format!("{} planned {} for a sprint", actor.name, self.key(id)), bodies }
    }

    fn do_move(&mut self, actor: &'static Person, id: u64, to: &'static Project) -> Act {
        let from = self.issues.get(&id).map(|issue| (issue.project, issue.key.clone()));
        let Some((_, key)) = from.filter(|(project, _)| *project != to && *project != &HELP) else {
            return Act { line: String::new(), bodies: Vec::new() };
        };
        let bodies = self.move_to(actor, id, to);
        Act { line: format!("{} moved {key} to {}, where it is {}", actor.name, to.name, self.key(id)), bodies }
    }

    fn do_delete(&mut self, actor: &'static Person, id: u64) -> Act {
        let line = format!("{} deleted {}", actor.name, self.key(id));
        Act { line, bodies: self.delete(actor, id) }
    }

    /// A board with an active sprint closes it, one without starts the next.
    fn do_sprint(&mut self, actor: &'static Person) -> Act {
        let board = self.pick(&[1, 2]);
        let of =
            |state: &str| self.sprints.values().find(|sprint| sprint.board == board && sprint.state() == state).map(|sprint| sprint.id);
        let (line, bodies) = match (of("active"), of("future")) {
            (Some(id), _) => (format!("{} closed sprint {id}", actor.name), self.close_sprint(id)),
            (None, Some(id)) => (format!("{} started sprint {id}", actor.name), self.start_sprint(id)),
            (None, None) => (String::new(), Vec::new()),
        };
        Act { line, bodies }
    }

    fn do_release(&mut self, actor: &'static Person) -> Act {
        let next = self.versions.values().find(|version| version.released.is_none());
        let Some((id, name)) = next.map(|version| (version.id, version.name.clone())) else {
            return Act { line: String::new(), bodies: Vec::new() };
        };
        Act { bodies: self.release(id), line: format!("{} released {name}", actor.name) }
    }
}
