//! Projects, inside an issue and of their own.

use serde::Deserialize;

use super::scalar::{Flag, Id, Text, filled, known};
use crate::event;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Project<'a> {
    #[serde(borrow)]
    id: Option<Id<'a>>,
    key: Option<Text<'a>>,
    name: Option<Text<'a>>,
    project_type_key: Option<Text<'a>>,
    is_private: Option<Flag>,
}

impl Project<'_> {
    pub(crate) fn id(&self) -> Option<&str> {
        known(self.id.as_ref())
    }

    pub(crate) fn private(&self) -> bool {
        self.is_private.is_some_and(|flag| flag.0)
    }

    /// Nothing where it has no id.
    pub(crate) fn project(&self) -> Option<event::Project> {
        let kind = match self.project_type_key.as_ref().map(Text::as_str) {
            Some("software") => event::ProjectKind::Software,
            Some("business") => event::ProjectKind::Business,
            Some("service_desk") => event::ProjectKind::ServiceDesk,
            Some("product_discovery") => event::ProjectKind::ProductDiscovery,
            _ => event::ProjectKind::Unknown,
        };
        Some(event::Project { id: self.id()?.to_owned(), key: filled(self.key.as_ref()), name: filled(self.name.as_ref()), kind })
    }
}
