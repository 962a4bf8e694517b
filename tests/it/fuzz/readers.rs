//! Bytes from outside and what was written before: payloads, proofs, entries of the queue, messages of brokers, headers, files.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use ticketwire::app::renew;
use ticketwire::clock::Timestamp;
use ticketwire::config::Config;
use ticketwire::event::{Envelope, Event, Kind, binary, read_binary, read_structured, read_unrecognized};
use ticketwire::jira::{Headers, Received, content_hash, identify, normalize};
use ticketwire::receive::{Credentials, Proof, Verifier};
use ticketwire::setting::Secret;

const RECEIVED_MS: i64 = 1_765_450_000_000;

/// Only an empty body comes with an identifier: without one its id is random.
pub fn events_of(body: &[u8]) -> Vec<Event> {
    made_by(normalize, body)
}

fn made_by(make: fn(&Received<'_>) -> Vec<Event>, body: &[u8]) -> Vec<Event> {
    make(&Received {
        connection: &"acme".parse().expect("a name"),
        base_url: &"https://acme.atlassian.net".parse().expect("a base URL"),
        body,
        headers: &Headers { identifier: body.is_empty().then(|| "69312270000000001".to_owned()), retry: 0, flow: None },
        received_at: Timestamp::from_ms(RECEIVED_MS),
        to_markdown: ticketwire::render::to_markdown,
    })
}

/// A body becomes events, the same each time, of one lane, and what is written of them is read back exactly.
pub fn normalized(body: &[u8], choice: u64) -> Result<(), String> {
    let events = events_of(body);
    let first = events.first().ok_or("no event")?;
    promise(events == events_of(body), "another time it becomes something else")?;
    promise(events.iter().all(|event| event.partition_key == first.partition_key), "its events lie in several lanes")?;
    // A body with more faults than are repaired may have them where nothing is read in brief.
    let brief = made_by(identify, body);
    let is_same =
        brief.iter().map(|event| (&event.id, &event.partition_key)).eq(events.iter().map(|event| (&event.id, &event.partition_key)));
    promise(is_same || first.kind() == Kind::Unrecognized, "in brief it becomes something else")?;
    promise(
        events.iter().all(|event| event.id.as_str().starts_with("acme:") && !event.id.as_str().contains('.')),
        "an id of another form",
    )?;
    for event in &events {
        let envelope = Envelope {
            event: event.clone(),
            raw: Bytes::copy_from_slice(body),
            target: None,
            traceparent: None,
            received: None,
            renewable: false,
        };
        let read = Envelope::decode(&envelope.encode().into()).map_err(|err| err.to_string())?;
        promise(read == envelope, "the queue gives back something else")?;
        let brief = Envelope { renewable: event.kind() != Kind::Unrecognized, ..envelope.clone() };
        let written = [brief.encode_brief_head(), body.to_vec()].concat();
        let read = Envelope::decode_any(&written.into(), renew).map_err(|err| err.to_string())?;
        promise(read == brief, "an event in brief is made again as something else")?;
        if choice.is_multiple_of(4) {
            let message = binary(&envelope, 64 << 20);
            let find = |list: &'_ [(&'static str, String)], name: &str| {
                list.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
            };
            let (attributes, ours) = (owned_lookup(&message.attributes), owned_lookup(&message.ours));
            promise(find(&message.attributes, "id").is_some(), "a message without an id")?;
            let read = read_binary(|name| lookup(&attributes, name), |name| lookup(&ours, name), &message.body.into())
                .map_err(|err| err.to_string())?;
            promise(read == envelope, "a broker gives back something else")?;
        }
    }
    promise(content_hash(body) == content_hash(body), "its content is known by another mark")
}

/// The secret's own signature proves a body; whatever else is written does not.
pub fn verified(header: &[u8], choice: u64) -> Result<(), String> {
    const BODY: &[u8] = b"Hello World!";
    const RIGHT: &[u8] = b"sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
    let secrets = || vec![Secret::new("It's a Secret to Everybody")];
    let token = header == b"token-1";
    match choice % 3 {
        0 => {
            let verifier = Verifier::new(&Proof { secrets: secrets(), token: None, basic: None });
            let proven = verifier.verify(BODY, Credentials { signature: Some(header), token: None, authorization: None }).is_ok();
            let is_right = header.get(..7) == RIGHT.get(..7) && header.eq_ignore_ascii_case(RIGHT);
            promise(proven == is_right, "a signature is judged wrongly")
        }
        1 => {
            let verifier = Verifier::new(&Proof { secrets: Vec::new(), token: Some(Secret::new("token-1")), basic: None });
            let given = std::str::from_utf8(header).ok();
            let proven = verifier.verify(BODY, Credentials { signature: None, token: given, authorization: None }).is_ok();
            promise(proven == token, "a token is judged wrongly")
        }
        _ => {
            let verifier = Verifier::new(&Proof { secrets: Vec::new(), token: None, basic: Some(Secret::new("jira:pa:ss")) });
            let proven = verifier.verify(BODY, Credentials { signature: None, token: None, authorization: Some(header) }).is_ok();
            let says = header.trim_ascii_end().ends_with(b"amlyYTpwYTpzcw==")
                && header.get(..6).is_some_and(|head| head.eq_ignore_ascii_case(b"Basic "));
            promise(!proven || says, "user name and password are judged wrongly")
        }
    }
}

/// What can be read of an entry of the queue is the same once it is written again.
pub fn decoded(bytes: &[u8], _: u64) -> Result<(), String> {
    let Ok(envelope) = Envelope::decode(&Bytes::copy_from_slice(bytes)) else { return Ok(()) };
    let again = Envelope::decode(&envelope.encode().into()).map_err(|err| format!("what was read cannot be written: {err}"))?;
    promise(again == envelope, "an entry is another once it is written again")
}

/// A message of ours that cannot be read keeps its place, its id and all its bytes.
pub fn message(text: &[u8], _: u64) -> Result<(), String> {
    let end = text.windows(2).position(|two| two == b"\n\n").unwrap_or(text.len());
    let head = String::from_utf8_lossy(&text[..end]).into_owned();
    let headers: Vec<(String, String)> =
        head.lines().filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let find = |name: &str| lookup(&headers, name);
    let body = Bytes::copy_from_slice(text.get(end + 2..).unwrap_or_default());
    match read_binary(find, find, &body) {
        Ok(envelope) => {
            let again = Envelope::decode(&envelope.encode().into()).map_err(|err| format!("it does not fit into our own queue: {err}"))?;
            promise(again == envelope, "our own queue gives back something else")
        }
        Err(why) => match read_unrecognized(find, &body, &why) {
            Some(envelope) => {
                promise(envelope.raw == body && Some(envelope.event.id.as_str()) == find("id"), "what cannot be read is not kept whole")
            }
            None => Ok(()),
        },
    }
}

/// A line that a file sink wrote, as `rehearse` and other readers take it.
pub fn line(text: &[u8], _: u64) -> Result<(), String> {
    let Ok(value) = serde_json::from_slice(text) else { return Ok(()) };
    if let Ok(event) = read_structured(&value) {
        let envelope = Envelope { event, raw: Bytes::new(), target: None, traceparent: None, received: None, renewable: false };
        Envelope::decode(&envelope.encode().into()).map_err(|err| format!("what was read cannot be written: {err}"))?;
    }
    Ok(())
}

/// How long a server asks us to stay away: nothing that it writes keeps us away for ever.
pub fn retry_after(text: &[u8], choice: u64) -> Result<(), String> {
    let Ok(value) = HeaderValue::from_bytes(text) else { return Ok(()) };
    let mut headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, value.clone())]);
    if choice.is_multiple_of(3) {
        headers.insert(http::header::DATE, value);
    }
    let Some(span) = ticketwire::jira::retry_after(&headers, Timestamp::from_ms(RECEIVED_MS)) else { return Ok(()) };
    promise(span <= std::time::Duration::from_secs(86_400), "it is believed for more than a day")
}

/// Whatever the file is, there is a report or a configuration, the same each time.
pub fn configuration(text: &[u8], choice: u64) -> Result<(), String> {
    thread_local!(static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder"));
    let path = FOLDER.with(|folder| folder.path().join("ticketwire.toml"));
    std::fs::write(&path, text).map_err(|err| err.to_string())?;
    let environment = || (choice.is_multiple_of(2)).then(|| ("TICKETWIRE_RECEIVER__LISTEN".to_owned(), "127.0.0.1:0".to_owned()));
    let told =
        |draft: ticketwire::config::Draft| draft.finish().map(|config| config.hash().to_owned()).map_err(|problems| problems.to_string());
    let first = told(Config::draft(Some(&path), environment()));
    promise(first.as_ref().map_or_else(|report| !report.trim().is_empty(), |hash| !hash.is_empty()), "it says nothing")?;
    promise(first == told(Config::draft(Some(&path), environment())), "another time it says something else")
}

fn owned_lookup(list: &[(&'static str, String)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn lookup<'a>(list: &'a [(String, String)], name: &str) -> Option<&'a str> {
    list.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

pub fn promise(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
