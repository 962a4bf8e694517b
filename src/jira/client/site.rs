//! What the parts of the client share: the way to Jira, what is known of the site, and what is remembered.

use std::sync::{Arc, OnceLock};

use moka::future::Cache;
use tokio::time::Instant;

use super::http::Http;
use super::issues::Reader;
use super::jql::Matcher;
use super::limits::Limits;
use super::probe::{self, Myself, ServerInfo};
use super::{Asked, Auth, Flavour, JiraError, comment, lookup};
use crate::event::ToMarkdown;
use crate::setting::{BaseUrl, ConnectionName, PathSuffix};

pub(super) struct Site {
    pub http: Http,
    pub to_markdown: ToMarkdown,
    pub limits: Limits,
    pub reader: Reader,
    pub comments: Cache<String, comment::Told>,
    pub lookups: Cache<PathSuffix, lookup::Told>,
    pub matcher: Matcher,
    auth: Auth,
    flavour: OnceLock<Flavour>,
    /// One entry at most: callers at the same time share one request.
    server: Cache<(), Arc<ServerInfo>>,
    login: Cache<(), Arc<Myself>>,
}

impl Site {
    pub(super) fn new(
        connection: ConnectionName,
        base_url: BaseUrl,
        auth: Auth,
        flavour: Option<Flavour>,
        to_markdown: ToMarkdown,
        limits: Limits,
    ) -> Result<Self, JiraError> {
        let known = OnceLock::new();
        if let Some(flavour) = flavour {
            auth.check(&connection, flavour)?;
            known.get_or_init(|| flavour);
        }
        let authorization = auth.header(&connection)?;
        Ok(Self {
            http: Http::new(connection, base_url, authorization, &limits)?,
            to_markdown,
            reader: Reader::new(),
            comments: comment::memory(),
            lookups: lookup::memory(),
            matcher: Matcher::new(),
            auth,
            flavour: known,
            server: Cache::new(1),
            login: Cache::builder().max_capacity(1).time_to_live(limits.login_believed).build(),
            limits,
        })
    }

    pub(super) fn connection(&self) -> &ConnectionName {
        self.http.connection()
    }

    /// For a request that starts now and that nobody on the road waits for.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.limits.request
    }

    /// As configured, else as the site says of itself; asked until it says so, then never again.
    pub(super) async fn flavour(&self, deadline: Instant) -> Asked<Flavour> {
        if let Some(flavour) = self.flavour.get() {
            return Ok(*flavour);
        }
        let asked = async { probe::server_info(self, deadline).await.map(Arc::new) };
        let info = self.server.try_get_with((), asked).await.map_err(|err| err.as_ref().clone())?;
        self.auth.check(self.connection(), info.flavour)?;
        Ok(*self.flavour.get_or_init(|| info.flavour))
    }

    /// For a "no" that is not JSON, as Jira's own is: it comes from something before it, or there is no Jira at this address.
    pub(super) fn stopped(&self) -> JiraError {
        JiraError::unavailable(format!("something before Jira of connection `{}` said no", self.connection()))
    }

    /// Ok: our login is good, as of the last half minute at least. Then "not there" means what it says.
    pub(super) async fn login_is_good(&self, deadline: Instant) -> Asked<()> {
        let asked = async { probe::myself(self, deadline).await.map(Arc::new) };
        match self.login.try_get_with((), asked).await {
            Ok(_) => Ok(()),
            Err(err) => match err.as_ref() {
                JiraError::Refused { reason, .. } => {
                    Err(JiraError::unavailable(format!("cannot tell whether the login is good: {reason}")))
                }
                other => Err(other.clone()),
            },
        }
    }
}
