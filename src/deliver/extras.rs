//! What a message shows beside its event: the answers of its rule's lookups, the watchers and the parent of its issue.
//!
//! Asked for together for a window, and only for messages that are about to be made. What to ask is known from what templates name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::lookup::Lookup;
use super::route::Jiras;
use crate::event::Issue;
use crate::jira::{self, Asked, Found, JiraError, SeenIssue, Sight, Want};
use crate::render::RenderError;
use crate::setting::{ConnectionName, PathSuffix};

/// What the templates of a message name beside its event.
#[derive(Debug, Default)]
pub(crate) struct ExtrasSpec {
    lookups: Vec<Arc<Lookup>>,
    watchers: bool,
    parent: bool,
}

/// As templates see it; null where there is nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Extras {
    pub(crate) lookup: Map<String, Value>,
    pub(crate) watchers: Value,
    pub(crate) parent: Value,
}

/// What one message asks of the Jira of its connection.
#[derive(Debug)]
pub(crate) struct ExtrasRequest {
    pub(crate) connection: ConnectionName,
    /// What was asked for before this does not serve.
    pub(crate) after: Instant,
    lookups: Vec<(Arc<Lookup>, Option<PathSuffix>)>,
    watchers: Option<PathSuffix>,
    parent: Option<String>,
}

/// What was learnt for a message. The parent is kept apart, because the guard must let it pass before it is shown.
#[derive(Debug, Default)]
pub(crate) struct FetchedExtras {
    pub(crate) extras: Extras,
    pub(crate) parent: Option<Sight>,
}

/// Why a message cannot be made now, or ever.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ExtrasError {
    Wait(JiraError),
    Never(String),
}

impl ExtrasSpec {
    /// `lookup` alone names all of them.
    pub(super) fn of(references: &[Vec<String>], lookups: &[Arc<Lookup>]) -> Self {
        let names = |root: &str| references.iter().any(|path| path.first().is_some_and(|first| first == root));
        let shows = |lookup: &&Arc<Lookup>| {
            references
                .iter()
                .any(|path| path.first().is_some_and(|first| first == "lookup") && path.get(1).is_none_or(|name| *name == lookup.name))
        };
        Self { lookups: lookups.iter().filter(shows).cloned().collect(), watchers: names("watchers"), parent: names("parent") }
    }

    pub(crate) fn lookups(&self) -> &[Arc<Lookup>] {
        &self.lookups
    }

    /// The members of the event that are needed to ask.
    pub(super) fn references(&self) -> Vec<Vec<String>> {
        let mut paths: Vec<Vec<String>> = self.lookups.iter().flat_map(|lookup| lookup.references()).collect();
        if self.parent {
            paths.push(vec!["issue".into(), "parent".into()]);
        }
        paths
    }

    pub(crate) fn is_any(&self) -> bool {
        !self.lookups.is_empty() || self.watchers || self.parent
    }

    /// `context` is that of the templates; `issue` as it was read, else as the event tells it.
    pub(crate) fn request(
        &self,
        connection: &ConnectionName,
        after: Instant,
        context: &Value,
        issue: Option<&Issue>,
    ) -> Result<ExtrasRequest, RenderError> {
        let mut lookups = Vec::new();
        for lookup in &self.lookups {
            lookups.push((lookup.clone(), lookup.path(context)?));
        }
        let watchers = issue.filter(|_| self.watchers).and_then(|issue| jira::watchers_of(&issue.id));
        let parent = issue.filter(|_| self.parent).and_then(|issue| Some(issue.parent.as_ref()?.id.clone()));
        Ok(ExtrasRequest { connection: connection.clone(), after, lookups, watchers, parent })
    }
}

impl Extras {
    pub(crate) fn show_parent(&mut self, parent: &SeenIssue) {
        // What cannot be written is not shown.
        self.parent = serde_json::to_value(&parent.issue).unwrap_or_default();
        if let Some(members) = self.parent.as_object_mut() {
            members.insert("project".into(), serde_json::to_value(&parent.project).unwrap_or_default());
        }
    }
}

impl ExtrasRequest {
    /// What it asks for, for people.
    pub(crate) fn describe(&self) -> Vec<String> {
        let get = |name: &str, path: Option<&PathSuffix>| match path {
            Some(path) => format!("{name}: GET {path}"),
            None => format!("{name}: nothing, because a value in its path is missing"),
        };
        let lookups = self.lookups.iter().map(|(lookup, path)| get(&format!("lookup.{}", lookup.name), path.as_ref()));
        let watchers = self.watchers.iter().map(|path| get("watchers", Some(path)));
        lookups.chain(watchers).chain(self.parent.iter().map(|id| format!("parent: issue {id}"))).collect()
    }

    fn paths(&self) -> impl Iterator<Item = &PathSuffix> {
        self.lookups.iter().filter_map(|(_, path)| path.as_ref()).chain(&self.watchers)
    }
}

/// What one site answered.
#[derive(Default)]
struct Answers {
    found: BTreeMap<PathSuffix, Asked<Found>>,
    sights: BTreeMap<String, Asked<Sight>>,
}

/// One answer for each request. A connection without a Jira answers nothing, which is null.
pub(crate) async fn fetch(jiras: &Jiras, requests: &[&ExtrasRequest]) -> Vec<Result<FetchedExtras, ExtrasError>> {
    let mut sites: BTreeMap<&ConnectionName, Answers> = BTreeMap::new();
    for request in requests {
        let connection = &request.connection;
        if !sites.contains_key(connection) {
            let of_site: Vec<&ExtrasRequest> = requests.iter().copied().filter(|other| other.connection == *connection).collect();
            sites.insert(connection, fetch_from(jiras, connection, &of_site).await);
        }
    }
    requests.iter().map(|request| assemble(request, sites.get(&request.connection))).collect()
}

/// Each thing once, for the last event that wants it.
async fn fetch_from(jiras: &Jiras, connection: &ConnectionName, requests: &[&ExtrasRequest]) -> Answers {
    let Some(jira) = jiras.get(connection) else { return Answers::default() };
    let (mut paths, mut parents): (BTreeMap<&PathSuffix, Instant>, BTreeMap<&String, Instant>) = Default::default();
    for request in requests {
        for path in request.paths() {
            let after = paths.entry(path).or_insert(request.after);
            *after = request.after.max(*after);
        }
        if let Some(id) = &request.parent {
            let after = parents.entry(id).or_insert(request.after);
            *after = request.after.max(*after);
        }
    }
    let lookups: Vec<jira::Lookup> = paths.iter().map(|(path, after)| jira::Lookup { path: (*path).clone(), after: *after }).collect();
    let wants: Vec<Want> = parents.iter().map(|(id, after)| Want { issue_id: (*id).clone(), after: Some(*after) }).collect();
    let (found, sights) = tokio::join!(jira.lookups(&lookups), jira.issues(&wants));
    Answers {
        found: lookups.into_iter().map(|lookup| lookup.path).zip(found).collect(),
        sights: wants.into_iter().map(|want| want.issue_id).zip(sights).collect(),
    }
}

fn assemble(request: &ExtrasRequest, answers: Option<&Answers>) -> Result<FetchedExtras, ExtrasError> {
    let found = |path: &Option<PathSuffix>| path.as_ref().and_then(|path| answers?.found.get(path)).cloned().unwrap_or(Ok(None));
    let mut fetched = FetchedExtras::default();
    for (lookup, path) in &request.lookups {
        let answer = found(path).map_err(|err| map_error(err, &format!("lookup `{}` (`{}`)", lookup.name, lookup.shown)))?;
        fetched.extras.lookup.insert(lookup.name.clone(), answer.map(|json| (*json).clone()).unwrap_or_default());
    }
    if let Some(answer) = found(&request.watchers).map_err(|err| map_error(err, "the watchers of the issue"))? {
        fetched.extras.watchers = serde_json::to_value(jira::people(&answer)).unwrap_or_default();
    }
    if let Some(sight) = request.parent.as_ref().and_then(|id| answers?.sights.get(id)) {
        fetched.parent = Some(sight.clone().map_err(|err| map_error(err, "the parent of the issue"))?);
    }
    Ok(fetched)
}

/// A "no" of Jira stays one; everything else is worth waiting for.
fn map_error(err: JiraError, what: &str) -> ExtrasError {
    match err {
        JiraError::Refused { reason, .. } => ExtrasError::Never(format!("{what}: {reason}")),
        err => ExtrasError::Wait(err),
    }
}
