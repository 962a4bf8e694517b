//! Whether issues satisfy a JQL: a search for each query among the issues in question, inside the budget.
//!
//! An answer serves an event only if it was asked for after that event was received. Queries are asked side by side, so that one that is
//! slow or fails holds up no other; of each one question at most is under way, and who comes meanwhile shares the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use moka::future::Cache;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::endpoint::Endpoint;
use super::error::said;
use super::http::{Answer, Request};
use super::limits::{Limits, MATCHED_AT_ONCE, MATCHES_REMEMBERED, QUERIES_REMEMBERED};
use super::read::is_id;
use super::site::Site;
use super::{Asked, Flavour, JiraError, Match};
use crate::backoff::Backoff;

const REMEMBERED_FOR: Duration = Duration::from_secs(300);
const SEARCH_OF_DATACENTER: &str = "/rest/api/2/search";

/// By the id of the issue.
type Answers = BTreeMap<i64, Told>;

/// What Jira said, and when it was asked. Err: it does not take the query.
#[derive(Debug, Clone)]
struct Told {
    asked: Instant,
    answer: Asked<bool>,
}

pub(super) struct Matcher {
    queries: Cache<Arc<str>, Arc<Query>>,
    remembered: Cache<(i64, Arc<str>), Told>,
}

#[derive(Default)]
struct Query {
    /// The issues of those who wait for their turn.
    wanted: Mutex<BTreeSet<i64>>,
    turn: tokio::sync::Mutex<Turn>,
}

/// Who has it may ask. A query that failed is left alone for a while, longer each time.
#[derive(Default)]
struct Turn {
    failures: u32,
    rest: Option<(Instant, JiraError)>,
}

impl Matcher {
    pub(super) fn new() -> Self {
        Self {
            queries: Cache::builder().max_capacity(QUERIES_REMEMBERED).time_to_idle(REMEMBERED_FOR).build(),
            remembered: Cache::builder().max_capacity(MATCHES_REMEMBERED).time_to_live(REMEMBERED_FOR).build(),
        }
    }

    /// Adds to the answers what is remembered, and returns the issues that must be asked for.
    async fn open(&self, jql: &Arc<str>, wants: &BTreeMap<i64, Instant>, answers: &mut Answers) -> BTreeSet<i64> {
        let mut open = BTreeSet::new();
        for (id, after) in wants {
            if answers.contains_key(id) {
                continue;
            }
            if let Some(told) = self.remembered.get(&(*id, jql.clone())).await.filter(|told| told.asked >= *after) {
                answers.insert(*id, told);
            } else {
                open.insert(*id);
            }
        }
        open
    }
}

impl Query {
    fn wanted(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As many issues as one question carries: one's own first, then those of who waits.
    fn take(&self, own: &BTreeSet<i64>) -> Vec<i64> {
        let mut wanted = self.wanted();
        let others = wanted.iter().filter(|id| !own.contains(*id));
        let ids: Vec<i64> = own.iter().chain(others).copied().take(MATCHED_AT_ONCE).collect();
        wanted.retain(|id| !ids.contains(id));
        ids
    }
}

impl Turn {
    fn gate(&self) -> Asked<()> {
        let Some((until, err)) = &self.rest else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() { Ok(()) } else { Err(JiraError::Unavailable { retry_after: Some(left), reason: err.to_string() }) }
    }

    fn failed(&mut self, err: JiraError, limits: &Limits) {
        self.failures = self.failures.saturating_add(1);
        let span = Backoff::new(limits.backoff_first, limits.backoff_most).after(self.failures);
        self.rest = Some((Instant::now() + span, err));
    }
}

pub(super) async fn matches(site: &Site, wants: &[Match]) -> Vec<Asked<bool>> {
    let mut of_query: BTreeMap<Arc<str>, BTreeMap<i64, Instant>> = BTreeMap::new();
    for want in wants {
        let Some(id) = id_of(want) else { continue };
        let after = of_query.entry(want.jql.clone()).or_default().entry(id).or_insert(want.after);
        *after = want.after.max(*after);
    }
    let asked: Vec<_> = of_query.into_iter().map(|(jql, wants)| one(site, jql, wants)).collect();
    let told: HashMap<Arc<str>, BTreeMap<i64, Asked<bool>>> = join_all(asked).await.into_iter().collect();
    let answer = |want: &Match| {
        let Some(id) = id_of(want) else {
            return Err(JiraError::Refused { status: 0, reason: "the id of the issue is not a number".into() });
        };
        told.get(&want.jql).and_then(|answers| answers.get(&id)).cloned().unwrap_or_else(|| Err(left_out(site)))
    };
    wants.iter().map(answer).collect()
}

fn id_of(want: &Match) -> Option<i64> {
    is_id(&want.issue_id).then(|| want.issue_id.parse().ok()).flatten()
}

/// One answer for each issue.
async fn one(site: &Site, jql: Arc<str>, wants: BTreeMap<i64, Instant>) -> (Arc<str>, BTreeMap<i64, Asked<bool>>) {
    let mut answers = Answers::new();
    let outcome = shared(site, &jql, &wants, &mut answers).await;
    let answer = |id: i64| match (answers.get(&id), &outcome) {
        (Some(told), _) => told.answer.clone(),
        (None, Err(err)) => Err(err.clone()),
        (None, Ok(())) => Err(left_out(site)),
    };
    let told = wants.into_keys().map(|id| (id, answer(id))).collect();
    (jql, told)
}

/// Asks until all is answered. Who waited finds what others asked for, and asks anew only where it is too old for him.
async fn shared(site: &Site, jql: &Arc<str>, wants: &BTreeMap<i64, Instant>, answers: &mut Answers) -> Asked<()> {
    let matcher = &site.matcher;
    let open = matcher.open(jql, wants, answers).await;
    if open.is_empty() {
        return Ok(());
    }
    site.http.budget().gate()?;
    let query = matcher.queries.get_with(jql.clone(), async { Arc::default() }).await;
    query.wanted().extend(open);
    // The question that is under way, and the next, which carries what is wanted here.
    let patience = Instant::now() + 2 * site.limits.read;
    let Ok(mut turn) = timeout_at(patience, query.turn.lock()).await else {
        return Err(JiraError::unavailable(format!("Jira of connection `{}` did not answer in time", site.connection())));
    };
    loop {
        let open = matcher.open(jql, wants, answers).await;
        if open.is_empty() {
            return Ok(());
        }
        turn.gate()?;
        let mut told = Answers::new();
        let outcome = ask(site, jql, query.take(&open), &mut told).await;
        for (id, told) in &told {
            matcher.remembered.insert((*id, jql.clone()), told.clone()).await;
        }
        answers.append(&mut told);
        if let Err(err) = outcome {
            // A pause of the whole site is kept by the budget.
            site.http.budget().gate()?;
            turn.failed(err, &site.limits);
            return turn.gate();
        }
        *turn = Turn::default();
    }
}

/// Err: the rest could not be asked for.
async fn ask(site: &Site, jql: &str, ids: Vec<i64>, told: &mut Answers) -> Asked<()> {
    let deadline = Instant::now() + site.limits.read;
    let flavour = site.flavour(deadline).await?;
    let mut parts = vec![ids];
    while let Some(mut ids) = parts.pop() {
        let (asked, found) = search(site, flavour, Some(jql), &ids, deadline).await?;
        let found = match found {
            Ok(found) if !found.is_cut => found.ids,
            // An issue that is gone fails a search that names it.
            _ if ids.len() > 1 => {
                let rest = ids.split_off(ids.len() / 2);
                parts.extend([ids, rest]);
                continue;
            }
            Ok(found) => found.ids,
            Err(refused) => {
                let is_there = search(site, flavour, None, &ids, deadline).await?.1.is_ok();
                if is_there {
                    // So it is the query that Jira does not take.
                    let all = parts.into_iter().flatten().chain(ids);
                    told.extend(all.map(|id| (id, Told { asked, answer: Err(refused.clone()) })));
                    return Ok(());
                }
                BTreeSet::new()
            }
        };
        if ids.iter().any(|id| !found.contains(id)) {
            // Who is not known to Jira is shown nothing, and told so in no other way.
            site.login_is_good(deadline).await?;
        }
        told.extend(ids.into_iter().map(|id| (id, Told { asked, answer: Ok(found.contains(&id)) })));
    }
    Ok(())
}

struct Found {
    ids: BTreeSet<i64>,
    /// There are more than the answer holds.
    is_cut: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchSaid {
    issues: Vec<IssueSaid>,
    total: Option<usize>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct IssueSaid {
    id: String,
}

/// Which of these issues satisfy the query, or just are there. Err inside: Jira does not take the search.
async fn search(site: &Site, flavour: Flavour, jql: Option<&str>, ids: &[i64], deadline: Instant) -> Asked<(Instant, Asked<Found>)> {
    let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let among = jql.map_or_else(|| format!("id in ({list})"), |jql| format!("({jql}) AND id in ({list})"));
    let (path, mut body) = match flavour {
        // Its index lags behind, but not for the issues that it is told to look at itself.
        Flavour::Cloud => ("/rest/api/3/search/jql", json!({ "reconcileIssues": ids })),
        Flavour::Datacenter => (SEARCH_OF_DATACENTER, json!({ "startAt": 0 })),
    };
    body["jql"] = among.into();
    body["fields"] = json!(["id"]);
    body["maxResults"] = ids.len().into();
    let answer = site.http.call(Request::post(Endpoint::Jql, path, body), deadline).await?;
    let found = read::<SearchSaid>(site, &answer)?.map(|said| Found {
        is_cut: said.next_page_token.is_some() || said.total.is_some_and(|total| total > said.issues.len()),
        ids: said.issues.iter().filter_map(|issue| issue.id.parse().ok()).collect(),
    });
    Ok((answer.asked, found))
}

#[derive(Deserialize)]
struct ParsedSaid {
    queries: Vec<ParsedQuery>,
}

#[derive(Deserialize)]
struct ParsedQuery {
    #[serde(default)]
    errors: Vec<String>,
}

pub(super) async fn check(site: &Site, jql: &str, deadline: Instant) -> Asked<()> {
    if site.flavour(deadline).await? == Flavour::Datacenter {
        let nothing = json!({ "jql": jql, "validateQuery": true, "fields": ["id"], "startAt": 0, "maxResults": 0 });
        let answer = site.http.call(Request::post(Endpoint::Jql, SEARCH_OF_DATACENTER, nothing), deadline).await?;
        return read::<SearchSaid>(site, &answer)?.map(|_| ());
    }
    let request = Request::post(Endpoint::Jql, "/rest/api/3/jql/parse", json!({ "queries": [jql] }));
    let answer = site.http.call(Request { query: &[("validation", "strict")], ..request }, deadline).await?;
    let errors: Vec<String> = read::<ParsedSaid>(site, &answer)??.queries.into_iter().flat_map(|query| query.errors).collect();
    if errors.is_empty() { Ok(()) } else { Err(refused(site, &errors)) }
}

/// Err inside: Jira does not take the query. Every other "no" is about us or the site, which somebody can mend: that waits.
fn read<T: DeserializeOwned>(site: &Site, answer: &Answer) -> Asked<Asked<T>> {
    match answer.status.as_u16() {
        200..300 => answer.parse(site.connection()).map(Ok),
        400 if answer.is_json => Ok(Err(answer.refused(site.connection()))),
        _ => Err(JiraError::unavailable(answer.refused(site.connection()).to_string())),
    }
}

fn left_out(site: &Site) -> JiraError {
    JiraError::unavailable(format!("Jira of connection `{}` left an answer out", site.connection()))
}

fn refused(site: &Site, errors: &[String]) -> JiraError {
    let words = said(json!({ "errorMessages": errors }).to_string().as_bytes()).unwrap_or_default();
    JiraError::Refused { status: 400, reason: format!("Jira of connection `{}` answered: {words}", site.connection()) }
}
