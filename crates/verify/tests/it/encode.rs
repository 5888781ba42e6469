//! Bytes as the format pages say, from the writing side. Shares nothing with
//! the reader's decoders.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};

pub(crate) type Id = [u8; 16];
pub(crate) type Key = [u8; 32];

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

pub(crate) fn gcm(key: &Key, nonce: [u8; 12], aad: &[u8], message: &[u8]) -> Vec<u8> {
    let mut out = message.to_vec();
    Aes256Gcm::new(&(*key).into()).encrypt_in_place(&nonce.into(), aad, &mut out).expect("it is short enough");
    out
}

pub(crate) fn seal(key: &Key, salt: Id, aad: &[u8], message: &[u8]) -> Vec<u8> {
    let own = blake3::keyed_hash(key, &[b"backstay box 1".as_slice(), &salt].concat());
    [salt.to_vec(), gcm(own.as_bytes(), [0; 12], aad, message)].concat()
}

pub(crate) fn frame(key: &Key, pack: &Id, number: u64, content: &[u8]) -> Vec<u8> {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    gcm(key, nonce, &[b"backstay frame 1".as_slice(), pack].concat(), content)
}

pub(crate) fn copy(kind: u32, store: &Id, payload: &[u8]) -> Vec<u8> {
    let mut head = b"BKSTTWIN".to_vec();
    head.extend(1u32.to_le_bytes());
    head.extend(kind.to_le_bytes());
    head.extend(store);
    head.extend((payload.len() as u64).to_le_bytes());
    let digest = blake3::hash(&[head.as_slice(), payload].concat());
    [head.as_slice(), digest.as_bytes(), payload].concat()
}

pub(crate) fn twin(kind: u32, store: &Id, payload: &[u8]) -> Vec<u8> {
    let one = copy(kind, store, payload);
    let mut object = one.clone();
    object.resize(one.len().next_multiple_of(4096), 0);
    object.extend(one);
    object
}

pub(crate) struct SlotNumbers {
    pub(crate) memory: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

pub(crate) fn slot_key(passphrase: &[u8], salt: &Id, numbers: &SlotNumbers) -> Key {
    let params = argon2::Params::new(numbers.memory, numbers.passes, numbers.lanes, Some(32)).expect("its numbers");
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = [0; 32];
    argon.hash_password_into(passphrase, salt, &mut key).expect("its lengths");
    key
}

/// The slot's payload but for the box.
pub(crate) fn slot_head(vault: &Id, salt: &Id, numbers: &SlotNumbers, created: i64, label: &str) -> Vec<u8> {
    let mut out = vault.to_vec();
    for number in [numbers.memory, numbers.passes, numbers.lanes] {
        out.extend(number.to_le_bytes());
    }
    out.extend(salt);
    out.extend(created.to_le_bytes());
    bytes(&mut out, label.as_bytes());
    out
}

pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

pub(crate) fn entry(previous: &[u8; 32], time: i64, operation: &str, changes: &[Change]) -> Vec<u8> {
    let mut out = previous.to_vec();
    out.extend(time.to_le_bytes());
    bytes(&mut out, operation.as_bytes());
    varint(&mut out, changes.len() as u64);
    for (key, value) in changes {
        out.push(u8::from(value.is_some()));
        bytes(&mut out, key);
        if let Some(value) = value {
            bytes(&mut out, value);
        }
    }
    out
}

pub(crate) fn pack_header(store: &Id, pack: &Id) -> Vec<u8> {
    let mut out = b"BKSTPACK".to_vec();
    out.extend(1u32.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    out.extend(store);
    out.extend(pack);
    digested(out)
}

pub(crate) fn pack_trailer(pack: &Id, footer: u32, length: u64) -> Vec<u8> {
    let mut out = b"BKSTTAIL".to_vec();
    out.extend(footer.to_le_bytes());
    out.extend([0; 4]);
    out.extend(length.to_le_bytes());
    out.extend([0; 8]);
    out.extend(pack);
    digested(out)
}

fn digested(mut fields: Vec<u8>) -> Vec<u8> {
    let digest = blake3::hash(&fields);
    fields.extend(&digest.as_bytes()[..16]);
    fields
}

pub(crate) fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).expect("zstd compresses")
}

pub(crate) fn footer(key: &Key, pack: &Id, salt: Id, table: &[u8]) -> Vec<u8> {
    let mut out = (table.len() as u32).to_le_bytes().to_vec();
    out.extend(seal(key, salt, &[b"backstay footer 1".as_slice(), pack].concat(), &zstd(table)));
    out
}

/// A pack being written.
pub(crate) struct Pack {
    pub(crate) id: Id,
    pub(crate) key: Key,
    pub(crate) frames: Vec<Frame>,
}

pub(crate) struct Frame {
    pub(crate) flags: u8,
    pub(crate) stored: Vec<u8>,
    pub(crate) plain: u64,
    pub(crate) chunks: Vec<([u8; 32], u64)>,
}

impl Pack {
    pub(crate) fn new(id: Id, key: Key) -> Self {
        Self { id, key, frames: Vec::new() }
    }

    fn add(&mut self, flags: u8, plain: &[u8], chunks: Vec<([u8; 32], u64)>) {
        let content = if flags & 1 == 0 { plain.to_vec() } else { zstd(plain) };
        let stored = frame(&self.key, &self.id, self.frames.len() as u64, &content);
        self.frames.push(Frame { flags, stored, plain: plain.len() as u64, chunks });
    }

    /// A chunk frame; the number of its first chunk.
    pub(crate) fn chunks(&mut self, chunk_key: &Key, compress: bool, chunks: &[&[u8]]) -> u64 {
        let first = self.count();
        let ids =
            chunks.iter().map(|chunk| (*blake3::keyed_hash(chunk_key, chunk).as_bytes(), chunk.len() as u64 / 4096));
        self.add(u8::from(compress), &chunks.concat(), ids.collect());
        first
    }

    /// A blob in its two frames; the first one's number.
    pub(crate) fn blob(&mut self, compress: bool, blob: &[u8]) -> u64 {
        let flags = 2 | u8::from(compress);
        self.add(flags, blob, Vec::new());
        self.add(flags, blob, Vec::new());
        self.frames.len() as u64 - 2
    }

    pub(crate) fn drop_frame(&mut self, number: usize) {
        self.frames[number].flags |= 4;
        self.frames[number].stored.clear();
    }

    pub(crate) fn count(&self) -> u64 {
        self.frames.iter().map(|frame| frame.chunks.len() as u64).sum()
    }

    pub(crate) fn table(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint(&mut out, self.frames.len() as u64);
        for frame in &self.frames {
            out.push(frame.flags);
            for number in [frame.stored.len() as u64, frame.plain, frame.chunks.len() as u64] {
                varint(&mut out, number);
            }
        }
        for (id, pages) in self.frames.iter().filter(|frame| frame.flags & 4 == 0).flat_map(|frame| &frame.chunks) {
            out.extend(id);
            varint(&mut out, *pages);
        }
        out
    }

    /// The pack's bytes, and those of one footer.
    pub(crate) fn finish(&self, store: &Id, salts: [Id; 2]) -> (Vec<u8>, u64) {
        let mut out = pack_header(store, &self.id);
        for frame in &self.frames {
            out.extend(&frame.stored);
        }
        let table = self.table();
        let footers = salts.map(|salt| footer(&self.key, &self.id, salt, &table));
        out.extend(footers.concat());
        let length = out.len() as u64 + 64;
        out.extend(pack_trailer(&self.id, footers[0].len() as u32, length));
        (out, footers[0].len() as u64)
    }
}

/// Where data is: pack, chunk, page in it, the chunk's id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Data(Id, u64, u64, [u8; 32]),
    Zero,
    Absent,
    Unreadable,
    Excluded,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) disk: u64,
    pub(crate) page: u64,
    pub(crate) pages: u64,
    pub(crate) kind: Kind,
}

pub(crate) fn block(packs: &[Id], extents: &[Extent]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, extents.len() as u64);
    let (mut disk, mut page, mut data) = (0, 0, None);
    for extent in extents {
        let new_disk = extent.disk != disk;
        if new_disk {
            (disk, page) = (extent.disk, 0);
        }
        let gap = extent.page - page;
        page = extent.page + extent.pages;
        let mut flags = u8::from(new_disk) << 3 | u8::from(gap > 0) << 4;
        flags |= match extent.kind {
            Kind::Data(pack, chunk, inside, _) => {
                u8::from(data == Some((pack, chunk.wrapping_sub(1)))) << 5 | u8::from(inside > 0) << 6
            }
            Kind::Zero => 1,
            Kind::Absent => 2,
            Kind::Unreadable => 3,
            Kind::Excluded => 4,
        };
        out.push(flags);
        if new_disk {
            varint(&mut out, disk);
        }
        if gap > 0 {
            varint(&mut out, gap);
        }
        varint(&mut out, extent.pages);
        if let Kind::Data(pack, chunk, inside, id) = extent.kind {
            if flags & 1 << 5 == 0 {
                varint(&mut out, packs.iter().position(|other| *other == pack).expect("it is in the table") as u64);
                varint(&mut out, chunk);
            }
            if inside > 0 {
                varint(&mut out, inside);
            }
            out.extend(&id[..4]);
            data = Some((pack, chunk));
        }
    }
    out
}

/// Writes a run into a pack: its root's frame, and the packs it refers to.
pub(crate) fn run(pack: &mut Pack, extents: &[Extent]) -> (u64, Vec<Id>) {
    let mut packs: Vec<Id> = Vec::new();
    for extent in extents {
        if let Kind::Data(id, ..) = extent.kind
            && !packs.contains(&id)
        {
            packs.push(id);
        }
    }
    let in_blocks = extents.len() > 4096;
    if in_blocks && !packs.contains(&pack.id) {
        packs.push(pack.id);
    }
    let mut root = vec![1];
    varint(&mut root, packs.len() as u64);
    packs.iter().for_each(|id| root.extend(id));
    if in_blocks {
        let own = packs.iter().position(|id| *id == pack.id).expect("it was added") as u64;
        let blocks: Vec<&[Extent]> = extents.chunks(1500).collect();
        varint(&mut root, blocks.len() as u64);
        for extents in blocks {
            let frame = pack.blob(true, &block(&packs, extents));
            let (first, last) = (extents[0], extents[extents.len() - 1]);
            let numbers =
                [first.disk, first.page, last.disk, last.page + last.pages - 1, extents.len() as u64, own, frame];
            numbers.iter().for_each(|number| varint(&mut root, *number));
        }
    } else {
        root.push(0);
        root.extend(block(&packs, extents));
    }
    (pack.blob(false, &root), packs)
}
