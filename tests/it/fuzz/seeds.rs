//! What is spoiled: our own payloads, recorded ones where `TICKETWIRE_CORPUS` says that some lie, and what the project ships as examples.

use std::path::{Path, PathBuf};

use serde_json::Value;
use ticketwire::event::{Envelope, binary, structured};

use super::readers::events_of;
use crate::stage::files_below;

/// Larger ones cost time and hold nothing that smaller ones lack.
const LENGTH_MAX: usize = 48 << 10;

pub struct Seeds {
    pub bodies: Vec<Vec<u8>>,
    pub documents: Vec<Vec<u8>>,
    pub texts: Vec<Vec<u8>>,
    pub templates: Vec<Vec<u8>>,
    pub blocks: Vec<Vec<u8>>,
    pub conditions: Vec<Vec<u8>>,
    pub configurations: Vec<Vec<u8>>,
    pub envelopes: Vec<Vec<u8>>,
    pub messages: Vec<Vec<u8>>,
    pub lines: Vec<Vec<u8>>,
}

impl Seeds {
    pub fn collect() -> Self {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let recorded = std::env::var_os("TICKETWIRE_CORPUS").map(PathBuf::from);
        let of_corpus = |folder: &str| recorded.as_ref().map(|corpus| json_below(&corpus.join(folder))).unwrap_or_default();
        let bodies = [json_below(&project.join("tests/corpus")), of_corpus("webhooks")].concat();
        let mut seeds = Self {
            documents: [owned(DOCUMENTS), of_corpus("adf")].concat(),
            texts: owned(TEXTS),
            templates: owned(TEMPLATES),
            blocks: [owned(BLOCKS), of_corpus("slack/block-kit")].concat(),
            conditions: owned(CONDITIONS),
            configurations: vec![ticketwire::config::EXAMPLE.as_bytes().to_vec()],
            envelopes: Vec::new(),
            messages: Vec::new(),
            lines: Vec::new(),
            bodies: Vec::new(),
        };
        seeds.templates.push(ticketwire::render::default::MESSAGE.as_bytes().to_vec());
        for page in std::fs::read_dir(project.join("docs")).expect("the documents") {
            let text = std::fs::read_to_string(page.expect("an entry").path()).expect("a document");
            let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
            seeds.configurations.extend(blocks.map(|block| block.as_bytes().to_vec()));
        }
        for body in &bodies {
            let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
            texts_in(&value, &mut seeds);
            for event in events_of(body) {
                let envelope =
                    Envelope { event, raw: body.clone().into(), target: None, traceparent: None, received: None, renewable: false };
                seeds.envelopes.push(envelope.encode());
                let message = binary(&envelope, 1 << 20);
                let headers = message.attributes.iter().chain(&message.ours).map(|(name, value)| format!("{name}: {value}\n"));
                seeds.messages.push([headers.collect::<String>().as_bytes(), b"\n", &message.body].concat());
                seeds.lines.push(structured(&envelope, &envelope.event, true));
            }
        }
        seeds.bodies = bodies;
        seeds
    }
}

/// Descriptions, comments and values before and after a change.
fn texts_in(value: &Value, seeds: &mut Seeds) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let is_text = ["description", "body", "environment", "fromString", "toString"].contains(&name.as_str());
                match member {
                    Value::String(text) if is_text => seeds.texts.push(text.clone().into_bytes()),
                    Value::Object(document) if is_text && document.contains_key("content") => {
                        seeds.documents.push(member.to_string().into_bytes());
                    }
                    _ => texts_in(member, seeds),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts_in(item, seeds)),
        _ => {}
    }
}

fn json_below(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths = files_below(folder);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let bodies = paths.iter().map(|path| std::fs::read(path).expect("a seed"));
    bodies.filter(|body| body.len() <= LENGTH_MAX).collect()
}

fn owned(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

const DOCUMENTS: &[&str] = &[
    r#"{"type":"doc","version":1,"content":[{"type":"paragraph","content":[{"type":"text","text":"a <!here> b","marks":[{"type":"strong"},{"type":"link","attrs":{"href":"https://a.example/x?b=1"}}]},{"type":"hardBreak"},{"type":"mention","attrs":{"id":"557058:1a2b","text":"@Lena"}},{"type":"emoji","attrs":{"shortName":":smile:","text":"x"}}]}]}"#,
    r#"{"type":"doc","content":[{"type":"table","content":[{"type":"tableRow","content":[{"type":"tableHeader","content":[{"type":"paragraph","content":[{"type":"text","text":"A"}]}]},{"type":"tableCell","attrs":{"colspan":2},"content":[{"type":"codeBlock","attrs":{"language":"rust"},"content":[{"type":"text","text":"```"}]}]}]}]}]}"#,
    r#"{"type":"doc","content":[{"type":"bulletList","content":[{"type":"listItem","content":[{"type":"paragraph","content":[{"type":"text","text":"one"}]},{"type":"orderedList","attrs":{"order":3},"content":[{"type":"listItem","content":[{"type":"heading","attrs":{"level":9},"content":[{"type":"text","text":"two","marks":[{"type":"code"}]}]}]}]}]}]},{"type":"panel","attrs":{"panelType":"info"},"content":[{"type":"blockquote","content":[{"type":"rule"},{"type":"mediaSingle","content":[{"type":"media","attrs":{"alt":"a|b","id":"1"}}]},{"type":"inlineCard","attrs":{"url":"https://a.example/<b>"}},{"type":"status","attrs":{"text":"DONE"}},{"type":"date","attrs":{"timestamp":"1582152559"}}]}]},{"type":"expand","attrs":{"title":"<@U1>"},"content":[{"type":"taskList","content":[{"type":"taskItem","attrs":{"state":"DONE"},"content":[]}]}]}]}"#,
];
const TEXTS: &[&str] = &[
    "h2. Why\n\n*bold* and {{code}} _i_ -s- +u+ ??c?? ^a^ ~b~ \\*x\\*",
    "* a\n** b\n# c\n#* d\n- e\n\n||A||B||\n|1|[x|https://a.example]|\n|!a.png!|{code}|{code}|",
    "[docs|https://a.example/x] [https://a.example/?b=1&c=2] [~accountid:557058:1a2b] !shot.png|thumbnail! [^a.txt] [x|#anchor] https://a.example/y.",
    "{code:java|title=T}\nint a = 1 < 2;\n{code}\n{noformat}a*b{noformat}\n{quote}\na\n{quote}\nbq. c\n{panel:title=T|borderColor=#ccc}x{panel}",
    "{color:red}r{color} a\\\\ b -- c --- d (/) (x) :) <!channel> <https://a.example|b> @here &amp; ----\n\none\r\ntwo",
    "## Markdown too\n\n**b** [l](https://a.example) `c`\n\n```\nx\n```\n> q\n1. n\n   - m\n<b>&lt;</b> ![i](https://a.example/i.png)",
];
const TEMPLATES: &[&str] = &[
    "*{{ issue.key }}* {{ issue.summary }} is on hold",
    "{% if change.status.to == 'Done' %}{{ actor.name | bold }} finished {{ issue.key | link(issue.url) }}{% else %}{{ issue.body | truncate(80) | quote }}{% endif %}",
    "{% for c in event.changes %}{{ loop.index }}. {{ c.name }}: {{ c.from.text }} -> {{ c.to.text | upper }}\n{% endfor %}{{ issue.labels | sort | unique | join(', ') }}",
    "{% macro m(a) %}[{{ a | default('x') }}]{% endmacro %}{{ m(issue.summary[:9]) }}{% set x = comment.body | lines | first %}{{ x ~ 1 }}{{ field('Story Points') }}",
    "{%- set n = namespace(v=0) -%}{% for i in range(9) %}{% set n.v = n.v + i %}{% endfor %}{{ n.v }} {{ issue.summary | replace('a', '<') | urlencode | length }} {{ {'a': [1, 2.5, none]} | tojson }}",
];
const BLOCKS: &[&str] = &[
    r#"[{"type":"section","text":{"type":"mrkdwn","text":"{{ issue.key | link(issue.url) }} {{ issue.summary }}"},"fields":[{"type":"plain_text","text":"{{ issue.status.name }}"}]},{"type":"divider"}]"#,
    r#"[{"type":"header","text":{"type":"plain_text","text":"{{ issue.summary | truncate(150) }}","emoji":true}},{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"Open"},"url":"{{ issue.url }}","value":"{{ issue.labels }}"}]}]"#,
];
const CONDITIONS: &[&str] = &[
    r#"event.kind == "issue.updated" && issue.project.key == "DOCS" && change.status.to == "On Hold""#,
    r#"issue.labels.exists(l, l.startsWith("team-")) || "b" in issue.labels && issue.labels.size() >= 2"#,
    r#"!(change["Fix Version"].to != "1.0") && (issue.priority.name in ["High", 'Highest'] ? true : comment.internal == false)"#,
    r#"field("Story Points") * 2.0 + 1.0 >= 5.5 || field("Epic") == null || now.assignee.id == actor.id"#,
    r#"event.changes.all(c, c.field != "status" && c.to.text.matches("^[a-z]+(x|y)*$")) && issue.labels.map(l, l + "x").filter(l, size(l) > 2).exists_one(l, l == "ax")"#,
    r#"[1, 2, 3].map(n, n * n)[2] % 4 == 1 && {"a": 1, "b": [2u]}.b[0] == 2u && int("7") - -7 > 0 && type(b'x') == bytes && has(issue.key)"#,
];
