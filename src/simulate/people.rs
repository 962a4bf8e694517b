//! The people of the simulated site. All are invented; each has one account for ever.

use serde_json::{Value, json};

use super::shape::Form;

#[derive(Debug)]
pub(crate) struct Person {
    pub account_id: &'static str,
    pub name: &'static str,
    pub kind: PersonKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PersonKind {
    Staff,
    Customer,
    App,
}

pub(crate) static MIRA: Person = staff("712020:0f1e2d3c-mira", "Mira Falk");
pub(crate) static ODE: Person = staff("712020:1a2b3c4d-ode", "Ode Brunner");
pub(crate) static TAREK: Person = staff("712020:2b3c4d5e-tarek", "Tarek Sol");
pub(crate) static INA: Person = staff("712020:3c4d5e6f-ina", "Ina Voss");
pub(crate) static PIA: Person = Person { account_id: "qm:4d5e6f70-pia", name: "Pia Lorn", kind: PersonKind::Customer };
pub(crate) static ROBO: Person = Person { account_id: "557058:5e6f7081-robo", name: "Robo Helper", kind: PersonKind::App };
/// The account that reads the site through REST.
pub(crate) static WIRE: Person = staff("712020:6f708192-wire", "Wire Account");

pub(crate) static STAFF: [&Person; 4] = [&MIRA, &ODE, &TAREK, &INA];
pub(crate) static EVERYBODY: [&Person; 7] = [&MIRA, &ODE, &TAREK, &INA, &PIA, &ROBO, &WIRE];

/// The time zone of all profiles and of the site.
pub(crate) const TIME_ZONE: &str = "Europe/Berlin";

const fn staff(account_id: &'static str, name: &'static str) -> Person {
    Person { account_id, name, kind: PersonKind::Staff }
}

impl Person {
    /// As it stands inside other objects; the address is hidden, as nearly always on Cloud.
    pub fn json(&self, base: &str, form: Form) -> Value {
        let kind = match self.kind {
            PersonKind::Staff => "atlassian",
            PersonKind::Customer => "customer",
            PersonKind::App => "app",
        };
        let avatars: serde_json::Map<String, Value> = ["48x48", "32x32", "24x24", "16x16"]
            .into_iter()
            .map(|size| (size.to_owned(), json!(format!("{base}/avatar/{}.png", size.split('x').next().unwrap_or("48")))))
            .collect();
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
