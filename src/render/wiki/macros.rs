//! Finds the macros that stand around blocks: `{code}`, `{noformat}`, `{quote}`, `{panel}` and the `{adf}` that Cloud leaves behind.
//!
//! A code macro that begins and ends on one line, with other text on it, stays in the text: there it is a span of code.

/// Longer than any sensible list of parameters.
const TAG_MAX: usize = 400;

#[derive(Debug, PartialEq)]
pub(super) enum Segment<'t> {
    Text(&'t str),
    Code {
        language: Option<&'t str>,
        text: &'t str,
    },
    Document(&'t str),
    Quote,
    /// `named`: it has parameters, so it cannot be the end of one.
    Panel {
        title: Option<&'t str>,
        named: bool,
    },
}

/// An opening or closing tag: `{name}` or `{name:parameters}`.
#[derive(Clone, Copy)]
pub(super) struct Tag<'t> {
    pub(super) name: &'t str,
    pub(super) parameters: Option<&'t str>,
    /// How many bytes it takes.
    pub(super) length: usize,
}

/// Reads the tag that begins at the start of `text`.
pub(super) fn tag(text: &str) -> Option<Tag<'_>> {
    let inner = text.strip_prefix('{')?;
    let end = inner.bytes().take(TAG_MAX).position(|byte| matches!(byte, b'}' | b'\n' | b'{'))?;
    if inner.as_bytes().get(end) != Some(&b'}') {
        return None;
    }
    let content = inner.get(..end)?;
    let (name, parameters) = content.split_once(':').map_or((content, None), |(name, parameters)| (name, Some(parameters)));
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then_some(Tag { name, parameters, length: end + 2 })
}

/// The closing tags that do not come any more, so that a text full of opening tags is searched once.
#[derive(Default)]
pub(super) struct Closers {
    absent: Vec<&'static str>,
}

impl Closers {
    pub(super) fn find(&mut self, text: &str, closer: &'static str) -> Option<usize> {
        if self.absent.contains(&closer) {
            return None;
        }
        let found = text.find(closer);
        if found.is_none() {
            self.absent.push(closer);
        }
        found
    }
}

pub(super) fn segments(text: &str) -> Vec<Segment<'_>> {
    let mut segments = Vec::new();
    let mut closers = Closers::default();
    let (mut from, mut at) = (0, 0);
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('{')) {
        let start = at + found;
        let rest = &text[start..];
        at = start + 1;
        if rest.starts_with("{{") {
            at = start + 2;
            continue;
        }
        if text[..start].ends_with('\\') {
            continue;
        }
        let Some(tag) = tag(rest) else { continue };
        let Some((segment, end)) = segment(text, start, tag, &mut closers) else { continue };
        at = end;
        // The macro stays in its line.
        let Some(segment) = segment else { continue };
        segments.push(Segment::Text(&text[from..start]));
        segments.push(segment);
        from = end;
    }
    segments.push(Segment::Text(&text[from..]));
    segments.retain(|segment| !matches!(segment, Segment::Text(text) if text.trim().is_empty()));
    segments
}

/// What the tag at `start` makes, and where that ends; no segment where it is a part of its line.
fn segment<'t>(text: &'t str, start: usize, tag: Tag<'t>, closers: &mut Closers) -> Option<(Option<Segment<'t>>, usize)> {
    let body_start = start + tag.length;
    let closer = match tag.name {
        "code" => "{code}",
        "noformat" => "{noformat}",
        "adf" => "{adf}",
        "quote" => return Some((Some(Segment::Quote), body_start)),
        "panel" => {
            let title = tag.parameters.and_then(|parameters| parameter(parameters, "title"));
            return Some((Some(Segment::Panel { title, named: tag.parameters.is_some() }), body_start));
        }
        _ => return None,
    };
    let body_end = body_start + closers.find(text.get(body_start..)?, closer)?;
    let body = text.get(body_start..body_end)?;
    let end = body_end + closer.len();
    if tag.name == "adf" {
        return Some((Some(Segment::Document(body)), end));
    }
    if !body.contains('\n') && shares_its_line(text, start, end) {
        return Some((None, end));
    }
    Some((Some(Segment::Code { language: tag.parameters.and_then(language), text: body }), end))
}

fn shares_its_line(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].bytes().rev().find(|byte| !matches!(byte, b' ' | b'\t'));
    let after = text[end..].bytes().find(|byte| !matches!(byte, b' ' | b'\t'));
    before.is_some_and(|byte| byte != b'\n') || after.is_some_and(|byte| byte != b'\n')
}

fn parameter<'t>(parameters: &'t str, name: &str) -> Option<&'t str> {
    parameters.split('|').find_map(|part| part.trim().strip_prefix(name)?.trim_start().strip_prefix('=')).map(str::trim)
}

/// The language of a code macro: named, or the first parameter without a name.
fn language(parameters: &str) -> Option<&str> {
    let first = parameters.split('|').next().map(str::trim).filter(|first| !first.is_empty() && !first.contains('='));
    parameter(parameters, "language").or(first)
}
