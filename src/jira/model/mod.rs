//! Jira's objects as its JSON writes them, in webhooks and in REST answers, on Cloud and on Data Center.
//!
//! Shapes borrow from the body and know only the members that an event needs; the rest is skipped unread. Lenient where Jira is known to
//! vary (ids as numbers, sprints as strings, booleans as text). What has another type is an error, which the caller repairs or gives up on.

mod agile;
mod changelog;
mod entity;
mod fields;
mod issue;
mod part;
mod person;
mod project;
mod repair;
mod scalar;
mod surrogate;
mod talk;

pub(crate) use agile::{Board, Sprint};
pub(crate) use changelog::{Changelog, Item, Transition};
pub(crate) use entity::{Filter, IssueTypeEntity, Link, Property, Version};
pub(crate) use issue::{Issue, Site, issue_from_rest};
pub(crate) use person::{User, person};
pub(crate) use project::Project;
pub(crate) use repair::{Shape, read};
pub(crate) use scalar::{Id, Text, Told, Whole, known};
pub(crate) use talk::{Attachment, Comment, Worklog};
