//! The hash of a configuration: the same as long as the same is configured, whatever the layout, and without the secrets.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use toml::de::DeValue;

use super::fit::Section;
use super::tree::{self, Value};

/// Enough to tell two configurations apart, short enough to read aloud.
const HEX_LENGTH: usize = 12;

#[derive(Default)]
pub(crate) struct Fingerprint {
    parts: Vec<String>,
    marks: Marks,
}

/// What a configuration says, member by member with its secrets, as digests: enough to tell what changed, too little to learn a secret from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(BTreeMap<(String, String), [u8; 32]>);

impl Marks {
    /// Sections and members that differ, as in `url` of `[queue]`; a section that is new or gone differs in all of its members.
    pub(crate) fn differences(&self, other: &Self) -> BTreeSet<(String, String)> {
        let differs = |key: &&(String, String)| self.0.get(*key) != other.0.get(*key);
        self.0.keys().chain(other.0.keys()).filter(differs).cloned().collect()
    }
}

impl Fingerprint {
    pub(crate) fn add_value(&mut self, name: &str, value: &str) {
        self.marks.0.insert((String::new(), name.to_owned()), Sha256::digest(value.as_bytes()).into());
        self.parts.push(format!("{name}={value:?}"));
    }

    /// To be called before secrets are resolved: what stands for a secret counts, a literal one does not.
    pub(crate) fn add(&mut self, section: &Section<'_>, secrets: &[&[&str]]) {
        let mut value = section.value.clone();
        for path in tree::expand_all(&section.value, secrets) {
            if let Some(inner) = tree::get_mut(&mut value, &path)
                && inner.get_ref().is_str()
            {
                *inner.get_mut() = DeValue::String("[secret]".into());
            }
        }
        let mut text = section.label();
        write(&value, &mut text);
        self.parts.push(text);
    }

    /// To be called after secrets are resolved.
    pub(crate) fn mark(&mut self, section: &Section<'_>) {
        let label = section.label();
        // A section without members is there all the same.
        self.marks.0.insert((label.clone(), String::new()), [0; 32]);
        let DeValue::Table(table) = section.value.get_ref() else { return };
        for (name, value) in table {
            let mut text = String::new();
            write(value, &mut text);
            self.marks.0.insert((label.clone(), name.get_ref().to_string()), Sha256::digest(text.as_bytes()).into());
        }
    }

    /// Of all sections only rules have a meaningful order.
    pub(crate) fn finish(mut self) -> (String, Marks) {
        self.parts.sort_by(|a, b| {
            let is_rule = |part: &String| part.starts_with("`[rule.");
            is_rule(a).cmp(&is_rule(b)).then_with(|| if is_rule(a) { std::cmp::Ordering::Equal } else { a.cmp(b) })
        });
        let mut digest = hex::encode(Sha256::digest(self.parts.join("\n").as_bytes()));
        digest.truncate(HEX_LENGTH);
        (digest, self.marks)
    }
}

fn write(value: &Value<'_>, text: &mut String) {
    match value.get_ref() {
        DeValue::Table(table) => {
            let mut members: Vec<_> = table.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            text.push('{');
            for (name, inner) in members {
                text.push_str(&format!("{:?}=", name.get_ref()));
                write(inner, text);
            }
            text.push('}');
        }
        DeValue::Array(array) => {
            text.push('[');
            array.iter().for_each(|inner| write(inner, text));
            text.push(']');
        }
        DeValue::String(plain) => text.push_str(&format!("{plain:?},")),
        DeValue::Integer(plain) => text.push_str(&format!("{plain},")),
        DeValue::Float(plain) => text.push_str(&format!("{plain},")),
        DeValue::Boolean(plain) => text.push_str(&format!("{plain},")),
        DeValue::Datetime(plain) => text.push_str(&format!("{plain},")),
    }
}
