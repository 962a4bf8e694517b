//! The people of the simulated site. All are invented; each has one account for ever: Cloud names it by an id, Data Center by a key and a login name.

use serde_json::{Value, json};

use super::settings::Flavour;
use super::shape::Form;

#[derive(Debug)]
pub(crate) struct Person {
    pub account_id: &'static str,
    /// What Data Center knows the account by: a person may get another login name, the key stays.
    key: &'static str,
    pub login: &'static str,
    pub name: &'static str,
    pub kind: PersonKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PersonKind {
    Staff,
    Customer,
    App,
}

pub(crate) static MIRA: Person = person(PersonKind::Staff, "712020:0f1e2d3c-mira", "mira", "mira", "Mira Falk");
pub(crate) static ODE: Person = person(PersonKind::Staff, "712020:1a2b3c4d-ode", "JIRAUSER10101", "ode", "Ode Brunner");
pub(crate) static TAREK: Person = person(PersonKind::Staff, "712020:2b3c4d5e-tarek", "JIRAUSER10102", "tarek.sol", "Tarek Sol");
pub(crate) static INA: Person = person(PersonKind::Staff, "712020:3c4d5e6f-ina", "JIRAUSER10103", "ina", "Ina Voss");
pub(crate) static PIA: Person = person(PersonKind::Customer, "qm:4d5e6f70-pia", "JIRAUSER10104", "pia.lorn", "Pia Lorn");
pub(crate) static ROBO: Person = person(PersonKind::App, "557058:5e6f7081-robo", "JIRAUSER10105", "robo", "Robo Helper");
/// The account that reads the site through REST.
pub(crate) static WIRE: Person = person(PersonKind::Staff, "712020:6f708192-wire", "JIRAUSER10106", "wire", "Wire Account");

pub(crate) static STAFF: [&Person; 4] = [&MIRA, &ODE, &TAREK, &INA];
pub(crate) static EVERYBODY: [&Person; 7] = [&MIRA, &ODE, &TAREK, &INA, &PIA, &ROBO, &WIRE];

/// The time zone of all profiles and of the site.
pub(crate) const TIME_ZONE: &str = "Europe/Berlin";

const fn person(kind: PersonKind, account_id: &'static str, key: &'static str, login: &'static str, name: &'static str) -> Person {
    Person { account_id, key, login, name, kind }
}

impl Person {
    /// What changes call the account.
    pub fn id(&self, flavour: Flavour) -> &'static str {
        match flavour {
            Flavour::Cloud => self.account_id,
            Flavour::Datacenter => self.key,
        }
    }

    /// As it stands inside other objects. The address is hidden, as nearly always on Cloud, and shown on Data Center, as usual there.
    pub fn json(&self, base: &str, form: Form) -> Value {
        let avatars: serde_json::Map<String, Value> = ["48x48", "32x32", "24x24", "16x16"]
            .into_iter()
            .map(|size| (size.to_owned(), json!(format!("{base}/avatar/{}.png", size.split('x').next().unwrap_or("48")))))
            .collect();
        if form == Form::Server {
            return json!({
                "self": format!("{base}/rest/api/2/user?username={}", self.login),
                "name": self.login,
                "key": self.key,
                "emailAddress": format!("{}@brightdesk.example", self.login),
                "avatarUrls": avatars,
                "displayName": self.name,
                "active": true,
                "timeZone": TIME_ZONE,
            });
        }
        let kind = match self.kind {
            PersonKind::Staff => "atlassian",
            PersonKind::Customer => "customer",
            PersonKind::App => "app",
        };
        json!({
            "self": format!("{base}/rest/api/{}/user?accountId={}", form.api(), self.account_id.replace(':', "%3A")),
            "accountId": self.account_id,
            "accountType": kind,
            "avatarUrls": avatars,
            "displayName": self.name,
            "active": true,
            "timeZone": TIME_ZONE,
        })
    }
}

/// A text with the mentions of its site: people write account ids on Cloud and login names on Data Center.
pub(crate) fn mentioning(text: &str, flavour: Flavour) -> String {
    match flavour {
        Flavour::Cloud => text.to_owned(),
        Flavour::Datacenter => EVERYBODY.iter().fold(text.to_owned(), |text, person| {
            text.replace(&format!("[~accountid:{}]", person.account_id), &format!("[~{}]", person.login))
        }),
    }
}
