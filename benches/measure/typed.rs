//! The least that a receiver which wants to know what it got must read: a typed, borrowed view of the body, and nothing made of it.

#![allow(dead_code, reason = "what is read is measured, not used")]

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body<'a> {
    #[serde(borrow)]
    pub webhook_event: Cow<'a, str>,
    pub timestamp: i64,
    pub user: Person<'a>,
    pub issue: Issue<'a>,
    pub changelog: Changelog<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person<'a> {
    #[serde(borrow)]
    pub account_id: Cow<'a, str>,
    pub display_name: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub struct Issue<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    pub key: Cow<'a, str>,
    pub fields: Fields<'a>,
}

#[derive(Debug, Deserialize)]
pub struct Fields<'a> {
    #[serde(borrow)]
    pub summary: Cow<'a, str>,
    pub description: Option<&'a RawValue>,
    pub status: Named<'a>,
    pub priority: Option<Named<'a>>,
    pub issuetype: Named<'a>,
    pub project: Named<'a>,
    pub assignee: Option<Person<'a>>,
    pub reporter: Option<Person<'a>>,
    pub creator: Option<Person<'a>>,
    pub labels: Vec<Cow<'a, str>>,
    pub components: Vec<Named<'a>>,
    pub created: Cow<'a, str>,
    pub updated: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub struct Named<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    pub name: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub struct Changelog<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    pub items: Vec<Item<'a>>,
}

#[derive(Debug, Deserialize)]
pub struct Item<'a> {
    #[serde(borrow)]
    pub field: Cow<'a, str>,
    pub to: Option<Cow<'a, str>>,
}

pub fn parse(body: &[u8]) -> Option<Body<'_>> {
    serde_json::from_slice(body).ok()
}
