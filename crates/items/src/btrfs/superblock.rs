//! The superblock: where a file system says what it is and where its trees begin.
//!
//! Never knows: how trees are read.

use super::checksum::Checksum;
use crate::bytes::{array, damaged, le16, le32, le64, unsupported};
use crate::tree::TreeError;
use backstay_env::volume::Volume;

/// Bytes of a superblock.
pub(super) const SUPER_LEN: u64 = 4096;
/// Where the copies lie; those past the end of the volume do not exist.
pub(super) const SUPER_AT: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];
/// Bytes that sums, identity and numbers take in the superblock before the system chunks.
const SYS_CHUNKS_AT: usize = 0x32b;
const SYS_CHUNKS_MAX: usize = 2048;
const MAGIC: &[u8; 8] = b"_BHRfS_M";

const INCOMPAT_METADATA_UUID: u64 = 1 << 10;
/// Mixed back references, default subvolume, mixed groups, lzo, zstd, big metadata, extended references, RAID5/6,
/// skinny metadata, no holes, metadata UUID, RAID1C3/4, simple quotas.
const INCOMPAT_KNOWN: u64 = 0xfff | 1 << 16;
const INCOMPAT_NAMES: [(u64, &str); 4] = [
    (1 << 12, "zoned devices"),
    (1 << 13, "extent tree v2"),
    (1 << 14, "the RAID stripe tree"),
    (1 << 17, "the remap tree"),
];
/// Free space tree, its validity, verity, block group tree.
const COMPAT_RO_KNOWN: u64 = 0xf;
const COMPAT_RO_BLOCK_GROUP_TREE: u64 = 1 << 3;
/// Left by `btrfs-image` (metadata without data), and by conversions that stopped half way.
const FLAGS_REFUSED: u64 = 0x1f7 << 33;

/// What a superblock says, as far as this reader needs it.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    /// Which of [`SUPER_AT`] it was read from.
    pub(super) copy: usize,
    pub(super) generation: u64,
    pub(super) root: u64,
    pub(super) root_level: u8,
    pub(super) chunk_root: u64,
    pub(super) chunk_root_level: u8,
    pub(super) chunk_root_generation: u64,
    /// 0 when nothing was fsynced after the last commit.
    pub(super) log_root: u64,
    pub(super) log_root_level: u8,
    pub(super) root_dir: u64,
    pub(super) device: u64,
    pub(super) device_bytes: u64,
    pub(super) sector: u32,
    pub(super) node: u32,
    pub(super) checksum: Checksum,
    /// The identity that tree blocks carry.
    pub(super) block_fsid: [u8; 16],
    pub(super) label: String,
    pub(super) sys_chunks: Vec<u8>,
    pub(super) block_group_tree: bool,
    /// Read-only features that this reader does not know: no harm to files, but allocation cannot be judged.
    pub(super) unknown_ro: u64,
}

/// Whether the volume begins like a btrfs file system, whole or not.
pub fn detect(volume: &dyn Volume) -> bool {
    SUPER_AT.iter().any(|at| {
        let mut magic = [0; 8];
        volume.read_at(at + 0x40, &mut magic).is_ok() && &magic == MAGIC
    })
}

impl Superblock {
    /// The first copy if it is whole: the kernel mounts by it alone, and writes the roots of logs to it alone. Else
    /// the newest whole one of the others. A commit caught half way may have reached a later copy before the first;
    /// then the state before it is whole still, and is what a mount shows.
    ///
    /// # Errors
    /// Why a whole copy was refused, or what is wrong with the first when none is whole.
    pub(super) fn choose(volume: &dyn Volume) -> Result<Superblock, TreeError> {
        let why = match Superblock::read(volume, 0) {
            Ok(first) => return Ok(first),
            // Whole, but refused: an older one elsewhere must not stand in for it.
            Err(refused @ TreeError::Unsupported(_)) => return Err(refused),
            Err(why) => why,
        };
        let others = (1..SUPER_AT.len()).filter_map(|copy| Superblock::read(volume, copy).ok());
        others.max_by_key(|s| s.generation).ok_or(why)
    }

    fn read(volume: &dyn Volume, copy: usize) -> Result<Superblock, TreeError> {
        let at = SUPER_AT[copy];
        let mut block = vec![0; SUPER_LEN as usize];
        volume.read_at(at, &mut block).map_err(TreeError::Io)?;
        Superblock::decode(&block, copy)
    }

    fn decode(block: &[u8], copy: usize) -> Result<Superblock, TreeError> {
        if block.len() as u64 != SUPER_LEN || &array(block, 0x40).unwrap_or_default() != MAGIC {
            return Err(damaged(format!("copy {copy} of the superblock is missing")));
        }
        let checksum = Checksum::from_number(le16(block, 0xc4))
            .ok_or_else(|| damaged(format!("checksum kind {} is unknown", le16(block, 0xc4))))?;
        if !checksum.vouches_for(block) || le64(block, 0x30) != SUPER_AT[copy] {
            return Err(damaged(format!("copy {copy} of the superblock is not whole")));
        }
        let incompat = refuse_unknown(block)?;
        let fsid = array(block, 0x20).unwrap_or_default();
        let block_fsid = match incompat & INCOMPAT_METADATA_UUID {
            0 => fsid,
            _ => array(block, 0x23b).unwrap_or_default(),
        };
        let (sector, node) = sizes(block)?;
        let compat_ro = le64(block, 0xb4);
        Ok(Superblock {
            copy,
            generation: le64(block, 0x48),
            root: le64(block, 0x50),
            root_level: block[0xc6],
            chunk_root: le64(block, 0x58),
            chunk_root_level: block[0xc7],
            chunk_root_generation: le64(block, 0xa4),
            log_root: le64(block, 0x60),
            log_root_level: block[0xc8],
            root_dir: le64(block, 0x80),
            device: le64(block, 0xc9),
            device_bytes: le64(block, 0xd1),
            sector,
            node,
            checksum,
            block_fsid,
            label: label(&block[0x12b..0x22b]),
            sys_chunks: sys_chunks(block)?,
            block_group_tree: compat_ro & COMPAT_RO_BLOCK_GROUP_TREE != 0,
            unknown_ro: compat_ro & !COMPAT_RO_KNOWN,
        })
    }
}

fn refuse_unknown(block: &[u8]) -> Result<u64, TreeError> {
    let incompat = le64(block, 0xbc);
    if let Some((_, name)) = INCOMPAT_NAMES.iter().find(|(bit, _)| incompat & bit != 0) {
        return Err(unsupported(format!("btrfs with {name}")));
    }
    if incompat & !INCOMPAT_KNOWN != 0 {
        let bits = incompat & !INCOMPAT_KNOWN;
        return Err(unsupported(format!("btrfs with unknown features ({bits:#x})")));
    }
    if le64(block, 0x38) & FLAGS_REFUSED != 0 {
        return Err(unsupported("btrfs that is a metadata dump or in the middle of a conversion"));
    }
    if le64(block, 0x88) != 1 {
        let n = le64(block, 0x88);
        return Err(unsupported(format!("btrfs over several devices ({n})")));
    }
    Ok(incompat)
}

fn sizes(block: &[u8]) -> Result<(u32, u32), TreeError> {
    let (sector, node) = (le32(block, 0x90), le32(block, 0x94));
    let fits = |n: u32| n.is_power_of_two() && (4096..=65536).contains(&n);
    match fits(sector) && fits(node) && node >= sector {
        true => Ok((sector, node)),
        false => Err(damaged(format!("sectors of {sector} and nodes of {node} bytes"))),
    }
}

fn sys_chunks(block: &[u8]) -> Result<Vec<u8>, TreeError> {
    let len = le32(block, 0xa0) as usize;
    match len <= SYS_CHUNKS_MAX {
        true => Ok(block[SYS_CHUNKS_AT..SYS_CHUNKS_AT + len].to_vec()),
        false => Err(damaged(format!("{len} bytes of system chunks"))),
    }
}

fn label(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
