//! An entry of the log, in the engine's encoding (protobuf 2), written by hand because it is two fields.
//!
//! ```text
//! 1: fixed64 position    2: bytes envelope
//! ```
//! Any other field is refused: only our own files are read.

use std::any::Any;
use std::sync::LazyLock;

use bytes::Bytes;
use protobuf::wire_format::WireType;
use protobuf::{CachedSize, Clear, CodedInputStream, CodedOutputStream, Message, ProtobufResult, UnknownFields};

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Entry {
    pub(super) position: u64,
    /// The beginning of the envelope; all of it in an entry that was read.
    pub(super) head: Vec<u8>,
    /// The rest, shared with whoever publishes it: it is copied once, into what is written.
    tail: Bytes,
    unknown: UnknownFields,
    cached_size: CachedSize,
}

impl Entry {
    /// Its position is given by the writer.
    pub(super) fn new(head: Vec<u8>, tail: Bytes) -> Self {
        Self { head, tail, ..Self::default() }
    }

    /// Bytes of the envelope.
    pub(super) fn length(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    fn length_on_disk(&self) -> u32 {
        u32::try_from(self.length()).expect("an envelope is smaller than the engine's own limit")
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
                (2, WireType::WireTypeLengthDelimited) => self.head = input.read_bytes()?,
                (_, other) => return Err(protobuf::rt::unexpected_wire_type(other)),
            }
        }
        Ok(())
    }

    fn write_to_with_cached_sizes(&self, output: &mut CodedOutputStream<'_>) -> ProtobufResult<()> {
        output.write_fixed64(1, self.position)?;
        output.write_tag(2, WireType::WireTypeLengthDelimited)?;
        output.write_raw_varint32(self.length_on_disk())?;
        output.write_raw_bytes(&self.head)?;
        output.write_raw_bytes(&self.tail)
    }

    fn compute_size(&self) -> u32 {
        // A tag and eight bytes, then a tag, the length and the bytes.
        let length = self.length_on_disk();
        let size = 9 + 1 + protobuf::rt::compute_raw_varint32_size(length) + length;
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
            let (head, tail) = (vec![7; length / 3], Bytes::from(vec![8; length - length / 3]));
            let entry = Entry { position: u64::MAX - length as u64, ..Entry::new(head.clone(), tail.clone()) };
            let mut bytes = Vec::new();
            entry.write_to_vec(&mut bytes).expect("written");
            assert_eq!(bytes.len(), entry.compute_size() as usize);
            let read = Entry::parse_from_bytes(&bytes).expect("read");
            assert_eq!((read.position, read.head), (entry.position, [head, tail.to_vec()].concat()));
        }
    }

    #[test]
    fn other_fields_are_refused() {
        for bytes in [&[0x18_u8, 1][..], &[0x08, 1], &[0x12, 5, 1], &[0xff]] {
            assert!(Entry::parse_from_bytes(bytes).is_err(), "{bytes:?}");
        }
    }
}
