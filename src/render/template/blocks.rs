//! Templates inside JSON, such as Slack's blocks: each text in it is a template of its own.
//!
//! Structure and names stay as they were written, so nothing in a ticket can add a block. A text that Slack shows as it is
//! (`plain_text`) is written plain; an address must be one.

use serde_json::Value as Json;

use super::{RenderError, Template, TemplateError};
use crate::render::Dialect;
use crate::render::link::Url;

const DEPTH_MAX: usize = 32;

#[derive(Debug)]
pub struct JsonTemplate {
    root: Node,
}

#[derive(Debug)]
enum Node {
    Fixed(Json),
    Text(Box<Template>),
    Address(Box<Template>),
    List(Vec<Node>),
    Members(Vec<(String, Node)>),
}

impl JsonTemplate {
    /// `known` as for `Template::compile`.
    pub fn compile(json: &Json, dialect: Dialect, known: &dyn Fn(&[&str]) -> bool) -> Result<Self, TemplateError> {
        Ok(Self { root: compile(json, "", dialect, known, 0)? })
    }

    pub fn references(&self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        collect(&self.root, &mut all);
        all
    }

    pub fn render(&self, context: &Json) -> Result<Json, RenderError> {
        render(&self.root, context)
    }
}

fn compile(json: &Json, member: &str, dialect: Dialect, known: &dyn Fn(&[&str]) -> bool, depth: usize) -> Result<Node, TemplateError> {
    if depth > DEPTH_MAX {
        let reason = format!("nested deeper than {DEPTH_MAX}");
        return Err(TemplateError {
            member: Some(member.to_owned()),
            ..TemplateError::new(None, reason, "blocks are never so deep: flatten it")
        });
    }
    match json {
        Json::String(text) if text.contains("{{") || text.contains("{%") || text.contains("{#") => {
            let is_address = member.ends_with("url");
            let dialect = if is_address { Dialect::Plain } else { dialect };
            let template =
                Template::compile(text, dialect, known).map_err(|err| TemplateError { member: Some(member.to_owned()), ..err })?;
            Ok(if is_address { Node::Address(Box::new(template)) } else { Node::Text(Box::new(template)) })
        }
        Json::Array(items) => {
            let nodes =
                items.iter().enumerate().map(|(index, item)| compile(item, &format!("{member}[{index}]"), dialect, known, depth + 1));
            Ok(Node::List(nodes.collect::<Result<_, _>>()?))
        }
        Json::Object(members) => {
            let is_plain = members.get("type").and_then(Json::as_str) == Some("plain_text");
            let dialect = if is_plain { Dialect::Plain } else { dialect };
            let nodes = members.iter().map(|(name, value)| {
                let path = if member.is_empty() { name.clone() } else { format!("{member}.{name}") };
                Ok((name.clone(), compile(value, &path, dialect, known, depth + 1)?))
            });
            Ok(Node::Members(nodes.collect::<Result<_, TemplateError>>()?))
        }
        fixed => Ok(Node::Fixed(fixed.clone())),
    }
}

fn collect(node: &Node, all: &mut Vec<Vec<String>>) {
    match node {
        Node::Fixed(_) => {}
        Node::Text(template) | Node::Address(template) => {
            for path in &template.references {
                if !all.contains(path) {
                    all.push(path.clone());
                }
            }
        }
        Node::List(nodes) => nodes.iter().for_each(|node| collect(node, all)),
        Node::Members(members) => members.iter().for_each(|(_, node)| collect(node, all)),
    }
}

fn render(node: &Node, context: &Json) -> Result<Json, RenderError> {
    match node {
        Node::Fixed(json) => Ok(json.clone()),
        Node::Text(template) => template.render(context).map(Json::String),
        Node::Address(template) => {
            let text = template.render(context)?;
            let refuse = || RenderError::Failed { line: None, reason: "an address is neither `http`, `https` nor `mailto`".to_owned() };
            Ok(Json::String(Url::parse(&text).ok_or_else(refuse)?.to_string()))
        }
        Node::List(nodes) => nodes.iter().map(|node| render(node, context)).collect::<Result<_, _>>().map(Json::Array),
        Node::Members(members) => {
            let rendered = members.iter().map(|(name, node)| Ok((name.clone(), render(node, context)?)));
            rendered.collect::<Result<_, RenderError>>().map(Json::Object)
        }
    }
}
