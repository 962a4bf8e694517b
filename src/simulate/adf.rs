//! Wiki text of the simulated people as an Atlassian document: paragraphs, line breaks, strong, code, mentions. They write nothing else.

use serde_json::{Value, json};

/// The document that REST v3 answers in place of a wiki text.
pub(crate) fn document(wiki: &str) -> Value {
    let paragraphs: Vec<Value> =
        wiki.split("\n\n").filter(|text| !text.is_empty()).map(|text| json!({ "type": "paragraph", "content": lines(text) })).collect();
    json!({ "type": "doc", "version": 1, "content": paragraphs })
}

fn lines(paragraph: &str) -> Vec<Value> {
    let mut nodes = Vec::new();
    for (number, line) in paragraph.split('\n').enumerate() {
        if number > 0 {
            nodes.push(json!({ "type": "hardBreak" }));
        }
        inline(line, &mut nodes);
    }
    nodes
}

fn inline(line: &str, nodes: &mut Vec<Value>) {
    let mut rest = line;
    while !rest.is_empty() {
        let marked = [("[~accountid:", "]"), ("{{", "}}"), ("*", "*")]
            .into_iter()
            .filter_map(|(open, close)| {
                let start = rest.find(open)?;
                let (before, inside) = (rest.get(..start)?, rest.get(start + open.len()..)?);
                let (inside, after) = inside.split_once(close)?;
                (!inside.is_empty()).then_some((before, open, inside, after))
            })
            .min_by_key(|(before, ..)| before.len());
        let Some((before, open, inside, after)) = marked else {
            nodes.push(json!({ "type": "text", "text": rest }));
            return;
        };
        if !before.is_empty() {
            nodes.push(json!({ "type": "text", "text": before }));
        }
        nodes.push(match open {
            "*" => json!({ "type": "text", "text": inside, "marks": [{ "type": "strong" }] }),
            "{{" => json!({ "type": "text", "text": inside, "marks": [{ "type": "code" }] }),
            _ => json!({ "type": "mention", "attrs": { "id": inside, "text": "", "accessLevel": "" } }),
        });
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_becomes_nodes() {
        let text = |text: &str| json!({ "type": "text", "text": text });
        let marked = |text: &str, mark: &str| json!({ "type": "text", "text": text, "marks": [{ "type": mark }] });
        for (wiki, expected) in [
            ("", vec![]),
            ("plain", vec![vec![text("plain")]]),
            ("a *b* {{c}}", vec![vec![text("a "), marked("b", "strong"), text(" "), marked("c", "code")]]),
            ("one\ntwo\n\nthree * four", vec![vec![text("one"), json!({ "type": "hardBreak" }), text("two")], vec![text("three * four")]]),
            (
                "[~accountid:1:a]?",
                vec![vec![json!({ "type": "mention", "attrs": { "id": "1:a", "text": "", "accessLevel": "" } }), text("?")]],
            ),
        ] {
            let content: Vec<Value> = expected.into_iter().map(|nodes| json!({ "type": "paragraph", "content": nodes })).collect();
            assert_eq!(document(wiki), json!({ "type": "doc", "version": 1, "content": content }), "{wiki}");
        }
    }
}
