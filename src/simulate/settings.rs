//! What a simulation is told: where it listens, who may read it, how it delivers, what goes wrong on purpose.
//!
//! The defaults are a site where nothing goes wrong and Jira's real waits hold; `Settings::demo` is the site of the first five minutes.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::clock::Clock;
use crate::setting::Secret;

/// The product that is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    #[default]
    Cloud,
    Datacenter,
}

#[derive(Clone)]
pub struct Settings {
    pub flavour: Flavour,
    /// Equal seeds and clocks give equal sites, people and bodies.
    pub seed: u64,
    pub clock: Clock,
    /// Port 0 takes a free one.
    pub jira_listen: SocketAddr,
    pub slack_listen: SocketAddr,
    pub account: Account,
    pub webhook_secret: Secret,
    pub slack_token: Secret,
    pub delivery: Delivery,
    pub faults: Faults,
    /// REST requests answered per second; more are told 429.
    pub requests_per_second: Option<u32>,
}

/// The account that reads the site through REST. The webhook sees everything whatever this account may see, as in Jira.
#[derive(Debug, Clone)]
pub struct Account {
    /// Cloud's login name beside the token.
    pub email: String,
    /// An API token on Cloud, a personal access token on Data Center.
    pub api_token: Secret,
    /// For the account's own login name, on Data Center only.
    pub password: Secret,
    /// Whether it may see issues of the security level "Staff only" and comments restricted to a role.
    pub sees_restricted: bool,
    /// Keys of projects that it may not browse.
    pub hidden_projects: BTreeSet<String>,
}

/// How webhooks are delivered.
#[derive(Debug, Clone, Copy)]
pub struct Delivery {
    /// Deliveries under way at once; Jira has 20 per site and host.
    pub in_flight: usize,
    pub time_out: Duration,
    /// Shortens the 5 to 15 minutes between Cloud's tries: 1.0 is real, 0.003 is one to three seconds. Data Center tries once.
    pub retry_scale: f64,
}

/// What goes wrong on purpose: each number is the share of bodies it befalls, from 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Never sent at all.
    pub drop: f64,
    /// Sent again although it was answered, as when the answer is lost: the same identifier, with a retry header. Never by Data Center.
    pub repeat: f64,
    /// Issue and comment bodies are also sent for a second webhook: the same body, another identifier.
    pub second_webhook: f64,
    /// Held back for up to `delay_most`.
    pub delay: f64,
    pub delay_most: Duration,
    /// Sent after the next body of the same issue.
    pub reorder: f64,
}

impl Default for Settings {
    fn default() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            flavour: Flavour::Cloud,
            seed: 1,
            clock: Clock::system(),
            jira_listen: any_port,
            slack_listen: any_port,
            account: Account::default(),
            webhook_secret: Secret::new("simulated-webhook-secret"),
            slack_token: Secret::new("xoxb-simulated-token"),
            delivery: Delivery::default(),
            faults: Faults::default(),
            requests_per_second: None,
        }
    }
}

impl Settings {
    /// A site of this flavour where nothing goes wrong.
    pub fn of(flavour: Flavour) -> Self {
        let token = match flavour {
            Flavour::Cloud => "simulated-api-token",
            Flavour::Datacenter => "simulated-personal-access-token",
        };
        Self { flavour, account: Account { api_token: Secret::new(token), ..Account::default() }, ..Self::default() }
    }

    /// The site of the demo: seconds instead of minutes between tries, and now and then a repeat or a second webhook.
    pub fn demo(flavour: Flavour) -> Self {
        Self {
            delivery: Delivery { retry_scale: 1.0 / 300.0, ..Delivery::default() },
            faults: Faults { repeat: 0.05, second_webhook: 0.05, ..Faults::default() },
            ..Self::of(flavour)
        }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self {
            email: "wire@brightdesk.example".into(),
            api_token: Secret::new("simulated-api-token"),
            password: Secret::new("simulated-password"),
            sees_restricted: true,
            hidden_projects: BTreeSet::new(),
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self { in_flight: 20, time_out: Duration::from_secs(20), retry_scale: 1.0 }
    }
}
