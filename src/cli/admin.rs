//! Speaking to a running service: where it listens, with which token, and what its answers mean for the exit code.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Failure;
use super::arguments::Options;
use crate::api::{self, Readiness};
use crate::config::{self, Config};
use crate::setting::Secret;

const TIMEOUT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);
/// Rows that are asked for at once.
const PAGE: usize = 1_000;
const TOKEN_VARIABLE: &str = "TICKETWIRE_ADMIN_TOKEN";

pub(crate) struct Admin {
    base: String,
    token: Secret,
    client: Client,
}

impl Admin {
    pub(crate) fn find(options: &Options) -> Result<Self, Failure> {
        let (base, token) = match &options.admin {
            Some(url) => (url.trim_end_matches('/').to_owned(), given_token(options)?),
            None => {
                let config = where_it_runs(options)?;
                (base_of(&config), configured_token(&config, options)?)
            }
        };
        let client = Client::builder().timeout(TIMEOUT).no_proxy().build().map_err(|err| Failure::Other(err.into()))?;
        Ok(Self { base, token, client })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(Method::GET, path, None::<&()>).await
    }

    pub(crate) async fn post<B: Serialize + Sync, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// What the service says of itself, also where it is not ready.
    pub(crate) async fn readiness(&self) -> Result<Readiness, Failure> {
        let asked = self.client.get(format!("{}/readyz", self.base)).send().await;
        self.read(asked.map_err(|err| self.unreachable(err))?).await
    }

    /// The first so many of a listing, page by page.
    pub(crate) async fn list<Q: Serialize, T: DeserializeOwned>(&self, path: &str, which: &Q, most: usize) -> Result<Vec<T>, Failure> {
        let limit = most.min(PAGE);
        let mut next = Some(format!("{}/api/v1/{path}?{}", self.base, query(which, limit)?));
        let mut rows: Vec<T> = Vec::new();
        while let Some(url) = next.take().filter(|_| rows.len() < most) {
            let response = self.send(self.client.get(url)).await?;
            next = next_page(response.headers()).map(|place| format!("{}{place}", self.base));
            rows.extend(self.read::<Vec<T>>(response).await?);
        }
        rows.truncate(most);
        Ok(rows)
    }

    /// An answer that goes on and on; what lies behind `last` comes first.
    pub(crate) async fn stream<Q: Serialize>(&self, path: &str, which: &Q, last: Option<&str>) -> Result<Response, Failure> {
        // Heartbeats come every quarter of a minute.
        let client = Client::builder().connect_timeout(TIMEOUT).read_timeout(SILENCE).no_proxy().build();
        let client = client.map_err(|err| Failure::Other(err.into()))?;
        let mut request = client.get(format!("{}/api/v1/{path}", self.base)).query(which);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        self.send(request).await
    }

    async fn call<B: Serialize + Sync, T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&B>) -> Result<T, Failure> {
        let mut request = self.client.request(method, format!("{}/api/v1/{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self.send(request).await?;
        self.read(response).await
    }

    fn unreachable(&self, err: reqwest::Error) -> Failure {
        Failure::Unreachable(format!(
            "no service answers at {}: {}\nhint: start it with `ticketwire serve`, or name it with `--admin URL`",
            self.base,
            err.without_url()
        ))
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, Failure> {
        let bytes = response.bytes().await.map_err(|err| self.unreachable(err))?;
        serde_json::from_slice(&bytes).map_err(not_understood)
    }

    /// An answer that says yes.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.bearer_auth(self.token.expose()).send().await.map_err(|err| self.unreachable(err))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.map_err(|err| self.unreachable(err))?;
        let detail = serde_json::from_slice::<Value>(&bytes).ok().and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
        Err(refused(status, &detail.unwrap_or_else(|| status.to_string()), &self.base))
    }
}

/// What an answer that says no means for whoever typed the command.
fn refused(status: StatusCode, detail: &str, base: &str) -> Failure {
    match status {
        StatusCode::UNAUTHORIZED => {
            Failure::Other(anyhow::anyhow!("the service at {base} refuses the admin token; give the right one with `--token-file`"))
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Failure::Usage(detail.to_owned()),
        status if status.is_server_error() => Failure::Unreachable(format!("error: the service at {base} cannot answer now: {detail}")),
        _ => Failure::Other(anyhow::anyhow!("{detail}")),
    }
}

/// Something else answers there, or another version.
fn not_understood(err: serde_json::Error) -> Failure {
    Failure::Unreachable(format!("error: the service's answer is not understood: {err}"))
}

/// As a part of a path.
pub(super) fn encoded(part: &str) -> String {
    utf8_percent_encode(part, NON_ALPHANUMERIC).to_string()
}

fn query<Q: Serialize>(which: &Q, limit: usize) -> Result<String, Failure> {
    let members = serde_json::to_value(which).map_err(|err| Failure::Other(err.into()))?;
    let mut query = format!("limit={limit}");
    for (name, value) in members.as_object().into_iter().flatten() {
        query.push_str(&format!("&{name}={}", encoded(value.as_str().unwrap_or_default())));
    }
    Ok(query)
}

/// Where the next page is, by RFC 8288.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let place = link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?;
    Some(place.to_owned())
}

/// Where the service listens and keeps its token: neither its secrets nor its rules are needed for that.
fn where_it_runs(options: &Options) -> Result<Config, Failure> {
    let draft = Config::draft(options.config.as_deref(), config::environment());
    let is_readable =
        options.config.as_deref().is_none_or(|path| std::fs::read_to_string(path).is_ok_and(|text| text.parse::<toml::Table>().is_ok()));
    if is_readable { Ok(draft.config) } else { Err(Failure::Configuration(draft.problems.to_string())) }
}

fn base_of(config: &Config) -> String {
    let listen = config.admin.listen;
    // A service that listens everywhere is asked here.
    let host = if listen.ip().is_unspecified() { "127.0.0.1".to_owned() } else { listen.ip().to_string() };
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    format!("http://{host}:{}", listen.port())
}

fn given_token(options: &Options) -> Result<Secret, Failure> {
    if let Some(token) = token_file(options)? {
        return Ok(token);
    }
    std::env::var(TOKEN_VARIABLE)
        .map(Secret::new)
        .map_err(|_| Failure::Usage(format!("`--admin` needs a token: give `--token-file FILE` or set `{TOKEN_VARIABLE}`")))
}

fn configured_token(config: &Config, options: &Options) -> Result<Secret, Failure> {
    if let Some(token) = token_file(options)? {
        return Ok(token);
    }
    if let Some(unresolved) = config.unresolved.iter().find(|secret| secret.kind == "admin" && secret.member == "tokens[0]") {
        let why = &unresolved.finding.message;
        return Err(Failure::Usage(format!("{why}\nhint: set it here too, or give the token with `--token-file FILE`")));
    }
    if let Some(token) = config.admin.tokens.first() {
        return Ok(token.clone());
    }
    let path = config.data_dir.join(api::TOKEN_FILE);
    std::fs::read_to_string(&path).map(|text| Secret::new(text.trim())).map_err(|err| {
        let why = format!("no service has run here: its token `{}` cannot be read: {err}", path.display());
        Failure::Unreachable(format!("{why}\nhint: start it with `ticketwire serve`, or name another with `-c FILE` or `--admin URL`"))
    })
}

fn token_file(options: &Options) -> Result<Option<Secret>, Failure> {
    let Some(path) = &options.token_file else { return Ok(None) };
    let read = std::fs::read_to_string(path).map(|text| Some(Secret::new(text.trim())));
    read.map_err(|err| Failure::Usage(format!("the token file `{}` cannot be read: {err}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_exit_code() {
        let code = |status: u16| match refused(StatusCode::from_u16(status).expect("a status"), "no", "http://127.0.0.1:9080") {
            Failure::Usage(_) => 2,
            Failure::Unreachable(_) => 69,
            Failure::Configuration(_) => 78,
            Failure::No | Failure::Gone | Failure::Other(_) => 1,
        };
        for (status, expected) in [(400, 2), (401, 1), (403, 1), (404, 1), (409, 1), (421, 1), (422, 2), (500, 69), (502, 69), (503, 69)] {
            assert_eq!(code(status), expected, "{status}");
        }
    }
}
