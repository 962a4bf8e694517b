//! What a site says of itself, of us, and of its fields.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::http::Request;
use super::site::Site;
use super::{Asked, Flavour, JiraError};

/// Before this version Jira Server lacks what the client relies on.
const SERVER_VERSION_MIN: [u32; 2] = [7, 13];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    pub flavour: Flavour,
    pub version: String,
    pub version_numbers: Vec<u32>,
    /// As Jira believes it: where it differs from ours, its links lead elsewhere.
    pub base_url: Option<String>,
    pub title: Option<String>,
    /// How far its clock is ahead of ours, if it told the time, which it does in whole seconds.
    pub clock_ahead_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Myself {
    /// Account id on Cloud; user key, else name, elsewhere.
    pub id: String,
    pub name: Option<String>,
    /// What Cloud calls the kind of the account: `atlassian`, or `app` for one that is no person's.
    pub kind: Option<String>,
    pub email: Option<String>,
    /// In which Jira reads our dates in JQL.
    pub time_zone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Field {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub custom: bool,
    pub schema: Option<FieldSchema>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FieldSchema {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub items: Option<String>,
    pub system: Option<String>,
    /// What tells custom fields apart: names are neither unique nor stable.
    pub custom: Option<String>,
}

/// Asked without login first, because a wrong login must not hide what the site is.
pub(super) async fn server_info(site: &Site, deadline: Instant) -> Asked<ServerInfo> {
    let request = || Request::get(Endpoint::ServerInfo, "/rest/api/2/serverInfo");
    let mut answer = site.http.call(Request { anonymous: true, ..request() }, deadline).await?;
    if matches!(answer.status.as_u16(), 401 | 403) {
        answer = site.http.call(request(), deadline).await?;
    }
    let info = read_server_info(site, answer.parse(site.connection())?)?;
    Ok(ServerInfo { clock_ahead_ms: answer.clock_ahead_ms, ..info })
}

pub(super) async fn myself(site: &Site, deadline: Instant) -> Asked<Myself> {
    let answer = site.http.call(Request::get(Endpoint::Myself, "/rest/api/2/myself"), deadline).await?;
    let said: MyselfSaid = answer.parse(site.connection())?;
    let Some(id) = said.account_id.or(said.key).or_else(|| said.name.clone()) else {
        return Err(JiraError::unavailable(format!("Jira of connection `{}` did not say who we are", site.connection())));
    };
    Ok(Myself { id, name: said.display_name.or(said.name), kind: said.account_type, email: said.email_address, time_zone: said.time_zone })
}

pub(super) async fn fields(site: &Site, deadline: Instant) -> Asked<Vec<Field>> {
    site.http.call(Request::get(Endpoint::Field, "/rest/api/2/field"), deadline).await?.parse(site.connection())
}

/// Which of these permissions we have; one of a project counts where we have it in any project.
pub(super) async fn my_permissions(site: &Site, keys: &[&str], deadline: Instant) -> Asked<BTreeMap<String, bool>> {
    let keys = keys.join(",");
    let query = [("permissions", keys.as_str())];
    let request = Request { query: &query, ..Request::get(Endpoint::MyPermissions, "/rest/api/2/mypermissions") };
    let said: PermissionsSaid = site.http.call(request, deadline).await?.parse(site.connection())?;
    Ok(said.permissions.into_iter().map(|(key, permission)| (key, permission.have_permission)).collect())
}

/// Whether we may browse the project of this key, or it is not there: Jira does not tell the two apart.
pub(super) async fn sees_project(site: &Site, key: &str, deadline: Instant) -> Asked<bool> {
    if !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(false);
    }
    let path = format!("/rest/api/2/project/{key}");
    let answer = site.http.call(Request::get(Endpoint::Project, &path), deadline).await?;
    match answer.status.as_u16() {
        403 | 404 => Ok(false),
        _ if answer.status.is_success() => Ok(true),
        _ => Err(answer.refused(site.connection())),
    }
}

#[derive(Deserialize)]
struct PermissionsSaid {
    permissions: BTreeMap<String, PermissionSaid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PermissionSaid {
    #[serde(default)]
    have_permission: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerInfoSaid {
    base_url: Option<String>,
    version: Option<String>,
    #[serde(default)]
    version_numbers: Vec<u32>,
    deployment_type: Option<String>,
    server_title: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MyselfSaid {
    account_id: Option<String>,
    account_type: Option<String>,
    key: Option<String>,
    name: Option<String>,
    display_name: Option<String>,
    email_address: Option<String>,
    time_zone: Option<String>,
}

fn read_server_info(site: &Site, said: ServerInfoSaid) -> Asked<ServerInfo> {
    let Some(version) = said.version else {
        let reason =
            format!("`{}` of connection `{}` does not answer like Jira: is the base URL right?", site.http.base_url(), site.connection());
        return Err(JiraError::unavailable(reason));
    };
    let mut numbers = said.version_numbers;
    if numbers.is_empty() {
        numbers = version.split(['.', '-']).map_while(|part| part.parse().ok()).collect();
    }
    // Older servers do not say what they are; Jira Cloud always does.
    let flavour = if said.deployment_type.as_deref() == Some("Cloud") { Flavour::Cloud } else { Flavour::Datacenter };
    if flavour == Flavour::Datacenter && numbers.as_slice() < SERVER_VERSION_MIN.as_slice() {
        let reason =
            format!("Jira of connection `{}` is version {version}, which is too old: 7.13 is the oldest that works", site.connection());
        return Err(JiraError::Refused { status: 200, reason });
    }
    Ok(ServerInfo { flavour, version, version_numbers: numbers, base_url: said.base_url, title: said.server_title, clock_ahead_ms: None })
}
