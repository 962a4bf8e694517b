//! Templates of paths: fixed text and values, each value one part of the path or of the query, whatever stands in it.
//!
//! Only `{{ ... }}` is taken, so that what is fixed is known when it is compiled. A value can add no part, no query and no fragment.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::tokens;
use super::{RenderError, Template, TemplateError};
use crate::render::Dialect;
use crate::setting::PathSuffix;

/// Everything but what means itself everywhere in an address.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Stands for a value while the fixed text is checked: no hexadecimal digit, no dot.
const SAMPLE: &str = "x";
const HINT: &str = "write what follows the connection's `url`, as in `/rest/api/3/issue/{{ issue.id }}/watchers`";

#[derive(Debug)]
pub struct PathTemplate {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Fixed(String),
    Value {
        template: Box<Template>,
        /// The member that it is, where it is nothing else.
        name: Option<String>,
    },
}

impl PathTemplate {
    /// `known` as for `Template::compile`.
    pub fn compile(source: &str, known: &dyn Fn(&[&str]) -> bool) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(start) = source[at..].find("{{").map(|found| at + found) {
            let (_, end) = tokens::tag(source, start, 1);
            pieces.push(Piece::Fixed(source[at..start].to_owned()));
            pieces.push(value(&source[start..end], known)?);
            at = end;
        }
        pieces.push(Piece::Fixed(source[at..].to_owned()));
        let template = Self { pieces };
        if template.fixed().any(|text| text.contains("{%") || text.contains("{#")) {
            return Err(TemplateError::new(None, "a path is made of text and `{{ name }}` only", HINT));
        }
        let sample = template.with(|_| SAMPLE.to_owned());
        sample.parse::<PathSuffix>().map_err(|why| TemplateError::new(None, format!("the path {why}"), HINT))?;
        Ok(template)
    }

    /// The member paths that it names.
    pub fn references(&self) -> Vec<Vec<String>> {
        let of = |piece: &Piece| match piece {
            Piece::Fixed(_) => Vec::new(),
            Piece::Value { template, .. } => template.references(),
        };
        self.pieces.iter().flat_map(of).collect()
    }

    /// The path with the names of its values: `/rest/api/3/issue/{issue.id}/watchers`; `{}` where it is more than a name.
    pub fn outline(&self) -> String {
        self.with(|name| format!("{{{}}}", name.unwrap_or_default()))
    }

    /// None: a value is missing or cannot stand in an address, so that there is nothing to ask for.
    pub fn render(&self, context: &serde_json::Value) -> Result<Option<PathSuffix>, RenderError> {
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Fixed(text) => path.push_str(text),
                Piece::Value { template, .. } => {
                    let text = template.render(context)?;
                    if text.is_empty() {
                        return Ok(None);
                    }
                    path.extend(utf8_percent_encode(&text, ENCODED));
                }
            }
        }
        Ok(path.parse().ok())
    }

    fn fixed(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Fixed(text) => Some(text.as_str()),
            Piece::Value { .. } => None,
        })
    }

    fn with(&self, shown: impl Fn(Option<&str>) -> String) -> String {
        let of = |piece: &Piece| match piece {
            Piece::Fixed(text) => text.clone(),
            Piece::Value { name, .. } => shown(name.as_deref()),
        };
        self.pieces.iter().map(of).collect()
    }
}

fn value(tag: &str, known: &dyn Fn(&[&str]) -> bool) -> Result<Piece, TemplateError> {
    let template = Box::new(Template::compile(tag, Dialect::Plain, known)?);
    let inside = tag.trim_start_matches("{{").trim_end_matches("}}").trim();
    let name = match template.references.as_slice() {
        [path] if path.join(".") == inside => Some(inside.to_owned()),
        _ => None,
    };
    Ok(Piece::Value { template, name })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compiled(source: &str) -> Result<PathTemplate, String> {
        let known = |path: &[&str]| matches!(path.first(), Some(&("issue" | "actor")));
        PathTemplate::compile(source, &known).map_err(|err| err.to_string())
    }

    #[test]
    fn a_value_stays_one_part_whatever_stands_in_it() {
        for (value, expected) in [
            ("10001", Some("10001")),
            ("557058:1a2b", Some("557058%3A1a2b")),
            ("jane.doe", Some("jane.doe")),
            ("../../secure", Some("..%2F..%2Fsecure")),
            ("a/b", Some("a%2Fb")),
            ("a\\b", Some("a%5Cb")),
            ("a?jql=x", Some("a%3Fjql%3Dx")),
            ("a&b=c", Some("a%26b%3Dc")),
            ("a#b", Some("a%23b")),
            ("100% <b>\"", Some("100%25%20%3Cb%3E%22")),
            ("%2e%2e", Some("%252e%252e")),
            ("a\r\nHost: x", Some("a%0D%0AHost%3A%20x")),
            ("a\u{0}\u{7f}b", Some("a%00%7Fb")),
            ("ä/\u{202e}", Some("%C3%A4%2F%E2%80%AE")),
            ("@evil.example", Some("%40evil.example")),
            ("..", None),
            (".", None),
            ("", None),
        ] {
            let context = json!({ "issue": { "summary": value } });
            let in_path = compiled("/rest/api/3/issue/{{ issue.summary }}/watchers").expect("a path").render(&context).expect("it renders");
            let expected_path = expected.map(|text| format!("/rest/api/3/issue/{text}/watchers"));
            assert_eq!(in_path.map(|path| path.to_string()), expected_path, "{value:?}");
            let in_query = compiled("/rest/api/3/user?a={{ issue.summary }}&b=1").expect("a path").render(&context).expect("it renders");
            let dots = Some(value).filter(|value| value.starts_with('.') && !value.contains('/'));
            let expected_query = expected.or(dots).map(|text| format!("/rest/api/3/user?a={text}&b=1"));
            assert_eq!(in_query.map(|path| path.to_string()), expected_query, "{value:?}");
        }
    }

    #[test]
    fn two_values_make_no_dots_and_a_missing_one_asks_nothing() {
        let rendered = |source: &str, context| compiled(source).expect("a path").render(&context).expect("it renders");
        let twice = "/rest/api/{{ issue.a }}{{ issue.b }}/x";
        assert_eq!(rendered(twice, json!({ "issue": { "a": ".", "b": "." } })), None);
        assert_eq!(rendered("/rest/api/.{{ issue.a }}/x", json!({ "issue": { "a": "." } })), None);
        assert_eq!(rendered(twice, json!({ "issue": { "a": "1", "b": null } })), None);
        let shaped = rendered("/rest/api/2/issue/{{ issue.key | lower }}", json!({ "issue": { "key": "OPS-1" } }));
        assert_eq!(shaped.map(|path| path.to_string()).as_deref(), Some("/rest/api/2/issue/ops-1"));
    }

    #[test]
    fn what_leads_elsewhere_is_refused_when_it_is_compiled() {
        for (source, why) in [
            ("https://evil.example/rest/api/3/field", "does not begin with `/rest/`"),
            ("{{ issue.key }}", "does not begin with `/rest/`"),
            ("/rest{{ issue.key }}", "does not begin with `/rest/`"),
            ("/rest/../{{ issue.key }}", "`..`"),
            ("/rest/api/3/issue/{{ issue.key }}#x", "fragment"),
            ("/rest/api/3/issue/%{{ issue.key }}", "hexadecimal"),
            ("/rest/api/3/issue/{{ issue.key }} /x", "a character"),
            ("/rest/api/3/issue/{% if issue.key %}1{% endif %}", "text and `{{ name }}` only"),
            ("/rest/api/3/issue/{# no #}", "text and `{{ name }}` only"),
            ("/rest/api/3/issue/{{ isue.key }}", "unknown name `isue.key`"),
            ("/rest/api/3/issue/{{ issue.key | safe }}", "there is no filter `safe`"),
            ("/rest/api/3/issue/{{ issue.key", ""),
        ] {
            let told = compiled(source).err().unwrap_or_else(|| panic!("{source} was taken"));
            assert!(told.contains(why), "{source}: {told}");
        }
    }

    #[test]
    fn the_outline_names_what_is_a_name_and_hides_the_rest() {
        for (source, outline) in [
            ("/rest/api/3/issue/{{ issue.id }}/watchers", "/rest/api/3/issue/{issue.id}/watchers"),
            ("/rest/api/3/user?accountId={{issue.assignee.id}}", "/rest/api/3/user?accountId={issue.assignee.id}"),
            ("/rest/api/3/issue/{{ issue.key ~ '/comment' }}", "/rest/api/3/issue/{}"),
            ("/rest/api/3/issue/{{ issue.key | replace('-', '}}') }}", "/rest/api/3/issue/{}"),
            ("/rest/api/3/issue/{{ '/issue.id' }}", "/rest/api/3/issue/{}"),
        ] {
            assert_eq!(compiled(source).expect(source).outline(), outline);
        }
    }
}
