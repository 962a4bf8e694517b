//! Whether issues satisfy a JQL: one question carries many issues and many queries, inside the budget.
//!
//! An answer serves an event only if it was asked for after that event was received. While a question is under way, further ones gather
//! for the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::endpoint::Endpoint;
use super::error::said;
use super::http::{Answer, Request};
use super::limits::{IDS_MAX, JQLS_MAX, MATCHES_REMEMBERED};
use super::read::is_id;
use super::site::Site;
use super::{Asked, Flavour, JiraError, Match};

const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// The id of an issue, and a query.
type Pair = (i64, Arc<str>);
type Answers = HashMap<Pair, Told>;

/// What Jira said, and when it was asked. Err: it does not take the query.
#[derive(Debug, Clone)]
struct Told {
    asked: Instant,
    answer: Asked<bool>,
}

pub(super) struct Matcher {
    /// What is wanted by those who wait for their turn.
    wanted: Mutex<BTreeSet<Pair>>,
    turn: tokio::sync::Mutex<()>,
    remembered: Cache<Pair, Told>,
}

impl Matcher {
    pub(super) fn new() -> Self {
        let remembered = Cache::builder().max_capacity(MATCHES_REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        Self { wanted: Mutex::default(), turn: tokio::sync::Mutex::default(), remembered }
    }

    fn wanted(&self) -> MutexGuard<'_, BTreeSet<Pair>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the answers what is remembered, and returns what must be asked for.
    async fn open(&self, wants: &BTreeMap<Pair, Instant>, answers: &mut Answers) -> BTreeSet<Pair> {
        let mut open = BTreeSet::new();
        for (pair, after) in wants {
            if let Some(told) = self.remembered.get(pair).await.filter(|told| told.asked >= *after) {
                answers.insert(pair.clone(), told);
            } else {
                open.insert(pair.clone());
            }
        }
        open
    }
}

pub(super) async fn matches(site: &Site, wants: &[Match]) -> Vec<Asked<bool>> {
    let deadline = Instant::now() + site.limits.call;
    let mut pairs: BTreeMap<Pair, Instant> = BTreeMap::new();
    for want in wants {
        let Some(pair) = pair_of(want) else { continue };
        let after = pairs.entry(pair).or_insert(want.after);
        *after = want.after.max(*after);
    }
    let late = |_| {
        let reason = format!("Jira of connection `{}` did not answer in time", site.connection());
        (Answers::new(), Err(JiraError::unavailable(reason)))
    };
    let (answers, outcome) = timeout_at(deadline, shared(site, &pairs, deadline)).await.unwrap_or_else(late);
    let answer = |want: &Match| {
        let Some(pair) = pair_of(want) else {
            return Err(JiraError::Refused { status: 0, reason: "the id of the issue is not a number".into() });
        };
        match (answers.get(&pair), &outcome) {
            (Some(told), _) => told.answer.clone(),
            (None, Err(err)) => Err(err.clone()),
            (None, Ok(())) => Err(JiraError::unavailable(format!("Jira of connection `{}` left an answer out", site.connection()))),
        }
    };
    wants.iter().map(answer).collect()
}

fn pair_of(want: &Match) -> Option<Pair> {
    let id = is_id(&want.issue_id).then(|| want.issue_id.parse().ok()).flatten()?;
    Some((id, want.jql.clone()))
}

/// Who has the turn asks for all who wait, each of whom finds the answer when it is his; he asks anew only where it is too old for him.
async fn shared(site: &Site, wants: &BTreeMap<Pair, Instant>, deadline: Instant) -> (Answers, Asked<()>) {
    let (matcher, mut answers) = (&site.matcher, Answers::new());
    let open = matcher.open(wants, &mut answers).await;
    if open.is_empty() {
        return (answers, Ok(()));
    }
    if let Err(err) = site.http.budget().gate() {
        return (answers, Err(err));
    }
    matcher.wanted().extend(open);
    let _turn = matcher.turn.lock().await;
    let open = matcher.open(wants, &mut answers).await;
    if open.is_empty() {
        return (answers, Ok(()));
    }
    let mut pairs = std::mem::take(&mut *matcher.wanted());
    pairs.extend(open);
    let mut told = Answers::new();
    let outcome = ask(site, &pairs, deadline.min(Instant::now() + site.limits.read), &mut told).await;
    for (pair, told) in &told {
        matcher.remembered.insert(pair.clone(), told.clone()).await;
    }
    answers.extend(told);
    (answers, outcome)
}

/// Err: the rest could not be asked for.
async fn ask(site: &Site, pairs: &BTreeSet<Pair>, deadline: Instant, told: &mut Answers) -> Asked<()> {
    match site.flavour(deadline).await? {
        Flavour::Cloud => by_match(site, pairs, deadline, told).await,
        Flavour::Datacenter => by_search(site, pairs, deadline, told).await,
    }
}

#[derive(Deserialize)]
struct MatchesSaid {
    matches: Vec<MatchSaid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MatchSaid {
    #[serde(default)]
    matched_issues: BTreeSet<i64>,
    #[serde(default)]
    errors: Vec<String>,
}

async fn by_match(site: &Site, pairs: &BTreeSet<Pair>, deadline: Instant, told: &mut Answers) -> Asked<()> {
    let ids: Vec<i64> = pairs.iter().map(|(id, _)| *id).collect::<BTreeSet<i64>>().into_iter().collect();
    let jqls: Vec<Arc<str>> = pairs.iter().map(|(_, jql)| jql.clone()).collect::<BTreeSet<Arc<str>>>().into_iter().collect();
    let mut parts: Vec<(&[i64], &[Arc<str>])> =
        ids.chunks(IDS_MAX).flat_map(|ids| jqls.chunks(JQLS_MAX).map(move |jqls| (ids, jqls))).collect();
    while let Some((ids, jqls)) = parts.pop() {
        let texts: Vec<&str> = jqls.iter().map(|jql| &**jql).collect();
        let request = Request::post(Endpoint::Jql, "/rest/api/3/jql/match", json!({ "issueIds": ids, "jqls": texts }));
        let answer = site.http.call(request, deadline).await?;
        let matches: Vec<Asked<BTreeSet<i64>>> = match read::<MatchesSaid>(site, &answer)? {
            Ok(said) if said.matches.len() == jqls.len() => said.matches.into_iter().map(|said| taken(site, said)).collect(),
            Ok(_) => return Err(JiraError::unavailable(format!("Jira of connection `{}` left an answer out", site.connection()))),
            // One of them may be at fault alone.
            Err(_) if jqls.len() > 1 => {
                parts.extend(jqls.chunks(1).map(|jql| (ids, jql)));
                continue;
            }
            Err(refused) => vec![Err(refused)],
        };
        let misses = matches.iter().any(|matched| matched.as_ref().is_ok_and(|matched| ids.iter().any(|id| !matched.contains(id))));
        if misses {
            // Who is not known to Jira is shown nothing, and told so in no other way.
            site.login_is_good(deadline).await?;
        }
        for (jql, matched) in jqls.iter().zip(matches) {
            note(told, jql, ids, answer.asked, &matched);
        }
    }
    Ok(())
}

fn taken(site: &Site, said: MatchSaid) -> Asked<BTreeSet<i64>> {
    if said.errors.is_empty() { Ok(said.matched_issues) } else { Err(refused(site, &said.errors)) }
}

fn note(told: &mut Answers, jql: &Arc<str>, ids: &[i64], asked: Instant, matched: &Asked<BTreeSet<i64>>) {
    for id in ids {
        let answer = matched.as_ref().map(|matched| matched.contains(id)).map_err(JiraError::clone);
        told.insert((*id, jql.clone()), Told { asked, answer });
    }
}

async fn by_search(site: &Site, pairs: &BTreeSet<Pair>, deadline: Instant, told: &mut Answers) -> Asked<()> {
    let mut of_jql: BTreeMap<&Arc<str>, Vec<i64>> = BTreeMap::new();
    for (id, jql) in pairs {
        of_jql.entry(jql).or_default().push(*id);
    }
    for (jql, ids) in of_jql {
        for ids in ids.chunks(IDS_MAX) {
            let (asked, matched) = search_among(site, jql, ids, deadline).await?;
            note(told, jql, ids, asked, &matched);
        }
    }
    Ok(())
}

/// Which of these satisfy it.
async fn search_among(site: &Site, jql: &str, ids: &[i64], deadline: Instant) -> Asked<(Instant, Asked<BTreeSet<i64>>)> {
    let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let both = format!("({jql}) AND id in ({list})");
    let found = search(site, &both, ids.len(), true, deadline).await?;
    if found.1.is_ok() {
        return Ok(found);
    }
    // An issue that is gone fails a search that names it. Whether it is the query's fault shows where that stands alone.
    let alone = search(site, jql, 0, true, deadline).await?;
    if alone.1.is_err() { Ok(alone) } else { search(site, &both, ids.len(), false, deadline).await }
}

#[derive(Deserialize)]
struct SearchSaid {
    issues: Vec<IssueSaid>,
}

#[derive(Deserialize)]
struct IssueSaid {
    id: String,
}

async fn search(site: &Site, jql: &str, most: usize, strictly: bool, deadline: Instant) -> Asked<(Instant, Asked<BTreeSet<i64>>)> {
    let body = json!({ "jql": jql, "validateQuery": strictly, "fields": ["key"], "startAt": 0, "maxResults": most });
    let answer = site.http.call(Request::post(Endpoint::Jql, "/rest/api/2/search", body), deadline).await?;
    let found = read::<SearchSaid>(site, &answer)?;
    Ok((answer.asked, found.map(|said| said.issues.iter().filter_map(|issue| issue.id.parse().ok()).collect())))
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
        return search(site, jql, 0, true, deadline).await?.1.map(|_| ());
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

fn refused(site: &Site, errors: &[String]) -> JiraError {
    let words = said(json!({ "errorMessages": errors }).to_string().as_bytes()).unwrap_or_default();
    JiraError::Refused { status: 400, reason: format!("Jira of connection `{}` answered: {words}", site.connection()) }
}
