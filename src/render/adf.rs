//! Reads an Atlassian document, the JSON form of rich text in REST v3.
//!
//! Never fails: of a node that it does not know it shows the content, else the text, else the address; what is no document at all
//! is shown as the text that it is.

use serde_json::Value;

use super::document::{self, Block, Content, Document, Item, MAX_DEPTH, Mark, Marks, Span, Table};
use super::link::{self, Url};

pub fn read(json: &str) -> Document {
    let mut blocks = Vec::new();
    match serde_json::from_str::<Value>(json) {
        Ok(Value::String(text)) => blocks.push(text_paragraph(&text)),
        Ok(root @ (Value::Object(_) | Value::Array(_))) => children(&root, 0, &mut blocks),
        Ok(Value::Null) => {}
        Ok(other) => blocks.push(text_paragraph(&other.to_string())),
        Err(_) => blocks.push(text_paragraph(&salvage(json))),
    }
    Document { blocks }
}

/// The texts of something that is no JSON, or nests too deeply to be read; the whole where it holds none.
fn salvage(json: &str) -> String {
    let texts: Vec<String> = json
        .split("\"text\":")
        .skip(1)
        .filter_map(|rest| serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok()?.as_str().map(str::to_owned))
        .collect();
    if texts.is_empty() { json.to_owned() } else { texts.join(" ") }
}

fn text_paragraph(text: &str) -> Block {
    let mut spans = Vec::new();
    document::push_text(&mut spans, text, Marks::NONE, None);
    Block::Paragraph(spans)
}

fn kind(node: &Value) -> &str {
    node.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn attribute<'n>(node: &'n Value, name: &str) -> Option<&'n str> {
    node.get("attrs")?.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn content(node: &Value) -> &[Value] {
    match node {
        Value::Array(nodes) => nodes,
        node => node.get("content").and_then(Value::as_array).map_or(&[], Vec::as_slice),
    }
}

/// Reads a node's children as blocks; inline nodes that stand directly among them make a paragraph.
fn children(node: &Value, depth: usize, blocks: &mut Vec<Block>) {
    let mut line = Vec::new();
    for child in content(node) {
        if is_inline(child) {
            inline(child, depth, &mut line);
            continue;
        }
        if !line.is_empty() {
            blocks.push(Block::Paragraph(std::mem::take(&mut line)));
        }
        if depth < MAX_DEPTH {
            block(child, depth + 1, blocks);
        }
    }
    if !line.is_empty() {
        blocks.push(Block::Paragraph(line));
    }
}

fn is_inline(node: &Value) -> bool {
    match kind(node) {
        "text" | "hardBreak" | "mention" | "emoji" | "date" | "status" | "inlineCard" | "mediaInline" | "media" | "placeholder"
        | "inlineExtension" | "image" | "unsupportedInline" => true,
        "rule" | "codeBlock" | "paragraph" | "heading" | "blockCard" | "embedCard" => false,
        // An unknown node is inline if it holds nothing but text.
        _ => content(node).is_empty() || content(node).iter().all(|child| kind(child) == "text"),
    }
}

fn block(node: &Value, depth: usize, blocks: &mut Vec<Block>) {
    let inner = |node: &Value| {
        let mut inner = Vec::new();
        children(node, depth, &mut inner);
        inner
    };
    match kind(node) {
        "paragraph" => blocks.push(Block::Paragraph(line(node, depth))),
        "heading" => blocks.push(Block::Heading { level: heading_level(node), content: line(node, depth) }),
        "blockquote" => blocks.push(Block::Quote(inner(node))),
        "rule" => blocks.push(Block::Rule),
        "codeBlock" => {
            let text: String = content(node).iter().filter_map(|child| child.get("text")?.as_str()).collect();
            blocks.push(Block::Code { language: attribute(node, "language").map(str::to_owned), text });
        }
        "bulletList" | "decisionList" => blocks.push(Block::List { start: None, items: items(node, depth) }),
        "orderedList" => {
            let start = node.get("attrs").and_then(|attrs| attrs.get("order")).and_then(Value::as_u64).unwrap_or(1);
            blocks.push(Block::List { start: Some(start), items: items(node, depth) });
        }
        "taskList" => blocks.push(Block::List { start: None, items: items(node, depth) }),
        "panel" => blocks.push(Block::Panel { label: panel_label(node).to_owned(), titled: false, blocks: inner(node) }),
        "table" => blocks.push(Block::Table(table(node, depth))),
        "expand" | "nestedExpand" => {
            if let Some(title) = attribute(node, "title") {
                let mut spans = Vec::new();
                document::push_text(&mut spans, title, Marks::NONE.with(Mark::Strong), None);
                blocks.push(Block::Paragraph(spans));
            }
            blocks.extend(inner(node));
        }
        "mediaSingle" | "mediaGroup" => {
            let mut spans = Vec::new();
            for child in content(node) {
                if !spans.is_empty() {
                    document::push_text(&mut spans, " ", Marks::NONE, None);
                }
                inline(child, depth, &mut spans);
            }
            blocks.push(Block::Paragraph(spans));
        }
        "blockCard" | "embedCard" => {
            let mut spans = Vec::new();
            card(node, &mut spans);
            blocks.push(Block::Paragraph(spans));
        }
        _ => children(node, depth, blocks),
    }
}

fn heading_level(node: &Value) -> u8 {
    let level = node.get("attrs").and_then(|attrs| attrs.get("level")).and_then(Value::as_u64).unwrap_or(1);
    u8::try_from(level.clamp(1, 6)).unwrap_or(1)
}

fn panel_label(node: &Value) -> &'static str {
    match attribute(node, "panelType") {
        Some("info") => "Info",
        Some("tip") => "Tip",
        Some("warning") => "Warning",
        Some("error") => "Error",
        Some("success") => "Success",
        _ => "Note",
    }
}

/// The items of a list. A list that stands directly in a list belongs to the item before it.
fn items(node: &Value, depth: usize) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for child in content(node) {
        let mut item = Item::default();
        match kind(child) {
            "taskItem" | "blockTaskItem" => item.task = Some(attribute(child, "state") == Some("DONE")),
            "taskList" | "bulletList" | "orderedList" | "decisionList" => {
                if depth < MAX_DEPTH {
                    block(child, depth + 1, &mut item.blocks);
                }
                match items.last_mut() {
                    Some(before) => before.blocks.append(&mut item.blocks),
                    None => items.push(item),
                }
                continue;
            }
            _ => {}
        }
        if is_inline(child) && content(child).is_empty() {
            item.blocks.push(Block::Paragraph(line(&Value::Array(vec![child.clone()]), depth)));
        } else if depth < MAX_DEPTH {
            children(child, depth + 1, &mut item.blocks);
        }
        items.push(item);
    }
    items
}

fn table(node: &Value, depth: usize) -> Table {
    let mut table = Table::default();
    for (index, row) in content(node).iter().enumerate() {
        let cells = content(row);
        if index == 0 {
            table.header = !cells.is_empty() && cells.iter().all(|cell| kind(cell) == "tableHeader");
        }
        let mut written = Vec::with_capacity(cells.len());
        for cell in cells {
            let (mut blocks, mut spans) = (Vec::new(), Vec::new());
            children(cell, depth, &mut blocks);
            document::flatten(&blocks, &mut spans);
            written.push(spans);
        }
        table.rows.push(written);
    }
    table
}

fn line(node: &Value, depth: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    content(node).iter().for_each(|child| inline(child, depth, &mut spans));
    spans
}

fn inline(node: &Value, depth: usize, spans: &mut Vec<Span>) {
    match kind(node) {
        "text" => marked_text(node, spans),
        "hardBreak" => spans.push(Span::line_break()),
        "mention" => {
            let name = attribute(node, "text").or_else(|| attribute(node, "id")).unwrap_or("someone");
            let name = format!("@{}", name.trim_start_matches('@'));
            document::push_text(spans, &name, Marks::NONE, None);
        }
        "emoji" => {
            let shown = attribute(node, "text").or_else(|| attribute(node, "shortName")).unwrap_or_default();
            document::push_text(spans, shown, Marks::NONE, None);
        }
        "date" => document::push_text(spans, &date(node), Marks::NONE, None),
        "status" => {
            let text = document::clean(attribute(node, "text").unwrap_or_default()).into_owned();
            spans.push(Span { content: Content::Status(text), marks: Marks::NONE, link: None });
        }
        "inlineCard" | "blockCard" | "embedCard" => card(node, spans),
        "media" | "mediaInline" | "image" => media(node, spans),
        _ if !content(node).is_empty() && depth < MAX_DEPTH => {
            for child in content(node) {
                inline(child, depth + 1, spans);
            }
        }
        _ => {
            let text = node.get("text").and_then(Value::as_str).or_else(|| attribute(node, "text"));
            match (text, attribute(node, "url")) {
                (Some(text), _) => document::push_text(spans, text, Marks::NONE, None),
                (None, Some(url)) => push_address(spans, url),
                (None, None) => {}
            }
        }
    }
}

fn marked_text(node: &Value, spans: &mut Vec<Span>) {
    let text = node.get("text").and_then(Value::as_str).unwrap_or_default();
    let (mut marks, mut link, mut is_code) = (Marks::NONE, None, false);
    for mark in node.get("marks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice) {
        match kind(mark) {
            "strong" => marks = marks.with(Mark::Strong),
            "em" => marks = marks.with(Mark::Emphasis),
            "strike" => marks = marks.with(Mark::Strike),
            "code" => is_code = true,
            "link" => link = attribute(mark, "href").and_then(Url::parse),
            _ => {}
        }
    }
    if is_code {
        spans.push(Span { content: Content::Code(document::clean(text).into_owned()), marks: Marks::NONE, link });
    } else if link.is_some() {
        document::push_text(spans, text, marks, link.as_ref());
    } else {
        link::push_linked(spans, text, marks);
    }
}

/// `YYYY-MM-DD` of a date node, which counts milliseconds since 1970.
fn date(node: &Value) -> String {
    let stamp = node.get("attrs").and_then(|attrs| attrs.get("timestamp"));
    let ms = stamp.and_then(|stamp| stamp.as_i64().or_else(|| stamp.as_str()?.parse().ok()));
    let at = ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

fn card(node: &Value, spans: &mut Vec<Span>) {
    let data = node.get("attrs").and_then(|attrs| attrs.get("data"));
    let from_data = data.and_then(|data| data.get("url")?.as_str());
    if let Some(url) = attribute(node, "url").or(from_data) {
        push_address(spans, url);
    }
}

fn push_address(spans: &mut Vec<Span>, address: &str) {
    let link = Url::parse(address);
    document::push_text(spans, link.as_ref().map_or(address, Url::as_str), Marks::NONE, link.as_ref());
}

fn media(node: &Value, spans: &mut Vec<Span>) {
    let name = ["alt", "title", "url", "id"].iter().find_map(|name| attribute(node, name)).unwrap_or("file");
    document::push_text(spans, &format!("[attachment: {name}]"), Marks::NONE, None);
}
