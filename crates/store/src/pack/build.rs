//! Building a pack: places are given out first, in order; sealed frames may then come back in any order.
//!
//! Never knows: who seals.

use backstay_format::pack::{self, Chunk, Frame, FrameKind, Table, Trailer};
use backstay_format::units::{ChunkId, ChunkNo, FrameNo, PackId, StoreId};
use backstay_seal::Secret;
use backstay_seal::boxes::{self, Salt};
use backstay_seal::compress::Compressor;
use backstay_seal::frame::FrameKey;
use std::sync::Arc;

/// A frame after sealing.
pub struct SealedFrame {
    /// Its number.
    pub frame: FrameNo,
    /// Whether its content was compressed.
    pub compressed: bool,
    /// Ciphertext and tag.
    pub bytes: Vec<u8>,
}

impl SealedFrame {
    /// Compresses, if that helps, and seals. `plain` may be many frames' content one after the other only in the sense that
    /// chunks follow each other in it.
    pub fn seal(frame: FrameNo, plain: &[u8], key: &FrameKey, compressor: &mut Compressor) -> Self {
        let mut bytes = Vec::with_capacity(plain.len() + pack::FRAME_OVERHEAD);
        let compressed = compressor.compress(plain, &mut bytes);
        if !compressed {
            bytes.clear();
            bytes.extend_from_slice(plain);
        }
        Self::seal_packed(frame, (bytes, compressed), key)
    }

    /// Seals what is compressed already, or would not get smaller.
    pub fn seal_packed(frame: FrameNo, (mut bytes, compressed): (Vec<u8>, bool), key: &FrameKey) -> Self {
        key.seal(frame, &mut bytes);
        bytes.shrink_to_fit();
        SealedFrame { frame, compressed, bytes }
    }
}

/// Where a blob was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobPlace {
    /// The pack.
    pub pack: PackId,
    /// The first of its two frames.
    pub frame: FrameNo,
}

/// A pack being built.
pub struct OpenPack {
    id: PackId,
    secret: Secret,
    key: Arc<FrameKey>,
    frames: Vec<(Frame, Option<Vec<u8>>)>,
    chunks: Vec<Chunk>,
    unsealed: usize,
    plain: u64,
}

impl OpenPack {
    /// A new pack. `secret` is used for this pack and never again.
    pub fn new(id: PackId, secret: Secret) -> Self {
        let key = Arc::new(FrameKey::new(&secret, id));
        OpenPack { id, secret, key, frames: Vec::new(), chunks: Vec::new(), unsealed: 0, plain: 0 }
    }

    /// Its id.
    pub fn id(&self) -> PackId {
        self.id
    }

    /// Its key, for sealing elsewhere.
    pub fn key(&self) -> Arc<FrameKey> {
        self.key.clone()
    }

    /// Bytes of plaintext that have a place in it.
    pub fn plain(&self) -> u64 {
        self.plain
    }

    /// The number that the next chunk gets.
    pub fn next_chunk(&self) -> ChunkNo {
        ChunkNo(self.chunks.len() as u32)
    }

    /// Gives chunks, in order, places in one new frame, to be sealed by the caller.
    pub fn add_frame(&mut self, chunks: &[(ChunkId, u32)]) -> FrameNo {
        let pages: u32 = chunks.iter().map(|c| c.1).sum();
        let plain = pages * backstay_format::units::PAGE_SIZE as u32;
        self.chunks.extend(chunks.iter().map(|(id, pages)| Chunk { id: *id, pages: *pages }));
        self.push(FrameKind::Chunks(chunks.len() as u32), plain)
    }

    /// Puts a blob in, twice.
    pub fn add_blob(&mut self, blob: &[u8], compressor: &mut Compressor) -> BlobPlace {
        assert!(blob.len() as u64 <= pack::MAX_BLOB_PLAIN, "blob of {} bytes", blob.len());
        let first = self.push(FrameKind::Blob, blob.len() as u32);
        let second = self.push(FrameKind::Blob, blob.len() as u32);
        for frame in [first, second] {
            let sealed = SealedFrame::seal(frame, blob, &self.key, compressor);
            self.put_sealed(sealed);
        }
        BlobPlace { pack: self.id, frame: first }
    }

    fn push(&mut self, kind: FrameKind, plain: u32) -> FrameNo {
        let frame = FrameNo(self.frames.len() as u32);
        self.frames.push((Frame { kind, compressed: false, stored: 0, plain }, None));
        self.unsealed += 1;
        self.plain += u64::from(plain);
        frame
    }

    /// Takes a sealed frame back.
    pub fn put_sealed(&mut self, sealed: SealedFrame) {
        let (frame, body) = &mut self.frames[sealed.frame.0 as usize];
        assert!(body.is_none(), "frame {} of pack {} was sealed twice", sealed.frame.0, self.id);
        frame.compressed = sealed.compressed;
        frame.stored = sealed.bytes.len() as u32;
        *body = Some(sealed.bytes);
        self.unsealed -= 1;
    }

    /// Whether every frame was sealed.
    pub fn is_sealed(&self) -> bool {
        self.unsealed == 0
    }

    /// Whether nothing has a place in it.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The finished pack. Every frame must be sealed.
    pub fn finish(self, store: StoreId, salt: Salt) -> FinishedPack {
        assert!(self.is_sealed(), "pack {} has unsealed frames", self.id);
        let (frames, bodies): (Vec<Frame>, Vec<Option<Vec<u8>>>) = self.frames.into_iter().unzip();
        let table = Table { frames, chunks: self.chunks };
        let footer = seal_table(&table, self.id, &self.secret, salt);
        let bodies: Vec<Vec<u8>> = bodies.into_iter().flatten().collect();
        let body: usize = bodies.iter().map(Vec::len).sum();
        let len = pack::HEADER_LEN + body + 2 * footer.len() + pack::TRAILER_LEN;
        let trailer = Trailer { footer: footer.len() as u32, len: len as u64, pack: self.id };
        FinishedPack {
            id: self.id,
            secret: self.secret,
            table: Arc::new(table),
            header: pack::encode_header(store, self.id),
            bodies,
            footer,
            trailer,
        }
    }
}

/// A pack's table as a footer.
pub(super) fn seal_table(table: &Table, pack: PackId, key: &Secret, salt: Salt) -> Vec<u8> {
    let plain = table.encode();
    let packed = Compressor::new(1).compress_always(&plain);
    let mut footer = (plain.len() as u32).to_le_bytes().to_vec();
    footer.extend(boxes::seal(key, salt, &super::read::footer_aad(pack), &packed));
    footer
}

/// A pack ready to be written.
pub struct FinishedPack {
    /// Its id.
    pub id: PackId,
    /// Its data key.
    pub secret: Secret,
    /// What is in it.
    pub table: Arc<Table>,
    header: [u8; pack::HEADER_LEN],
    bodies: Vec<Vec<u8>>,
    footer: Vec<u8>,
    trailer: Trailer,
}

impl FinishedPack {
    /// Bytes of one footer.
    pub fn footer_len(&self) -> u32 {
        self.trailer.footer
    }

    /// Bytes of the whole.
    pub fn total_len(&self) -> u64 {
        self.trailer.len
    }

    /// Calls `write` with the pieces, in order.
    pub fn with_parts<T>(&self, write: impl FnOnce(&[&[u8]]) -> T) -> T {
        let trailer = self.trailer.encode();
        let mut parts: Vec<&[u8]> = vec![&self.header];
        parts.extend(self.bodies.iter().map(Vec::as_slice));
        parts.extend([self.footer.as_slice(), &self.footer, &trailer]);
        write(&parts)
    }
}
