//! People as Jira embeds them: by account id on Cloud, by key or name elsewhere.

use serde::Deserialize;

use super::scalar::{Flag, Text, filled};
use crate::event;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User<'a> {
    #[serde(borrow)]
    pub(crate) account_id: Option<Text<'a>>,
    pub(crate) key: Option<Text<'a>>,
    pub(crate) name: Option<Text<'a>>,
    display_name: Option<Text<'a>>,
    email_address: Option<Text<'a>>,
    account_type: Option<Text<'a>>,
    active: Option<Flag>,
}

impl<'a> User<'a> {
    /// A person of whom only the account id and the login name are known.
    pub(crate) fn only(account_id: Text<'a>, display_name: Option<Text<'a>>) -> Self {
        Self { account_id: Some(account_id), key: None, name: None, display_name, email_address: None, account_type: None, active: None }
    }

    /// Account id, else key (an old Server gives none), else name.
    pub(crate) fn id(&self) -> Option<&str> {
        [&self.account_id, &self.key, &self.name].into_iter().flatten().map(Text::as_str).find(|id| !id.is_empty())
    }

    fn kind(&self) -> event::PersonKind {
        match self.account_type.as_ref().map(Text::as_str) {
            Some("atlassian") => event::PersonKind::Person,
            Some("app") => event::PersonKind::App,
            Some("customer") => event::PersonKind::Customer,
            // Data Center has no account types, and its apps act as ordinary users.
            None if self.account_id.is_none() => event::PersonKind::Person,
            _ => event::PersonKind::Unknown,
        }
    }

    fn shown(&self) -> Option<String> {
        filled(self.display_name.as_ref())
    }

    /// Nothing where the object names nobody.
    pub(crate) fn person(&self) -> Option<event::Person> {
        let id = self.id()?.to_owned();
        Some(event::Person { id, name: self.shown(), email: filled(self.email_address.as_ref()), kind: self.kind() })
    }

    pub(crate) fn entity(&self) -> Option<event::User> {
        let event::Person { id, name, email, kind } = self.person()?;
        Some(event::User { id, name, email, kind, active: self.active.map(|flag| flag.0) })
    }
}

/// The person of an optional member.
pub(crate) fn person(user: Option<&User<'_>>) -> Option<event::Person> {
    user.and_then(User::person)
}
