//! An entry of the log, in the engine's encoding (protobuf 2), written by hand because it is two fields.
//!
//! ```text
//! 1: fixed64 position    2: bytes envelope
//! ```
//! Any other field is refused: only our own files are read.

use std::any::Any;
use std::sync::LazyLock;

use protobuf::wire_format::WireType;
use protobuf::{CachedSize, Clear, CodedInputStream, CodedOutputStream, Message, ProtobufResult, UnknownFields};

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Entry {
    pub(super) position: u64,
    pub(super) envelope: Vec<u8>,
    unknown: UnknownFields,
    cached_size: CachedSize,
}

impl Entry {
    /// Its position is given by the writer.
    pub(super) fn new(envelope: Vec<u8>) -> Self {
        Self { envelope, ..Self::default() }
    }
}

/// How the engine finds an entry's position.
pub(super) struct Indexed;

impl raft_engine::MessageExt for Indexed {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.position
    }
}

impl Clear for Entry {
    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Message for Entry {
    fn is_initialized(&self) -> bool {
        true
    }

    fn merge_from(&mut self, input: &mut CodedInputStream<'_>) -> ProtobufResult<()> {
        while !input.eof()? {
            match input.read_tag_unpack()? {
                (1, WireType::WireTypeFixed64) => self.position = input.read_fixed64()?,
                (2, WireType::WireTypeLengthDelimited) => self.envelope = input.read_bytes()?,
                (_, other) => return Err(protobuf::rt::unexpected_wire_type(other)),
            }
        }
        Ok(())
    }

    fn write_to_with_cached_sizes(&self, output: &mut CodedOutputStream<'_>) -> ProtobufResult<()> {
        output.write_fixed64(1, self.position)?;
        output.write_bytes(2, &self.envelope)
    }

    fn compute_size(&self) -> u32 {
        // A tag and eight bytes, then a tag, the length and the bytes.
        let size = 9 + protobuf::rt::bytes_size(2, &self.envelope);
        self.cached_size.set(size);
        size
    }

    fn get_cached_size(&self) -> u32 {
        self.cached_size.get()
    }

    fn get_unknown_fields(&self) -> &UnknownFields {
        &self.unknown
    }

    fn mut_unknown_fields(&mut self) -> &mut UnknownFields {
        &mut self.unknown
    }

    fn descriptor(&self) -> &'static protobuf::reflect::MessageDescriptor {
        Self::descriptor_static()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn new() -> Self {
        Self::default()
    }

    fn default_instance() -> &'static Self {
        static EMPTY: LazyLock<Entry> = LazyLock::new(Entry::default);
        &EMPTY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        for length in [0, 1, 127, 128, 100_000, 11 << 20] {
            let entry = Entry { position: u64::MAX - length as u64, ..Entry::new(vec![7; length]) };
            let mut bytes = Vec::new();
            entry.write_to_vec(&mut bytes).expect("written");
            assert_eq!(bytes.len(), entry.compute_size() as usize);
            assert_eq!(Entry::parse_from_bytes(&bytes).expect("read"), entry);
        }
    }

    #[test]
    fn other_fields_are_refused() {
        for bytes in [&[0x18_u8, 1][..], &[0x08, 1], &[0x12, 5, 1], &[0xff]] {
            assert!(Entry::parse_from_bytes(bytes).is_err(), "{bytes:?}");
        }
    }
}
