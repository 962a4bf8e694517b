//! What the guard asks beside issues: whether a project is private, and what a comment or worklog has become. Asked as rules look things
//! up, so that many share one request.

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::read::is_id;
use super::site::Site;
use super::{Asked, Flavour, Found, JiraError, Lookup, Place, Privacy, Talk, comment, lookup};
use crate::jira::model;
use crate::setting::PathSuffix;

#[derive(Deserialize)]
struct Said {
    visibility: Option<Visibility>,
    #[serde(rename = "jsdPublic")]
    public: Option<bool>,
}

#[derive(Deserialize)]
struct Visibility {
    value: Option<String>,
}

impl Said {
    fn visible_to(self) -> Option<String> {
        self.visibility.map(|visibility| visibility.value.unwrap_or_else(|| "somebody".to_owned()))
    }
}

pub(super) async fn privacy(site: &Site, place: &Place, after: Instant) -> Asked<Privacy> {
    if site.flavour(Instant::now() + site.limits.read).await? == Flavour::Datacenter {
        // It knows no private projects.
        return Ok(Privacy::Open);
    }
    let project_id = match place {
        Place::Project(id) => id.clone(),
        Place::Board(id) => {
            let Some(board) = thing(site, "/rest/agile/1.0/board/", id, after).await? else { return Ok(Privacy::NotVisible) };
            match board.pointer("/location/projectId") {
                Some(Value::String(id)) => id.clone(),
                Some(Value::Number(id)) => id.to_string(),
                // The board of a person.
                _ => return Ok(Privacy::Open),
            }
        }
    };
    let project = thing(site, "/rest/api/3/project/", &project_id, after).await?.map(|project| project.to_string());
    let project = project.as_deref().and_then(|text| serde_json::from_str::<model::Project<'_>>(text).ok());
    let private = project.as_ref().map(model::Project::private);
    Ok(match (private, project.as_ref().and_then(model::Project::project)) {
        (Some(true), Some(project)) => Privacy::Private(project),
        (Some(false), Some(_)) => Privacy::Open,
        _ => Privacy::NotVisible,
    })
}

pub(super) async fn comment(site: &Site, issue_id: &str, id: &str, may_be_note: bool, after: Instant) -> Asked<Talk> {
    let Some(said) = said(site, issue_id, "comment", id, after).await? else { return Ok(Talk::Gone) };
    let is_internal = match said.public {
        Some(public) => !public,
        // Without the property it is public: it is there, and does not say otherwise.
        None if may_be_note => comment::property(site, id, Instant::now() + site.limits.read).await?.unwrap_or(false),
        None => false,
    };
    Ok(Talk::There { visible_to: said.visible_to(), is_internal })
}

pub(super) async fn worklog(site: &Site, issue_id: &str, id: &str, after: Instant) -> Asked<Talk> {
    let said = said(site, issue_id, "worklog", id, after).await?;
    Ok(said.map_or(Talk::Gone, |said| Talk::There { is_internal: said.public == Some(false), visible_to: said.visible_to() }))
}

/// `kind` is `comment` or `worklog`. What cannot be read is not known to be public, so it counts as gone.
async fn said(site: &Site, issue_id: &str, kind: &str, id: &str, after: Instant) -> Asked<Option<Said>> {
    checked(issue_id)?;
    let found = thing(site, &format!("/rest/api/2/issue/{issue_id}/{kind}/"), id, after).await?;
    Ok(found.and_then(|found| Said::deserialize(&*found).ok()))
}

async fn thing(site: &Site, before: &str, id: &str, after: Instant) -> Asked<Found> {
    let path = format!("{before}{}", checked(id)?).parse::<PathSuffix>();
    let path = path.map_err(|why| JiraError::Refused { status: 0, reason: format!("the path {why}") })?;
    lookup::lookups(site, &[Lookup { path, after }]).await.pop().unwrap_or(Ok(None))
}

fn checked(id: &str) -> Asked<&str> {
    if is_id(id) { Ok(id) } else { Err(JiraError::Refused { status: 0, reason: "an id is not a number".into() }) }
}
